"""The report's curves: training, and the life of the codebook, by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from synergynet_tf.evaluation.report.charts import Line, line_chart
from synergynet_tf.evaluation.report.markup import Markup, element, section, table

Columns = Mapping[str, Sequence[float]]
# Charts: a title, and the column that the training and the validation part have.
TRAINING = (
    ("Loss", "loss"),
    ("DSC at the network's size", "dsc"),
    ("Learning rate", "learning_rate"),
)
CODEBOOK = (
    ("Codes used", "codes_used"),
    ("Perplexity of the codes", "perplexity"),
    ("Quantization error", "quantization_error"),
)
PARTS = {"": "training", "val_": "validation"}


def training_section(columns: Columns, best_epoch: int | None) -> Markup:
    """Draws loss, DSC and learning rate, with their values in a table."""
    note = (
        "This DSC, of all pixels as one, picks the best epoch; it is of none of the "
        "protocols."
    )
    if best_epoch is not None:
        note += f" The best epoch is {best_epoch}; its weights are scored."
    return _section("Training", columns, TRAINING, note, id_="training")


def codebook_section(columns: Columns, total: int) -> Markup | None:
    """Draws what became of the codebook; nothing for a run without one.

    Args:
        columns: Of `history.csv`.
        total: Codes of the codebook.
    """
    if "codes_used" not in columns:
        return None
    note = (
        f"Of {total} codes. The perplexity is as many codes as are used when all used "
        "codes are used alike; the quantization error is the mean squared distance of "
        "the vectors from their codes."
    )
    return _section("Codebook", columns, CODEBOOK, note, id_="codebook")


def _section(
    title: str,
    columns: Columns,
    charts: Sequence[tuple[str, str]],
    note: str,
    id_: str,
) -> Markup:
    epochs = columns["epoch"]
    figures: list[Markup] = []
    shown: dict[str, Sequence[float]] = {}
    for name, column in charts:
        lines = [
            Line(kind, columns[part + column], kind)
            for part, kind in PARTS.items()
            if part + column in columns
        ]
        if not lines:
            continue
        figures.append(line_chart(f"{id_}-{column}", name, epochs, lines))
        shown |= {f"{name}, {line.title}": line.values for line in lines}
    rows = [
        [f"{epoch:.0f}", *(f"{values[i]:.5g}" for values in shown.values())]
        for i, epoch in enumerate(epochs)
    ]
    values = table(f"{title}, by epoch", ["epoch", *shown], rows, class_="numbers")
    return section(
        title,
        element("p", note),
        element("div", *figures, class_="charts"),
        element("details", element("summary", "The values as a table"), values),
        id_=id_,
    )
