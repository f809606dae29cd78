import json

import pytest

from synergynet_tf.config import ExperimentConfig
from synergynet_tf.training import distribution, strategy

CLUSTER = {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}


def cluster(jobs=CLUSTER, kind="worker", index=1):
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("accelerators", "machines", "expected", "reason"),
    [
        (0, "", "none", "no two accelerators"),
        (1, "", "none", "no two accelerators"),
        (2, "", "mirrored", "has 2 accelerators"),
        (2, cluster(), "multiworker", "TF_CONFIG is set"),
    ],
)
def test_auto_takes_what_is_there_and_says_so(
    monkeypatch, capsys, accelerators, machines, expected, reason
):
    monkeypatch.setattr(distribution, "num_accelerators", lambda: accelerators)
    monkeypatch.setenv("TF_CONFIG", machines)
    found = strategy.resolve(ExperimentConfig().replace(strategy="auto"))
    assert found == ExperimentConfig().replace(strategy=expected)
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith(f"strategy {expected}: ") and reason in line


def test_what_is_given_is_kept(monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", cluster())
    for name in ("none", "mirrored"):
        config = ExperimentConfig().replace(strategy=name)
        assert strategy.resolve(config) == config
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        cluster(index=2),
        cluster(index=-1),
        cluster(kind="chief"),
        cluster(jobs={"chief": ["10.0.0.1:2222"], **CLUSTER}),
        cluster(jobs={"worker": []}, index=0),
        json.dumps({"cluster": CLUSTER}),
    ],
)
def test_a_cluster_that_is_none_is_refused_in_a_line(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    config = ExperimentConfig().replace(strategy="multiworker")
    with pytest.raises(ValueError, match=r'TF_CONFIG, which must be like \{"cluster"'):
        strategy.resolve(config)


def test_the_place_in_the_cluster_is_said(monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", cluster())
    strategy.resolve(ExperimentConfig().replace(strategy="multiworker"))
    assert capsys.readouterr().out == "worker 1 of 2: waiting for the others\n"
