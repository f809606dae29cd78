"""`python -m benchmarks`: its flags, its refusals, and the file it writes."""

import json
import sys

import pytest

from benchmarks import __main__ as command
from benchmarks import report, steps
from tests.benchmarks.results import everything_run


@pytest.fixture
def parts(monkeypatch):
    """Stands for what takes minutes; returns which parts were run."""
    run, results = [], everything_run()

    def pretended(options, folder):
        def part(name):
            return lambda: run.append(name) or results[name]

        return {name: part(name) for name in command.PARTS}

    monkeypatch.setattr(command, "_parts", pretended)
    monkeypatch.setattr(command, "check_peers", lambda python: None)
    return run


def test_every_part_is_written_and_printed(parts, tmp_path, capsys):
    out, page = tmp_path / "speed.json", tmp_path / "speed.md"
    page.write_text(f"{report.BEGIN}\n{report.END}\n")
    command.main(["--peer-python", "python", "--out", str(out), "--write", str(page)])
    assert parts == list(command.PARTS)
    results = json.loads(out.read_text())
    assert results["settings"] == {"rounds": 7, "image_size": 224, "peers": True}
    assert {"machine", "minutes", *command.PARTS} <= set(results)
    text = report.render(results)
    assert capsys.readouterr().out == text
    assert text in page.read_text()


def test_some_parts_without_the_peer_it_is_said(parts, tmp_path, capsys):
    out = tmp_path / "speed.json"
    command.main(["--only", "startup", "gemm", "--out", str(out)])
    assert parts == ["startup", "gemm"]
    assert "without the peer" in capsys.readouterr().err
    assert "steps" not in json.loads(out.read_text())


def test_every_part_can_be_measured(tmp_path):
    options = steps.Options(None, compile_peer=False, rounds=1, image_size=32)
    assert set(command._parts(options, tmp_path)) == set(command.PARTS)


@pytest.mark.parametrize(
    ("flags", "modes", "precisions"),
    [
        ([], ["train", "infer"], ["float32", "bfloat16"]),
        (["--mode", "train"], ["train"], ["float32", "bfloat16"]),
        (["--precision", "bfloat16"], ["train", "infer"], ["bfloat16"]),
    ],
    ids=str,
)
def test_groups_that_are_asked_for(flags, modes, precisions, monkeypatch, tmp_path):
    given = []

    def parts(options, folder):
        given.append(options)
        return {"gemm": dict}

    monkeypatch.setattr(command, "_parts", parts)
    monkeypatch.setattr(report, "render", lambda results: "")
    out = ["--only", "gemm", "--out", str(tmp_path / "speed.json")]
    command.main([*out, *flags, "--image-size", "64", "--rounds", "3"])
    (options,) = given
    assert list(options.modes) == modes and list(options.precisions) == precisions
    assert (options.image_size, options.rounds) == (64, 3)


@pytest.mark.parametrize(
    "flags",
    [["--rounds", "0"], ["--compile-peer"], ["--only", "nothing"]],
    ids=" ".join,
)
def test_flags_are_checked(flags):
    with pytest.raises(SystemExit) as refusal:
        command.parse_args(flags)
    assert refusal.value.code == 2


def test_a_size_that_no_model_takes_is_refused():
    with pytest.raises(ValueError, match="multiple of 16"):
        command.parse_args(["--image-size", "100"])


def test_a_python_that_is_not_there_is_refused():
    with pytest.raises(FileNotFoundError, match=r"--peer-python no-such/python .*make"):
        command.main(["--peer-python", "no-such/python"])


def test_a_python_without_the_peer_is_refused(tmp_path):
    # Isolated, and so without any package.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    with pytest.raises(ImportError, match=r"cannot import .*No module named"):
        command.main(["--peer-python", str(python)])


def test_a_folder_that_cannot_be_written_is_refused_first(parts, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="--out"):
        command.main(["--out", str(tmp_path / "file" / "speed.json")])
    assert parts == []


def test_the_machine_is_read_from_linux(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_bf16\n\n"
        "processor\t: 1\nmodel name\t: Other\n"
    )
    monkeypatch.setattr("synergynet_tf.environment.CPU_INFO", cpuinfo)
    found = report.describe_machine()
    assert found["cpu"] == "Some CPU"
    assert found["flags"] == ["avx2", "avx512_bf16"]
    assert found["cores"] >= 1
    assert found["versions"]["numpy"][0].isdigit()
    monkeypatch.setattr("synergynet_tf.environment.CPU_INFO", tmp_path / "none")
    assert report.describe_machine()["flags"] == []
