"""The graph that is served: decode, resize, model, resize back, label.

Each step computes in TensorFlow what `synergynet_tf.data.preprocess` computes in NumPy
and OpenCV, so that a served image is labeled as `predict.py` labels it.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from synergynet_tf.data.preprocess import PERCENTILES, WINDOWS


def build_signatures(model: keras.Model, modality: str) -> dict[str, Any]:
    """Traces what a client may call.

    - `serving_default`: `image`, float32 `(batch, S, S, 3)` in [0, 1], to `logits`,
      float32 `(batch, S, S, C)`.
    - `from_bytes`: `image_bytes`, one JPEG or PNG file as a string tensor `(1,)`, to
      `labels`, uint8 `(1, rows, columns)`, and `probabilities`, float32 `(1, rows,
      columns, C)`, at the image's own size.

    Args:
        model: From `(batch, S, S, 3)` images to logits with `C` channels.
        modality: A key of `preprocess.MODALITIES`: how pixel values become [0, 1].

    Returns:
        The concrete functions by their names.
    """
    size = model.input_shape[1]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image_bytes")])
    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        one = "from_bytes takes one image a request: image_bytes of shape (1,)"
        tf.debugging.assert_equal(tf.size(image_bytes), 1, message=one)
        image = decode(image_bytes[0])
        rows, columns = tf.shape(image)[0], tf.shape(image)[1]
        logits = model(to_network(image, modality, size)[None], training=False)[0]
        logits = _resize(logits, rows, columns, area=False)
        labels, probabilities = to_labels(logits)
        return {"labels": labels[None], "probabilities": probabilities[None]}

    return {
        "serving_default": logits_function(model),
        "from_bytes": from_bytes.get_concrete_function(),
    }


def logits_function(model: keras.Model, batch: int | None = None) -> Any:
    """Traces `image`, float32 `(batch, S, S, 3)` in [0, 1], to `logits`.

    Args:
        model: From `(batch, S, S, 3)` images to logits.
        batch: How many images; `None` for any number.

    Returns:
        The concrete function.

    Raises:
        ValueError: If Keras does not run on TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError("Export needs TensorFlow: set KERAS_BACKEND=tensorflow")
    size = model.input_shape[1]

    @tf.function(input_signature=[tf.TensorSpec((batch, size, size, 3), name="image")])
    def serving_default(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": model(image, training=False)}

    return serving_default.get_concrete_function()


def read_variables(function: Any) -> tf.Module:
    """Returns a module that tracks what a function reads, and nothing else.

    Keras' ExportArchive tracks every variable twice and so writes it twice; a
    `keras.Model` is no `tf.Module`, and TFLite's converter then writes no weights.
    """
    module = tf.Module()
    module.weights = function.graph.variables
    return module


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes one JPEG or PNG file to float32 `(rows, columns, 1 or 3)` in 0..255.

    Transparency is dropped and 16 bits are scaled to 0..255. JPEG is decoded with the
    settings under which OpenCV gives the same pixels.
    """

    def jpeg() -> tf.Tensor:
        image = tf.io.decode_jpeg(
            image_bytes, fancy_upscaling=True, dct_method="INTEGER_ACCURATE"
        )
        return tf.cast(image, tf.float32)

    def png() -> tf.Tensor:
        # Read as 16 bits, an 8-bit value v is v * 257.
        image = tf.io.decode_png(image_bytes, dtype=tf.uint16)
        image = tf.cast(image, tf.float32) / 257.0
        channels = tf.shape(image)[-1]
        return image[..., : channels - (1 - channels % 2)]  # Of 2 or 4, one is alpha.

    is_jpeg = tf.strings.substr(image_bytes, 0, 3) == b"\xff\xd8\xff"
    return tf.ensure_shape(tf.cond(is_jpeg, jpeg, png), (None, None, None))


def to_network(image: tf.Tensor, modality: str, size: int) -> tf.Tensor:
    """Scales values to [0, 1] and resizes to `(size, size, 3)`, gray repeated."""
    if modality in PERCENTILES:
        low, high = _percentiles(image, PERCENTILES[modality])
    else:
        low, high = (tf.constant(value, tf.float64) for value in WINDOWS[modality])
    span = tf.cast(high - low, tf.float32)
    low, high = tf.cast(low, tf.float32), tf.cast(high, tf.float32)
    image = tf.math.divide_no_nan(tf.clip_by_value(image, low, high) - low, span)
    shape = tf.shape(image)
    image = tf.cond(
        tf.reduce_min(shape[:2]) >= size,
        lambda: _resize(image, size, size, area=True),
        lambda: _resize(image, size, size, area=False),
    )
    image = tf.tile(tf.clip_by_value(image, 0.0, 1.0), [1, 1, 3 // shape[2]])
    return tf.ensure_shape(image, (size, size, 3))


def to_labels(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Turns logits `(..., C)` into uint8 labels and float32 probabilities."""
    if logits.shape[-1] == 1:
        return tf.cast(logits[..., 0] > 0.0, tf.uint8), tf.sigmoid(logits)
    labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return tf.cast(labels, tf.uint8), tf.nn.softmax(logits)


def _percentiles(
    image: tf.Tensor, percents: tuple[float, float]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `np.percentile` of each channel: float64, interpolated linearly."""
    values = tf.reshape(image, (-1, tf.shape(image)[-1]))
    values = tf.cast(tf.sort(values, axis=0), tf.float64)
    last = tf.shape(values)[0] - 1

    def percentile(percent: float) -> tf.Tensor:
        position = percent / 100.0 * tf.cast(last, tf.float64)
        below = tf.cast(tf.floor(position), tf.int32)
        share = position - tf.floor(position)
        above = tf.minimum(below + 1, last)
        return values[below] + share * (values[above] - values[below])

    return percentile(percents[0]), percentile(percents[1])


def _resize(image: tf.Tensor, rows: int, columns: int, area: bool) -> tf.Tensor:
    """Resizes `(height, width, channels)` as OpenCV does, by two products.

    TensorFlow's own resize operators compute their weights in float32 and come out up
    to 0.01 of 255 away from OpenCV; these, up to 0.00005.
    """
    shape = tf.shape(image)
    image = tf.einsum("yh,hwc->ywc", _weights(shape[0], rows, area), image)
    return tf.einsum("xw,ywc->yxc", _weights(shape[1], columns, area), image)


def _weights(source: tf.Tensor, target: int, area: bool) -> tf.Tensor:
    """Returns what each of `target` pixels takes of the `source` ones along an axis.

    Args:
        source: Pixels before.
        target: Pixels after.
        area: Shares of the covered length (`INTER_AREA`); else linear interpolation
            between pixel centers (`INTER_LINEAR`).

    Returns:
        float32 `(target, source)`, rows summing to 1; worked out in float64.
    """
    scale = tf.cast(source, tf.float64) / tf.cast(target, tf.float64)
    after = tf.cast(tf.range(target), tf.float64)[:, None]
    before = tf.cast(tf.range(source), tf.float64)
    if area:
        begin, end = after * scale, (after + 1) * scale
        covered = tf.minimum(end, before + 1) - tf.maximum(begin, before)
        weights = tf.maximum(covered, 0.0) / scale
    else:
        last = tf.cast(source - 1, tf.float64)
        center = tf.clip_by_value((after + 0.5) * scale - 0.5, 0.0, last)
        weights = tf.maximum(1.0 - tf.abs(center - before), 0.0)
    return tf.cast(weights, tf.float32)
