"""The peer's side, where `make bench` has set its environment up."""

import pytest

from benchmarks import steps
from benchmarks.worker import ROOT

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SPEC = {"image_size": 32, "batches": [2], "setting": "eager"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="no .venv-peers: make bench"),
]


@pytest.mark.parametrize("precision", steps.PRECISIONS)
@pytest.mark.parametrize("mode", steps.BATCHES)
def test_a_call_is_a_step_or_a_prediction(mode, precision):
    for setting in steps.peer_settings(mode, precision, compile_peer=False):
        spec = {**SPEC, "mode": mode, "precision": precision, "setting": setting}
        with steps.peers(str(PYTHON), spec) as worker:
            assert set(worker.facts()["versions"]) == {
                "torch",
                "segmentation-models-pytorch",
            }
            assert len(worker.time("batch 2", 2)) == 2


def test_operations_of_an_image():
    spec = {"mode": "operations", "roles": [steps.PEER], "image_size": 224}
    with steps.peers(str(PYTHON), spec) as worker:
        counted = worker.facts()["operations"]
    # SMP 0.6's, counted when the benchmark was written.
    assert counted[steps.PEER] == pytest.approx(16.4e9, rel=0.01)


def test_products_of_each_precision_and_size():
    spec = {"mode": "gemm", "sizes": [4], "precisions": steps.PRECISIONS}
    with steps.peers(str(PYTHON), spec) as worker:
        worker.facts()
        for precision in steps.PRECISIONS:
            assert worker.time(f"{precision} 4")[0] > 0
