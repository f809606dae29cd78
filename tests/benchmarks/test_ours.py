import numpy as np
import pytest

from benchmarks import ours, steps

SPEC = {"role": "synergynet-8s2h", "image_size": 32, "batches": [1]}


@pytest.fixture(autouse=True)
def defaults(tiny, monkeypatch):
    monkeypatch.setattr(ours, "ExperimentConfig", lambda: tiny)


@pytest.mark.parametrize("precision", steps.PRECISIONS)
@pytest.mark.parametrize("mode", ["train", "infer"])
def test_a_call_is_a_step_or_a_prediction(mode, precision, restore_policy):
    calls, facts = ours.build({**SPEC, "mode": mode, "precision": precision})
    assert list(calls) == ["batch 1"] and facts == {}
    answer = calls["batch 1"]()
    if mode == "infer":
        assert np.asarray(answer).shape == (1, 32, 32, 4)
    else:
        assert np.isfinite(answer[0])  # The loss.


def test_products_of_each_precision_and_size():
    spec = {"mode": "gemm", "sizes": [2, 4], "precisions": steps.PRECISIONS}
    calls, _ = ours.build(spec)
    assert set(calls) == {"float32 2", "float32 4", "bfloat16 2", "bfloat16 4"}
    for call in calls.values():
        call()


def test_operations_of_an_image():
    spec = {"mode": "operations", "roles": ["r50-unet", "vqunet"], "image_size": 32}
    calls, facts = ours.build(spec)
    counted = facts["operations"]
    # A codebook and the blocks around it are something more.
    assert 1e6 < counted["r50-unet"] < counted["vqunet"] and not calls


def test_a_role_names_another_encoder():
    spec = {"image_size": 64}
    lite0 = ours._config(steps.LITE0, spec).model
    assert (lite0.name, lite0.backbone) == ("synergynet-8s2h", "efficientnetlite0")
    own = ours._config("synergynet-8s2h", spec).model
    assert (own.name, own.backbone) == ("synergynet-8s2h", "tiny")
