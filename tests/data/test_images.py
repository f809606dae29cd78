import re
import struct
import zlib

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
from tests.data.decoys import chunk, exif, jpeg_decoy, png_decoy, segment
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


def test_every_ending_is_listed_in_any_case(tmp_path):
    for kind in images.KINDS:
        for number, ending in enumerate((kind, kind.upper(), kind.title())):
            write_png(tmp_path / f"{kind[1:]}{number}{ending}", PHOTOGRAPH)
    assert len(list_images(tmp_path)) == 18


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


def palette_png(bits, row, colors):
    """Returns a PNG file of one row whose pixels are indices of a palette."""
    packed = np.packbits(
        [[v >> b & 1 for b in range(bits - 1, -1, -1)] for v in row]
    ).tobytes()
    size = len(row).to_bytes(4, "big") + (1).to_bytes(4, "big")
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", size + bytes([bits, 3, 0, 0, 0])),
            chunk(b"PLTE", bytes(value for color in colors for value in color)),
            chunk(b"tRNS", b"\0"),
            chunk(b"IDAT", zlib.compress(b"\0" + packed)),
            chunk(b"IEND", b""),
        )
    )


VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)]
GRAY = [(40 * i,) * 3 for i in range(4)]


@pytest.mark.parametrize("colors", [VOC, GRAY])
@pytest.mark.parametrize(
    ("bits", "row"), [(1, [0, 1, 1, 0]), *((b, [0, 3, 1, 2, 1]) for b in (2, 4, 8))]
)
def test_of_a_mask_with_a_palette_the_index_counts(bits, row, colors, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(palette_png(bits, row, colors[: 2**bits]))
    assert read_mask(path).tolist() == [row]
    # A photograph has its colors.
    expected = [colors[index] for index in row]
    assert read_image(path)[0, 0, :, 0].tolist() == [color[0] for color in expected]


def test_a_gray_palette_with_black_elsewhere_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(palette_png(1, [0, 1], [(255,) * 3, (0,) * 3]))
    with pytest.raises(ValueError, match=r"a\.png .*black at index 1"):
        read_mask(path)


@pytest.mark.parametrize("order", "<>")
def test_indices_of_other_palettes(order, tmp_path):
    row = bytes([0, 1, 2, 1])
    colors = [*VOC, *[(0, 0, 0)] * 252]
    bmp = (
        b"BM"
        + struct.pack("<IHHI", 1078 + 4, 0, 0, 1078)
        + struct.pack("<IiiHHIIiiII", 40, 4, 1, 1, 8, 0, 4, 0, 0, 256, 0)
        + b"".join(bytes([b, g, r, 0]) for r, g, b in colors)
        + row
    )
    (tmp_path / "a.bmp").write_bytes(bmp)
    assert read_mask(tmp_path / "a.bmp").tolist() == [list(row)]
    data = np.array(
        [[257 * color[i] for color in colors] for i in range(3)], f"{order}u2"
    )
    (tmp_path / "a.tif").write_bytes(
        tiff(np.array([list(row)], np.uint8), order, {262: 3}, data.tobytes())
    )
    assert read_mask(tmp_path / "a.tif").tolist() == [list(row)]


def tiff(array, order="<", changed=(), palette=b""):
    """Returns a TIFF file of one strip, its pixels of the array's type."""
    formats = {"u": 1, "i": 2, "f": 3}
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    rows, columns = array.shape
    tags = {
        256: (4, 1, columns),
        257: (4, 1, rows),
        258: (3, 1, 8 * array.dtype.itemsize),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 8),
        277: (3, 1, 1),
        278: (4, 1, rows),
        279: (4, 1, len(data)),
        339: (3, 1, formats[array.dtype.kind]),
    }
    for tag, value in dict(changed).items():
        tags[tag] = (3, 1, value)
    if palette:
        tags[320] = (3, len(palette) // 2, 8 + len(data))
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        + struct.pack(
            f"{order}HH" if kind == 3 and count == 1 else f"{order}I",
            *([value, 0] if kind == 3 and count == 1 else [value]),
        )
        for tag, (kind, count, value) in sorted(tags.items())
    )
    start = 8 + len(data) + len(palette)
    name = b"II*\0" if order == "<" else b"MM\0*"
    head = name + struct.pack(f"{order}I", start) + data + palette
    return head + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("dtype", ["i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_labels_in_a_tiff_may_have_any_type(dtype, tmp_path):
    values = [[0, 1, 7], [120, 0, 2]]
    (tmp_path / "a.tif").write_bytes(tiff(np.array(values, dtype)))
    mask = read_mask(tmp_path / "a.tif")
    assert mask.tolist() == values and mask.dtype in (np.uint8, np.uint16)
    if dtype != "u2":
        kind = np.dtype(dtype).name
        with pytest.raises(ValueError, match=rf"a\.tif has pixels of {kind}.*convert"):
            read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("dtype", "value", "shown"),
    [
        ("f4", 0.5, "0.5"),
        ("f4", np.nan, "nan"),
        ("f4", np.inf, "inf"),
        ("i2", -1, "-1"),
        ("i4", 70000, "70000"),
    ],
)
def test_labels_that_are_no_classes_are_refused(dtype, value, shown, tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(np.array([[0, value]], dtype)))
    with pytest.raises(ValueError, match=rf"a\.tif holds .* such as {shown}; .*whole"):
        read_mask(tmp_path / "a.tif")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("number", [1, 3, 6, 8])
def test_the_orientation_of_a_jpeg(number, order, tmp_path):
    path = tmp_path / "a.jpg"
    write_jpeg(path, photograph(16, 24))
    plain = path.read_bytes()
    assert images.orientation(path) == 1
    # Behind JFIF's segment, and a comment of XMP that is not EXIF.
    end = 4 + struct.unpack(">H", plain[4:6])[0]
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0")
    path.write_bytes(plain[:end] + xmp + exif(number, order) + plain[end:])
    assert images.orientation(path) == number
    turned = cv2.imread(str(path)).shape
    assert (turned[0] > turned[1]) == (number in (6, 8))  # OpenCV agrees.
    assert images.read_image(path).shape[1:3] == (16, 24)


def test_files_without_an_orientation(tmp_path):
    write_png(tmp_path / "a.png", photograph(8, 8))
    assert images.orientation(tmp_path / "a.png") == 1
    for cut in (0, 1, 2, 5, 30):
        (tmp_path / "b.jpg").write_bytes((b"\xff\xd8" + exif(6))[:cut])
        assert images.orientation(tmp_path / "b.jpg") == 1
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8" + exif(99))
    assert images.orientation(tmp_path / "b.jpg") == 1
