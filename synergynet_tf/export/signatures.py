"""Signatures of an export: decode, resize, model, resize back, label."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from synergynet_tf.data.images import MAX_PIXELS
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.export.preprocess_graph import (
    check_image,
    decode_image,
    require,
    to_labels,
    to_native,
    to_network,
)
from synergynet_tf.models.outputs import with_codes


def build_signatures(
    model: keras.Model,
    class_names: Sequence[str],
    preprocessor: Preprocessor,
    image_channels: int | None = None,
    temperature: float = 1.0,
) -> dict[str, Any]:
    """Traces the signatures that a client may call.

    - `serving_default`: `image`, float32 `(batch, S, S, 3)` in [0, 1], to `logits`,
      float32 `(batch, S, S, C)`, and of a method with a codebook `codes`, int32
      `(batch, height, width)`: the code at each position of the bottleneck.
    - `from_bytes`: `image_bytes`, JPEG or PNG files as a string tensor `(batch,)`, to
      `labels`, uint8 `(batch, rows, columns)`; `probabilities`, float32 `(batch, rows,
      columns, C)`; `areas`, the pixels of each foreground class, int32 `(batch,
      classes)`; `classes`, their names, string `(batch, classes)`; and `sizes`, each
      image's own rows and columns, int32 `(batch, 2)`. Images smaller than the largest
      of the batch are padded with background, below and to the right.
    - `png_from_bytes`: the same input, to `labels_png_bytes`, the label map of each
      image as a PNG file of its own size, string `(batch,)`; `areas`, `classes` and
      `sizes`.

    `classes` is the same for each image, but repeated: a server that batches requests
    splits every output along its first axis.

    A CT model has `serving_default` only, as a JPEG file holds no Hounsfield units; so
    has a model of scans with other than 1 or 3 channels.

    Args:
        model: Model from `(batch, S, S, 3)` images to logits with `C` channels.
        class_names: Names of the foreground classes.
        preprocessor: Preprocessor that makes an image the model's input.
        image_channels: Number of channels that an image must have; `None` for any
            number.
        temperature: Divisor of the logits for `probabilities`.

    Returns:
        The concrete functions by their names.

    Raises:
        ValueError: If Keras does not run on TensorFlow.
    """
    require_tensorflow()
    modality, side, channels, center_crop = dataclasses.astuple(preprocessor)
    outputs = model.output_shape[-1]
    named, classes = with_codes(model), len(class_names)

    @tf.function(input_signature=[tf.TensorSpec((None, side, side, 3), name="image")])
    def serving_default(image: tf.Tensor) -> dict[str, tf.Tensor]:
        # A session does not compare what it is fed with the signature.
        image = tf.raw_ops.EnsureShape(input=image, shape=(None, side, side, 3))
        image = _require_range(_require_images(image, "image"))
        return named(image, training=False)

    def predict(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns logits `(batch, S, S, C)` of files, and their images' sizes."""
        image_bytes = tf.raw_ops.EnsureShape(input=image_bytes, shape=(None,))
        image_bytes = _require_images(image_bytes, "image_bytes")

        def prepare(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            name = tf.strings.format("image_bytes[{}]", position)
            data, size = check_image(image_bytes[position], name)
            image = decode_image(data, size, name)
            image = _require_channels(image, image_channels, channels, name)
            image = _pick(image, channels)
            return to_network(image, modality, side, center_crop), size

        specs = tf.TensorSpec((side, side, 3)), tf.TensorSpec((2,), tf.int32)
        images, sizes = _map(prepare, tf.range(tf.size(image_bytes)), specs)
        return model(images, training=False), sizes

    def label(logits: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Labels one image on its own grid, and counts the pixels of its classes."""
        logits = to_native(logits, size[0], size[1], center_crop)
        labels, probabilities = to_labels(logits, temperature)
        counts = tf.math.bincount(
            tf.cast(labels, tf.int32), minlength=classes + 1, maxlength=classes + 1
        )
        return labels, probabilities, counts[1:]

    def describe(areas: tf.Tensor, sizes: tf.Tensor) -> dict[str, tf.Tensor]:
        names = tf.tile(tf.constant([list(class_names)]), [tf.shape(areas)[0], 1])
        return {"areas": areas, "classes": names, "sizes": sizes}

    areas_spec = tf.TensorSpec((classes,), tf.int32)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, sizes = predict(image_bytes)
        largest = _require_room(tf.size(image_bytes), tf.reduce_max(sizes, axis=0))

        def fill(element: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            labels, probabilities, areas = label(*element)
            pad = [[0, largest[0] - element[1][0]], [0, largest[1] - element[1][1]]]
            return tf.pad(labels, pad), _pad_channels(probabilities, pad), areas

        specs = (
            tf.TensorSpec((None, None), tf.uint8),
            tf.TensorSpec((None, None, outputs)),
            areas_spec,
        )
        labels, probabilities, areas = _map(fill, (logits, sizes), specs)
        maps = {"labels": labels, "probabilities": probabilities}
        return {**maps, **describe(areas, sizes)}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def png_from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, sizes = predict(image_bytes)

        def encode(element: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
            labels, _, areas = label(*element)
            return tf.io.encode_png(labels[..., None]), areas

        specs = (tf.TensorSpec((), tf.string), areas_spec)
        files, areas = _map(encode, (logits, sizes), specs)
        return {"labels_png_bytes": files, **describe(areas, sizes)}

    functions = [serving_default]
    if modality != "ct" and image_channels in (None, 1, 3):
        functions += [from_bytes, png_from_bytes]
    return {f.__name__: f.get_concrete_function() for f in functions}


def image_function(model: keras.Model, batch: int | None) -> Any:
    """Returns a function from `image` to `logits`, and to `codes` where there are any.

    `image` is float32 `(batch, S, S, 3)` in [0, 1].

    Args:
        model: Model from `(batch, S, S, 3)` images to logits.
        batch: Number of images; `None` for any number.

    Returns:
        A `tf.function`.

    Raises:
        ValueError: If Keras does not run on TensorFlow.
    """
    require_tensorflow()
    named, size = with_codes(model), model.input_shape[1]

    @tf.function(input_signature=[tf.TensorSpec((batch, size, size, 3), name="image")])
    def serving_default(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return named(image, training=False)

    return serving_default


def captured_constants(function: Any) -> dict[str, np.ndarray]:
    """Returns the constants that a function captured, by the names of its inputs.

    A tensor that was made outside, as `keras.layers.Normalization` does, is an input of
    the graph, which TensorFlow feeds with its value at each call.
    """
    captures = function.get_concrete_function().graph.captures
    return {
        inner.name: outer.numpy()
        for outer, inner in captures
        if inner.dtype != tf.resource
    }


def read_variables(function: Any) -> tf.Module:
    """Returns a module that tracks what a function reads, and nothing else.

    Keras' ExportArchive tracks every variable twice and so writes it twice; a
    `keras.Model` is no `tf.Module`, and TFLite's converter then writes no weights.
    """
    module = tf.Module()
    module.weights = function.graph.variables
    return module


def require_tensorflow() -> None:
    """Requires Keras' TensorFlow backend.

    Raises:
        ValueError: If Keras runs on another.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError("Export needs TensorFlow: set KERAS_BACKEND=tensorflow")


def _map(function: Any, elements: Any, specs: Any) -> Any:
    """Maps over a batch sequentially, so that one image is in memory at a time."""
    return tf.map_fn(
        function, elements, fn_output_signature=specs, parallel_iterations=1
    )


def _require_images(batch: tf.Tensor, name: str) -> tf.Tensor:
    """Requires a batch of at least one image, and returns it."""
    empty = f"{name} holds no image; send a batch of at least one"
    return require(tf.shape(batch)[0] > 0, empty, batch)[0]


def _require_range(image: tf.Tensor) -> tf.Tensor:
    """Requires images in [0, 1], and returns them."""
    low, high = tf.reduce_min(image), tf.reduce_max(image)
    message = tf.strings.format(
        "image must be in [0, 1] (of a photograph, divide by 255). Received: values "
        "from {} to {}",
        (low, high),
    )
    inside = tf.reduce_all((image >= 0.0) & (image <= 1.0))  # NaN fails both.
    return require(inside, message, image)[0]


def _require_room(count: tf.Tensor, largest: tf.Tensor) -> tf.Tensor:
    """Requires that a batch padded to `largest` is small enough; returns `largest`."""
    factors = tf.concat([[count], largest], axis=0)
    message = tf.strings.format(
        "image_bytes holds {} images: filled up to the largest, of {} rows and {} "
        f"columns, they are more than {MAX_PIXELS // 10**6} megapixels; send fewer "
        "at once, or call png_from_bytes",
        (count, largest[0], largest[1]),
    )
    room = tf.reduce_prod(tf.cast(factors, tf.int64)) <= MAX_PIXELS
    return require(room, message, largest)[0]


def _require_channels(
    image: tf.Tensor, wanted: int | None, picked: str, name: tf.Tensor
) -> tf.Tensor:
    """Requires the channels that the model takes, and returns the image."""
    count = tf.shape(image)[-1]
    if wanted is not None:
        enough, taken = count == wanted, f"images with {wanted}"
    else:
        enough, taken = count > max(_numbers(picked), default=0), f"{picked} of them"
    rule = f" channels, and the model takes {taken}"
    message = tf.strings.join([name, " has ", tf.strings.as_string(count), rule])
    return require(enough, message, image)[0]


def _pick(image: tf.Tensor, channels: str) -> tf.Tensor:
    """Takes channels of `(rows, columns, channels)`; `""` takes all."""
    return tf.gather(image, _numbers(channels), axis=-1) if channels else image


def _numbers(channels: str) -> list[int]:
    return [int(channel) for channel in channels.split()]


def _pad_channels(probabilities: tf.Tensor, pad: list[list[Any]]) -> tf.Tensor:
    """Pads `(rows, columns, C)` with probability 1 for background."""
    pad = [*pad, [0, 0]]
    if probabilities.shape[-1] == 1:
        return tf.pad(probabilities, pad)
    background = tf.pad(probabilities[..., :1], pad, constant_values=1.0)
    return tf.concat([background, tf.pad(probabilities[..., 1:], pad)], axis=-1)
