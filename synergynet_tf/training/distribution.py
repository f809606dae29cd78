"""Devices and `tf.distribute` strategies."""

import atexit
import contextlib
import os
import sys
from typing import NamedTuple

import keras


def tensorflow():
    """Imports TensorFlow, once it is needed, for every file of this folder."""
    import tensorflow

    return tensorflow


# Most devices that a CPU is divided into: for trials, which need few.
_CPU_DEVICES = 8


@contextlib.contextmanager
def scope(strategy, devices=""):
    """Lets a model be built, compiled and trained on one device or on several.

    Args:
        strategy: `none` for one device, `mirrored` for those of the machine,
            `multiworker` for those of all machines of `TF_CONFIG`.
        devices: Numbers of the devices of `mirrored`, such as `"0 1"`; `""` for all.
            They are GPUs. Without any, the CPU is divided, to try it out.

    Raises:
        ConnectionError: If another machine is gone.
        ValueError: If there are no such devices, or the backend has no such strategy.
    """
    numbers = [int(number) for number in devices.split()]
    if strategy == "none":
        yield
    elif keras.backend.backend() == "tensorflow":
        tf = tensorflow()

        if strategy == "mirrored":
            distribution = tf.distribute.MirroredStrategy(_tensorflow_devices(numbers))
        else:
            distribution = tf.distribute.MultiWorkerMirroredStrategy()
        try:
            with distribution.scope():
                yield
        # Errors of a sum over machines when one of them is gone.
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            if strategy == "mirrored":
                raise
            atexit.register(_end_at_once)
            raise ConnectionError(
                "another machine of TF_CONFIG is gone, and so this one ends. The same "
                "command on every machine continues the run."
            ) from error
    elif strategy == "mirrored":
        names = keras.distribution.list_devices()
        names = [names[number] for number in _checked(numbers, len(names))]
        with _DataParallel(devices=names, auto_shard_dataset=False).scope():
            yield
    else:
        raise ValueError(
            f"--strategy {strategy} needs the TensorFlow backend. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}"
        )


def _end_at_once():
    """Ends the process at once; TensorFlow would first wait for its partners."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(2)


def _tensorflow_devices(numbers):
    """Returns the names of the devices of `numbers`, of all if there are none."""
    tf = tensorflow()

    if gpus := tf.config.list_physical_devices("GPU"):
        numbers = _checked(numbers, len(gpus))
        # TensorFlow takes the memory of every GPU that it sees.
        tf.config.set_visible_devices([gpus[number] for number in numbers], "GPU")
        return [device.name for device in tf.config.list_logical_devices("GPU")]
    (cpu,) = tf.config.list_physical_devices("CPU")
    if numbers and tf.config.get_logical_device_configuration(cpu) is None:
        _checked(numbers, _CPU_DEVICES)
        parts = [tf.config.LogicalDeviceConfiguration()] * (max(numbers) + 1)
        tf.config.set_logical_device_configuration(cpu, parts)
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    return [names[number] for number in _checked(numbers, len(names))]


def _checked(numbers, available):
    """Returns the numbers of devices, all that are available if none is given."""
    if numbers and max(numbers) >= available:
        raise ValueError(
            f"--devices must be below {available}, the number of devices here. "
            f"Received: {max(numbers)}"
        )
    return numbers or range(available)


class _DataParallel(keras.distribution.DataParallel):
    """Divides batches on JAX; one that cannot be divided goes to each device whole."""

    def get_data_layout(self, data_shape):
        layout = super().get_data_layout(data_shape)
        if data_shape[0] % self.num_model_replicas == 0:
            return layout
        everywhere = [None] * len(data_shape)
        return keras.distribution.TensorLayout(everywhere, self.device_mesh)


def num_accelerators():
    """Returns the number of this machine's devices other than its CPU."""
    if keras.backend.backend() == "tensorflow":
        tf = tensorflow()

        return len(tf.config.list_physical_devices("GPU"))
    names = keras.distribution.list_devices()
    return 0 if names[0].startswith("cpu") else len(names)


def num_devices():
    """Returns the number of devices that share a batch in the current scope."""
    if keras.backend.backend() == "tensorflow":
        tf = tensorflow()

        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution = keras.distribution.distribution()
    return distribution.num_model_replicas if distribution else 1


def has_replicas():
    """Tells whether the current scope is of a `tf.distribute` strategy."""
    if keras.backend.backend() != "tensorflow":
        return False
    tf = tensorflow()

    return tf.distribute.has_strategy()


def is_chief():
    """Tells whether this process is the one that writes the run's folder."""
    if not has_replicas():
        return True
    tf = tensorflow()

    return tf.distribute.get_strategy().extended.should_checkpoint


class Hardware(NamedTuple):
    """Hardware that trains.

    Attributes:
        kind: `cpu`, `gpu` or `tpu`.
        capability: CUDA's compute capability, `(8, 0)`; that of the least able, if
            there are several GPUs. `None` if it is no such GPU.
    """

    kind: str
    capability: tuple[int, int] | None = None


def hardware(strategy):
    """Returns what the backend trains on, with `strategy`: a `Hardware`."""
    if keras.backend.backend() == "jax":
        import jax

        devices = jax.local_devices()
        kind = devices[0].platform
        found = [getattr(device, "compute_capability", "") for device in devices]
    else:
        tf = tensorflow()

        if tf.config.list_physical_devices("TPU"):
            return Hardware("tpu")
        devices = tf.config.list_physical_devices("GPU")
        kind = "gpu" if devices else "cpu"
        details = map(tf.config.experimental.get_device_details, devices)
        found = [detail.get("compute_capability") for detail in details]
    if kind != "gpu":
        return Hardware(kind)
    if strategy == "none":
        found = found[:1]
    known = [_capability(value) for value in found]
    return Hardware("gpu", None if None in known else min(known))


def _capability(value):
    """Reads TensorFlow's `(8, 0)` or JAX's `"8.0"`; `None` for what is not CUDA's."""
    parts = value.split(".") if isinstance(value, str) else value or ()
    try:
        major, minor = map(int, parts)
    except ValueError:
        return None
    return major, minor


def check_batch_size(batch_size):
    """Refuses a batch that the devices of the current scope cannot share.

    Raises:
        ValueError: If `batch_size` leaves a device without an image or, on JAX, is
            not a multiple of the number of devices.
    """
    devices = num_devices()
    uneven = keras.backend.backend() == "jax" and batch_size % devices
    if batch_size < devices or uneven:
        rule = "a multiple of" if uneven else "at least"
        raise ValueError(
            f"--batch-size must be {rule} {devices}, the number of devices. Received: "
            f"{batch_size}"
        )


def validation_batch_size(num_images, batch_size):
    """Returns the least batch size that the devices can validate with.

    TensorFlow fails where a device gets nothing of a short last batch. JAX divides
    all batches or none, and the first one decides.

    Args:
        num_images: int. Images to validate on.
        batch_size: int. The least size to return, as `check_batch_size` allows it.

    Raises:
        ValueError: If there are fewer images than devices.
    """
    devices = num_devices()
    if num_images < devices:
        raise ValueError(
            f"{num_images} validation images are too few for {devices} devices; pass "
            "--strategy none or add images"
        )
    if keras.backend.backend() == "jax":
        return batch_size + (num_images % devices > 0)
    while 0 < num_images % batch_size < devices:
        batch_size += 1
    return batch_size
