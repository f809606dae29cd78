import re
import shlex

import pytest

from synergynet_tf import runs
from synergynet_tf.cli import train
from synergynet_tf.experiments import BUDGETS, METHOD_TABLES, TABLES, jobs
from synergynet_tf.models import BACKBONES, METHODS
from tests.data import trees

COMMAND = "--table 3 --budget short --row r50-unet vqunet"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a tiny tree of each dataset of the paper."""
    folder = tmp_path_factory.mktemp("a folder")
    for dataset in METHOD_TABLES:
        trees.WRITERS[dataset](folder / dataset)
    return folder


@pytest.fixture
def plan(data, tmp_path, monkeypatch):
    """Plans the runs of a command, in an empty folder, as `train.py` does."""
    monkeypatch.setenv("SYNERGYNET_DATA", str(data))
    monkeypatch.chdir(tmp_path)

    def run(command):
        args = train.parse_args(shlex.split(command))
        args.dataset = TABLES[args.table].pick_dataset(args.dataset)
        return jobs.plan(args, train.experiment(args))

    return run


def finish(job, **changes):
    """Writes the run of a job as if it had been trained, with changed settings."""
    runs.write_text(job.run / "config.json", job.config.replace(**changes).to_json())
    runs.write_json(job.run / runs.FINISHED, {})


def test_rows_budget_and_seeds_make_the_settings(plan):
    planned = plan("--table 5 --dataset acdc --budget short --row 64 1024 --seeds 0 7")
    # A whole table of one seed before the next.
    assert [(job.row, job.config.training.seed) for job in planned] == [
        ("64", 0),
        ("1024", 0),
        ("64", 7),
        ("1024", 7),
    ]
    assert [job.config.model.num_codes for job in planned[:2]] == [64, 1024]
    for job in planned:
        model, training = job.config.model, job.config.training
        assert (model.image_size, training.epochs, training.batch_size) == (128, 3, 8)
        assert (model.name, model.encoder_weights) == ("synergynet-8s2h", "none")
        assert (job.config.data.dataset, model.num_classes) == ("acdc", 4)
    assert str(planned[0].run) == ("runs/short/num_codes-64/acdc/synergynet-8s2h/seed0")
    assert str(planned[1].run) == "runs/short/acdc/synergynet-8s2h/seed0"


def test_without_flags_it_is_the_paper_recipe_of_every_row(plan):
    planned = plan("--table 3")
    assert [job.row for job in planned] == list(TABLES[3].rows)
    config = planned[0].config
    assert (config.model.image_size, config.training.epochs) == (224, 150)
    assert config.model.encoder_weights == "imagenet"
    assert {job.runs.name for job in planned} == {"paper"}


def test_what_is_given_for_all_rows_is_in_every_one(plan):
    flags = "--precision bfloat16 --strategy mirrored --split random --split-seed 3"
    for job in plan(f"--table 3 --encoder-weights none {flags}"):
        assert job.config.training.precision == "bfloat16"
        assert job.config.training.strategy == "mirrored"
        assert (job.config.data.split, job.config.data.split_seed) == ("random", 3)
        assert job.config.model.encoder_weights == "none"


def test_a_center_crop_is_given_for_all_rows_of_scans(plan):
    for job in plan("--table 2 --row vqunet r50-unet --center-crop 0.8"):
        assert job.config.data.center_crop == 0.8
        assert "--center-crop 0.8" in job.command
    with pytest.raises(ValueError, match="--center-crop is for scans"):
        plan("--table 3 --center-crop 0.8")


def test_what_is_given_comes_before_the_budget(plan):
    for job in plan("--table 3 --budget short --encoder-weights imagenet"):
        assert job.config.model.encoder_weights == "imagenet"
        assert "--encoder-weights" not in job.command


def test_weights_of_a_vit_are_for_the_rows_that_take_them(plan, tmp_path):
    (tmp_path / "vit.npz").write_bytes(b"")
    planned = plan("--table 3 --vit-weights vit.npz")
    given = {job.row: job.config.model.vit_weights for job in planned}
    taken = {row for row, weights in given.items() if weights != "none"}
    assert taken == {"r50-vit", "transunet"}
    assert given["transunet"] == str(tmp_path / "vit.npz")
    commands = {job.row: job.command for job in planned}
    assert "vit.npz" in commands["transunet"] and "vit" not in commands["r50-unet"]


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.number)
@pytest.mark.parametrize("budget", BUDGETS)
def test_every_printed_command_is_the_run_of_its_row(plan, table, budget, monkeypatch):
    flags = "--precision bfloat16 --split-seed 2 --seeds 0 5 --runs 'my runs'"
    dataset = table.datasets[-1]
    command = f"--table {table.number} --dataset {dataset} --budget {budget} {flags}"
    planned = plan(command)
    assert len(planned) == 2 * len(table.rows)
    for job in planned:
        assert job.config.model.name in METHODS
        assert job.config.model.backbone in BACKBONES
        python, script, *words = shlex.split(job.command)
        assert (python, script) == ("python", "train.py")
        args = train.parse_args(words)
        config = train.experiment(args)
        assert config == job.config
        assert runs.run_dir(args.runs, config) == job.run


def test_commands_are_of_what_is_missing(plan):
    planned = plan(COMMAND)
    assert len(jobs.list_commands(planned)) == 2
    finish(planned[0])
    (command,) = jobs.list_commands(planned)
    assert "--model vqunet" in command


def test_states_of_a_run(plan):
    first, second = plan(COMMAND)
    assert first.state() == ("open", "not begun")
    runs.write_text(first.run / "config.json", first.config.to_json())
    row = {"epoch": 1, "val_dsc": 0.5}
    runs.write_csv(first.run / "history.csv", [row, row])
    assert first.state() == ("open", "continues after epoch 2 of 3")
    finish(first, precision="bfloat16", data_dir="elsewhere")
    assert first.state() == ("finished", "finished in bfloat16")
    finish(first, epochs=2)
    assert first.state().kind == "refused"
    assert "epochs 2, not 3" in first.state().text
    runs.write_text(second.run / "config.json", "{}")
    assert second.state().kind == "refused"
    assert "config.json" in second.state().text


def test_an_unfinished_run_is_continued_only_as_it_was_begun(plan):
    job, _ = plan(COMMAND)
    config = job.config.replace(precision="bfloat16")
    runs.write_text(job.run / "config.json", config.to_json())
    assert job.state().kind == "refused"
    assert "precision 'bfloat16', not 'float32'" in job.state().text


def test_auto_is_for_the_machine_that_trains_to_resolve(plan):
    first, second = plan(f"{COMMAND} --precision auto")
    assert {job.config.training.precision for job in (first, second)} == {"auto"}
    for command in jobs.list_commands([first, second]):
        assert "--precision auto" in command
    begun = first.config.replace(precision="float16")
    runs.write_text(first.run / "config.json", begun.to_json())
    assert first.state().kind == second.state().kind == "open"


def test_describing_says_the_settings_and_the_cost(plan):
    planned = plan(COMMAND)
    finish(planned[1])
    command = shlex.split(f"{COMMAND} --precision bfloat16")
    text = jobs.describe(train.parse_args(command), plan(shlex.join(command)))
    start = "Table 3 on isic, official split, budget short (image_size 128, epochs 3"
    assert text.startswith(start) and "split official" not in text
    assert "precision bfloat16" in text
    assert "2 runs, 1 of them finished" in text
    assert TABLES[3].cost in text and BUDGETS["short"].cost in text


def test_describing_names_the_weights_of_the_rows_that_take_them(plan, tmp_path):
    (tmp_path / "vit.npz").write_bytes(b"")
    command = "--table 3 --vit-weights vit.npz"
    text = jobs.describe(train.parse_args(shlex.split(command)), plan(command))
    assert f"(vit_weights {tmp_path / 'vit.npz'})" in text


def test_a_file_of_weights_is_for_one_backbone(plan, tmp_path):
    (tmp_path / "lite.h5").write_bytes(b"")
    flags = "--table 9 --dataset acdc --encoder-weights"
    assert len(plan(f"{flags} lite.h5 --row resnet50")) == 1
    with pytest.raises(ValueError, match=r"lite\.h5 is of one.*resnet18.*--row"):
        plan(f"{flags} lite.h5")
    assert len(plan(f"{flags} none")) == len(TABLES[9].rows)


def test_every_cost_is_a_sentence():
    for entry in (*TABLES.values(), *BUDGETS.values()):
        assert re.fullmatch(r"\w.*\.", entry.cost)


def test_an_installed_package_prints_its_own_command(plan, monkeypatch):
    monkeypatch.setattr("sys.argv", ["synergynet train"])
    for command in jobs.list_commands(plan(COMMAND)):
        assert command.startswith("synergynet train --dataset ")
