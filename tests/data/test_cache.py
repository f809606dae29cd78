"""Where the cache is."""

import pathlib

import pytest

from synergynet_tf.data.cache import cache_dir


def test_a_named_cache_needs_no_home(tmp_path, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "home", no_home)
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("SYNERGYNET_CACHE")
    with pytest.raises(OSError, match="SYNERGYNET_CACHE"):
        cache_dir()
