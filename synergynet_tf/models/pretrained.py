"""Pretrained encoders: weights by name or from a file, into a network."""

import pathlib
import warnings

import keras
import numpy as np

from synergynet_tf.safe_io import is_of_the_file, require_plain_hdf5

_BYTES_PER_WEIGHT = 4

# Start of Keras' message that a file lacks layers.
_SKIPPED = "Skipping"


def load_pretrained(network, weights, name, source):
    """Gives a network the weights that `encode` was asked for.

    They are found by the names of the layers: `network` may leave out some of the
    published network's, such as its last convolution.

    Args:
        network: `keras.Model` of the encoder.
        weights: string. `imagenet`, `none`, or the path of a weights file.
        name: string. What to call the network in an error.
        source: function of `"imagenet"` or `None` that builds the published network,
            with those weights or with random ones. A file has its layout.

    Raises:
        ImportError: If they come in a package that is not installed.
        OSError: If ImageNet's weights cannot be fetched, or there is no such file.
        ValueError: If the file holds other weights.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        published = _imagenet(name, source)
    else:
        published = _file(weights, name, source)
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(published.get_layer(layer.name).get_weights())


def load(network, path):
    """Loads a weights file that anyone may have written.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is damaged or of another network.
    """
    require_plain_hdf5(path, max_bytes(network))
    try:
        with warnings.catch_warnings():
            # Warnings of one library about another tell nothing of the file; the one
            # that layers missing in it keep their first values does.
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", _SKIPPED, UserWarning)
            network.load_weights(path)
            require_finite(network)
    except Exception as error:
        if not (str(error).startswith(_SKIPPED) or is_of_the_file(error)):
            raise
        raise ValueError(shorten(error)) from error


def shorten(error, most=200):
    """Returns the start of an error's text: Keras adds whole tensors to some."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else f"{text[:most]} ..."


def max_bytes(model):
    """Returns the largest size of a model's weights file, with head and optimizer."""
    return 4 * _BYTES_PER_WEIGHT * model.count_params() + 2**26


def require_finite(model):
    """Refuses a model with weights that are not numbers.

    Raises:
        ValueError: If there are; names the first.
    """
    for weight in model.weights:
        array = keras.ops.convert_to_numpy(weight)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{weight.path} has NaN or infinite values")


def _imagenet(name, source):
    try:
        return source("imagenet")
    except ImportError:
        raise  # A package must be installed; the error names it.
    except Exception as error:
        # Keras reports a failed download as a plain `Exception`.
        raise OSError(
            f"The ImageNet weights of {name} could not be fetched "
            f"({shorten(error)}). Pass --encoder-weights PATH with a downloaded "
            "file, or --encoder-weights none to train from scratch."
        ) from error


def _file(path, name, source):
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(
            f"There is no weights file {path}. Pass --encoder-weights imagenet, none, "
            "or the path of a file."
        )
    published = source(None)
    try:
        load(published, path)
    except ValueError as error:
        raise ValueError(
            f"{path} does not hold weights of {name} ({error}). Pass "
            "--encoder-weights imagenet, none, or another file."
        ) from error
    return published
