"""A run keeps the split that it was begun with, wherever its data is."""

import json
import shutil

import pytest

from synergynet_tf import runs
from synergynet_tf.cli import train
from synergynet_tf.data.prepared import prepare
from synergynet_tf.training import fit
from synergynet_tf.training.callbacks import RunFiles
from tests.conftest import make_tiny
from tests.data import trees
from tests.training.test_fit import assert_equal_runs


def photos(tiny, folder):
    """Of ten photographs, a random split takes 7 to train, 1 to select."""
    data = {"dataset": "folder", "data_dir": str(folder / "data"), "split": "random"}
    data |= {"modality": "rgb", "num_classes": 1, "limit": None}
    return tiny.replace(**data, name="r50-unet", epochs=2)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with photographs and a run that was interrupted after its first epoch.

    It is trained once, and moved away: a run knows where its data was, and so each test
    finds copies in the same place.
    """
    place = tmp_path_factory.mktemp("run_data") / "place"
    begin = RunFiles.on_epoch_begin

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        begin(self, epoch, logs)

    trees.write_folder(place / "data")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setenv("SYNERGYNET_CACHE", str(tmp_path_factory.getbasetemp()))
        patch.setattr(RunFiles, "on_epoch_begin", on_epoch_begin)
        fit(photos(make_tiny(patch), place), place / "run")
    return place.rename(place.with_name("kept"))


@pytest.fixture
def tmp_path(kept):
    """The folder of the photographs, the same for every test, and empty."""
    place = kept.with_name("place")
    place.mkdir()
    yield place
    shutil.rmtree(place)


@pytest.fixture
def config(tiny, kept, tmp_path):
    shutil.copytree(kept / "data", tmp_path / "data")
    return photos(tiny, tmp_path)


@pytest.fixture
def begun(kept, tmp_path):
    """A run that was interrupted after its first epoch."""
    return shutil.copytree(kept / "run", tmp_path / "run")


def add(root, name):
    """Writes another case."""
    for folder in ("images", "masks"):
        trees.write_png(root / folder / f"{name}.png", trees.square_mask(12, 16))


def remove(root, case_id):
    for folder in ("images", "masks"):
        (root / folder / f"{case_id}.png").unlink()


def test_data_that_moved_and_grew_gives_the_undisturbed_run(
    config, begun, tmp_path, capsys
):
    fit(config, tmp_path / "undisturbed")
    split = (begun / runs.SPLIT).read_bytes()
    cases = json.loads(split)
    assert {part: len(ids) for part, ids in cases.items()} == {
        "train": 7,
        "val": 1,
        "test": 2,
    }
    old, new = tmp_path / "data", tmp_path / "moved"
    old.rename(new)
    for name in ("aa", "zz"):
        add(new, name)
    remove(new, cases["test"][0])
    capsys.readouterr()
    moved = config.replace(data_dir=str(new))
    fit(moved, begun)
    printed = capsys.readouterr()
    assert f"the data of {begun} is at {new}; it was at {old}\n" in printed.out
    gone, added = (line for line in printed.err.splitlines() if "note: " in line)
    assert gone.endswith(f"lacks 1 of the 2 test cases of {begun}: {cases['test'][0]}")
    assert added.endswith(f"cases of {new} that were added since are not used: aa, zz")
    assert "warning" not in printed.err
    assert_equal_runs(tmp_path / "undisturbed", begun)
    assert (begun / runs.SPLIT).read_bytes() == split
    assert runs.Run(begun).config == moved


@pytest.mark.parametrize(("part", "count"), [("train", 7), ("val", 1)])
def test_a_case_that_is_gone_ends_it(config, begun, tmp_path, part, count):
    case_id = json.loads((begun / runs.SPLIT).read_bytes())[part][0]
    before = {path.name: path.read_bytes() for path in begun.iterdir() if path.suffix}
    remove(tmp_path / "data", case_id)
    add(tmp_path / "data", "aa")
    said = rf"lacks 1 of the {count} {part} cases of .*: {case_id}; put them back"
    with pytest.raises(FileNotFoundError, match=said):
        fit(config, begun)
    now = {path.name: path.read_bytes() for path in begun.iterdir() if path.suffix}
    assert now == before


def test_other_data_of_the_same_names_is_refused_where_it_moved(
    config, begun, tmp_path, capsys
):
    case_id = json.loads((begun / runs.SPLIT).read_bytes())["train"][0]
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    mask = trees.square_mask(12, 16)
    mask[:] = 0
    trees.write_png(tmp_path / "other/masks" / f"{case_id}.png", mask)
    other = config.replace(data_dir=str(tmp_path / "other"))
    with pytest.raises(ValueError, match="the masks in train are others; name another"):
        fit(other, begun)
    # In its place the data is the user's to mend.
    trees.write_png(tmp_path / "data/masks" / f"{case_id}.png", mask)
    capsys.readouterr()
    fit(config, begun)
    assert "warning: masks of train are not, to the last" in capsys.readouterr().err


def test_prepared_data_of_another_split_is_refused(config, begun):
    size = config.model.image_size
    split = runs.Run(begun).split
    split["train"], split["test"] = split["train"][1:], split["train"][:1]
    with pytest.raises(ValueError, match="begun with another split"):
        fit(config, begun, prepared=prepare(config.data, size, split))


def test_other_classes_are_refused(config, begun, tmp_path):
    classes = json.dumps({"lesion": 255})
    (tmp_path / "data/classes.json").write_text(classes)
    with pytest.raises(ValueError, match="classes foreground, and the data has lesion"):
        fit(config, begun)


def test_a_run_of_before_is_split_again_and_that_is_said(config, begun, capsys):
    (begun / runs.SPLIT).unlink()
    moved = config.replace(data_dir="elsewhere")
    with pytest.raises(FileExistsError, match=r"data_dir .*, not 'elsewhere'"):
        fit(moved, begun)
    capsys.readouterr()
    fit(config, begun)
    (note,) = (
        line for line in capsys.readouterr().err.splitlines() if "note: " in line
    )
    assert f"{begun} has no split.json: its split is drawn again" in note
    assert set(runs.Run(begun).split) == {"train", "val", "test"}


def test_force_draws_anew(config, begun, tmp_path):
    before = runs.Run(begun).split
    for name in ("aa", "ab", "ac", "ad", "ae"):
        add(tmp_path / "data", name)
    fit(config.replace(epochs=1), begun, force=True)
    after = runs.Run(begun).split
    assert sum(map(len, after.values())) == 15 and after != before
    assert runs.Run(begun).data["unused"] == []


def test_cases_beyond_a_limit_are_not_new(config, tmp_path, capsys):
    config, run = config.replace(limit=2, epochs=1), tmp_path / "run"
    fit(config, run)
    begun = runs.Run(run)
    assert [len(begun.split[part]) for part in ("train", "val", "test")] == [2, 1, 2]
    assert len(begun.data["unused"]) == 5
    (run / runs.FINISHED).unlink()
    add(tmp_path / "data", "aa")
    capsys.readouterr()
    fit(config, run)
    notes = [line for line in capsys.readouterr().err.splitlines() if "note: " in line]
    assert len(notes) == 1 and notes[0].endswith("are not used: aa")


def test_the_command_counts_the_cases_of_the_run(config, begun, tmp_path, capsys):
    """As `fit` does, before Keras is imported."""
    run = tmp_path / "runs/folder/r50-unet/seed0"
    shutil.copytree(begun, run)
    flags = ["--dataset", "folder", "--data-dir", config.data.data_dir, "--model"]
    flags += ["r50-unet", "--encoder-weights", "none", "--image-size", "32"]
    flags += ["--epochs", "2", "--batch-size", "4", "--runs", str(tmp_path / "runs")]
    args = train.parse_args(flags)
    runs.write_text(run / "config.json", train.experiment(args).to_json())
    add(tmp_path / "data", "aa")
    train.main([*flags, "--dry-run"])
    printed = capsys.readouterr()
    assert "7 training and 1 validation cases" in printed.out
    assert "are not used: aa" in printed.err
    train.main([*flags, "--dry-run", "--force"])
    printed = capsys.readouterr()
    assert "8 training and 1 validation cases" in printed.out and printed.err == ""
