import pytest

from tests.evaluation import squares


@pytest.fixture
def squares_run(tmp_path, monkeypatch):
    """A run on white squares, whose model needs no weights."""
    for module in ("score", "label_files"):
        target = f"synergynet_tf.evaluation.{module}.load_run_model"
        monkeypatch.setattr(target, squares.build_model)
    return squares.write_run(tmp_path / "runs", squares.write_data(tmp_path / "data"))
