"""As many classes as the readers take, from the files to scores and predictions."""

import json

import cv2
import numpy as np
import pytest

from synergynet_tf import metrics, runs
from synergynet_tf.cli import predict
from synergynet_tf.config import DataConfig, ExperimentConfig, ModelConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.preprocess import Preprocessor, to_labels, to_native
from tests.data.trees import write_dataset_json, write_png
from tests.evaluation import squares

# A square of 4 x 4 pixels each for 255 classes and the background: twice the network's
# grid, where each is 2 x 2.
TILE = np.kron(
    np.arange(256, dtype=np.uint8).reshape(16, 16), np.ones((4, 4), np.uint8)
)


class Colors:
    """Predicts class `n` where the red channel is `n / 255`.

    Logits are minus the distance to `n`. Of those between two pixels the class of the
    nearer is the largest, so that resizing changes no label here.
    """

    def __init__(self, num_classes):
        self.num_classes = num_classes

    def predict_on_batch(self, images):
        wanted = np.rint(images[..., :1] * 255)
        return -np.abs(wanted - np.arange(self.num_classes)).astype(np.float32)

    def codes(self):
        return None

    def code_maps(self, images):
        return None


def write_data(root, name, classes):
    """Writes five pairs, in each of which every class has a square."""
    labels = np.where(classes >= TILE, TILE, 0).astype(np.uint8)
    names = {f"class {value:03d}": value for value in range(1, classes + 1)}
    if name == "folder":
        folders, ending = ("images", "masks"), ""
        root.mkdir(parents=True)
        (root / "classes.json").write_text(json.dumps(names))
    else:
        folders, ending = ("imagesTr", "labelsTr"), "_0000"
        write_dataset_json(
            root,
            channel_names={"0": "R", "1": "G", "2": "B"},
            labels={"background": 0, **names},
            file_ending=".png",
        )
    for number in range(5):
        turned = np.roll(labels, 4 * number, axis=0)
        image = np.stack([turned, *[np.full_like(turned, number)] * 2], axis=-1)
        write_png(root / folders[0] / f"case{number}{ending}.png", image)
        write_png(root / folders[1] / f"case{number}.png", turned)
    return root


def write_run(folder, name, root, classes):
    config = ExperimentConfig(
        data=DataConfig(name, str(root), split="random", modality="rgb"),
        model=ModelConfig("r50-unet", image_size=32, num_classes=classes + 1),
    )
    runs.write_text(folder / "config.json", config.to_json())
    runs.write_json(folder / "classes.json", list(DATASETS[name].class_names(root)))
    values = DATASETS[name].label_values(root)
    named = zip(DATASETS[name].class_names(root), values, strict=True)
    runs.write_json(folder / runs.LABELS, dict(named))
    runs.write_text(folder / runs.BEST_WEIGHTS, "")
    squares.write_history(folder, epochs=1)
    return folder


@pytest.fixture(params=[("folder", 254), ("msd", 255)])
def run(request, tmp_path, monkeypatch):
    name, classes = request.param
    model = Colors(classes + 1)
    for module in ("evaluate", "predictor"):
        place = f"synergynet_tf.evaluation.{module}"
        monkeypatch.setattr(f"{place}.load_run_model", lambda run: model)
        monkeypatch.setattr(f"{place}.Predictor", lambda model: model)
    root = write_data(tmp_path / "data", name, classes)
    return write_run(tmp_path / "run", name, root, classes)


@pytest.mark.parametrize("run", [("folder", 254)], indirect=True)
def test_every_class_is_scored(run):
    report = squares.evaluate(run)
    classes = len(runs.Run(run).class_names)
    assert len(report["per_class"]) == classes == 254
    assert {scores["dsc"] for scores in report["per_class"].values()} == {1}


def test_every_class_is_predicted_with_its_value(run, tmp_path):
    config = runs.Run(run).config
    path = tmp_path / "tile.png"
    write_png(path, np.stack([TILE] * 3, axis=-1))
    output = tmp_path / "out"
    predict.main(["--run", str(run), "--input", str(path), "--output", str(output)])
    labels = cv2.imread(str(output / path.name), cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint8
    # The folder's 254 leave one square without a class of its own.
    assert np.array_equal(labels, TILE.clip(max=config.model.num_classes - 1))


@pytest.mark.parametrize("channels", [128, 129, 254, 256, 300])
def test_logits_of_many_classes_are_resized(channels):
    logits = np.random.default_rng(0).normal(size=(2, 8, 8, channels))
    logits = logits.astype(np.float32)
    native = to_native(logits, 20, 13)
    assert native.shape == (2, 20, 13, channels)
    for i in range(0, channels, 50):
        alone = cv2.resize(logits[1, ..., i], (13, 20), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(native[1, ..., i], alone, atol=1e-5)
    if channels <= 128:  # In one call, as ever.
        whole = cv2.resize(logits[1], (13, 20), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(native[1], whole)


def test_the_last_class_is_not_the_first():
    logits = np.zeros((1, 1, 1, 256), np.float32)
    logits[..., 255] = 1
    assert to_labels(logits).dtype == np.uint8 and to_labels(logits) == 255
    scores = metrics.score_case(
        np.full((1, 4, 4), 255, np.uint8),
        np.full((1, 4, 4), 255, np.uint8),
        [f"{i}" for i in range(255)],
        (1, 1, 1),
    )
    assert scores["254"]["dsc"] == 1 and np.isnan(scores["0"]["dsc"])


def test_labels_of_many_classes_come_to_the_network():
    labels = Preprocessor("rgb", 32).labels(TILE[None])
    assert np.array_equal(labels[0], TILE[::2, ::2])
