import numpy as np
import pytest

from synergynet_tf.data.datasets import isic
from tests.data.trees import (
    ISIC_FOLDERS,
    photograph,
    square_mask,
    write_isic,
    write_jpeg,
    write_png,
)


def folders(root, year="2018", part="train"):
    images, masks = ISIC_FOLDERS[year][part]
    return root / images, root / masks


def ids(*numbers):
    return [f"ISIC_{number:07d}" for number in numbers]


@pytest.mark.parametrize("year", ["2017", "2018"])
def test_both_layouts(year, tmp_path):
    write_isic(tmp_path, year, train=3, val=2, test=1)
    assert isic.case_ids(tmp_path) == ids(0, 1, 2, 3, 4, 5)
    images, masks = folders(tmp_path, year, "val")
    assert isic.case_files(tmp_path, "ISIC_0000004") == [
        images / "ISIC_0000004.jpg",
        masks / "ISIC_0000004_segmentation.png",
    ]


def test_mask_is_brought_to_the_image_grid(tmp_path):
    case = isic.read_case(write_isic(tmp_path), "ISIC_0000000")
    assert case.image.shape == (1, 12, 16, 3)
    # The upper left quarter of the 24 x 32 mask is that of the 12 x 16 image.
    np.testing.assert_array_equal(case.label[0], square_mask(12, 16, value=1))


def test_mask_takes_the_nearest_center(tmp_path):
    path = folders(write_isic(tmp_path))[1] / "ISIC_0000000_segmentation.png"
    rng = np.random.default_rng(0)
    mask = 255 * rng.integers(0, 2, (30, 40), np.uint8)
    write_png(path, mask)
    label = isic.read_case(tmp_path, "ISIC_0000000").label[0]
    # 2.5 of its pixels a pixel of the image: centers at 1.25, 3.75, 6.25, 8.75, ...
    rows, columns = ((2.5 * (np.arange(n) + 0.5)).astype(int) for n in (12, 16))
    assert rows[:4].tolist() == [1, 3, 6, 8]
    np.testing.assert_array_equal(label, mask[np.ix_(rows, columns)] // 255)


@pytest.mark.parametrize("value", [1, 255])
def test_mask_values(value, tmp_path):
    write_isic(tmp_path)
    path = folders(tmp_path)[1] / "ISIC_0000000_segmentation.png"
    write_png(path, square_mask(12, 16, value))
    label = isic.read_case(tmp_path, "ISIC_0000000").label
    assert label.sum() == 6 * 8 and label.max() == 1


@pytest.mark.parametrize("values", [(0, 128), (0, 1, 255), (7, 255)])
def test_unknown_mask_value_is_refused(values, tmp_path):
    write_isic(tmp_path)
    path = folders(tmp_path)[1] / "ISIC_0000001_segmentation.png"
    write_png(path, np.array([values] * 4, np.uint8))
    with pytest.raises(ValueError) as error:
        isic.read_case(tmp_path, "ISIC_0000001")
    assert str(path) in str(error.value)
    assert ", ".join(map(str, values)) in str(error.value)


def test_gray_photograph_gets_three_channels(tmp_path):
    write_isic(tmp_path)
    path = folders(tmp_path)[0] / "ISIC_0000000.jpg"
    path.unlink()
    write_png(path.with_suffix(".png"), square_mask(12, 16, 90))
    image = isic.read_case(tmp_path, "ISIC_0000000").image
    assert image.shape == (1, 12, 16, 3) and image[0, 0, 0].tolist() == [90, 90, 90]


def test_image_without_mask_is_refused(tmp_path):
    write_isic(tmp_path)
    (folders(tmp_path)[1] / "ISIC_0000002_segmentation.png").unlink()
    with pytest.raises(ValueError, match=r"ISIC_0000002\.jpg has no mask"):
        isic.case_ids(tmp_path)


def test_mask_without_image_is_refused(tmp_path):
    write_isic(tmp_path)
    (folders(tmp_path, part="val")[0] / "ISIC_0000010.jpg").unlink()
    with pytest.raises(ValueError, match=r"ISIC_0000010_segmentation\.png has no im"):
        isic.case_ids(tmp_path)


def test_missing_and_empty_mask_folder_are_refused(tmp_path):
    write_isic(tmp_path)
    masks = folders(tmp_path)[1]
    for path in masks.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=f"No image files .* in {masks}"):
        isic.case_ids(tmp_path)
    masks.rmdir()
    with pytest.raises(FileNotFoundError, match=f"No folder {masks}"):
        isic.case_ids(tmp_path)


def test_truncated_image_is_refused(tmp_path):
    path = folders(write_isic(tmp_path))[0] / "ISIC_0000003.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ValueError, match=r"ISIC_0000003\.jpg is not .*truncated"):
        isic.read_case(tmp_path, "ISIC_0000003")


def test_image_in_two_parts_is_refused(tmp_path):
    write_isic(tmp_path)
    images, masks = folders(tmp_path, part="test")
    write_jpeg(images / "ISIC_0000000.jpg", photograph(12, 16))
    write_png(masks / "ISIC_0000000_segmentation.png", square_mask(12, 16))
    with pytest.raises(ValueError, match=r"ISIC_0000000 is in .*Training.* and in"):
        isic.case_ids(tmp_path)


def test_both_years_in_one_folder_are_refused(tmp_path):
    write_isic(write_isic(tmp_path), "2017")
    with pytest.raises(ValueError, match="2017 and 2018"):
        isic.case_ids(tmp_path)


def test_superpixels_and_hidden_files_are_passed_over(tmp_path):
    images = folders(write_isic(tmp_path, "2017", 3, 0, 0), "2017")[0]
    write_png(images / "ISIC_0000000_superpixels.png", photograph(12, 16))
    write_png(images / "._ISIC_0000000.png", photograph(12, 16))
    (images / "ISIC-2017_Training_Data_metadata.csv").write_text("image_id\n")
    assert isic.case_ids(tmp_path) == ids(0, 1, 2)


def test_unlabeled_test_folder_is_passed_over(tmp_path):
    masks = folders(write_isic(tmp_path), part="test")[1]
    for path in masks.iterdir():
        path.unlink()
    masks.rmdir()
    parts = isic.splits(tmp_path, "official", 0)
    assert parts["test"] == ids(10, 11, 12)


@pytest.mark.parametrize(
    ("counts", "train", "val", "test"),
    [
        ((10, 3, 4), ids(*range(10)), ids(10, 11, 12), ids(13, 14, 15, 16)),
        ((10, 3, 0), None, None, ids(10, 11, 12)),
        ((10, 0, 4), None, None, ids(10, 11, 12, 13)),
    ],
)
def test_official_split(counts, train, val, test, tmp_path):
    write_isic(tmp_path, "2018", *counts)
    parts = isic.splits(tmp_path, "official", 0)
    assert isic.default_split(tmp_path) == "official"
    assert parts["test"] == test
    if train:
        assert (parts["train"], parts["val"]) == (train, val)
    else:  # 10 % of 10 training images are drawn.
        assert len(parts["val"]) == 1
        assert sorted(parts["train"] + parts["val"]) == ids(*range(10))


def test_training_folder_alone_is_split_at_random(tmp_path):
    write_isic(tmp_path, "2018", 10, 0, 0)
    assert isic.default_split(tmp_path) == "random"
    parts = isic.splits(tmp_path, "random", 0)
    assert [len(part) for part in parts.values()] == [7, 1, 2]
    with pytest.raises(ValueError, match="--split random"):
        isic.splits(tmp_path, "official", 0)


def test_paper_split_demands_the_paper_count(tmp_path):
    write_isic(tmp_path, "2018", 10, 0, 0)
    with pytest.raises(ValueError, match=r"2594 .*found 10 .*--split random"):
        isic.splits(tmp_path, "paper", 0)
    write_isic(tmp_path, "2018", 10, 3, 0)
    with pytest.raises(ValueError, match=r"2594 .*found 10 .*--split official"):
        isic.splits(tmp_path, "paper", 0)


def test_paper_split_is_the_sorted_order(tmp_path):
    images, masks = folders(tmp_path)
    images.mkdir(), masks.mkdir()
    for number in range(2594):
        (images / f"ISIC_{number:07d}.jpg").touch()
        (masks / f"ISIC_{number:07d}_segmentation.png").touch()
    parts = isic.splits(tmp_path, "paper", 0)
    assert isic.default_split(tmp_path) == "paper"
    assert parts["train"] == ids(*range(1815))
    assert parts["val"] == ids(*range(1815, 2074))  # 259
    assert parts["test"] == ids(*range(2074, 2594))  # 520


def test_real_images(real_data):
    root = real_data / "isic2017"
    parts = isic.splits(root, isic.default_split(root), 0)
    assert [len(part) for part in parts.values()] == [1440, 160, 120]
    brightness = []
    for case_id in parts["test"][:3]:
        case = isic.read_case(root, case_id)
        assert case.image.shape == (1, 256, 256, 3)
        inside = case.image[case.label == 1].mean()
        brightness.append(inside < case.image[case.label == 0].mean())
    assert all(brightness)  # Lesions are darker than skin.
