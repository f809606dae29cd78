"""Mixed precision `auto`: bfloat16 or float16 where the hardware has it."""

import pathlib

from synergynet_tf import environment, runs
from synergynet_tf.config import AUTO
from synergynet_tf.training import distribution


def resolve(config, run, force):
    """Returns `config` with the precision that `auto` stands for, and says which.

    A run that was begun keeps its own, on whatever hardware it is continued.

    Args:
        config: `ExperimentConfig`; one without `auto` is returned as it is.
        run: Folder of the run.
        force: bool. Whether a run that is there is to be deleted.
    """
    if config.training.precision != AUTO:
        return config
    if pathlib.Path(run, "config.json").exists() and not force:
        precision = runs.Run(run).config.training.precision
        reason = "the run was begun in it"
    else:
        hardware = distribution.hardware(config.training.strategy)
        precision, reason = choose(hardware, environment.cpu_flags())
    print(f"precision {precision}: {reason}")
    return config.replace(precision=precision)


def choose(hardware, flags):
    """Returns a precision and the reason.

    bfloat16 has the range of float32 and is taken where it is computed in hardware:
    by GPUs from compute capability 8.0, every TPU, and CPUs with an instruction for
    it. GPUs of 7.x compute float16 so.

    Args:
        hardware: Hardware that trains, a `distribution.Hardware`.
        flags: Feature flags of the CPU, as `environment.cpu_flags` returns them.
    """
    kind, capability = hardware
    if kind == "tpu":
        return "bfloat16", "every TPU computes it"
    if kind == "cpu":
        able = [flag for flag in environment.BFLOAT16_FLAGS if flag in flags]
        if able:
            return "bfloat16", f"this CPU has {' and '.join(able)}"
        return (
            "float32",
            f"this CPU has neither {' nor '.join(environment.BFLOAT16_FLAGS)}",
        )
    if capability is None:
        return "float32", f"this {kind.upper()} tells no CUDA compute capability"
    number = "{}.{}".format(*capability)
    if capability >= (8, 0):
        return "bfloat16", f"the GPU's compute capability is {number}, at least 8.0"
    if capability >= (7, 0):
        return "float16", f"the GPU's compute capability is {number}, below 8.0"
    return "float32", f"the GPU's compute capability is {number}, below 7.0"
