"""Comparison of label maps: what each trap of other tools must come out as."""

import csv
import itertools
import json
import math
import pathlib
import subprocess
import sys

import cv2
import nibabel
import numpy as np
import pytest
import SimpleITK

from synergynet_tf.cli import compare
from synergynet_tf.evaluation import label_maps
from tests.evaluation import squares

ROOT = pathlib.Path(__file__).parents[2]
SHAPE = (12, 10, 6)
SPACING = (2.0, 2.0, 3.0)
DIAGONAL = math.hypot(*np.multiply(SHAPE, SPACING))
NAMES = ["a", "b", "c"]


def block(start=2, stop=6, value=1):
    """Returns a volume with a cube from `start` to `stop` along its first axis."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[start:stop, 2:6, 1:5] = value
    return labels


def save(folder, name, labels, dtype=np.uint8, shift_mm=0.0, spacing=SPACING):
    affine = np.diag([*spacing, 1.0])
    affine[0, 3] = shift_mm
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels.astype(dtype), affine), path)
    return path


def save_png(folder, name, labels):
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), labels)


@pytest.fixture
def folders(tmp_path):
    """Three references, found exactly."""
    for folder in ("reference", "first"):
        for name in NAMES:
            save(tmp_path / folder, name, block())
    return tmp_path


def run(folder, *flags, predictions=("first",), reference="reference"):
    """Runs the command in this process; returns what comparison.json holds."""
    named = [f"{name}={folder / name}" for name in predictions]
    arguments = ["--reference", folder / reference, "--predictions", *named]
    arguments += ["--out", folder / "out", "--workers", 0, *flags]
    compare.main(list(map(str, arguments)))
    return json.loads((folder / "out" / "comparison.json").read_text())


def refusal(folder, *flags, **settings):
    with pytest.raises((ValueError, OSError)) as caught:
        run(folder, *flags, **settings)
    assert not (folder / "out").exists()
    return str(caught.value)


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_scores_by_hand(folders):
    # Of 4 x 4 x 4 voxels the cube of `b` has half, and 4 x 4 x 2 voxels are elsewhere.
    save(folders / "first", "b", block(4, 8))
    report = run(folders)
    (first,) = report["predictions"]
    assert [case["case_id"] for case in first["cases"]] == NAMES
    scores = first["cases"][1]["strict"]["foreground"]
    assert scores["dsc"] == 0.5 and scores["iou"] == 1 / 3
    # Two voxels of 2 mm each farther.
    assert scores["hd95"] == 4.0
    assert first["strict"]["mean"]["dsc"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert first["strict"]["mean"]["hd95"] == pytest.approx((0 + 4 + 0) / 3)
    assert report["distance_unit"] == "mm"
    assert report["classes"] == {"foreground": [1]}
    lines = rows(folders / "out" / "cases.csv")
    assert [(row["case"], row["dsc"]) for row in lines] == [
        ("a", "1.0"),
        ("b", "0.5"),
        ("c", "1.0"),
    ]
    assert set(lines[0]) >= {"case", "patient", "prediction", "class", "hd95"}
    (mean,) = (
        row
        for row in rows(folders / "out" / "summary.csv")
        if (row["class"], row["metric"]) == ("mean", "hd95")
    )
    assert float(mean["mean"]) == pytest.approx(4 / 3)
    assert float(mean["low"]) <= 4 / 3 <= float(mean["high"])


def test_a_miss_makes_hd95_worse_never_better(folders):
    save(folders / "first", "b", block(4, 8))
    before = run(folders)["predictions"][0]["strict"]["mean"]
    for name in NAMES:
        save(folders / "second", name, block(4, 8) if name == "b" else block())
    save(folders / "second", "b", 0 * block())
    report = run(folders, predictions=("first", "second"))
    after = report["predictions"][1]["strict"]["mean"]
    assert after["hd95"] == pytest.approx(DIAGONAL / 3)
    assert after["hd95"] > before["hd95"]
    assert after["dsc"] == pytest.approx(2 / 3)
    assert report["predictions"][1]["structures"]["foreground"]["missed"] == 1
    (difference,) = report["differences"]
    assert (difference["name"], difference["minus"]) == ("second", "first")
    hd95 = difference["strict"]["mean"]["hd95"]
    assert hd95["difference"] == pytest.approx((DIAGONAL - 4) / 3)
    assert (hd95["better"], hd95["worse"], hd95["equal"]) == (0, 1, 2)


def test_an_empty_reference_found_empty_is_left_out_and_counted(folders):
    save(folders / "reference", "b", 0 * block())
    save(folders / "first", "b", 0 * block())
    (first,) = run(folders)["predictions"]
    assert first["strict"]["mean"]["dsc"] == 1.0
    assert first["structures"]["foreground"] == {"empty": 1, "missed": 0, "false": 0}
    assert first["cases"][1]["strict"]["foreground"]["dsc"] is None


def test_a_false_structure_counts(folders):
    save(folders / "reference", "b", 0 * block())
    (first,) = run(folders)["predictions"]
    assert first["strict"]["mean"]["dsc"] == pytest.approx(2 / 3)
    assert first["strict"]["mean"]["hd95"] == pytest.approx(DIAGONAL / 3)
    assert first["structures"]["foreground"]["false"] == 1


def test_a_label_outside_the_classes_is_refused_with_its_file_and_value(folders):
    save(folders / "first", "b", block(value=7))
    text = refusal(folders)
    assert "b.nii.gz has the label 7" in text and "Case b, first: " in text
    text = refusal(folders, "--classes", "liver=2")
    assert "a.nii.gz has the label 1" in text and "liver 2" in text


def test_a_class_may_have_several_values(folders):
    save(folders / "first", "b", block(value=7))
    report = run(folders, "--classes", "liver=1", "liver=7")
    assert report["classes"] == {"liver": [1, 7]}
    assert report["predictions"][0]["strict"]["mean"]["dsc"] == 1.0


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (["liver"], "liver"),
        (["liver=one"], "liver=one"),
        (["liver=1", "tumor=1"], "tumor=1"),
        (["liver=0"], "liver=0"),
        (["liver=65536"], "liver=65536"),
        (["background=0"], "0 of --classes"),
    ],
)
def test_classes_that_make_no_sense(folders, pairs, named):
    assert named in refusal(folders, "--classes", *pairs)


def test_a_shifted_affine_is_refused_with_the_case_and_the_distance(folders):
    save(folders / "first", "b", block(), shift_mm=2.5)
    text = refusal(folders)
    assert text.startswith("Case b, first: ") and "2.5 mm apart" in text


def test_another_shape_and_another_spacing_are_refused(folders):
    save(folders / "first", "b", block()[:-1])
    assert "(6, 10, 12)" in refusal(folders) and "(6, 10, 11)" in refusal(folders)
    save(folders / "first", "b", block(), spacing=(2.0, 2.0, 4.0))
    text = refusal(folders)
    assert "(3.0, 2.0, 2.0) mm" in text and "(4.0, 2.0, 2.0) mm" in text


def test_another_order_of_axes_on_the_same_grid_is_taken(folders):
    path = folders / "first" / "b.nii.gz"
    image = nibabel.load(path)
    turned = image.as_reoriented(np.array([[1, 1], [0, -1], [2, -1]]))
    assert turned.shape != image.shape
    nibabel.save(turned, path)
    assert run(folders)["predictions"][0]["strict"]["mean"]["dsc"] == 1.0


def test_cases_of_a_patient_are_drawn_together(tmp_path):
    # Of each patient a case is found and one is missed: every resample has the mean.
    for patient in "xy":
        for number in (1, 2):
            name = f"{patient}_{number}"
            save(tmp_path / "reference", name, block())
            save(tmp_path / "first", name, block() * (number - 1))
    apart = run(tmp_path)
    assert (apart["num_cases"], apart["num_patients"]) == (4, 4)
    assert apart["predictions"][0]["strict"]["mean_interval"]["dsc"] == [0.0, 1.0]
    table = tmp_path / "patients.csv"
    table.write_text(
        "case,patient\nx_1,x\nx_2.nii.gz,x\ny_1,y\ny_2,y\nother,z\n", "utf-8"
    )
    for patients in (r"([a-z])_\d", str(table)):
        together = run(tmp_path, "--patients", patients)
        assert together["num_patients"] == 2
        assert together["patients_from"] == patients
        (first,) = together["predictions"]
        assert first["strict"]["mean_interval"]["dsc"] == [0.5, 0.5]
        assert [case["patient"] for case in first["cases"]] == ["x", "x", "y", "y"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("case,patient\na,x\nb,x\n", "lacks 1 of 3 cases: c"),
        ("case,patient\na,x\nb,x\nc,x\na,y\n", "two patients of the case a"),
        ("case,person\na,x\n", "must have a case and a patient"),
    ],
)
def test_a_table_of_patients_that_does_not_serve(folders, text, named):
    (folders / "patients.csv").write_text(text, "utf-8")
    assert named in refusal(folders, "--patients", str(folders / "patients.csv"))


def test_a_table_of_patients_may_have_semicolons(folders):
    rows = "case;patient\na;007\nb;007\nc;7\n"
    (folders / "patients.csv").write_text(rows, "utf-8-sig")
    # Zeros before a number are part of a name.
    assert run(folders, "--patients", folders / "patients.csv")["num_patients"] == 2


@pytest.mark.parametrize("pattern", ["[a-z]", "([a-z])([a-z])?", "(", "(x).*"])
def test_a_pattern_of_patients_that_does_not_serve(folders, pattern):
    assert pattern in refusal(folders, "--patients", pattern)
    assert "none.csv" in refusal(folders, "--patients", "none.csv")


def test_a_missing_prediction_is_refused_by_name_or_scored_as_empty(folders, capsys):
    for name in "bc":
        (folders / "first" / f"{name}.nii.gz").unlink()
    text = refusal(folders)
    assert f"first ({folders / 'first'}) lacks 2 of 3 predictions: b, c." in text
    assert "--missing empty" in text and "\n" not in text
    report = run(folders, "--missing", "empty")
    printed = capsys.readouterr().out
    assert "2 missing, scored as empty: b, c" in printed
    (first,) = report["predictions"]
    assert first["missing"] == ["b", "c"]
    assert first["strict"]["mean"]["dsc"] == pytest.approx(1 / 3)
    assert first["strict"]["mean"]["hd95"] == pytest.approx(2 * DIAGONAL / 3)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_formats_of_itk_are_the_same_label_maps(ending, folders):
    save(folders / "first", "b", block(4, 8))
    expected = run(folders)
    for folder, name in itertools.product(("reference", "first"), NAMES):
        path = folders / folder / f"{name}.nii.gz"
        image = SimpleITK.ReadImage(str(path))
        SimpleITK.WriteImage(image, str(folders / folder / f"{name}{ending}"))
        path.unlink()
    found = run(folders)
    ours, theirs = (report["predictions"][0]["strict"] for report in (found, expected))
    assert ours["mean"] == theirs["mean"] and ours["per_class"] == theirs["per_class"]


def test_an_extra_prediction_is_said_and_unused(folders, capsys):
    before = run(folders)["predictions"][0]["strict"]
    save(folders / "first", "z", 0 * block())
    report = run(folders)
    assert "1 extra, no reference, not scored: z" in capsys.readouterr().out
    assert report["predictions"][0]["extra"] == ["z"]
    assert report["predictions"][0]["strict"] == before


def test_no_common_name_is_refused_even_if_missing_ones_are_empty(folders):
    for name in NAMES:
        path = folders / "first" / f"{name}.nii.gz"
        path.rename(path.with_name(f"{name}_pred.nii.gz"))
    text = refusal(folders, "--missing", "empty")
    assert "a_pred, b_pred, ..." in text and "a, b, ..." in text


def test_whole_floats_are_labels_and_others_are_not(folders):
    for dtype in (np.float32, np.float64, np.int16):
        save(folders / "first", "b", block(), dtype)
        assert run(folders)["predictions"][0]["strict"]["mean"]["dsc"] == 1.0
    for value in (0.5, -1.0, 70000.0):
        for path in folders.glob("out/*"):
            path.unlink()
        save(folders / "first", "b", block() * value, np.float32)
        with pytest.raises(ValueError, match=rf"b\.nii\.gz has the value {value}"):
            run(folders)


def test_a_file_that_is_refused_leaves_the_old_comparison(folders):
    run(folders)
    before = {path: path.read_bytes() for path in folders.glob("out/*")}
    assert len(before) == 4
    save(folders / "first", "c", block() * 0.5, np.float32)
    with pytest.raises(ValueError, match="Case c, first"):
        run(folders)
    assert {path: path.read_bytes() for path in folders.glob("out/*")} == before


def test_probabilities_on_a_fourth_axis_are_no_labels(folders):
    save(folders / "first", "b", np.zeros((*SHAPE, 2)))
    assert "b.nii.gz must have 3 axes" in refusal(folders)


@pytest.mark.parametrize(
    ("flags", "hd95", "unit"),
    [
        ([], 3, "px"),
        (["--spacing", "0.5"], 1.5, "mm"),
        (["--spacing", "2", "0.5"], 6, "mm"),
    ],
)
def test_images_with_and_without_a_spacing(tmp_path, flags, hd95, unit):
    # A line of one row, three rows farther down in the prediction.
    for folder, row in (("reference", 4), ("first", 7)):
        labels = np.zeros((16, 16), np.uint8)
        labels[row, 2:12] = 255
        save_png(tmp_path / folder, "a", labels)
    report = run(tmp_path, *flags)
    assert report["distance_unit"] == unit
    assert report["classes"] == {"foreground": [255]}
    assert report["predictions"][0]["strict"]["mean"]["hd95"] == pytest.approx(hd95)


def test_volumes_have_a_spacing_of_their_own(folders):
    assert "--spacing is of images" in refusal(folders, "--spacing", "2")


def test_images_of_another_size_or_kind_are_refused(tmp_path):
    save_png(tmp_path / "reference", "a", np.full((8, 8), 1, np.uint8))
    save_png(tmp_path / "first", "a", np.full((8, 9), 1, np.uint8))
    text = refusal(tmp_path)
    assert "Case a, first: " in text and "(8, 9)" in text and "(8, 8)" in text
    (tmp_path / "first" / "a.png").unlink()
    save(tmp_path / "first", "a", block())
    assert "a volume and an image" in refusal(tmp_path)


def test_soft_edges_are_no_classes(tmp_path):
    for folder in ("reference", "first"):
        save_png(tmp_path / folder, "a", np.arange(16, dtype=np.uint8).reshape(4, 4))
    assert "over 8 values" in refusal(tmp_path)


def test_masks_of_two_conventions_are_one_class(tmp_path):
    """0 and 1 beside 0 and 255, as `synergynet train` takes them."""
    for name, value in (("a", 1), ("b", 255), ("c", 1)):
        mask = np.pad(np.ones((4, 4), np.uint8), 2)
        save_png(tmp_path / "reference", name, mask * value)
        save_png(tmp_path / "first", name, mask * 255)
    report = run(tmp_path)
    assert report["classes"] == {"foreground": [1, 255]}
    assert report["predictions"][0]["strict"]["mean"]["dsc"] == 1.0


def test_soft_edges_beside_white_are_named(tmp_path):
    for name, value in (("a", 254), ("b", 255)):
        mask = np.full((8, 8), value, np.uint8)
        for folder in ("reference", "first"):
            save_png(tmp_path / folder, name, mask)
    text = refusal(tmp_path)
    assert "a.png: the masks hold 0, 254, 255" in text and "--classes" in text
    assert run(tmp_path, "--classes", "a=254", "a=255")["classes"] == {"a": [254, 255]}


def test_letters_with_accents_have_one_form(tmp_path):
    mask = np.full((8, 8), 1, np.uint8)
    composed, apart = "M\u00fcller", "Mu\u0308ller"
    save_png(tmp_path / "reference", composed, mask)
    save_png(tmp_path / "first", apart, mask)
    table = tmp_path / "patients.csv"
    table.write_text(f"case,patient\n{apart},x\n", "utf-8")
    report = run(tmp_path, "--patients", table)
    (case,) = report["predictions"][0]["cases"]
    assert case["case_id"] == composed and case["patient"] == "x"


@pytest.mark.parametrize("name", ["cases.csv", "summary.csv", "lesions.csv"])
def test_a_table_of_the_user_is_not_replaced(folders, name):
    run(folders)
    table = folders / "out" / name
    table.write_text("case,patient,age,consent\na,x,50,yes\n", "utf-8")
    with pytest.raises(ValueError, match=rf"{name} is there and would be replaced"):
        run(folders, "--patients", r"(\w)")
    assert table.read_text("utf-8").startswith("case,patient,age")
    table.unlink()
    run(folders)
    run(folders)  # Its own tables are.


def test_distances_on_a_sheared_grid_by_hand(folders):
    affine = np.diag([*SPACING, 1.0])
    affine[1, 2] = 4.0  # A slice, 3 mm higher, is moved 4 mm along the columns.
    # A slice and two columns further: straight above the other.
    one, other = np.zeros((2, *SHAPE), np.uint8)
    one[5, 6, 2], other[5, 4, 3] = 1, 1
    for folder, labels in (("reference", one), ("first", other)):
        for name in NAMES:
            image = nibabel.Nifti1Image(labels, affine)
            nibabel.save(image, folders / folder / f"{name}.nii.gz")
    found = run(folders)["predictions"][0]["strict"]["mean"]["hd95"]
    assert found == pytest.approx(3.0)  # Not hypot(5, 4), as of orthogonal axes.


def test_names_of_masks_match_those_of_predictions(tmp_path, capsys):
    mask = np.full((8, 8), 255, np.uint8)
    save_png(tmp_path / "reference", "ISIC_1_segmentation", mask)
    save_png(tmp_path / "first", "ISIC_1", mask)
    # What predict writes beside it; and what macOS leaves.
    save_png(tmp_path / "first", "ISIC_1_overlay", mask)
    (tmp_path / "first" / "summary.csv").write_text("file\n")
    (tmp_path / "first" / "._ISIC_1.png").write_bytes(b"macOS")
    report = run(tmp_path)
    assert report["predictions"][0]["cases"][0]["case_id"] == "ISIC_1"
    assert report["predictions"][0]["extra"] == []
    assert "passed over" not in capsys.readouterr().err
    save_png(tmp_path / "first", "ISIC_1_mask", mask)
    with pytest.raises(ValueError, match="are of one case, ISIC_1"):
        run(tmp_path)


@pytest.mark.parametrize("ending", [".NII.GZ", ".nii", ".NII"])
def test_endings_have_no_case(folders, ending):
    path = folders / "first" / "b.nii.gz"
    labels = nibabel.load(path)
    data, affine = np.asarray(labels.dataobj), labels.affine
    path.unlink()
    plain = folders / "plain.nii"
    compressed = folders / "plain.nii.gz"
    target = compressed if ending.lower().endswith(".gz") else plain
    nibabel.save(nibabel.Nifti1Image(data, affine), target)
    target.rename(folders / "first" / f"b{ending}")
    assert run(folders)["predictions"][0]["strict"]["mean"]["dsc"] == 1.0


def test_layout_and_classes_of_nnunet_and_the_decathlon(tmp_path, capsys):
    for name in NAMES:
        save(tmp_path / "raw" / "labelsTr", name, block() + block(8, 10, 2))
        save(tmp_path / "first", name, block())
    for labels in (
        {"background": 0, "liver": 1, "tumor": 2},
        {"0": "background", "1": "liver", "2": "tumor"},
    ):
        (tmp_path / "raw" / "dataset.json").write_text(json.dumps({"labels": labels}))
        for reference in ("raw", "raw/labelsTr"):
            report = run(tmp_path, reference=reference)
            assert report["classes"] == {"liver": [1], "tumor": [2]}
            assert report["classes_from"].endswith("raw/dataset.json")
            per_class = report["predictions"][0]["strict"]["per_class"]
            assert per_class["liver"]["dsc"] == 1 and per_class["tumor"]["dsc"] == 0
    assert "liver 1, tumor 2" in capsys.readouterr().out
    (tmp_path / "raw" / "dataset.json").write_text('{"labels": {"all": [1, 2]}}')
    with pytest.raises(ValueError, match=r"dataset\.json.*--classes"):
        run(tmp_path, reference="raw")
    save(tmp_path / "raw" / "labelsTs", "d", block())
    with pytest.raises(ValueError, match="labelsTr and labelsTs"):
        run(tmp_path, reference="raw")


@pytest.mark.parametrize("values", [{"liver": 1, "tumor": 2}, ["liver", "tumor"]])
def test_classes_of_classes_json(folders, values):
    (folders / "classes.json").write_text(json.dumps(values))
    assert run(folders)["classes"] == {"liver": [1], "tumor": [2]}


def test_values_are_named_after_those_of_the_references(folders):
    save(folders / "reference", "b", block() + block(8, 10, 4))
    assert run(folders)["classes"] == {"class_1": [1], "class_4": [4]}


def test_differences_to_the_first_are_corrected_for_their_number(tmp_path):
    names = [f"case{i}" for i in range(8)]
    for i, name in enumerate(names):
        save(tmp_path / "reference", name, block())
        save(tmp_path / "first", name, block())
        # Worse in every case, each time by something else.
        save(tmp_path / "second", name, block(2, 5))
        save(tmp_path / "third", name, block(3, 6) if i % 2 else block(4, 6))
    report = run(tmp_path, predictions=("first", "second", "third"))
    second, third = (entry["strict"]["mean"]["dsc"] for entry in report["differences"])
    # 2 x 48 / (48 + 64) - 1, always; the other half of the time 2 x 32 / (32 + 64) - 1.
    assert second["difference"] == pytest.approx(6 / 7 - 1)
    assert second["interval"] == pytest.approx([6 / 7 - 1] * 2)
    assert third["difference"] == pytest.approx((6 / 7 + 2 / 3) / 2 - 1)
    # Eight of eight: 2 / 2^8.
    assert second["p"] == pytest.approx(2 / 256) and second["worse"] == 8
    corrected = sorted([second["p_holm"], third["p_holm"]])
    assert corrected == pytest.approx(sorted([2 * second["p"], 2 * second["p"]]))
    alone = run(tmp_path, predictions=("first", "second"))
    p = alone["differences"][0]["strict"]["mean"]["dsc"]
    assert p["p_holm"] == p["p"]


def test_pooled_differences_are_those_of_the_pools(folders):
    # 64 voxels each. In the second 16 of `a` and 64 of `b` are not found.
    for name, labels in zip(NAMES, [block(2, 5), 0 * block(), block()], strict=True):
        save(folders / "second", name, labels)
    report = run(folders, "--protocol", "pooled", predictions=("first", "second"))
    one, other = (entry["pooled"]["mean"] for entry in report["predictions"])
    found = 48 + 0 + 64
    assert one["dsc"] == 1.0
    assert other["dsc"] == pytest.approx(2 * found / (found + 3 * 64))
    dsc = report["differences"][0]["pooled"]["mean"]["dsc"]
    assert dsc["difference"] == other["dsc"] - one["dsc"]
    low, high = dsc["interval"]
    # `b` or `c` alone, three times.
    assert (low, high) == (-1.0, 0.0)


def test_protocols_stand_beside_each_other(folders, capsys):
    save(folders / "first", "b", 0 * block())
    report = run(folders, "--protocol", "transunet", "strict", "pooled")
    (first,) = report["predictions"]
    assert report["protocols"] == ["transunet", "strict", "pooled"]
    # In TransUNet's test code a miss has no distance.
    assert first["transunet"]["mean"]["hd95"] == 0.0
    assert first["strict"]["mean"]["hd95"] == pytest.approx(DIAGONAL / 3)
    assert set(first["pooled"]["mean"]) == {"dsc", "iou", "acc", "sp", "se"}
    printed = capsys.readouterr().out
    for title in ("TransUNet's test code (%, voxels)", "strict, mean", "pooled, all"):
        assert title in printed


def test_transunet_is_medpy(tmp_path):
    metric = pytest.importorskip("medpy.metric.binary")
    rng = np.random.default_rng(0)
    expected = {}
    for i in range(4):
        true, pred = (
            np.where(rng.random(SHAPE) < 0.1, rng.integers(1, 3, SHAPE), 0)
            for _ in range(2)
        )
        save(tmp_path / "reference", f"case{i}", true)
        save(tmp_path / "first", f"case{i}", pred)
        expected[f"case{i}"] = {
            f"class_{value}": (
                metric.dc(pred == value, true == value),
                metric.hd95(pred == value, true == value),
            )
            for value in (1, 2)
        }
    (first,) = run(tmp_path, "--protocol", "transunet")["predictions"]
    for case in first["cases"]:
        for name, (dsc, hd95) in expected[case["case_id"]].items():
            scores = case["transunet"][name]
            assert scores["dsc"] == pytest.approx(dsc, abs=1e-9)
            assert scores["hd95"] == pytest.approx(hd95, abs=1e-9)


def test_numbers_are_those_of_evaluate_to_the_last_digit(squares_run, tmp_path):
    data = tmp_path / "data" / "test"
    metrics_json = squares.evaluate(squares_run)
    squares.label(squares_run, sorted((data / "images").iterdir()), tmp_path / "first")
    report = run(
        tmp_path, "--protocol", "strict", "pooled", reference="data/test/masks"
    )
    assert report["classes"] == {"square": [255]}
    (first,) = report["predictions"]
    for protocol in ("strict", "pooled"):
        assert first[protocol] == metrics_json[protocol]
    assert first["structures"] == metrics_json["structures"]
    for own, case in zip(first["cases"], metrics_json["cases"], strict=True):
        assert f"test/{own['case_id']}" == case["case_id"]
        assert own["counts"] == case["counts"]
        assert own["strict"] == case["strict"] and own["pooled"] == case["pooled"]


def test_names_of_predictions(folders):
    settings = ["--reference", folders / "reference", "--out", folders / "out"]
    for given, named in (
        ([folders / "first", folders / "first"], "the name first twice"),
        ([f"={folders / 'first'}"], "must be NAME=DIR"),
        (["a="], "must be NAME=DIR"),
    ):
        with pytest.raises(ValueError, match=named):
            compare.main([*map(str, settings), "--predictions", *map(str, given)])
    flags = [*map(str, settings), "--workers", "0"]
    compare.main([*flags, "--predictions", str(folders / "first")])
    report = json.loads((folders / "out" / "comparison.json").read_text())
    assert report["predictions"][0]["name"] == "first"


def test_nothing_is_written_among_the_label_maps(folders):
    with pytest.raises(ValueError, match="holds label maps"):
        run(folders, "--out", folders / "first")
    assert len(list((folders / "first").iterdir())) == 3


@pytest.mark.parametrize(
    "flags",
    [
        ["--spacing", "0"],
        ["--spacing", "1", "1", "1"],
        ["--tolerance", "-1"],
        ["--workers", "-1"],
        ["--protocol", "lenient"],
    ],
)
def test_flags_that_make_no_sense(flags, capsys):
    with pytest.raises(SystemExit):
        compare.parse_args(
            ["--reference", "a", "--predictions", "b", "--out", "c", *flags]
        )
    assert capsys.readouterr().err.startswith("error: ")


def test_folders_without_label_maps_are_refused(tmp_path, folders):
    assert "No folder" in refusal(tmp_path, reference="nowhere")
    (tmp_path / "bare").mkdir()
    assert "No label maps" in refusal(tmp_path, reference="bare")


def test_results_do_not_depend_on_the_processes(folders):
    save(folders / "first", "b", block(4, 8))
    cases = label_maps.find_cases(folders / "reference", {"x": folders / "first"})
    classes = label_maps.choose_classes(cases, workers=1)
    reports = [
        label_maps.compare_label_maps(cases, classes, folders / "out", workers=workers)
        for workers in (0, 1)
    ]
    assert reports[0] == reports[1]


def test_the_light_core_is_enough(folders):
    code = """
import sys
heavy = "tensorflow", "keras", "keras_hub", "h5py", "tensorboard", "jax", "grpc"
sys.modules.update(dict.fromkeys(heavy))
sys.argv = ["synergynet", *sys.argv[1:]]
from synergynet_tf.cli.synergynet import main
main()
"""
    out = folders / "out"
    flags = ["--reference", folders / "reference", "--predictions", folders / "first"]
    command = ["compare", *flags, "--out", out, "--workers", "0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert (out / "comparison.json").is_file()


def test_files_that_are_no_label_maps_are_named(tmp_path):
    for name in ("truth", "mine"):
        save_png(tmp_path / name, "a", np.ones((4, 4), np.uint8))
    (tmp_path / "mine" / "b.gipl").write_bytes(b"GIPL")
    (tmp_path / "mine" / "c.png").symlink_to("nowhere")
    found = label_maps.cases.find_cases(tmp_path / "truth", {"mine": tmp_path / "mine"})
    (note,) = [line for line in found.notes() if "passed over" in line]
    assert note.startswith(f"{tmp_path / 'mine'}: 2 files are passed over: ")
    assert "b.gipl" in note and "c.png" in note
