import re
import struct

import cv2
import numpy as np
import pytest

from synergynet_tf.data import images
from synergynet_tf.data.images import (
    list_images,
    list_pairs,
    read_image,
    read_mask,
)
from tests.data.decoys import chunk, jpeg_decoy, png_decoy, segment
from tests.data.trees import photograph, square_mask, write_jpeg, write_png

PHOTOGRAPH = photograph(6, 8)


def coded(ending, array):
    done, data = cv2.imencode(ending, array)
    assert done
    return data.tobytes()


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".PNG"])
def test_color_is_read_as_rgb(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    path.write_bytes(coded(ending, PHOTOGRAPH[..., ::-1]))
    image = read_image(path)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, PHOTOGRAPH[None])


def test_jpeg_is_read_as_rgb(tmp_path):
    write_jpeg(tmp_path / "a.jpg", np.full((8, 8, 3), (200, 100, 50), np.uint8))
    image = read_image(tmp_path / "a.jpg")
    # JPEG rounds; the channels are 50 and more apart.
    np.testing.assert_allclose(image.mean((0, 1, 2)), (200, 100, 50), atol=3)


def test_gray_keeps_one_channel(tmp_path):
    write_png(tmp_path / "a.png", np.array([[0, 7, 255]], np.uint8))
    assert read_image(tmp_path / "a.png").tolist() == [[[[0.0], [7.0], [255.0]]]]


def test_16_bit_is_scaled_to_255(tmp_path):
    write_png(tmp_path / "a.png", np.array([[0, 257, 65535]], np.uint16))
    assert read_image(tmp_path / "a.png").tolist() == [[[[0.0], [1.0], [255.0]]]]


def test_transparency_is_dropped(tmp_path):
    pixels = np.dstack([PHOTOGRAPH[..., ::-1], np.full((6, 8), 9, np.uint8)])
    (tmp_path / "a.png").write_bytes(coded(".png", pixels))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PHOTOGRAPH[None])


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5, 0.9, 0.99])
def test_truncated_image_is_refused(ending, share, tmp_path):
    data = coded(ending, photograph(64, 64))
    path = tmp_path / f"cut{ending}"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=f"cut{ending} .*; replace or remove it$"):
        read_image(path)


def test_jpeg_with_bytes_after_its_end_is_read(tmp_path):
    data = coded(".jpg", PHOTOGRAPH)
    (tmp_path / "a.jpg").write_bytes(data + b"\0" * 40)
    assert read_image(tmp_path / "a.jpg").shape == (1, 6, 8, 3)


def test_end_of_a_thumbnail_does_not_count(tmp_path):
    data = coded(".jpg", photograph(64, 64))
    thumbnail = coded(".jpg", PHOTOGRAPH)
    whole = data[:2] + segment(0xE1, thumbnail) + data[2:]
    (tmp_path / "whole.jpg").write_bytes(whole)
    assert read_image(tmp_path / "whole.jpg").shape == (1, 64, 64, 3)
    (tmp_path / "cut.jpg").write_bytes(whole[:-500])
    with pytest.raises(ValueError, match="no end-of-image"):
        read_image(tmp_path / "cut.jpg")


def test_damaged_png_is_refused(tmp_path):
    data = bytearray(coded(".png", photograph(64, 64)))
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"a\.png .*checksum"):
        read_image(tmp_path / "a.png")


def test_text_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("<html>Not found</html>")
    with pytest.raises(ValueError, match=r"a\.png is not .*JPEG, PNG, BMP or TIFF"):
        read_image(tmp_path / "a.png")


def test_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_001, 10_000, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ValueError, match=r"too large: 20001 x 10000 .* 200 megapixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("code", [0x00, 0x01, 0xD0, 0xD7])
def test_a_size_is_that_of_the_frame_that_decoders_find(code, tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(jpeg_decoy(coded(".jpg", PHOTOGRAPH), code))
    assert read_image(tmp_path / "a.jpg").shape == (1, 6, 8, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 6 * 8 - 1)
    with pytest.raises(ValueError, match="too large: 8 x 6 pixels"):
        read_image(tmp_path / "a.jpg")


def test_png_must_start_with_its_header(tmp_path):
    (tmp_path / "a.png").write_bytes(png_decoy(coded(".png", PHOTOGRAPH)))
    with pytest.raises(ValueError, match=r"a\.png .* first chunk is not IHDR"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".tif"])
def test_size_limit_holds_for_every_format(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 6 * 8 - 1)
    (tmp_path / f"a{ending}").write_bytes(coded(ending, PHOTOGRAPH))
    with pytest.raises(ValueError, match="too large: 8 x 6 pixels"):
        read_image(tmp_path / f"a{ending}")


def test_tiff_of_two_pages_is_refused(tmp_path):
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), [PHOTOGRAPH, PHOTOGRAPH])
    with pytest.raises(ValueError, match="several pages"):
        read_image(tmp_path / "a.tif")


def test_mask_values_are_kept(tmp_path):
    write_png(tmp_path / "a.png", np.array([[0, 1, 255]], np.uint8))
    write_png(tmp_path / "b.png", np.array([[0, 1, 40000]], np.uint16))
    write_png(tmp_path / "c.png", np.full((1, 3, 3), 5, np.uint8))
    assert read_mask(tmp_path / "a.png").tolist() == [[0, 1, 255]]
    assert read_mask(tmp_path / "b.png").tolist() == [[0, 1, 40000]]
    assert read_mask(tmp_path / "c.png").tolist() == [[5, 5, 5]]


def test_colored_mask_is_refused(tmp_path):
    write_png(tmp_path / "a.png", PHOTOGRAPH)
    with pytest.raises(ValueError, match=r"a\.png has colors"):
        read_mask(tmp_path / "a.png")


def test_listing_passes_over_what_is_no_image(tmp_path):
    for name in (".DS_Store", "Thumbs.db", "._b.png", "notes.txt", "b_extra.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    write_png(tmp_path / "b.PNG", PHOTOGRAPH)
    write_png(tmp_path / "a.png", PHOTOGRAPH)
    (tmp_path / "c.png").symlink_to(tmp_path / "a.png")
    assert list(list_images(tmp_path, ("_extra",))) == ["a", "b", "c"]


def test_two_images_of_one_stem_are_refused(tmp_path):
    write_png(tmp_path / "a.png", PHOTOGRAPH)
    write_jpeg(tmp_path / "a.jpg", PHOTOGRAPH)
    with pytest.raises(ValueError, match=r"a\.jpg and a\.png have one name"):
        list_images(tmp_path)


def test_every_suffix_is_listed(tmp_path):
    for kind in images.SUFFIXES:
        write_png(tmp_path / f"x{kind[1:]}{kind}", PHOTOGRAPH)
    assert len(list_images(tmp_path)) == 12


def test_pairs(tmp_path):
    images, masks = tmp_path / "images", tmp_path / "masks"
    write_png(images / "a.png", PHOTOGRAPH)
    write_jpeg(images / "b.JPG", PHOTOGRAPH)
    write_png(masks / "a.png", square_mask(6, 8))
    write_png(masks / "b_mask.PNG", square_mask(6, 8))
    pairs, problems = list_pairs(images, masks, ("", "_mask"))
    assert pairs == {
        "a": (images / "a.png", masks / "a.png"),
        "b": (images / "b.JPG", masks / "b_mask.PNG"),
    }
    assert problems == []
    write_png(masks / "a_mask.png", square_mask(6, 8))
    pairs, (problem,) = list_pairs(images, masks, ("", "_mask"))
    assert list(pairs) == ["b"]
    assert re.search(r"a\.png has 2 masks in .*: a, a_mask", problem)


def test_jpeg_of_endless_scans_is_refused(tmp_path):
    data = coded(".jpg", PHOTOGRAPH)
    scan = data.index(b"\xff\xda")
    (tmp_path / "a.jpg").write_bytes(data[:scan] + data[scan:-2] * 101 + data[-2:])
    with pytest.raises(ValueError, match=r"a\.jpg .*more than 100 scans"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, 257),  # The height in place of the width, so twice.
        (2, 16),  # 64 bits, which stand elsewhere.
        (4, 2),  # Two widths.
    ],
)
def test_a_tiff_s_size_is_one_number(offset, value, tmp_path):
    data = bytearray(coded(".tif", PHOTOGRAPH))
    (start,) = struct.unpack_from("<I", data, 4)
    entries = range(start + 2, len(data), 12)
    width = next(e for e in entries if data[e : e + 2] == (256).to_bytes(2, "little"))
    struct.pack_into("<H", data, width + offset, value)
    (tmp_path / "a.tif").write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"a\.tif .*size is there twice, or no number"):
        read_image(tmp_path / "a.tif")


def test_a_name_that_is_no_text_is_refused(tmp_path):
    write_png(tmp_path / "a\nerror: b.png", PHOTOGRAPH)
    with pytest.raises(ValueError, match=r"a\\nerror: b\.png.*rename it"):
        list_images(tmp_path)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3)])
def test_a_png_file_has_the_pixels(shape, tmp_path):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "a.png").write_bytes(images.encode_png(pixels, "a.png"))
    found = read_image(tmp_path / "a.png")[0]
    np.testing.assert_array_equal(found, pixels.reshape(2, 3, -1))


def test_what_no_png_file_holds_is_refused():
    images.encode_png(np.zeros((1, 1_000_000), np.uint8), "a.tif")
    with pytest.raises(ValueError, match=r"^a\.tif has 1000001 x 2 pixels, and a PNG"):
        images.encode_png(np.zeros((2, 1_000_001), np.uint8), "a.tif")
