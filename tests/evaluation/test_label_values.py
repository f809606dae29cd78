"""Predictions are written with the values that the user's masks hold."""

import json

import cv2
import keras
import nibabel
import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.cli import predict, tflite
from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS, prepared
from synergynet_tf.data.spec import mask_values
from synergynet_tf.evaluation.inputs import read_input
from synergynet_tf.evaluation.label_files import Labeled, to_values, write_result
from synergynet_tf.export.card import make_card, read_card, write_readme
from tests.data.trees import (
    WRITERS,
    photograph,
    square_mask,
    write_btcv,
    write_bts_images,
    write_dataset_json,
    write_folder,
    write_isic,
    write_nifti,
    write_png,
)
from tests.evaluation import squares


@pytest.mark.parametrize(
    ("known", "count", "image", "expected"),
    [
        ((3,), 1, True, (3,)),
        (None, 1, True, (255,)),
        (None, 1, False, (1,)),
        (None, 2, True, (1, 2)),
    ],
)
def test_values_where_masks_are_and_are_not_known(known, count, image, expected):
    assert mask_values(known, count, image) == expected


def values_of(name, root):
    return DATASETS[name].label_values(root)


def test_values_of_built_in_datasets(tmp_path):
    for name, expected in {
        "acdc": (1, 2, 3),
        "isic": (255,),
        "synapse": (1, 2, 3, 4, 5, 6, 7, 8),  # TransUNet's files.
    }.items():
        assert values_of(name, WRITERS[name](tmp_path / name)) == expected
    root = write_btcv(tmp_path / "raw")
    # The challenge's, in TransUNet's order of classes: the aorta is 8.
    assert values_of("synapse", root) == (8, 4, 3, 2, 6, 11, 1, 7)
    assert values_of("bts", WRITERS["bts"](tmp_path / "bts")) is None
    assert values_of("bts", write_bts_images(tmp_path / "images")) == (255,)


def test_masks_of_0_and_1_give_1(tmp_path):
    root = write_isic(tmp_path, train=3)
    for path in sorted(root.glob("*GroundTruth/*.png")):
        # The first is empty, and tells nothing.
        value = 0 if path.name.startswith("ISIC_0000000") else 1
        write_png(path, square_mask(24, 32, value))
    assert values_of("isic", root) == (1,)


def test_values_of_classes_json_and_of_masks(tmp_path):
    assert values_of("folder", write_folder(tmp_path / "a", value=7)) == (7,)
    root = write_folder(tmp_path / "b", value=40)
    (root / "classes.json").write_text(json.dumps({"skin": 40, "mole": 12}))
    assert DATASETS["folder"].class_names(root) == ("mole", "skin")
    assert values_of("folder", root) == (12, 40)


def write_tumor_task(root):
    """Writes volumes with labels 0, 1 and 4, as BraTS has them."""
    labels = np.zeros((8, 8, 4), np.uint8)
    labels[1:3], labels[5:7] = 1, 4
    for name in ("case00", "case01", "case02", "case03", "case04"):
        image = np.random.default_rng(int(name[4:])).integers(0, 900, labels.shape)
        write_nifti(root / "imagesTr" / f"{name}.nii.gz", image.astype(np.int16))
        write_nifti(root / "labelsTr" / f"{name}.nii.gz", labels)
    write_dataset_json(root, labels={"background": 0, "lesion": 4, "organ": 1})
    return root


def test_a_trained_run_keeps_the_values(tiny, tmp_path):
    from synergynet_tf.training import fit

    root = write_tumor_task(tmp_path / "data")
    config = tiny.replace(
        dataset="msd",
        data_dir=str(root),
        split="random",
        modality="mri",
        num_classes=3,
        epochs=1,
        limit=None,
    )
    fit(config, tmp_path / "run")
    run = runs.Run(tmp_path / "run")
    assert run.class_names == ("organ", "lesion") and run.label_values == (1, 4)
    written = json.loads((run.path / "labels.json").read_text("utf-8"))
    assert written == {"organ": 1, "lesion": 4}
    assert make_card(run)["output"]["labels"] == {
        "0": "background",
        "1": "organ",
        "4": "lesion",
    }
    found = prepared.prepare(config.data, 32)
    prepared.save(found, config.data, 32, tmp_path / "arrays")
    loaded = prepared.load(config.data, 32, tmp_path / "arrays")
    assert found.label_values == loaded.label_values == (1, 4)


def test_data_without_masks_of_its_own_has_none():
    assert prepared.prepare(DataConfig("phantom", limit=3), 32).label_values is None


def test_to_values_by_hand():
    labels = np.array([[[0, 1], [2, 2]]], np.uint8)
    found = to_values(labels, (1, 4))
    assert found.dtype == np.uint8 and found.tolist() == [[[0, 1], [4, 4]]]
    assert to_values(labels, (254, 255)).dtype == np.uint8
    found = to_values(labels, (7, 256))
    assert found.dtype == np.uint16 and found.tolist() == [[[0, 7], [256, 256]]]


@pytest.mark.parametrize("values", [(1, 4), (255, 1000)])
def test_label_maps_have_the_values_in_png_and_nifti(values, tmp_path):
    names = ("organ", "lesion")
    labels = np.zeros((4, 8, 6), np.uint8)
    labels[1, 2:4], labels[1, 5:7] = 1, 2
    write_nifti(tmp_path / "scan.nii.gz", np.arange(8 * 6 * 4).reshape(6, 8, 4) * 1.0)
    write_png(tmp_path / "slice.png", photograph(8, 6)[..., 0])
    for name, own in (("scan.nii.gz", labels), ("slice.png", labels[1:2])):
        path = tmp_path / name
        source = read_input(path)
        file = Labeled(path, source, own, names, values)
        write_result(tmp_path / "out", file, "mri")
    volume = nibabel.load(tmp_path / "out" / "scan.nii.gz")
    png = cv2.imread(str(tmp_path / "out" / "slice.png"), cv2.IMREAD_UNCHANGED)
    dtype = np.uint8 if max(values) < 256 else np.uint16
    assert volume.get_data_dtype() == png.dtype == dtype
    stored = np.asanyarray(volume.dataobj)
    for i, value in enumerate(values):
        expected = np.count_nonzero(labels == i + 1)
        assert np.count_nonzero(stored == value) == expected == 12
        assert np.array_equal(png == value, labels[1] == i + 1)
    assert {*np.unique(stored)} == {*np.unique(png)} == {0, *values}


@pytest.fixture
def run(tmp_path, monkeypatch):
    return squares.make_run(tmp_path, monkeypatch)


def predict_half(tmp_path, *source):
    image = tmp_path / "data" / "test" / "images" / "half.png"
    out = tmp_path / "out" / source[0].strip("-") / str(len(list(tmp_path.iterdir())))
    predict.main([*source, "--input", str(image), "--output", str(out)])
    return np.unique(cv2.imread(str(out / "half.png"), cv2.IMREAD_UNCHANGED)).tolist()


def test_a_run_writes_the_values(run, tmp_path):
    assert predict_half(tmp_path, "--run", str(run)) == [0, 255]  # As ever.
    runs.write_json(run / runs.LABELS, {"square": 1})
    assert predict_half(tmp_path, "--run", str(run)) == [0, 1]
    runs.write_json(run / runs.LABELS, {"square": 300})
    assert predict_half(tmp_path, "--run", str(run)) == [0, 300]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)
def test_an_export_writes_the_values(run, tmp_path):
    pytest.importorskip("ai_edge_litert.interpreter")
    for value, expected in ((None, 255), (300, 300), (1, 1)):
        if value is not None:
            runs.write_json(run / runs.LABELS, {"square": value})
        model = tmp_path / f"{value}.tflite"
        tflite.main(["--run", str(run), "--out", str(model)])
        assert predict_half(tmp_path, "--model", str(model)) == [0, expected]


def test_a_card_says_the_values_and_what_signatures_hold(run, tmp_path):
    runs.write_json(run / runs.LABELS, {"square": 255})
    card = make_card(runs.Run(run))
    assert card["output"]["labels"] == {"0": "background", "255": "square"}
    runs.write_json(tmp_path / "card.json", card)
    assert read_card(tmp_path / "card.json").label_values == (255,)
    text = write_readme(card, {"serving_default": ["logits"], "from_bytes": ["labels"]})
    assert "255 square" in text and card["output"]["signature_labels"] in text
    del card["output"]["mask_values"]  # As in cards of before.
    runs.write_json(tmp_path / "card.json", card)
    assert read_card(tmp_path / "card.json").label_values is None
    for wrong in ([], [1, 2], [0], [70000], ["1"], {"square": 1}):
        card["output"]["mask_values"] = wrong
        runs.write_json(tmp_path / "card.json", card)
        with pytest.raises(ValueError, match=r"card\.json cannot be used"):
            read_card(tmp_path / "card.json")


@pytest.mark.parametrize(
    "wrong",
    [[255], {"other": 1}, {}, {"square": 0}, {"square": 2**16}, {"square": "1"}],
)
def test_damaged_values_are_refused(run, wrong):
    runs.write_json(run / runs.LABELS, wrong)
    with pytest.raises(ValueError, match=r"labels\.json must give each class"):
        _ = runs.Run(run).label_values


def test_two_classes_of_one_value_are_refused(run):
    with pytest.raises(ValueError, match="two classes have one value"):
        runs.check_label_values([3, 3])
