import pathlib
import subprocess

import pytest

from synergynet_tf import environment


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
