"""Between an image's own grid and the network's, in a graph.

Each step computes in TensorFlow what `synergynet_tf.data.preprocess` computes in NumPy
and OpenCV, so that a served image is labeled as `predict.py` labels it.
"""

from __future__ import annotations

import tensorflow as tf

from synergynet_tf.data.preprocess import PERCENTILES, SURELY, WINDOWS


def center_box(
    rows: tf.Tensor, columns: tf.Tensor, share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the rows above `preprocess.center_box`, and the columns left of it."""

    def margin(side: tf.Tensor) -> tf.Tensor:
        # Both round half to even.
        cut = tf.round(tf.cast(side, tf.float64) * ((1 - share) / 2))
        return tf.minimum(tf.cast(cut, tf.int32), (side - 1) // 2)

    return margin(rows), margin(columns)


def to_network(
    image: tf.Tensor, modality: str, size: int, center_crop: float = 1.0
) -> tf.Tensor:
    """Scales values to [0, 1] and resizes to `(size, size, 3)`.

    One channel is repeated, and after two the third is 0.
    """
    if modality in PERCENTILES:
        low, high = _percentiles(image, PERCENTILES[modality])
    else:
        low, high = (tf.constant(value, tf.float64) for value in WINDOWS[modality])
    span = tf.cast(high - low, tf.float32)
    low, high = tf.cast(low, tf.float32), tf.cast(high, tf.float32)
    image = tf.math.divide_no_nan(tf.clip_by_value(image, low, high) - low, span)
    if center_crop < 1:
        rows, columns = tf.shape(image)[0], tf.shape(image)[1]
        top, left = center_box(rows, columns, center_crop)
        image = image[top : rows - top, left : columns - left]
    shape = tf.shape(image)
    image = tf.cond(
        tf.reduce_min(shape[:2]) >= size,
        lambda: resize(image, size, size, area=True),
        lambda: resize(image, size, size, area=False),
    )
    image = tf.clip_by_value(image, 0.0, 1.0)
    image = tf.tile(image, [1, 1, 3 // shape[2]])
    image = tf.pad(image, [[0, 0], [0, 0], [0, 3 - tf.shape(image)[2]]])
    return tf.ensure_shape(image, (size, size, 3))


def to_native(
    logits: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, center_crop: float = 1.0
) -> tf.Tensor:
    """Resizes logits `(S, S, C)` to an image's own grid, `(rows, columns, C)`."""
    if center_crop == 1:
        return resize(logits, rows, columns, area=False)
    top, left = center_box(rows, columns, center_crop)
    inside = resize(logits, rows - 2 * top, columns - 2 * left, area=False)
    pads = [[top, top], [left, left]]
    parts = []
    for number in range(logits.shape[-1]):
        is_background = number == 0 and logits.shape[-1] > 1
        fill = SURELY[0] if is_background else SURELY[1]
        parts.append(tf.pad(inside[..., number], pads, constant_values=fill))
    return tf.stack(parts, axis=-1)


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


def resize(image: tf.Tensor, rows: int, columns: int, area: bool) -> tf.Tensor:
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
