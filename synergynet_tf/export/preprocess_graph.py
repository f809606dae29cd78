"""Preprocessing in TensorFlow's graph: check and decode files, resize, label.

Each function computes what one of NumPy and OpenCV computes in
`synergynet_tf.data.preprocess`, so that a served image is labeled as `predict.py`
labels it. As in `synergynet_tf.data.images`, bytes are checked before they are
decoded: a header may claim any size, and a decoder allocates it.
"""

from __future__ import annotations

import tensorflow as tf

from synergynet_tf.data.images import (
    JPEG_ALONE,
    JPEG_MAX_SCANS,
    JPEG_SIGNATURE,
    MAX_PIXELS,
    PNG_FIRST_CHUNK,
    PNG_SIGNATURE,
)
from synergynet_tf.data.preprocess import OUTSIDE_CROP_LOGITS, PERCENTILES, WINDOWS

# A file has some dozen segments before its pixels, each a loop iteration. A file made
# of nothing but segments must not keep the server busy.
MAX_SEGMENTS = 5_000
# libjpeg's limit. Resizing needs memory per pixel of a side, so a thin image is
# refused long before it has MAX_PIXELS.
MAX_SIDE = 65_500


def require(
    condition: tf.Tensor, message: tf.Tensor | str, *tensors: tf.Tensor
) -> list[tf.Tensor]:
    """Returns tensors that depend on a check; what does not may run, and fail, first.

    Raises:
        tf.errors.InvalidArgumentError: With the message, when the graph runs: if the
            condition is false.
    """
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return [tf.identity(tensor) for tensor in tensors]


def check_image(data: tf.Tensor, name: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Checks an encoded image before it is decoded.

    Args:
        data: Bytes of the image, a scalar string.
        name: Name of the image, for error messages.

    Returns:
        The same bytes, which now depend on the check, and `(rows, columns)` as int32
        `(2,)`.

    Raises:
        tf.errors.InvalidArgumentError: When the graph runs: if they are not a JPEG or
            PNG file, truncated, or of more than `MAX_PIXELS` or `MAX_SIDE`; names the
            image and the reason.
    """
    is_png = _starts_with(data, PNG_SIGNATURE)
    is_jpeg = _starts_with(data, JPEG_SIGNATURE)
    kind = tf.where(is_png, 1, tf.where(is_jpeg, 2, 0))
    unknown = (tf.zeros((2,), tf.int32), tf.constant(False))
    size, whole = tf.switch_case(
        kind, [lambda: unknown, lambda: _read_png(data), lambda: _read_jpeg(data)]
    )
    rows, columns = size[0], size[1]
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    too_large = tf.strings.format(
        f"too large: {{}} x {{}} pixels, at most {MAX_PIXELS // 10**6} megapixels and "
        f"{MAX_SIDE} pixels a side; scale it down",
        (columns, rows),
    )
    is_too_large = (pixels > MAX_PIXELS) | (tf.reduce_max(size) > MAX_SIDE)
    problem = tf.case(
        [
            (tf.equal(tf.strings.length(data), 0), lambda: tf.constant("empty")),
            (tf.equal(kind, 0), lambda: tf.constant("not a JPEG or PNG file")),
            (is_too_large, lambda: too_large),
            (~whole | (pixels < 1), lambda: tf.constant("truncated or damaged")),
        ],
        default=lambda: tf.constant(""),
    )
    message = tf.strings.join([name, " is ", problem])
    data, size = require(problem == "", message, data, size)
    return data, tf.ensure_shape(size, (2,))


def decode_image(data: tf.Tensor, size: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
    """Decodes one JPEG or PNG file to float32 `(rows, columns, 1 or 3)` in 0..255.

    Transparency is dropped and 16 bits are scaled to 0..255. JPEG is decoded with the
    settings under which OpenCV gives the same pixels.

    Args:
        data: Bytes of the image, as `check_image` returned them.
        size: Rows and columns, from `check_image`.
        name: Name of the image, for error messages.

    Raises:
        tf.errors.InvalidArgumentError: When the graph runs: if the image cannot be
            decoded, or is not of `size`.
    """

    def jpeg() -> tf.Tensor:
        image = tf.io.decode_jpeg(
            data, fancy_upscaling=True, dct_method="INTEGER_ACCURATE"
        )
        return tf.cast(image, tf.float32)

    def png() -> tf.Tensor:
        # Read as 16 bits, an 8-bit value v is v * 257.
        image = tf.io.decode_png(data, dtype=tf.uint16)
        image = tf.cast(image, tf.float32) / 257.0
        channels = tf.shape(image)[-1]
        return image[..., : channels - (1 - channels % 2)]  # One of 2 or 4 is alpha.

    image = tf.cond(_starts_with(data, JPEG_SIGNATURE), jpeg, png)
    image = tf.ensure_shape(image, (None, None, None))
    found = tf.shape(image)[:2]
    message = tf.strings.format(
        " is damaged: its header says {} x {} pixels, and it has {} x {}",
        (size[1], size[0], found[1], found[0]),
    )
    message = tf.strings.join([name, message])
    (image,) = require(tf.reduce_all(found == size), message, image)
    return image


def _starts_with(data: tf.Tensor, signature: bytes) -> tf.Tensor:
    return tf.equal(tf.strings.substr(data, 0, len(signature)), signature)


def _read_png(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `(rows, columns)`, and whether the last chunk is there."""
    # PNG (ISO/IEC 15948), section 11.2.2: columns and rows follow the signature and
    # the length and type of the first chunk; all is 33 bytes long.
    header = tf.strings.substr(tf.strings.join([data, bytes(33)]), 16, 8)
    size = tf.reverse(tf.io.decode_raw(header, tf.int32, little_endian=False), [0])
    text = tf.io.decode_raw(data, tf.uint8)
    found = tf.ones_like(text[3:], tf.bool)
    for offset, letter in enumerate(b"IEND"):
        found &= text[offset : tf.size(text) - 3 + offset] == letter
    first = _starts_with(data, PNG_SIGNATURE + PNG_FIRST_CHUNK)
    return size, first & tf.reduce_any(found) & tf.reduce_all(size > 0)


def _read_jpeg(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `(rows, columns)`, and whether the end of the image is there."""
    # ITU-T T.81, annex B, as `data.images` reads it.
    text = tf.io.decode_raw(data, tf.uint8)
    last = tf.size(text) - 10  # The furthest place whose frame header can be read.

    def word(position: tf.Tensor) -> tf.Tensor:
        high, low = text[position], text[position + 1]
        return 256 * tf.cast(high, tf.int32) + tf.cast(low, tf.int32)

    def before_scan(position: tf.Tensor, _size: tf.Tensor, scan: tf.Tensor) -> bool:
        return ~scan & (position <= last)

    def read_segment(
        position: tf.Tensor, size: tf.Tensor, _scan: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        code = text[position + 1]
        fill = (text[position] != 0xFF) | (code == 0xFF)
        alone = tf.reduce_any(code == tf.constant(JPEG_ALONE, tf.uint8))
        other = (code == 0xC4) | (code == 0xC8) | (code == 0xCC)
        frame = ~fill & (code >= 0xC0) & (code <= 0xCF) & ~other
        scan = ~fill & (code == 0xDA)
        size = tf.where(frame, [word(position + 5), word(position + 7)], size)
        length = tf.where(alone, 0, word(position + 2))
        step = tf.where(fill, 1, tf.where(scan, 0, 2 + length))
        return position + step, size, scan

    start = (tf.constant(2), tf.zeros((2,), tf.int32), tf.constant(False))
    position, size, scan = tf.while_loop(
        before_scan, read_segment, start, maximum_iterations=MAX_SEGMENTS
    )
    position = tf.minimum(position, tf.size(text) - 1)
    marked = text[position:-1] == 0xFF
    ends = marked & (text[position + 1 :] == 0xD9)
    scans = tf.math.count_nonzero(marked & (text[position + 1 :] == 0xDA))
    return size, scan & tf.reduce_any(ends) & (scans <= JPEG_MAX_SCANS)


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
        low, high = _window(image, PERCENTILES[modality])
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
        fill = OUTSIDE_CROP_LOGITS[0] if is_background else OUTSIDE_CROP_LOGITS[1]
        parts.append(tf.pad(inside[..., number], pads, constant_values=fill))
    return tf.stack(parts, axis=-1)


def to_labels(
    logits: tf.Tensor, temperature: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes uint8 labels and float32 probabilities from logits `(..., C)`.

    The probabilities are those of the logits divided by `temperature`.
    """
    scaled = logits / temperature
    if logits.shape[-1] == 1:
        return tf.cast(logits[..., 0] > 0.0, tf.uint8), tf.sigmoid(scaled)
    labels = tf.argmax(logits, axis=-1, output_type=tf.int32)
    return tf.cast(labels, tf.uint8), tf.nn.softmax(scaled)


def _window(
    image: tf.Tensor, percents: tuple[float, float]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes what becomes 0 and 1 of each channel: float64, two `np.percentile`.

    Where both are one value, that and the percentiles of the values that differ.
    """
    values = tf.reshape(image, (-1, tf.shape(image)[-1]))
    values = tf.cast(tf.sort(values, axis=0), tf.float64)
    count = tf.fill([tf.shape(values)[1]], tf.shape(values)[0])
    low, high = _percentiles(values, percents, count, count)
    below = tf.math.count_nonzero(values < low, axis=0, dtype=tf.int32)
    above = tf.math.count_nonzero(values > low, axis=0, dtype=tf.int32)
    ends = _percentiles(values, percents, below + above, below)
    closed = (low >= high) & (below + above > 0)
    return (
        tf.where(closed, tf.minimum(low, ends[0]), low),
        tf.where(closed, tf.maximum(high, ends[1]), high),
    )


def _percentiles(
    values: tf.Tensor, percents: tuple[float, float], count: tf.Tensor, below: tf.Tensor
) -> list[tf.Tensor]:
    """Computes `np.percentile` of each column, interpolated linearly.

    Args:
        values: Sorted values, `(n, columns)`.
        percents: The two percentiles to compute, in [0, 100].
        count: Number of values of each column to use: the first `below`, and the last.
        below: Number of values to use from the start of each column.
    """
    gap = tf.shape(values)[0] - count
    columns = tf.range(tf.shape(values)[1])

    def take(place: tf.Tensor) -> tf.Tensor:
        place = tf.clip_by_value(place, 0, tf.maximum(count - 1, 0))
        place += tf.where(place < below, 0, gap)
        place = tf.minimum(place, tf.shape(values)[0] - 1)
        return tf.gather_nd(values, tf.stack([place, columns], axis=-1))

    found = []
    for percent in percents:
        position = percent / 100.0 * tf.cast(tf.maximum(count - 1, 0), tf.float64)
        whole = tf.floor(position)
        first = tf.cast(whole, tf.int32)
        lower, upper = take(first), take(first + 1)
        found.append(lower + (position - whole) * (upper - lower))
    return found


def resize(image: tf.Tensor, rows: int, columns: int, area: bool) -> tf.Tensor:
    """Resizes `(height, width, channels)` as OpenCV does, by two matrix products.

    TensorFlow's own resize operators compute their weights in float32 and come out up
    to 0.01 of 255 away from OpenCV; these, up to 0.00005.
    """
    shape = tf.shape(image)
    image = tf.einsum("yh,hwc->ywc", _weights(shape[0], rows, area), image)
    return tf.einsum("xw,ywc->yxc", _weights(shape[1], columns, area), image)


def _weights(source: tf.Tensor, target: int, area: bool) -> tf.Tensor:
    """Returns the interpolation matrix of one axis.

    Args:
        source: Number of pixels before resizing.
        target: Number of pixels after resizing.
        area: Shares of the covered length (`INTER_AREA`); else linear interpolation
            between pixel centers (`INTER_LINEAR`).

    Returns:
        float32 `(target, source)`, rows summing to 1; computed in float64.
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
