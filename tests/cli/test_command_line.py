import os
import pathlib
import subprocess
import sys

import pytest

from synergynet_tf.cli import command_line

ROOT = pathlib.Path(__file__).parents[2]
COMMANDS = (
    "train.py",
    "evaluate.py",
    "predict.py",
    "export.saved_model",
    "export.tflite",
    "export.onnx",
    "export.parity",
    "export.serving.client",
    "synergynet_tf.data",
    "synergynet_tf.evaluation.code_maps",
    "synergynet_tf.evaluation.figures",
    "synergynet_tf.models",
    "tools.convert_efficientnet_lite",
)
# What takes longer to import than the rest of a command together.
SLOW = {"keras", "tensorflow", "jax", "scipy", "matplotlib", "nibabel", "h5py", "grpc"}
SLOW |= {"onnx", "onnxruntime", "tf2onnx"}


class ResourceExhaustedError(Exception):
    """Of the name of TensorFlow's."""


class XlaRuntimeError(RuntimeError):
    """Of the name of JAX'."""


def run_with(monkeypatch, error, *flags):
    def main(arguments):
        raise error

    monkeypatch.setattr("sys.argv", ["train.py", *flags])
    command_line.run(main)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\nb"), "error: a b\n"),
        (KeyError("no 'x'"), "error: no 'x'\n"),
        (FileNotFoundError("No a.png"), "error: No a.png\n"),
        (
            PermissionError(13, "Permission denied", "runs"),
            "error: [Errno 13] Permission denied: 'runs'\n",
        ),
        (ValueError(), "error: ValueError\n"),
        (ValueError("\x1b[31m\udcff.png"), "error: \\x1b[31m\\udcff.png\n"),
        (MemoryError("8 TiB"), "error: There is not enough memory. 8 TiB\n"),
        (
            ResourceExhaustedError("a\nb [Op:Conv2D] name: "),
            "error: There is not enough memory or disk space. a b\n",
        ),
        (
            XlaRuntimeError("RESOURCE_EXHAUSTED: 8 TiB"),
            "error: There is not enough memory or disk space. RESOURCE_EXHAUSTED: "
            "8 TiB\n",
        ),
    ],
)
def test_a_refusal_is_one_line(monkeypatch, capsys, error, line):
    with pytest.raises(SystemExit) as exit_:
        run_with(monkeypatch, error)
    assert exit_.value.code == 2
    assert capsys.readouterr().err == line


def test_debug_shows_the_traceback(monkeypatch):
    with pytest.raises(ValueError, match="a"):
        run_with(monkeypatch, ValueError("a"), "--debug")


@pytest.mark.parametrize("error", [TypeError("bug"), XlaRuntimeError("INTERNAL: bug")])
def test_a_bug_is_not_a_refusal(monkeypatch, error):
    with pytest.raises(type(error)):
        run_with(monkeypatch, error)


def test_interrupt(monkeypatch):
    with pytest.raises(SystemExit) as exit_:
        run_with(monkeypatch, KeyboardInterrupt())
    assert exit_.value.code == 130


def test_the_parser_refuses_in_one_line(capsys):
    parser = command_line.ArgumentParser("")
    parser.add_argument("--seed", type=int)
    for arguments in (["--seed", "x"], ["--see", "1"], ["stray"]):
        with pytest.raises(SystemExit) as exit_:
            parser.parse_args(arguments)
        assert exit_.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.count("\n") == 1


@pytest.mark.parametrize("backend", ["torch", "nonsense"])
def test_another_backend_is_refused(monkeypatch, capsys, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    with pytest.raises(SystemExit):
        run_with(monkeypatch, TypeError("main was called"))
    line = f"error: KERAS_BACKEND={backend}: choose tensorflow or jax"
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_waits_for_nothing_slow(command):
    # Not a matter of seconds, which are the machine's.
    run = "run_path" if command.endswith(".py") else "run_module"
    code = f"""
import runpy, sys
sys.argv = ["command", "--help"]
try:
    runpy.{run}({command!r}, run_name="__main__")
except SystemExit as end:
    assert end.code == 0
print(*sys.modules, file=sys.stderr)
"""
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0 and process.stdout.startswith("usage: ")
    imported = {name.partition(".")[0] for name in process.stderr.split()}
    assert "synergynet_tf" in imported
    assert not imported & SLOW


def test_help_keeps_paragraphs_and_commands_apart(capsys):
    text = (
        f"What it does.\n\n{'word ' * 20}\n\n    none    float32\n    int8    8 bits\n"
    )
    with pytest.raises(SystemExit):
        command_line.ArgumentParser(text).parse_args(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert {"What it does.", "    none    float32", "    int8    8 bits"} <= set(lines)
    assert " ".join(["word"] * 15) in lines  # 74 columns; a sixteenth would make 79.


def test_names_that_an_encoding_lacks_end_no_command(tmp_path):
    code = "from synergynet_tf.cli import command_line\n"
    code += "command_line.run(lambda arguments: print('labeled \\u56f3.png'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout.split()) == (0, [b"labeled", rb"\u56f3.png"])


@pytest.mark.parametrize(
    "broken", ["print('more', flush=True)", "raise BrokenPipeError('x')"]
)
@pytest.mark.parametrize("reader", ["head -1", "cat"])
def test_a_reader_that_has_enough_is_no_error(broken, reader):
    code = "import time; from synergynet_tf.cli import command_line\n"
    code += "def main(_):\n    print('first', flush=True)\n    time.sleep(0.5)\n"
    code += f"    {broken}\ncommand_line.run(main)\n"
    command = f'"{sys.executable}" -c "$CODE" | {reader}; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "CODE": code},
        cwd=ROOT,
    )
    if reader == "head -1":
        assert (done.stdout, done.stderr) == ("first\n141\n", "")
    elif "raise" in broken:
        assert done.stdout == "first\n2\n" and done.stderr == "error: x\n"
    else:
        assert (done.stdout, done.stderr) == ("first\nmore\n0\n", "")
