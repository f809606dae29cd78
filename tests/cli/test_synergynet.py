import subprocess
import sys

import numpy as np
import pytest

from synergynet_tf.cli import doctor, synergynet


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["synergynet", *arguments])
    synergynet.main()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(monkeypatch, capsys, arguments):
    run(monkeypatch, *arguments)
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert listed == list(synergynet.COMMANDS)


def test_help_of_the_exports(monkeypatch, capsys):
    run(monkeypatch, "export", "--help")
    assert "usage: synergynet export COMMAND" in capsys.readouterr().out


def test_a_command_shows_its_own_name(monkeypatch, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, "train", "--help")
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("usage: synergynet train ")


@pytest.mark.parametrize("arguments", [["trian"], ["export", "tflight"]])
def test_a_command_that_does_not_exist(monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, *arguments)
    assert exit_.value.code == 2
    name = " ".join(["synergynet", *arguments])
    assert capsys.readouterr().err.startswith(f"error: there is no command {name}; ")


def test_version(monkeypatch, capsys):
    run(monkeypatch, "--version")
    assert capsys.readouterr().out == "synergynet-tf 0.1.0\n"


def test_doctor(monkeypatch, capsys):
    run(monkeypatch, "doctor")
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names[:5] == ["synergynet-tf", "Python", "CPU", "bfloat16", "devices"]
    assert {"[train]", "[serve]", "[onnx]", "cache", "data"} <= set(names)


def test_doctor_says_how_to_install_what_is_missing():
    assert doctor._versions("onnx", ["numpy", "no-such"]) == (
        f"numpy {np.__version__}; without no-such: pip install 'synergynet-tf[onnx]'"
    )


def test_start_up_lines_are_kept_out_of_the_terminal():
    code = """
import os, sys
from synergynet_tf.cli.quiet import quiet
with quiet():
    os.write(2, b"I0000 00:00:1795939959.690039 1 cudart_stub.cc:31] No drivers\\n")
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called\\n")
    os.write(2, b"E0000 00:00:1 1 util.cc:131] oneDNN supports DT_INT64 only on\\n")
    os.write(2, b"fully_quantize: 0, inference_type: 6\\n")
    os.write(2, b"E0000 00:00:1 1 op_kernel.cc:1] a real error\\n")
    print("progress", file=sys.stderr)
print("after", file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert sorted(lines) == [
        "E0000 00:00:1 1 op_kernel.cc:1] a real error",
        "after",
        "progress",
    ]


@pytest.mark.parametrize(
    "end", ["os.abort()", "os._exit(3)", "os.kill(os.getpid(), 9)"]
)
def test_the_last_line_of_a_process_that_dies_is_shown(end):
    code = f"""
import os, signal
from synergynet_tf.cli.quiet import quiet
with quiet():
    os.write(2, b"I0000 00:00:1795939959.690039 1 cudart_stub.cc:31] No drivers\\n")
    os.write(2, b"F0000 00:00:1.0 1 tensor.cc:1] Check failed: dtype() == x\\n")
    {end}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr == "F0000 00:00:1.0 1 tensor.cc:1] Check failed: dtype() == x\n"
