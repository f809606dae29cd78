import pytest

from benchmarks import steps, targets
from tests.benchmarks.results import everything_run, nothing_run, row


def verdicts(results):
    return {v.target.name: v for v in targets.judge(results)}


def test_names_differ():
    assert len(verdicts(nothing_run())) == len(targets.TARGETS)


def test_nothing_run_is_neither_met_nor_missed():
    found = targets.judge(nothing_run())
    assert all(v.value is None and v.met is None for v in found)


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("r50-unet, train, bfloat16, batch 8: time in that of SMP", 0.9, True),
        # The bound is 0.7 3.6 / 0.99 = 2.545...
        ("transunet, train, bfloat16, batch 8: time in that of SMP", 3.0, False),
        ("synergynet-8s2h, train, bfloat16, batch 8: time in", 1.2, True),
        ("synergynet-8s2h on efficientnetlite0, train, bfloat16", 0.5, True),
        # 8 images of 20 GFLOP in 2 s are 80 GFLOP/s, of 100.
        ("synergynet-8s2h, infer, float32, batch 8: share", 0.8, True),
        ("augmented batches", 9.0, True),
        ("second start", 12.34, True),
        ("slowest --help or refusal", 1.5, False),
        ("HD95 of a liver", 50.0, True),
        ("HD95 of a gallbladder", 100.0, False),
        ("batch 1 of the best export", 0.2, True),
    ],
)
def test_each_target_by_hand(name, value, met):
    found = verdicts(everything_run())
    (verdict,) = (v for key, v in found.items() if key.startswith(name))
    assert verdict.value == pytest.approx(value)
    assert verdict.met is met


def test_transunets_bound():
    assert targets.TRANSUNET_RATIO == pytest.approx(2.5454545)


def test_a_training_step_counts_three_forwards():
    results = everything_run()
    step = targets.find_row(results, "transunet", "train", "bfloat16", 8)
    # 8 images of 3 x 40 GFLOP in 3 s; the machine reaches 400 GFLOP/s.
    assert targets.gflops(results, step) == pytest.approx(320)
    assert targets.gemm_share(results, step) == pytest.approx(0.8)
    del results["gemm"]
    assert targets.gemm_share(results, step) is None


def test_the_peers_settings_share_its_operations():
    results = everything_run()
    step = row(f"{steps.PEER}, weights", "infer", "bfloat16", 1, 0.1)
    # 12 GFLOP in 0.1 s.
    assert targets.gflops(results, step) == pytest.approx(120)


def test_without_the_peer_there_is_no_ratio():
    results = everything_run()
    for each in results["steps"]["rows"]:
        each["ratio"] = None
    found = verdicts(results)
    assert all(v.met is None for n, v in found.items() if n.endswith(steps.PEER))
    assert found["slowest --help or refusal"].met is False
