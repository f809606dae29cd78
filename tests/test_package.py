"""The package as it is installed: its names, and what it depends on."""

import pathlib
import re
import subprocess
import sys

import synergynet_tf

ROOT = pathlib.Path(__file__).parents[1]


def requirements(lines):
    """Returns requirement lines, comparable: no comments, one kind of quotes."""
    texts = (line.split("  #")[0].strip().replace("'", '"') for line in lines)
    return {text for text in texts if text and not text.startswith("#")}


def project():
    """Returns `[project]`; Python 3.10 has no reader of TOML, so two lists are cut."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lists = dict(re.findall(r"^(\w+) = \[\n?(.*?)\n?\]$", text, flags=re.S | re.M))
    lists |= dict(re.findall(r"^(\w+) = \[(\".*\")\]$", text, flags=re.M))
    return {
        name: requirements(re.findall(r'"([^"]+)"', body))
        for name, body in lists.items()
    }


def test_requirements_are_those_of_the_package():
    extras = project()
    expected = extras["dependencies"] | extras["train"]
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert requirements(lines) == expected
    assert "tensorflow>=2.21,<2.22" in extras["train"]
    assert extras["serve"] <= extras["train"]
    assert not any("tensorflow" in text for text in extras["dependencies"])


def test_face():
    code = """
import sys, synergynet_tf
assert not {"keras", "numpy", "tensorflow"} & set(sys.modules)
assert callable(synergynet_tf.metrics.dice)
assert "synergynet-8s2h" in synergynet_tf.METHODS
assert synergynet_tf.ModelConfig().num_codes == 1024
assert synergynet_tf.Run("tests/old_run").config.model.name == "synergynet-8s2h"
assert "keras" not in sys.modules
assert callable(synergynet_tf.build_model)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert not set(synergynet_tf.__all__) - {
        *dir(synergynet_tf),
        *synergynet_tf._PLACES,
        "metrics",
    }
