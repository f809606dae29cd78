import numpy as np
import pytest

from benchmarks import ours, steps

SPEC = {"role": "synergynet-8s2h", "image_size": 32, "batches": [1]}


@pytest.mark.parametrize("precision", steps.PRECISIONS)
@pytest.mark.parametrize("mode", ["train", "infer"])
def test_a_call_is_a_step_or_a_prediction(mode, precision, restore_policy):
    calls, facts = ours.build({**SPEC, "mode": mode, "precision": precision})
    assert list(calls) == ["batch 1"] and facts == {}
    answer = calls["batch 1"]()
    if mode == "infer":
        assert np.asarray(answer).shape == (1, 32, 32, 1)
    else:
        assert np.isfinite(answer[0])  # The loss.


def test_products_of_each_precision_and_size():
    spec = {"mode": "gemm", "sizes": [2, 4], "precisions": steps.PRECISIONS}
    calls, _ = ours.build(spec)
    assert set(calls) == {"float32 2", "float32 4", "bfloat16 2", "bfloat16 4"}
    for call in calls.values():
        call()


def test_operations_of_an_image():
    spec = {"mode": "operations", "roles": ["r50-unet"], "image_size": 32}
    calls, facts = ours.build(spec)
    # A thing of GFLOPs at 224 pixels, which has 49 times as many.
    assert 1e8 < facts["operations"]["r50-unet"] < 1e9 and not calls
