import dataclasses
import json

import numpy as np
import pytest

from synergynet_tf import runs
from synergynet_tf.config import DataConfig
from synergynet_tf.data import prepared
from synergynet_tf.data.splits import split_ids
from synergynet_tf.training import fit
from tests.data.trees import write_folder, write_png

PHANTOM = DataConfig("phantom", limit=3)


@pytest.fixture
def folder(tmp_path):
    found = prepared.prepare(PHANTOM, 32)
    prepared.save(found, PHANTOM, 32, tmp_path / "arrays")
    return tmp_path / "arrays"


def test_what_is_saved_is_read_back(folder):
    found = prepared.prepare(PHANTOM, 32)
    again = prepared.load(
        dataclasses.replace(PHANTOM, data_dir="elsewhere"), 32, folder
    )
    for part in prepared.PARTS:
        one, other = getattr(found, part), getattr(again, part)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.case_ids == other.case_ids
    assert again.class_names == found.class_names == ("cavity", "wall", "crescent")
    assert again.split == found.split and len(again.split["test"]) == 3
    assert again.image_channels == found.image_channels == 1


def test_other_data_another_size_and_damage_are_refused(folder):
    with pytest.raises(ValueError, match="'limit': 2"):
        prepared.load(dataclasses.replace(PHANTOM, limit=2), 32, folder)
    with pytest.raises(ValueError, match="'image_size': 64"):
        prepared.load(PHANTOM, 64, folder)
    with pytest.raises(FileNotFoundError, match=r"No about\.json"):
        prepared.load(PHANTOM, 32, folder / "train")
    with pytest.raises(FileExistsError):
        prepared.save(prepared.load(PHANTOM, 32, folder), PHANTOM, 32, folder)
    images = folder / "train" / "images.bin"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"images\.bin"):
        prepared.load(PHANTOM, 32, folder)


def test_a_run_of_prepared_arrays_is_that_of_the_raw_data(tiny, tmp_path):
    config = tiny.replace(epochs=1)
    arrays = tmp_path / "arrays"
    size = config.model.image_size
    prepared.save(prepared.prepare(config.data, size), config.data, size, arrays)
    fit(config, tmp_path / "raw")
    moved = config.replace(data_dir=str(tmp_path / "nothing"))
    fit(moved, tmp_path / "packed", prepared=prepared.load(moved.data, size, arrays))

    def history(run):
        rows = runs.Run(tmp_path / run).history
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert history("raw") == history("packed")
    for name in ("classes.json", "split.json", runs.CHANNELS):
        one, other = (
            json.loads((tmp_path / run / name).read_text()) for run in ("raw", "packed")
        )
        assert one == other


def test_classes_that_a_part_lacks_are_said(tmp_path, capsys):
    write_folder(tmp_path)
    data = DataConfig("folder", str(tmp_path))
    prepared.prepare(data, 32)
    assert "no validation image" not in capsys.readouterr().err
    parts = split_ids(data)
    (case_id,) = parts["val"]
    empty = np.zeros((12, 16), np.uint8)
    write_png(tmp_path / "masks" / f"{case_id}.png", empty)
    prepared.prepare(data, 32)
    assert "note: no validation image has foreground: " in capsys.readouterr().err
    (tmp_path / "classes.json").write_text('{"foreground": 255}')
    for case_id in parts["train"]:
        write_png(tmp_path / "masks" / f"{case_id}.png", empty)
    with pytest.raises(ValueError, match="No training image has any of foreground"):
        prepared.prepare(data, 32)
