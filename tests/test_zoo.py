"""What every shipped model keeps: size, card, license, and that it works by name."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from synergynet_tf import zoo
from synergynet_tf.cli import models, predict, train
from synergynet_tf.config import RECIPES
from synergynet_tf.data.preprocess import Preprocessor
from synergynet_tf.evaluation.predict import predict_case
from synergynet_tf.experiments import settings_of
from synergynet_tf.export.exported_model import find_exported
from synergynet_tf.runs import check_label_values
from tools.zoo import ENTRIES, MAX_BYTES

EVERY = pytest.mark.parametrize("name", zoo.names())


def test_every_planned_model_is_there():
    assert zoo.names() == sorted(ENTRIES)


@EVERY
def test_files(name):
    path = zoo.find(name)
    assert path.stat().st_size <= MAX_BYTES
    assert path.with_suffix(".json").is_file()
    assert find_exported(name).path == path
    find_exported(name).open()  # The file is the one of its card.


@EVERY
def test_card(name):
    card = find_exported(name).card
    values, about = card.values, card.values[zoo.SECTION]
    assert about == {**ENTRIES[name], "baseline": about["baseline"]}
    # Its license forbids commercial use.
    assert card.config.data.dataset != "acdc"
    assert about["license"] and about["data"]["license"] and about["data"]["source"]
    assert values["scores"]["split"] == "test"
    assert values["provenance"]["commit"]
    block = values["scores"]["protocols"][about["protocol"]]
    low, high = block["mean_interval"]["dsc"]
    assert 0.5 < low < block["mean"]["dsc"] < high < 1
    assert about["baseline"]["name"] == "r50-unet"
    assert card.label_values is None or check_label_values(card.label_values)


@EVERY
def test_the_command_of_the_card_is_the_recipe(name):
    card = find_exported(name).card
    command = card.values[zoo.SECTION]["command"].split()
    assert command[:2] == ["python", "train.py"]
    args = train.parse_args(command[2:])
    settings = settings_of(card.config)
    given = {name: value for name, value in vars(args).items() if name in settings}
    given |= RECIPES[args.recipe]
    given.pop("data_dir")  # A card names no folder.
    given = {name: value for name, value in given.items() if value is not None}
    assert given.items() <= settings.items()
    assert {"name", "backbone", "image_size", "epochs", "split"} <= set(given)


def spot():
    """A photograph of skin, 300 x 200 pixels, with a dark disk; and the disk."""
    rows, columns = np.mgrid[:200, :300]
    disk = (rows - 90) ** 2 + (columns - 160) ** 2 < 55**2
    image = np.where(disk[..., None], (90, 60, 50), (225, 180, 160)).astype(np.float64)
    image += np.random.default_rng(0).normal(scale=6, size=image.shape)
    smooth = cv2.GaussianBlur(image.clip(0, 255).astype(np.uint8), (0, 0), 2)
    return smooth, disk


def test_a_spot_is_found_by_name_without_tensorflow(tmp_path):
    image, disk = spot()
    cv2.imwrite(str(tmp_path / "photo.jpg"), image[..., ::-1])
    heavy = ("tensorflow", "keras", "h5py", "jax")
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy})); "
    code += "from synergynet_tf.cli import predict; predict.main(sys.argv[1:])"
    arguments = [tmp_path / "photo.jpg", "--model", "isic-lite0"]
    subprocess.run(
        [sys.executable, "-c", code, *arguments, "--output", tmp_path / "out"],
        check=True,
    )
    labels = cv2.imread(str(tmp_path / "out" / "photo.png"), cv2.IMREAD_UNCHANGED)
    assert labels.shape == disk.shape and set(np.unique(labels)) == {0, 255}
    found = labels > 0
    assert 2 * (found & disk).sum() / (found.sum() + disk.sum()) > 0.85
    with open(tmp_path / "out" / "summary.csv") as file:
        (row,) = csv.DictReader(file)
    assert float(row["lesion_confidence"]) > 0.8


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "isic-lite0").mkdir()
    with pytest.raises(ValueError, match=r"isic-lite0 is no SavedModel.*hides the"):
        find_exported("isic-lite0")


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path):
    arguments = ["--input", "x.png", "--model", "isic", "--output", str(tmp_path)]
    with pytest.raises(FileNotFoundError, match="one of hippocampus-lite0, isic-lite0"):
        predict.main(arguments)


def test_the_list_has_every_model(capsys):
    models.main(["--zoo"])
    printed = capsys.readouterr().out
    for name in zoo.names():
        values = find_exported(name).card.values
        (line,) = [row for row in printed.splitlines() if row.startswith(f"{name}  ")]
        about = values[zoo.SECTION]
        block = values["scores"]["protocols"][about["protocol"]]
        assert f"{100 * block['mean']['dsc']:.2f}" in line and about["license"] in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zoo": None}, r"isic-lite0\.json is damaged \(TypeError"),
        ({"scores": {}}, r"isic-lite0\.json is damaged \(KeyError"),
    ],
)
def test_the_list_refuses_a_damaged_card(change, message, tmp_path, monkeypatch):
    card = json.loads((zoo.FOLDER / "isic-lite0.json").read_text())
    (tmp_path / "isic-lite0.json").write_text(json.dumps(card | change))
    (tmp_path / "isic-lite0.tflite").touch()
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=message):
        models.format_zoo()


def test_the_list_takes_no_other_flag():
    with pytest.raises(SystemExit):
        models.parse_args(["--zoo", "--model", "r50-unet"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "folder", "count"),
    [("isic-lite0", "isic2017", 120), ("hippocampus-lite0", "msd", 42)],
)
def test_the_score_of_the_card_is_that_of_the_shipped_file(
    name, folder, count, real_data
):
    from synergynet_tf import metrics
    from synergynet_tf.data import DATASETS

    found = find_exported(name)
    model, card = found.open(), found.card
    data = card.config.data
    root = real_data / folder
    root = root / "Task04_Hippocampus" if folder == "msd" else root
    dataset = DATASETS[data.dataset]
    case_ids = dataset.splits(root, data.split, data.split_seed)["test"]
    assert len(case_ids) == count
    scores = []
    for case_id in case_ids:
        case = dataset.read_case(root, case_id)
        labels = predict_case(model, case.image, Preprocessor.of(card.config))
        scores.append(
            metrics.score_case(
                case.label, labels, card.class_names, case.spacing_mm, "strict"
            )
        )
    mean = np.mean([own["dsc"] for case in scores for own in case.values()])
    expected = card.values["scores"]["protocols"]["strict"]["mean"]["dsc"]
    assert mean == pytest.approx(expected, abs=0.001)
