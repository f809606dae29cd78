import json

import cv2
import numpy as np
import pytest

from synergynet_tf.data.datasets import folder
from synergynet_tf.data.images import read_mask
from tests.data.decoys import exif
from tests.data.test_listing import age
from tests.data.trees import photograph, square_mask, write_folder, write_png


@pytest.mark.parametrize("ending", ["", "_mask", "_segmentation", "_gt"])
def test_flat_layout(ending, tmp_path):
    write_folder(tmp_path, count=3, ending=ending)
    assert folder.case_ids(tmp_path) == ["case00", "case01", "case02"]
    assert folder.case_files(tmp_path, "case01") == [
        tmp_path / "images" / "case01.png",
        tmp_path / "masks" / f"case01{ending}.png",
    ]
    case = folder.read_case(tmp_path, "case01")
    np.testing.assert_array_equal(case.image[0], photograph(12, 16, 1))
    np.testing.assert_array_equal(case.label[0], square_mask(12, 16, value=1))


def test_layout_in_parts(tmp_path):
    for part, count in (("train", 3), ("val", 1), ("test", 2)):
        write_folder(tmp_path, part, count)
    assert folder.default_split(tmp_path) == "official"
    assert folder.splits(tmp_path, "official", 0) == {
        "train": ["train/case00", "train/case01", "train/case02"],
        "val": ["val/case00"],
        "test": ["test/case00", "test/case01"],
    }
    assert folder.read_case(tmp_path, "val/case00").case_id == "val/case00"


def test_val_is_drawn_where_there_is_none(tmp_path):
    write_folder(tmp_path, "train", 20)
    write_folder(tmp_path, "test", 2)
    parts = folder.splits(tmp_path, "official", 0)
    assert [len(part) for part in parts.values()] == [18, 2, 2]


def test_flat_layout_has_no_official_split(tmp_path):
    write_folder(tmp_path)
    assert folder.default_split(tmp_path) == "random"
    with pytest.raises(ValueError, match="--split random"):
        folder.splits(tmp_path, "official", 0)


def test_two_layouts_are_refused(tmp_path):
    write_folder(write_folder(tmp_path), "train")
    with pytest.raises(ValueError, match="images/ and train/images/; keep one"):
        folder.case_ids(tmp_path)


def test_gray_16_bit_image(tmp_path):
    write_folder(tmp_path, count=1)
    path = tmp_path / "images" / "case00.png"
    write_png(path, np.full((12, 16), 257 * 9, np.uint16))
    image = folder.read_case(tmp_path, "case00").image
    assert image.shape == (1, 12, 16, 1) and np.all(image == 9)


def test_classes_are_scanned_from_all_masks(tmp_path):
    write_folder(tmp_path, count=2, value=255)
    assert folder.class_names(tmp_path) == ("foreground",)
    write_folder(tmp_path, count=1, value=40)
    write_png(tmp_path / "images" / "z.png", photograph(12, 16))
    write_png(tmp_path / "masks" / "z.png", square_mask(12, 16, 80))
    assert folder.class_names(tmp_path) == ("class_40", "class_80", "class_255")
    labels = [folder.read_case(tmp_path, i).label.max() for i in ("case00", "case01")]
    assert labels == [1, 3]


def test_classes_file_orders_by_value(tmp_path):
    write_folder(tmp_path, count=1, value=200)
    (tmp_path / "classes.json").write_text('{"artery": 200, "vein": 100}')
    assert folder.class_names(tmp_path) == ("vein", "artery")
    assert folder.read_case(tmp_path, "case00").label.max() == 2
    assert tmp_path / "classes.json" in folder.case_files(tmp_path, "case00")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '["lesion"]',
        '{"lesion": 0}',
        '{"lesion": "255"}',
        '{"lesion": true}',
        '{"lesion": 1.0}',
        '{"lesion": 70000}',
        '{"lesion": -1}',
        '{"lesion": 1, "scar": 1}',
        '{"lesion": 1, "lesion": 2}',
        '{" ": 1}',
        json.dumps({f"class{i}": i for i in range(1, 256)}),
    ],
)
def test_malformed_classes_file_is_refused(text, tmp_path):
    write_folder(tmp_path, count=1)
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(ValueError, match=r"classes\.json"):
        folder.class_names(tmp_path)


def test_classes_file_that_is_not_text_is_refused(tmp_path):
    write_folder(tmp_path, count=1)
    (tmp_path / "classes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"classes\.json cannot be read"):
        folder.class_names(tmp_path)


def test_unknown_mask_value_is_refused(tmp_path):
    write_folder(tmp_path, count=1, value=128)
    (tmp_path / "classes.json").write_text('{"lesion": 255}')
    with pytest.raises(ValueError, match=r"case00\.png has unknown values 128; .*255"):
        folder.read_case(tmp_path, "case00")


def test_soft_edges_are_not_taken_for_classes(tmp_path):
    write_folder(tmp_path, count=1)
    soft = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    write_png(tmp_path / "masks" / "case00.png", soft)
    with pytest.raises(ValueError, match=r"case00\.png .*over 8 values"):
        folder.class_names(tmp_path)


def test_eight_values_are_classes(tmp_path):
    write_folder(tmp_path, count=1)
    mask = np.tile(np.arange(9, dtype=np.uint8), (12, 1))
    write_png(tmp_path / "images" / "case00.png", photograph(12, 9))
    write_png(tmp_path / "masks" / "case00.png", mask)
    assert len(folder.class_names(tmp_path)) == 8


def test_empty_masks_alone_are_refused(tmp_path):
    write_folder(tmp_path, count=2, value=0)
    with pytest.raises(ValueError, match=r"Every mask in .*masks is empty"):
        folder.class_names(tmp_path)


def test_one_empty_mask_is_a_case(tmp_path):
    write_folder(tmp_path, count=2)
    write_png(tmp_path / "masks" / "case00.png", np.zeros((12, 16), np.uint8))
    assert folder.read_case(tmp_path, "case00").label.max() == 0


def test_other_size_is_refused(tmp_path):
    write_folder(tmp_path, count=1)
    write_png(tmp_path / "masks" / "case00.png", square_mask(6, 8))
    with pytest.raises(ValueError, match=r"case00\.png is 8 x 6 .* 16 x 12"):
        folder.read_case(tmp_path, "case00")


@pytest.mark.parametrize(
    ("removed", "kind", "message"),
    [
        ("masks/case00.png", ValueError, r"images/case00\.png has no mask"),
        ("images/case00.png", ValueError, r"masks/case00\.png has no image"),
    ],
)
def test_half_of_a_pair_is_refused(removed, kind, message, tmp_path):
    write_folder(tmp_path, count=2)
    (tmp_path / removed).unlink()
    with pytest.raises(kind, match=message):
        folder.case_ids(tmp_path)


@pytest.mark.parametrize("name", ["images", "masks"])
def test_missing_and_empty_folders_are_refused(name, tmp_path):
    write_folder(tmp_path, count=1)
    (tmp_path / name / "case00.png").unlink()
    with pytest.raises(FileNotFoundError, match=f"No image files .* in .*{name}"):
        folder.case_ids(tmp_path)
    (tmp_path / name).rmdir()
    with pytest.raises(FileNotFoundError, match=f"{name}"):
        folder.case_ids(tmp_path)


def test_upper_case_extensions_and_hidden_files(tmp_path):
    write_png(tmp_path / "images" / "A.PNG", photograph(12, 16))
    write_png(tmp_path / "masks" / "A_mask.PNG", square_mask(12, 16))
    for name in ("images/.DS_Store", "masks/Thumbs.db", "masks/._A_mask.PNG"):
        (tmp_path / name).write_bytes(b"\0")
    assert folder.case_ids(tmp_path) == ["A"]
    assert folder.read_case(tmp_path, "A").label.sum() == 6 * 8


def test_masks_of_two_conventions_are_one_class(tmp_path):
    write_folder(tmp_path, count=3, value=255)
    write_png(tmp_path / "masks/case01.png", square_mask(12, 16, 1))
    write_png(tmp_path / "masks/case02.png", np.zeros((12, 16), np.uint8))
    assert folder.class_names(tmp_path) == ("foreground",)
    (note,) = folder.class_notes(tmp_path)
    assert "1 hold 0 and 1, 1 hold 0 and 255" in note
    for name, pixels in (("case00", 48), ("case01", 48), ("case02", 0)):
        label = folder.read_case(tmp_path, name).label
        assert (label == 1).sum() == label.sum() == pixels


def test_one_convention_needs_no_note(tmp_path):
    assert folder.class_notes(write_folder(tmp_path, count=2, value=1)) == []


@pytest.mark.parametrize(
    "values",
    [
        (0, 1, 254, 255),  # Soft edges.
        (0, 250, 255),
        (0, 1, 255),  # A class and a border, as in VOC.
        (0, 2, 255),
        (0, 3, 65535),
    ],
)
def test_values_close_to_black_and_white_are_no_classes(values, tmp_path):
    write_folder(tmp_path, count=2, value=values[-1] if values[-1] < 256 else 255)
    row = np.array(values, np.uint16 if values[-1] > 255 else np.uint8)
    write_png(tmp_path / "masks/case01.png", np.tile(np.resize(row, 16), (12, 1)))
    with pytest.raises(ValueError, match=r"case01\.png.*soft edges.*classes\.json"):
        folder.class_names(tmp_path)
    names = {f"c{value}": value for value in values[1:]}
    (tmp_path / "classes.json").write_text(json.dumps({**names, "white": 128}))
    assert len(folder.class_names(tmp_path)) == len(values)


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 85, 170, 255), (0, 1, 255, 300)])
def test_other_values_are_classes(values, tmp_path):
    write_folder(tmp_path, count=1)
    row = np.resize(np.array(values, np.uint16), 16)
    write_png(tmp_path / "masks/case00.png", np.tile(row, (12, 1)))
    assert len(folder.class_names(tmp_path)) == len(values) - 1


def test_masks_are_scanned_once_even_if_they_are_refused(tmp_path, monkeypatch):
    write_folder(tmp_path, count=4, value=3)
    write_png(tmp_path / "masks/case03.png", square_mask(12, 16, 254))
    age(tmp_path)
    read = []
    monkeypatch.setattr(folder, "read_mask", lambda p: read.append(p) or read_mask(p))
    for _ in range(5):
        with pytest.raises(ValueError, match="soft edges"):
            folder.class_names(tmp_path)
    assert len(read) == 4


def test_classes_file_may_begin_with_a_byte_order_mark(tmp_path):
    write_folder(tmp_path, count=1)
    (tmp_path / "classes.json").write_text('{"lesion": 255}', encoding="utf-8-sig")
    assert folder.class_names(tmp_path) == ("lesion",)


def test_endings_of_masks_are_found_in_any_case(tmp_path):
    write_folder(tmp_path, count=2, ending="_Mask")
    (tmp_path / "images/case00_mask.png").write_bytes(
        (tmp_path / "images/case00.png").read_bytes()
    )
    with pytest.raises(ValueError, match=r"case00_mask\.png has no mask"):
        folder.case_ids(tmp_path)
    (tmp_path / "images/case00_mask.png").unlink()
    assert folder.case_ids(tmp_path) == ["case00", "case01"]


def test_a_missing_mask_says_what_is_in_its_place(tmp_path):
    write_folder(tmp_path, count=2)
    mask = tmp_path / "masks/case01.png"
    mask.unlink()
    mask.symlink_to(tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match=r"no case01\.png .*\(case01\.png is passed over: a link to no"
    ):
        folder.case_ids(tmp_path)


def test_letters_with_accents_have_one_form(tmp_path):
    """Systems write them as one character or as a letter and its accent."""
    composed, apart = "M\u00fcller", "Mu\u0308ller"
    write_png(tmp_path / "images" / f"{composed}.png", photograph(12, 16))
    write_png(tmp_path / "masks" / f"{apart}.png", square_mask(12, 16))
    assert folder.case_ids(tmp_path) == [composed]
    assert folder.read_case(tmp_path, composed).label.any()


def test_turned_photographs_are_said(tmp_path):
    """A viewer shows them turned, and so a mask may have been drawn."""
    write_folder(tmp_path, count=3)
    path = tmp_path / "images" / "case00.png"
    path.unlink()
    data = cv2.imencode(".jpg", photograph(16, 12))[1].tobytes()
    path.with_suffix(".jpg").write_bytes(data[:2] + exif(6) + data[2:])
    (note,) = folder.class_notes(tmp_path)
    assert note.startswith("1 image has an EXIF orientation") and "case00.jpg" in note
    with pytest.raises(ValueError, match=r"16 x 12 .* 12 x 16; .*EXIF.*: save it"):
        folder.read_case(tmp_path, "case00")


def test_a_link_to_no_classes_is_refused(tmp_path):
    write_folder(tmp_path, count=3)
    (tmp_path / "Classes.JSON").write_text('{"lesion": 255}')
    assert folder.class_names(tmp_path) == ("lesion",)
    assert not folder.listing(tmp_path).passed_over
    (tmp_path / "Classes.JSON").unlink()
    (tmp_path / "classes.json").symlink_to(tmp_path / "gone.json")
    with pytest.raises(OSError, match=r"classes\.json"):
        folder.class_names(tmp_path)
