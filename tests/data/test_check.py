import nibabel
import numpy as np
import pytest

from synergynet_tf.cli.data import main
from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.check import check, format_findings
from tests.data.trees import (
    WRITERS,
    box_labels,
    photograph,
    square_mask,
    volume,
    write_acdc,
    write_bts_images,
    write_folder,
    write_isic,
    write_msd,
    write_nifti,
    write_png,
    write_synapse,
)


def findings(name, root):
    return check(DataConfig(name, str(root)), workers=0)


def test_the_command_finds_nothing_in_whole_datasets(tmp_path, capsys):
    for name in DATASETS:
        root = WRITERS[name](tmp_path / name)
        main(
            [
                *("--dataset", name, "--data-dir", str(root)),
                *("--check", "--workers", "0"),
            ]
        )
        assert capsys.readouterr().out.endswith(" cases: no problems\n"), name


def test_every_problem_is_named_at_once(tmp_path, capsys):
    root = write_isic(tmp_path, train=6)
    images, masks = (
        next(root.glob(f"*Training_{end}*")) for end in ("Input", "Ground")
    )
    (masks / "ISIC_0000000_segmentation.png").unlink()
    (images / "ISIC_0000001.jpg").unlink()
    (images / "ISIC_0000002.jpg").write_bytes(b"")
    write_png(masks / "ISIC_0000003_segmentation.png", photograph(12, 16)[..., 0])
    write_png(masks / "ISIC_0000004_segmentation.png", square_mask(24, 32, 0))
    with pytest.raises(SystemExit) as end:
        main(
            ["--dataset", "isic", "--data-dir", str(root), "--check", "--workers", "2"]
        )
    assert end.value.code == 1
    *lines, count = capsys.readouterr().out.splitlines()
    assert count == "11 cases: 4 problems, 1 note"
    for line, words in zip(
        lines,
        (
            ("problem:", "ISIC_0000000.jpg has no mask"),
            ("problem:", "ISIC_0000001_segmentation.png has no image"),
            ("problem:", "ISIC_0000002.jpg is not a readable image: empty"),
            ("problem:", "ISIC_0000003_segmentation.png must hold 0 and 255"),
            ("note:", "ISIC_0000004: its mask is empty"),
        ),
        strict=True,
    ):
        assert all(word in line for word in words), line


def test_scans(tmp_path):
    root = write_acdc(tmp_path)
    folder = root / "training"

    def path(number, end):
        name = f"patient{number:03d}"
        return folder / name / f"{name}_frame01{end}.nii.gz"

    path(1, "_gt").unlink()
    path(2, "").unlink()
    write_nifti(path(3, ""), volume((8, 6, 4)), (1.5, 1.5, 10))
    write_nifti(path(4, "_gt"), box_labels((8, 6, 3), 4), (1.5, 1.5, 10))
    for end in ("", "_gt"):
        array = nibabel.load(path(5, end)).get_fdata().astype(np.int16)
        write_nifti(path(5, end), array, (1500, 1500, 10_000))
    path(6, "").write_bytes(path(7, "").read_bytes())
    found = findings("acdc", root)
    assert found.cases == 18 and not found.notes
    for name, words in (
        ("patient001_frame01", "has no labels"),
        ("patient002_frame01", "has no frame"),
        ("patient003_frame01", "has the shape"),
        ("patient004_frame01", "unknown values 4"),
        ("patient005_frame01", "spacing of (10000.0, 1500.0, 1500.0) mm"),
        ("patient007_frame01", "the same image as case patient006_frame01"),
    ):
        assert sum(name in p and words in p for p in found.problems) == 1, name
    assert len(found.problems) == 6


def test_other_layouts(tmp_path):
    root = write_msd(tmp_path / "msd")
    for name in ("imagesTr/scan_01_0000", "labelsTr/scan_02", "labelsTr/scan_03"):
        (root / f"{name}.nii.gz").unlink()
    found = findings("msd", root)
    assert (found.cases, len(found.problems)) == (7, 3)
    root = write_folder(tmp_path / "folder")
    (root / "masks/case01.png").unlink()
    write_png(root / "masks/case02.png", square_mask(11, 16))
    found = findings("folder", root)
    assert (found.cases, len(found.problems)) == (9, 2)
    root = write_bts_images(tmp_path / "bts")
    (root / "masks/60.png").write_bytes(b"")
    assert len(findings("bts", root).problems) == 1
    root = write_synapse(tmp_path / "synapse")
    (root / "train_npz/case0003_slice000.npz").unlink()
    (root / "train_npz/case0004_slice000.npz").unlink()
    found = findings("synapse", root)
    assert [p.startswith("Case case000") for p in found.problems] == [True, True]


def test_a_class_that_no_case_has_is_noted(tmp_path):
    root = write_folder(tmp_path)
    (root / "classes.json").write_text('{"lesion": 255, "ring": 7}')
    found = findings("folder", root)
    assert found.notes == ["No case has the class ring"]
    text = format_findings(found)
    assert text == "note: No case has the class ring\n10 cases: no problems, 1 note"


@pytest.mark.parametrize(
    "flags",
    [["--check", "--limit", "2"], ["--workers", "2"], ["--check", "--workers", "-1"]],
)
def test_flags_that_do_not_go_together(flags, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--dataset", "isic", *flags])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
