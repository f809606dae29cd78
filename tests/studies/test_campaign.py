"""The list of long trainings, on tiny data; nothing is trained to the end here."""

import dataclasses
import shlex

import pytest

from studies import campaign
from synergynet_tf import runs
from synergynet_tf.cli import train
from synergynet_tf.experiments import BUDGETS, settings_of
from synergynet_tf.models import ENCODERS
from tests.conftest import tiny_encoder
from tests.data import trees


@pytest.fixture
def data(tmp_path):
    trees.write_msd(tmp_path / "data" / "msd" / "Task04_Hippocampus")
    return tmp_path / "data"


def args(*flags):
    return campaign.parse_args(list(map(str, flags)))


def test_the_plan_is_the_budget_and_what_a_run_changes(data, tmp_path):
    flags = ("--data", data, "--dataset", "msd", "--runs", tmp_path / "runs")
    jobs = campaign.plan(args(*flags))
    assert [job.config.model.name for job in jobs] == ["synergynet-8s2h", "r50-unet"]
    settings = settings_of(jobs[0].config)
    expected = BUDGETS["converged"].settings | campaign.CHANGES["msd"]
    assert expected.items() <= settings.items()
    places = {job.run for job in jobs}
    assert len(places) == len(jobs)
    assert "--attention" not in jobs[0].command
    assert "--image-size 64" in jobs[0].command and "--epochs 10" in jobs[0].command


def test_what_is_listed_is_a_command(data, tmp_path):
    flags = ("--data", data, "--dataset", "msd", "--runs", tmp_path / "runs")
    for job in campaign.plan(args(*flags)):
        python, script, *words = shlex.split(job.command)
        assert (python, script) == ("python", "train.py")
        asked = train.experiment(train.parse_args(words))
        assert asked.model.num_classes == job.config.model.num_classes
        assert asked.replace(precision=job.config.training.precision) == job.config


def test_every_run_of_the_plan_has_a_place_of_its_own():
    places = set()
    for dataset, seed, name, changes in campaign.PLAN:
        places.add((dataset, seed, name, bool(changes)))
    assert len(places) == len(campaign.PLAN) == 20
    assert campaign.PLAN[0] == ("acdc", 0, "synergynet-8s2h", {})
    assert campaign.PLAN[1][-1] == {"attention": "paper"}


def test_packed_arrays_train_without_the_data(data, tmp_path, monkeypatch):
    small = {"image_size": 32, "epochs": 1, "batch_size": 4, "backbone": "tiny"}
    small |= {"encoder_weights": "none", "num_codes": 8, "hidden_dim": 16}
    monkeypatch.setitem(ENCODERS, "tiny", tiny_encoder)
    flags = ("--dataset", "msd", "--encoder-weights", "none", "--precision", "float32")
    packing = args("--data", data, "--pack", tmp_path / "arrays", *flags)
    jobs = [job_of(job, small) for job in campaign.plan(packing)]
    campaign.pack(jobs, tmp_path / "arrays")
    data.rename(tmp_path / "gone")
    there = args("--arrays", tmp_path / "arrays", "--runs", tmp_path / "runs", *flags)
    job = job_of(campaign.plan(there)[0], small)
    campaign.fit_arrays(tmp_path / "arrays", job.config, tmp_path / "run")
    assert runs.Run(tmp_path / "run").is_finished()
    with pytest.raises(FileNotFoundError, match="--pack"):
        campaign.plan(args("--arrays", tmp_path, *flags))


def job_of(job, changes):
    return dataclasses.replace(job, config=job.config.replace(**changes))
