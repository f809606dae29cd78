"""Strategy `auto`, and the cluster of `multiworker`."""

import json
import os

import keras

from synergynet_tf.config import AUTO
from synergynet_tf.training import distribution

# Environment variable in which tf.distribute looks for the cluster.
CLUSTER = "TF_CONFIG"


def resolve(config):
    """Returns `config` with the strategy that `auto` stands for, and says which.

    Args:
        config: `ExperimentConfig`; one without `auto` is returned as it is.

    Raises:
        ValueError: If the strategy is `multiworker` and `TF_CONFIG` names no cluster.
    """
    strategy = config.training.strategy
    if strategy == AUTO:
        strategy, reason = choose(distribution.num_accelerators())
        print(f"strategy {strategy}: {reason}")
    if strategy == "multiworker":
        index, size = place_in_cluster()
        print(f"worker {index} of {size}: waiting for the others", flush=True)
    return config.replace(strategy=strategy)


def choose(accelerators):
    """Returns a strategy and the reason.

    Args:
        accelerators: int. GPUs, or the like, of this machine.
    """
    if os.environ.get(CLUSTER) and keras.backend.backend() == "tensorflow":
        return "multiworker", f"{CLUSTER} is set"
    if accelerators > 1:
        return "mirrored", f"this machine has {accelerators} accelerators"
    return "none", f"{CLUSTER} is not set, and this machine has no two accelerators"


def place_in_cluster():
    """Reads which machine of `TF_CONFIG` this is, from 0, and how many there are.

    Raises:
        ValueError: If it does not name them.
    """
    text = os.environ.get(CLUSTER, "")
    try:
        found = json.loads(text)
        ((job, workers),) = found["cluster"].items()
        index = found["task"]["index"]
        complete = job == found["task"]["type"] == "worker" and index in range(
            len(workers)
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        complete = False
    if not complete:
        example = {"worker": ["host:port", "..."]}, {"type": "worker", "index": 0}
        example = dict(zip(("cluster", "task"), example, strict=True))
        raise ValueError(
            f"--strategy multiworker takes the machines from {CLUSTER}, which must be "
            f"like {json.dumps(example)}. Received: {text or 'nothing'}"
        )
    return index, len(workers)
