import json

import numpy as np
import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data.datasets import msd
from synergynet_tf.data.splits import split_ids
from synergynet_tf.data.store import open_store
from tests.data.trees import (
    box_labels,
    photograph,
    square_mask,
    volume,
    write_dataset_json,
    write_msd,
    write_nifti,
    write_png,
)

SHAPE = (6, 5, 4)


def write_decathlon(root, channels=2):
    """Writes two scans as the Decathlon does, with what macOS leaves beside them."""
    names = [f"hippo_{number:03d}" for number in (1, 3)]
    modality = {str(i): f"T{i}" for i in range(channels)}
    listed = [{"image": f"./imagesTr/{name}.nii.gz"} for name in names]
    root.mkdir(exist_ok=True)
    values = {
        "modality": modality,
        "labels": {"0": "background", "2": "Back", "1": "Front"},
        "training": listed,
    }
    (root / "dataset.json").write_text(json.dumps(values))
    for name in names:
        image = np.stack([volume(SHAPE, i) for i in range(channels)], axis=-1)
        write_nifti(root / f"imagesTr/{name}.nii.gz", image)
        write_nifti(root / f"labelsTr/{name}.nii.gz", box_labels(SHAPE, 2))
        (root / f"imagesTr/._{name}.nii.gz").write_bytes(b"Mac OS X")
    return root


def test_decathlon(tmp_path):
    root = write_decathlon(tmp_path)
    assert msd.case_ids(root) == ["hippo_001", "hippo_003"]
    assert msd.class_names(root) == ("Front", "Back")
    case = msd.read_case(root, "hippo_003")
    assert case.image.shape == (4, 5, 6, 2)
    np.testing.assert_array_equal(case.image[..., 1], volume(SHAPE, 1).T)
    np.testing.assert_array_equal(case.label, box_labels(SHAPE, 2).T)


def test_one_file_a_channel(tmp_path):
    root = write_msd(tmp_path, 1)
    write_dataset_json(root, channel_names={"0": "T1", "1": "T2"})
    with pytest.raises(
        ValueError, match=r"scan_00.* has 1 channels, .*names 2: T1, T2"
    ):
        msd.read_case(root, "scan_00")
    write_nifti(root / "imagesTr/scan_00_0001.nii.gz", volume(SHAPE, 8))
    case = msd.read_case(root, "scan_00")
    np.testing.assert_array_equal(case.image[..., 0], volume(SHAPE, 0).T)
    np.testing.assert_array_equal(case.image[..., 1], volume(SHAPE, 8).T)
    assert len(msd.case_files(root, "scan_00")) == 4
    (root / "imagesTr/scan_00_0000.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"expected .*scan_00_0000.* without a gap"):
        msd.case_ids(root)


def test_folder_above_is_found(tmp_path):
    write_decathlon(tmp_path / "Task04")
    assert msd.case_ids(tmp_path) == ["hippo_001", "hippo_003"]
    write_decathlon(tmp_path / "Task05")
    with pytest.raises(FileNotFoundError, match=r"but in Task04, Task05; pass"):
        msd.case_ids(tmp_path)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["CT"], "ct"),
        (["MRI"], "mri"),
        (["FLAIR", "T1w", "t1gd", "T2w"], "mri"),
        (["R", "G", "B"], "rgb"),
        (["rgb_to_0_1"] * 3, "rgb"),
        (["CT", "PET"], "mri"),
    ],
)
def test_modality(names, expected, tmp_path):
    write_dataset_json(tmp_path, channel_names=dict(enumerate(names)))
    assert msd.modality(tmp_path) == expected


@pytest.mark.parametrize("grey", [True, False])
def test_photographs(grey, tmp_path):
    labels = {"background": 0, "road": 255, "car": 7}
    names = dict(enumerate(["L"] if grey else "RGB"))
    write_dataset_json(tmp_path, channel_names=names, labels=labels, file_ending=".png")
    image, mask = photograph(12, 16), square_mask(12, 16)
    mask[10:] = 7
    write_png(tmp_path / "imagesTr/a_0000.png", image[..., 0] if grey else image)
    write_png(tmp_path / "labelsTr/a.png", mask)
    assert msd.class_names(tmp_path) == ("car", "road")
    assert not msd.has_spacing(tmp_path)
    case = msd.read_case(tmp_path, "a")
    np.testing.assert_array_equal(case.image[0], image[..., :1] if grey else image)
    assert case.label[0, 0, 0] == 2 and case.label[0, 11, 0] == 1
    write_png(tmp_path / "labelsTr/a.png", mask[:11])
    with pytest.raises(ValueError, match=r"Case a: .*a\.png has the shape \(11, 16\)"):
        msd.read_case(tmp_path, "a")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channel_names": None}, "must name its channels"),
        ({"labels": {"a": 1}}, "`labels` must give"),
        ({"labels": {"background": 0}}, "`labels` must give"),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "regions"),
        ({"labels": {"background": 0, "a": 1, "ignore": 2}}, "ignored"),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "its own value"),
        ({"labels": {"0": "background", "1.5": "a"}}, "`labels` must give"),
        ({"labels": ["background", "a"]}, "`labels` must give"),
        ({"file_ending": ".mha"}, r"one of .*Received: file_ending='\.mha'"),
        ({"labels": {"background": 0, "a": 65536}}, "`labels` must give"),
        ({"labels": {"background": 0, "a\nb": 1}}, "`labels` must give"),
        ({"labels": {str(i): i for i in range(257)}}, "at most 255 classes"),
        ({"channel_names": {"0": ["MRI"]}}, "must name its channels"),
        ({"training": 7}, "`training` must be a list"),
        ({"training": [{"label": "a"}]}, "below its folder. Received: None"),
        ({"training": [{"image": "/etc/passwd"}]}, "below its folder"),
        ({"training": [{"image": "../../a.nii.gz"}]}, "below its folder"),
    ],
)
def test_description_that_cannot_be_used(values, message, tmp_path):
    write_dataset_json(tmp_path, **values)
    with pytest.raises(ValueError, match=rf"dataset\.json.*{message}"):
        msd.class_names(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_description_that_is_no_object(text, tmp_path):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset\.json (is not JSON|must be an)"):
        msd.case_ids(tmp_path)


def test_folders_and_pipes_are_no_scans(tmp_path):
    root = write_msd(tmp_path, 2)
    (root / "imagesTr/folder.nii.gz").mkdir()
    (root / "labelsTr/device.nii.gz").symlink_to("/dev/zero")
    assert msd.case_ids(root) == ["scan_00", "scan_01"]


def test_missing_partner_is_refused(tmp_path):
    root = write_msd(tmp_path)
    label = root / "labelsTr/scan_03.nii.gz"
    label.rename(tmp_path / "away")
    with pytest.raises(ValueError, match=r"scan_03_0000\.nii\.gz has no labels in"):
        msd.case_ids(root)
    (tmp_path / "away").rename(label)
    (root / "imagesTr/scan_04_0000.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"scan_04\.nii\.gz has no image in"):
        msd.case_ids(root)


def test_listed_case_that_is_not_there_is_refused(tmp_path):
    root = write_decathlon(tmp_path)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder / "hippo_003.nii.gz").unlink()
    with pytest.raises(
        ValueError, match=r"lists 1 cases that are not in .*: hippo_003"
    ):
        msd.case_ids(root)


def test_official_split(tmp_path):
    root = write_msd(tmp_path)
    with pytest.raises(ValueError, match="use --split random"):
        msd.splits(root, "official", 0)
    write_nifti(root / "imagesTs/new_0000.nii.gz", volume(SHAPE))
    assert msd.default_split(root) == "random"  # Without labels it does not count.
    write_nifti(root / "labelsTs/new.nii.gz", box_labels(SHAPE, 2))
    assert msd.default_split(root) == "official"
    parts = msd.splits(root, "official", 0)
    assert parts["test"] == ["new"]
    assert [len(part) for part in parts.values()] == [9, 1, 1]
    assert msd.read_case(root, "new").label.max() == 2


def test_frames_of_a_patient_stay_together(tmp_path):
    root = write_msd(tmp_path, 0)
    for name in [f"p{n}_frame{frame}" for n in range(5) for frame in ("01", "12")]:
        write_nifti(root / f"imagesTr/{name}_0000.nii.gz", volume(SHAPE))
        write_nifti(root / f"labelsTr/{name}.nii.gz", box_labels(SHAPE, 2))
    parts = msd.splits(root, "random", 0)
    owners = [{case_id[:2] for case_id in part} for part in parts.values()]
    assert [len(part) for part in owners] == [3, 1, 1]


def test_channels_reach_the_store(tmp_path):
    root = str(write_decathlon(tmp_path, channels=4))
    stores = {}
    for channels in ("3", "0 3", "3 0 1"):
        data = DataConfig("msd", root, fold="1/3", channels=channels)
        write_third(tmp_path)
        stores[channels] = open_store(data, "test", 16).images
    assert stores["3"].shape[-1] == 1 and stores["3 0 1"].shape[-1] == 3
    assert stores["0 3"].shape[-1] == 3 and not stores["0 3"][..., 2].any()
    np.testing.assert_array_equal(stores["3"][..., 0], stores["3 0 1"][..., 0])
    np.testing.assert_array_equal(stores["0 3"][..., 0], stores["3 0 1"][..., 1])
    with pytest.raises(ValueError, match=r"Case hippo.*--channels"):
        open_store(DataConfig("msd", root, fold="1/3"), "test", 16)
    with pytest.raises(ValueError, match=r"Case hippo.*below 4"):
        open_store(DataConfig("msd", root, fold="1/3", channels="4"), "test", 16)


def write_third(root):
    for folder in ("imagesTr", "labelsTr"):
        source = root / folder / "hippo_001.nii.gz"
        (root / folder / "hippo_005.nii.gz").write_bytes(source.read_bytes())


def test_real_hippocampus(real_data):
    root = real_data / "msd" / "Task04_Hippocampus"
    assert len(msd.case_ids(root)) == 208
    assert msd.class_names(root) == ("Anterior", "Posterior")
    parts = split_ids(DataConfig("msd", str(root)))
    assert [len(part) for part in parts.values()] == [145, 21, 42]
    case = msd.read_case(root, parts["test"][0])
    assert case.spacing_mm == (1, 1, 1)
    # Rows run to posterior, so the anterior part is above.
    rows = [np.argwhere(case.label == value)[:, 1].mean() for value in (1, 2)]
    assert rows[0] < rows[1] - 5


def write_numbered(root, prefix="word", numbers=range(1, 6), **values):
    """Writes scans whose names end as those of channels do."""
    write_dataset_json(root, **values)
    for number in numbers:
        for folder, array in (
            ("imagesTr", volume(SHAPE, number)),
            ("labelsTr", box_labels(SHAPE, 2)),
        ):
            write_nifti(root / folder / f"{prefix}_{number:04d}.nii.gz", array)
    return root


@pytest.mark.parametrize("numbers", [range(1, 6), range(5), [42, 44, 900]])
def test_labels_decide_that_a_number_is_a_case_s(numbers, tmp_path):
    root = write_numbered(tmp_path, numbers=numbers)
    names = [f"word_{number:04d}" for number in numbers]
    assert msd.case_ids(root) == names
    for name in names:
        assert [path.name for path in msd.case_files(root, name)[1:]] == [
            f"{name}.nii.gz"
        ] * 2
    case = msd.read_case(root, names[1])
    np.testing.assert_array_equal(case.image[..., 0], volume(SHAPE, numbers[1]).T)


def test_numbered_cases_may_have_channels(tmp_path):
    root = write_numbered(tmp_path, "amos", channel_names={"0": "T1", "1": "T2"})
    for path in sorted((root / "imagesTr").iterdir()):
        name = path.name.removesuffix(".nii.gz")
        path.rename(path.with_name(f"{name}_0000.nii.gz"))
        write_nifti(root / f"imagesTr/{name}_0001.nii.gz", volume(SHAPE, 9))
    assert msd.case_ids(root) == [f"amos_000{i}" for i in range(1, 6)]
    names = [path.name for path in msd.case_files(root, "amos_0003")[1:-1]]
    assert names == ["amos_0003_0000.nii.gz", "amos_0003_0001.nii.gz"]


def test_an_unlabeled_one_among_numbered_cases_is_named(tmp_path):
    root = write_numbered(tmp_path)
    (root / "labelsTr/word_0003.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"word_0003\.nii\.gz has no labels in"):
        msd.case_ids(root)


def test_a_list_may_name_image_and_labels_differently(tmp_path):
    entry = {"image": "./imagesTr/scan.nii.gz", "label": "./labelsTr/seg.nii.gz"}
    write_dataset_json(tmp_path, training=[entry])
    write_nifti(tmp_path / "imagesTr/scan.nii.gz", volume(SHAPE))
    write_nifti(tmp_path / "labelsTr/seg.nii.gz", box_labels(SHAPE, 2))
    assert msd.case_ids(tmp_path) == ["seg"]
    assert msd.case_files(tmp_path, "seg")[1] == tmp_path / "imagesTr/scan.nii.gz"


def test_endings_are_read_in_any_case(tmp_path):
    root = write_msd(tmp_path, 3)
    for name in ("imagesTr/scan_01_0000", "labelsTr/scan_01", "labelsTr/scan_02"):
        (root / f"{name}.nii.gz").rename(root / f"{name}.NII.Gz")
    assert msd.case_ids(root) == ["scan_00", "scan_01", "scan_02"]
    assert msd.read_case(root, "scan_01").label.max() == 2
    (root / "labelsTr/scan_01.nii.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"scan_01\.NII\.Gz and .* have one name"):
        msd.case_ids(root)


def test_description_may_begin_with_a_byte_order_mark(tmp_path):
    root = write_msd(tmp_path, 1)
    text = (root / "dataset.json").read_text()
    (root / "dataset.json").write_text(text, encoding="utf-8-sig")
    assert msd.class_names(root) == ("front", "back")
