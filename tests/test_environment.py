"""Processor and commit; and settings of other projects, which change nothing here."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from synergynet_tf import environment

ROOT = pathlib.Path(__file__).parents[1]
# A command, in a process of its own, that shows what Keras is set to, and computes
# and warns as libraries do.
COMMAND = """
import subprocess, sys, warnings
from synergynet_tf.cli import command_line

def main(arguments):
    warnings.warn("a library's", DeprecationWarning)
    flags = subprocess._args_from_interpreter_flags()  # Of processes it starts.
    assert not [flag for flag in flags if flag.startswith("-W")]
    import keras
    print(keras.config.floatx(), keras.config.image_data_format(), end=" ")
    print(keras.config.epsilon(), keras.config.dtype_policy().name, end=" ")
    print(keras.config.max_epochs())

command_line.run(main)
"""


@pytest.fixture
def keras_json(tmp_path, monkeypatch):
    """Writes the keras.json that Keras is to read."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    path = tmp_path / "keras.json"

    def write(content):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def command(**variables):
    return subprocess.run(
        [sys.executable, "-c", COMMAND],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def test_a_backend_of_the_file_is_refused_and_the_file_named(keras_json, monkeypatch):
    path = keras_json({"backend": "torch"})
    with pytest.raises(ValueError, match="set KERAS_BACKEND=tensorflow") as error:
        environment.require_backend()
    assert str(error.value).startswith(f'{path}: "backend": "torch": ')
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # It goes before the file.
    environment.require_backend()
    monkeypatch.setenv("KERAS_BACKEND", "")  # As Keras takes it.
    with pytest.raises(ValueError, match=r"keras\.json"):
        environment.require_backend()


@pytest.mark.parametrize("content", ['{"backend": "jax"}', "{}", "{", '{"epsilon": 1}'])
def test_a_backend_of_the_file_is_taken(keras_json, content):
    keras_json(content)
    environment.require_backend()


def test_the_file_is_looked_for_at_home(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert environment._keras_json_path() == tmp_path / ".keras" / "keras.json"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert environment._keras_json_path() == pathlib.Path("/tmp/.keras/keras.json")


@pytest.mark.parametrize(
    "content",
    [[], {"floatx": "int8"}, {"epsilon": 1}, {"image_data_format": "rows"}],
)
def test_what_keras_does_not_take_is_refused_and_the_file_named(
    keras_json, content, tmp_path
):
    keras_json(content)
    process = command(KERAS_HOME=str(tmp_path))
    assert process.returncode == 2
    assert process.stderr.startswith(f"error: {tmp_path}/keras.json")
    assert process.stderr.count("\n") == 1


def test_surroundings_change_no_result(keras_json, tmp_path):
    keras_json(
        {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}
    )
    process = command(
        KERAS_HOME=str(tmp_path),
        PYTHONWARNINGS="error",
        KERAS_MAX_EPOCHS="1",
        TF_USE_LEGACY_KERAS="1",
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == "float32 channels_last 1e-07 float32 None\n"
    ignored = "warning: KERAS_MAX_EPOCHS is ignored: --epochs says how long to train\n"
    assert process.stderr == ignored


def test_without_such_a_file_keras_is_not_imported(keras_json):
    for content in ("{}", environment.KERAS_DEFAULTS):
        keras_json(content)
        code = (
            "import sys; from synergynet_tf import environment; "
            "environment.reset_keras(); assert 'keras' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512_bf16\n\nflags\t\t: fpu\n", "avx512_bf16"),
        ("processor : 0\nFeatures : fp asimd\n", None),
        (None, None),
    ],
)
def test_flags_of_the_cpu(tmp_path, monkeypatch, text, expected):
    path = tmp_path / "cpuinfo"
    if text:
        path.write_text(text)
    monkeypatch.setattr(environment, "CPU_INFO", path)
    assert environment.cpu_flags() == (("fpu", expected) if expected else ())


def test_the_commit_is_git_s_own():
    git = [
        "git",
        "-C",
        str(pathlib.Path(__file__).parent),
        "rev-parse",
        "--short=12",
        "HEAD",
    ]
    done = subprocess.run(git, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the code is not in a repository")
    assert environment.commit().removesuffix("+") == done.stdout.strip()


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.commit() is None
