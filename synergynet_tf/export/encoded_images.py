"""Encoded images in a graph: what their bytes claim, then their pixels.

It refuses what `synergynet_tf.data.image_headers` refuses, before anything is decoded:
a header may claim any size, and a decoder allocates it.
"""

from __future__ import annotations

import tensorflow as tf

from synergynet_tf.data.image_files import MAX_PIXELS
from synergynet_tf.data.image_headers import (
    JPEG_ALONE,
    JPEG_MOST_SCANS,
    JPEG_SIGNATURE,
    PNG_FIRST_CHUNK,
    PNG_SIGNATURE,
)

# A file has some dozen segments before its pixels, each a step of a loop. A file made
# of nothing else must not keep the server busy.
MAX_SEGMENTS = 5_000
# JPEG's own limit, as libjpeg has it. Resizing takes memory for each pixel of a side,
# so a thin image is refused long before it has MAX_PIXELS.
MAX_SIDE = 65_500


def require(data: tf.Tensor, name: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Gives a file's bytes on, if they are of an image that may be decoded.

    Args:
        data: The bytes, a scalar string.
        name: What the image is called in the message of a refusal.

    Returns:
        The same bytes, and `(rows, columns)` as int32 `(2,)`.

    Raises:
        tf.errors.InvalidArgumentError: When run: if they are not a JPEG or PNG file,
            truncated, of more than `MAX_PIXELS`, or longer than `MAX_SIDE`; names the
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
    # A decoder has no side effects, so nothing else would make it wait.
    with tf.control_dependencies([tf.debugging.Assert(problem == "", [message])]):
        return tf.identity(data), tf.ensure_shape(tf.identity(size), (2,))


def decode(data: tf.Tensor, size: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
    """Decodes one JPEG or PNG file to float32 `(rows, columns, 1 or 3)` in 0..255.

    Transparency is dropped and 16 bits are scaled to 0..255. JPEG is decoded with the
    settings under which OpenCV gives the same pixels.

    Args:
        data: The bytes, as `require` gives them on.
        size: What `require` read as its rows and columns.
        name: What the image is called in the message of a refusal.

    Raises:
        tf.errors.InvalidArgumentError: When run: if the image cannot be decoded, or is
            not of `size`.
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
        return image[..., : channels - (1 - channels % 2)]  # Of 2 or 4, one is alpha.

    image = tf.cond(_starts_with(data, JPEG_SIGNATURE), jpeg, png)
    image = tf.ensure_shape(image, (None, None, None))
    found = tf.shape(image)[:2]
    message = tf.strings.format(
        " is damaged: its header says {} x {} pixels, and it has {} x {}",
        (size[1], size[0], found[1], found[0]),
    )
    message = tf.strings.join([name, message])
    same = tf.reduce_all(found == size)
    with tf.control_dependencies([tf.debugging.Assert(same, [message])]):
        return tf.identity(image)


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
    # ITU-T T.81, annex B, as `image_headers` reads it.
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
    return size, scan & tf.reduce_any(ends) & (scans <= JPEG_MOST_SCANS)
