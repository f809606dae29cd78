"""The strategy `auto`, and the cluster of `multiworker`."""

import json
import os

from synergynet_tf.config import AUTO
from synergynet_tf.training import distribution

# In which tf.distribute looks for the cluster.
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
        check_cluster()
    return config.replace(strategy=strategy)


def choose(accelerators):
    """Returns a strategy and the reason.

    Args:
        accelerators: int. GPUs, or the like, of this machine.
    """
    if os.environ.get(CLUSTER):
        return "multiworker", f"{CLUSTER} is set"
    if accelerators > 1:
        return "mirrored", f"this machine has {accelerators} accelerators"
    return "none", f"{CLUSTER} is not set, and this machine has no two accelerators"


def check_cluster():
    """Refuses a `TF_CONFIG` that does not name a cluster and this machine's place.

    Raises:
        ValueError: Says what is missing.
    """
    example = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", '
    example += '"index": 0}}'
    text = os.environ.get(CLUSTER, "")
    try:
        found = json.loads(text)
        workers = found["cluster"]["worker"]
        task, index = found["task"]["type"], int(found["task"]["index"])
        complete = set(found["cluster"]) == {"worker"} == {task} and workers[index:]
    except (KeyError, TypeError, ValueError):
        complete = False
    if not complete:
        raise ValueError(
            f"--strategy multiworker takes the machines from {CLUSTER}, which must be "
            f"like {example}. Received: {text or 'nothing'}"
        )
