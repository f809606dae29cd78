"""The costs of several models as aligned text."""

import concurrent.futures
import multiprocessing

_HEADER = ("method", "parameters (M)", "GFLOPs", "tokens", "memory (MiB)")


def measure_alone(config):
    """Measures a model in a process of its own, whose peak of memory is the model's.

    Args:
        config: `ModelConfig`.

    Returns:
        `models.cost.Cost`.
    """
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(_measure, config).result()


def format_costs(costs):
    """Returns a header and a line for each model, in columns.

    Args:
        costs: dict from names to `models.cost.Cost`.
    """
    rows = [_HEADER]
    for name, cost in costs.items():
        millions = f"{cost.parameters / 1e6:.1f}"
        billions = f"{cost.operations / 1e9:.1f}"
        mebibytes = f"{cost.memory / 2**20:.0f}"
        rows.append((name, millions, billions, str(cost.tokens), mebibytes))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )


def _measure(config):
    from synergynet_tf.models import cost  # Keras, in the process of a model alone.

    return cost.measure(config)
