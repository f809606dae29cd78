"""The client before it asks: its flags, addresses, and patience."""

import pathlib
import subprocess
import sys

import pytest

from synergynet_tf.cli import serving_client
from synergynet_tf.export import serving_client as serving
from synergynet_tf.export.serving_client import Unavailable

ROOT = pathlib.Path(__file__).parents[3]


@pytest.mark.parametrize(
    "flags",
    [
        ("--timeout", "0"),
        ("--timeout", "nan"),
        ("--retries", "-1"),
        ("--version", "0"),
    ],
)
def test_limits_are_checked(flags, capsys):
    needed = ["--url", "a:1", "--input", "c", "--output", "d"]
    with pytest.raises(SystemExit):
        serving_client.parse_args([*needed, *flags])
    assert f"error: {flags[0]} must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        "localhost",
        "ftp://host:1",
        "host:port",
        "http://",
        "grpc://host",
        "host:1/path",
        ":8500",
        "::1:8500",
        "http://:8501",
        "http://host:abc",
        "http://host:99999",
        "http://ho st:1",
        "http://ho\nst:1",
        "http://[bad",
        "http://host:1?model=a",
        "http://host:1/#a",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match=r"--url must be .* Received: "):
        serving.connect(url, "m", None, "", 1)


@pytest.mark.parametrize("url", ["http://u:word@host:1", "u:word@host:1"])
def test_a_password_is_not_sent_nor_shown(url):
    with pytest.raises(ValueError, match="must not hold a user") as info:
        serving.connect(url, "m", None, "", 1)
    assert "word@" not in str(info.value)


def test_waits_grow_and_end(monkeypatch):
    waits = []
    monkeypatch.setattr(serving.time, "sleep", waits.append)

    def unavailable():
        raise Unavailable("busy")

    with pytest.raises(Unavailable):
        serving.retry(unavailable, 4)
    assert waits == [0.5, 1, 2, 4]


def test_rest_needs_no_tensorflow():
    code = (
        "import sys, synergynet_tf.cli.serving_client;"
        "import synergynet_tf.export.serving_client as c;"
        "c.connect('http://h', 'm', 1, '', 1);"
        "sys.exit(bool({'tensorflow', 'keras', 'grpc'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
