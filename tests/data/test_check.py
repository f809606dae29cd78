import nibabel
import numpy as np
import pytest

from synergynet_tf.cli.data import main
from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.check import check, format_findings
from synergynet_tf.data.prepared import prepare
from tests.data.trees import (
    WRITERS,
    box_labels,
    photograph,
    square_mask,
    volume,
    write_acdc,
    write_bts_images,
    write_dataset_json,
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
    for path in (root / "masks").iterdir():
        write_png(path, square_mask(11, 16))
    assert findings("folder", root).notes == []  # No mask can be read.
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


def test_every_file_is_used_or_named(tmp_path, capsys):
    root = write_folder(tmp_path, count=3)
    images = root / "images"
    (images / "case00.png").rename(images / "case00.Png")
    (images / "case01.png").rename(images / "case01.pNG")
    for name, content in (
        ("photo.gif", b"GIF89a"),
        ("shot.jfif", b""),
        ("renamed.dat", (images / "case02.png").read_bytes()),
        ("notes.txt", b"of a ward"),
        (".hidden.png", b""),
        ("._case00.png", b""),
    ):
        (images / name).write_bytes(content)
    (images / "gone.png").symlink_to(root / "nowhere.png")
    write_png(images / "more/a.png", photograph(12, 16))
    write_png(root / "validation/images/a.png", photograph(12, 16))
    (root / "README.md").write_text("")
    with pytest.raises(SystemExit) as end:
        main(["--dataset", "folder", "--data-dir", str(root), "--check"])
    assert end.value.code == 1
    *lines, count = capsys.readouterr().out.splitlines()
    assert count.startswith("3 cases: 4 problems, 4 notes")
    problems = "\n".join(line for line in lines if line.startswith("problem: "))
    notes = "\n".join(line for line in lines if line.startswith("note: "))
    for name, reason in (
        ("photo.gif, renamed.dat, shot.jfif", "convert or rename it"),
        ("gone.png", "a link to nothing"),
        ("images/more", "a folder that is not looked into"),
        ("validation", "a folder that is not looked into"),
    ):
        assert any(name in p and reason in p for p in problems.splitlines()), name
    for name in ("notes.txt", ".hidden.png", "._case00.png", "README.md"):
        assert name in notes and name not in problems


MISNAMED = {
    "acdc": "training/patient001/patient001_frame1.nii.gz",
    "bts": "slice 7.mat",
    "isic": "ISIC2018_Task1-2_Training_Input/ISIC_0000099.webp",
    "msd": "imagesTr/scan_99.nii",
    "synapse": "train_npz/case5_slice000.npz",
}


@pytest.mark.parametrize("name", MISNAMED)
def test_a_misnamed_file_is_a_problem(name, tmp_path):
    root = WRITERS[name](tmp_path)
    whole = findings(name, root)
    (root / MISNAMED[name]).write_bytes(b"")
    found = findings(name, root)
    (problem,) = found.problems
    assert str(root / MISNAMED[name]) in problem and "is passed over: " in problem
    assert found.cases == whole.cases and found.notes == whole.notes


def test_what_is_said_of_most_cases_is_said_once(tmp_path):
    root = write_folder(tmp_path, count=6)
    (root / "classes.json").write_text('{"lesion": 7}')
    (problem,) = findings("folder", root).problems
    assert "case00.png has unknown values 255" in problem
    others = "case01, case02, case03, case04, case05"
    assert problem.endswith(f" (5 more cases are alike: {others})")
    (root / "classes.json").unlink()
    soft = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    for number in range(6):
        write_png(root / f"masks/case{number:02d}.png", soft)
    (problem,) = findings("folder", root).problems
    assert "over 8 values" in problem
    # Two truncated files of six are two problems.
    root = write_folder(tmp_path / "other", count=6)
    for number in (1, 2):
        (root / f"images/case{number:02d}.png").write_bytes(b"")
    assert len(findings("folder", root).problems) == 2


def test_numbers_and_lists_of_dataset_json_are_compared(tmp_path):
    listed = [{"image": f"./imagesTr/scan_{i:02d}.nii.gz"} for i in range(3)]
    root = write_msd(tmp_path, cases=4)
    write_dataset_json(root, numTraining=5, training=listed)
    count, unlisted = findings("msd", root).problems
    assert "numTraining: 5, and imagesTr/ has 4 labeled cases" in count
    assert "does not list 1 cases" in unlisted and "scan_03" in unlisted
    write_dataset_json(root, numTraining=4)
    assert not findings("msd", root).problems


def test_a_training_says_what_it_reads(tmp_path, capsys):
    root = write_folder(tmp_path, count=6)
    for number in range(3):
        write_png(root / f"masks/case{number:02d}.png", square_mask(12, 16, 1))
    for number in range(7):
        (root / f"images/{number}.gif").write_bytes(b"")
    (root / "images/._case00.png").write_bytes(b"")
    prepare(DataConfig("folder", str(root)), 16)
    printed = capsys.readouterr()
    assert printed.out.startswith("1 class: foreground\n")
    lines = [line for line in printed.err.splitlines() if line.startswith("note: ")]
    meaning, passed_over = lines
    assert "3 hold 0 and 1, 3 hold 0 and 255: each of these is foreground" in meaning
    assert passed_over.startswith("note: 7 files are passed over: images/0.gif, ")
    assert "images/4.gif and 2 more (only " in passed_over
