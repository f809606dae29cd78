import gc
import os
import pathlib

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One of several processes, which share the cores: each works in one thread.
    for library in ("OMP_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP"):
        os.environ.setdefault(f"{library}_THREADS", "1")

ROOT = pathlib.Path(__file__).parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Searches for no garbage in what is imported, then or later: it stays."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


@pytest.fixture(autouse=True, scope="module")
def freed_models():
    """Frees the models of a module at its end: their layers refer to each other."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    """Keeps prepared stores of tests out of the user's cache."""
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def real_data():
    """The folder of real datasets; its tests are skipped where it is absent."""
    folder = os.environ.get("SYNERGYNET_TEST_DATA", ROOT.parent / "shared" / "data")
    if not pathlib.Path(folder).is_dir():
        pytest.skip(f"no real data at {folder}; set SYNERGYNET_TEST_DATA")
    return pathlib.Path(folder)


@pytest.fixture
def refused(monkeypatch, capsys):
    """Runs a command here, which must refuse; returns its one line on stderr."""
    from synergynet_tf.cli import command_line

    def run(main, *arguments):
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            command_line.run(main)
        printed = capsys.readouterr()
        assert exit_.value.code == 2 and printed.out == ""
        (line,) = printed.err.splitlines()
        assert line.startswith("error: ")
        return line

    return run


@pytest.fixture
def restore_policy():
    """Undoes what a test does to Keras' global dtype policy."""
    import keras

    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def tiny_encoder(image, weights):
    """An encoder that builds and trains in a second: five blocks, five halvings."""
    import keras

    from synergynet_tf.layers import ConvBlock

    features, x = {}, image
    for level in range(1, 6):
        x = keras.layers.MaxPooling2D(2)(ConvBlock(8, name=f"encoder_{level}")(x))
        features[f"P{level}"] = x
    return features


@pytest.fixture
def tiny(monkeypatch):
    """An experiment of seconds on the phantom: the real thing, made small."""
    return make_tiny(monkeypatch)


def make_tiny(patch):
    """Returns the experiment of `tiny`, with which a fixture may train for several."""
    from synergynet_tf.config import ExperimentConfig
    from synergynet_tf.models import ENCODERS

    patch.setitem(ENCODERS, "tiny", tiny_encoder)
    return ExperimentConfig().replace(
        dataset="phantom",
        split="official",
        limit=4,
        backbone="tiny",
        encoder_weights="none",
        image_size=32,
        num_classes=4,
        num_codes=16,
        hidden_dim=16,
        vit_layers=1,
        vit_dim=64,
        restart_every=3,
        epochs=3,
        batch_size=4,
    )
