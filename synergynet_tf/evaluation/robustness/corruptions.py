"""Corruptions of an image as the network takes it, each at five severities.

They act on the network's own grid, after the intensities were scaled to [0, 1]: a
scanner's scale would else undo what they do to contrast, and a blur would depend on
the resolution of the file. Noise, blur, contrast and JPEG have the parameters of
ImageNet-C (arXiv:1903.12261v1; those of its code, 20caed9), so that severities are
known ones; the field is ours.

    noise     Gaussian: standard deviation added to every pixel. That of a magnitude MR
              image is Rician, which this is close to where there is signal.
    blur      Gaussian: standard deviation in pixels of a network of 224, in
              proportion at other sizes. A wrong focus, or motion.
    contrast  factor of the distance to each slice's mean.
    field     largest logarithm of a smooth factor, a polynomial of degree 3, the same
              in all slices and channels: the bias field of an MR coil. Uneven light in
              a photograph; a CT has no such thing.
    jpeg      quality, of 8 bits a channel.

The channels of a photograph are colors, those of a scan are images of their own: each
is compressed as a gray one, and one that is 0 everywhere, as the third of a scan of two
is, stays so. What is the same in all three channels stays so. Everything is clipped to
[0, 1].
"""

from __future__ import annotations

import zlib

import cv2
import numpy as np

SEVERITIES = (1, 2, 3, 4, 5)
PARAMETERS: dict[str, tuple[float, ...]] = {
    "noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "blur": (1.0, 2.0, 3.0, 4.0, 6.0),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "field": (0.2, 0.4, 0.6, 0.8, 1.0),
    "jpeg": (25, 18, 15, 10, 7),
}
SEED = 0
# Exponents of the rows and columns: all terms of degree 3 or less but the constant.
_POWERS = tuple((i, j) for i in range(4) for j in range(4 - i) if i + j > 0)


def corrupt(
    images: np.ndarray,
    name: str,
    severity: int,
    case_id: str,
    modality: str,
    seed: int = SEED,
) -> np.ndarray:
    """Corrupts the slices of a case.

    What is random is drawn once for a seed, a corruption and a case: it is the same
    at every severity, but stronger, and for every run.

    Args:
        images: float32 `(slices, S, S, 3)` in [0, 1].
        name: A key of `PARAMETERS`.
        severity: 1 to 5; 0 leaves the images as they are.
        case_id: Case ID of the dataset.
        modality: The run's `DataConfig.modality`.
        seed: Seed of the random draws.

    Returns:
        float32, the same shape, in [0, 1].
    """
    if severity == 0:
        return images
    parameter = PARAMETERS[name][severity - 1]
    entropy = (seed, zlib.crc32(name.encode()), zlib.crc32(case_id.encode()))
    generator = np.random.default_rng(entropy)
    is_gray = bool((images == images[..., :1]).all())
    channels = images[..., :1] if is_gray else images
    act = (_CORRUPTIONS if modality == "rgb" else _OF_SCANS)[name]
    corrupted = act(channels, parameter, generator)
    clipped = corrupted.clip(0.0, 1.0).astype(np.float32)
    if modality != "rgb":
        clipped[..., ~channels.any(axis=(0, 1, 2))] = 0
    return np.broadcast_to(clipped, images.shape).copy()


def _noise(
    images: np.ndarray, deviation: float, generator: np.random.Generator
) -> np.ndarray:
    noise = generator.standard_normal(images.shape, np.float32)
    return images + np.float32(deviation) * noise


def _blur(
    images: np.ndarray, deviation: float, generator: np.random.Generator
) -> np.ndarray:
    deviation *= images.shape[1] / 224
    blurred = [cv2.GaussianBlur(s, (0, 0), deviation) for s in images]
    return np.stack(blurred).reshape(images.shape)


def _contrast(
    images: np.ndarray, factor: float, generator: np.random.Generator
) -> np.ndarray:
    mean = images.mean(axis=(1, 2), keepdims=True)
    return mean + np.float32(factor) * (images - mean)


def _field(
    images: np.ndarray, strength: float, generator: np.random.Generator
) -> np.ndarray:
    side = np.linspace(-1, 1, images.shape[1])
    coefficients = generator.standard_normal(len(_POWERS))
    terms = [np.outer(side**i, side**j) for i, j in _POWERS]
    field = np.tensordot(coefficients, np.array(terms), axes=1)
    return images * np.exp(strength * field / np.abs(field).max())[..., None]


def _jpeg(
    images: np.ndarray, quality: float, generator: np.random.Generator
) -> np.ndarray:
    decoded = []
    for pixels in np.rint(255 * images).astype(np.uint8):
        # OpenCV's order is blue, green, red.
        setting = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
        _, data = cv2.imencode(".jpg", pixels[..., ::-1], setting)
        decoded.append(np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)))
    return np.stack(decoded).reshape(images.shape)[..., ::-1] / np.float32(255)


def _jpeg_of_each(
    images: np.ndarray, quality: float, generator: np.random.Generator
) -> np.ndarray:
    channels = np.split(images, images.shape[-1], axis=-1)
    gray = [_jpeg(channel, quality, generator) for channel in channels]
    return np.concatenate(gray, axis=-1)


_CORRUPTIONS = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "field": _field,
    "jpeg": _jpeg,
}
_OF_SCANS = _CORRUPTIONS | {"jpeg": _jpeg_of_each}
