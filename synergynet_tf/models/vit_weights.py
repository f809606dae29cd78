"""Pretrained transformer: the published weights of R50+ViT-B/16.

The file is the `.npz` of ViT's authors: arrays named by their place in the network.
Its ResNet is another one than `keras.applications`' and is not used, nor are its head
and its class token.

Assumption: the embedding, which reads that ResNet's features, is not loaded: here it
reads another encoder's, and starts at random.
"""

import collections
import math

import numpy as np

from synergynet_tf.layers import TransformerBlock
from synergynet_tf.safe_io import list_npz, read_npz

_POSITIONS = "Transformer/posembed_input/pos_embedding"
_ATTENTION = "MultiHeadDotProductAttention_1"
# Arrays of a block, in the order of its layer's weights: that of ViT's equations.
_BLOCK = (
    "LayerNorm_0/scale",
    "LayerNorm_0/bias",
    f"{_ATTENTION}/query/kernel",
    f"{_ATTENTION}/query/bias",
    f"{_ATTENTION}/key/kernel",
    f"{_ATTENTION}/key/bias",
    f"{_ATTENTION}/value/kernel",
    f"{_ATTENTION}/value/bias",
    f"{_ATTENTION}/out/kernel",
    f"{_ATTENTION}/out/bias",
    "LayerNorm_2/scale",
    "LayerNorm_2/bias",
    "MlpBlock_3/Dense_0/kernel",
    "MlpBlock_3/Dense_0/bias",
    "MlpBlock_3/Dense_1/kernel",
    "MlpBlock_3/Dense_1/bias",
)


def load_vit_weights(model, path):
    """Gives a model's transformer the weights of a file, and prints what matched.

    Positions of another grid are resized. The embedding is left as it is.

    Args:
        model: `keras.Model` of a method with a transformer.
        path: string. The `.npz` file.

    Raises:
        ValueError: If the file cannot be read, lacks more than half of the
            transformer's arrays, or has one of another shape or with NaN. The model
            then is as it was.
    """
    variables = _variables(model)
    try:
        names = list_npz(path)
        arrays = read_npz(path, variables)
    except (OSError, ValueError) as error:
        raise _refusal(path, f"cannot be read ({error})") from error
    if 2 * len(arrays) < len(variables):
        lacking = next(name for name in variables if name not in arrays)
        share = f"{len(arrays)} of the transformer's {len(variables)} arrays"
        raise _refusal(path, f"has {share}; it lacks {lacking}")
    if _POSITIONS in arrays:
        grid = variables[_POSITIONS].shape[:2]
        arrays[_POSITIONS] = _resized(arrays[_POSITIONS], grid, path)
    for name, array in arrays.items():
        if array.shape != (expected := tuple(variables[name].shape)):
            shapes = f"the shape {array.shape}, and {model.name} takes {expected}"
            raise _refusal(path, f"has {name} of {shapes}")
        if not np.isfinite(array.astype("float32")).all():
            raise _refusal(path, f"has {name} with NaN or infinite values")
    for name, array in arrays.items():
        variables[name].assign(array)
    print(f"{path}: loaded {len(arrays)} of the transformer's {len(variables)} arrays")
    print(f"  not used: {_summary(set(names) - set(arrays))}")
    print(f"  not found, left at random: {_summary(set(variables) - set(arrays))}")


def _variables(model):
    """Returns the transformer's variables by the names that the file has for them."""
    normalization = model.get_layer("vit_normalization")
    variables = {_POSITIONS: model.get_layer("vit_positions").embedding}
    blocks = [layer for layer in model.layers if isinstance(layer, TransformerBlock)]
    for number, block in enumerate(blocks):
        for name, variable in zip(_BLOCK, block.weights, strict=True):
            variables[f"Transformer/encoderblock_{number}/{name}"] = variable
    variables["Transformer/encoder_norm/scale"] = normalization.gamma
    variables["Transformer/encoder_norm/bias"] = normalization.beta
    return variables


def _resized(positions, grid, path):
    """Drops the class token and resizes what is left, as ViT and TransUNet do.

    Args:
        positions: array `(1, 1 + side * side, channels)`, the class token first.
        grid: Height and width to return.
        path: Path of the file, for its refusal.

    Returns:
        array `(height, width, channels)`: bilinear, corners on corners.
    """
    tokens = positions.shape[1] - 1 if positions.ndim == 3 else 0
    side = math.isqrt(max(tokens, 0))
    if side == 0 or side * side != tokens or len(positions) != 1:
        raise _refusal(path, f"has {_POSITIONS} of the shape {positions.shape}")
    square = positions[0, 1:].reshape(side, side, -1)
    rows, columns = (
        [np.interp(np.linspace(0, side - 1, size), range(side), one) for one in unit]
        for size, unit in ((size, np.eye(side)) for size in grid)
    )
    return np.einsum("ia,jb,ijc->abc", rows, columns, square)


def _refusal(path, reason):
    return ValueError(
        f"{path} {reason}. Pass --vit-weights none, or the .npz file of an R50+ViT-B/16"
    )


def _summary(names):
    """Counts names by the part of the network that they are of."""
    parts = collections.Counter(
        "/".join(name.split("/")[: 2 if name.startswith("Transformer/") else 1])
        for name in names
    )
    return ", ".join(f"{part} ({parts[part]})" for part in sorted(parts)) or "none"
