import json
import math

import numpy as np
import pytest

from synergynet_tf import formats, runs
from synergynet_tf.cli import calibrate as command
from synergynet_tf.cli import evaluate
from synergynet_tf.data import Case
from synergynet_tf.data.preprocess import to_labels
from synergynet_tf.evaluation import calibration
from synergynet_tf.evaluation.cases import find_cases
from synergynet_tf.evaluation.confidence import Confidence, to_probabilities
from synergynet_tf.metrics.calibration import bin_case, expected_dice
from tests.evaluation import squares
from tests.evaluation.page import read_page


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_temperature_of_a_constant_logit_has_a_closed_form():
    # Three of four are foreground: sigmoid(4 / T) = 3 / 4.
    logits = np.full((400, 1), 4.0, np.float32)
    true = np.repeat([1, 1, 1, 0], 100).astype(np.uint8)
    expected = 4 / math.log(3)
    assert calibration.fit_temperature(logits, true) == pytest.approx(
        expected, rel=1e-4
    )
    # Background and a class with a logit of 0 for background are the same.
    two = np.concatenate([np.zeros_like(logits), logits], axis=-1)
    assert calibration.fit_temperature(two, true) == pytest.approx(expected, rel=1e-4)


def test_negative_log_likelihood_by_hand():
    logits = np.array([[0.0, math.log(3)], [0.0, math.log(3)]])
    true = np.array([1, 0], np.uint8)
    expected = -(math.log(3 / 4) + math.log(1 / 4)) / 2
    found = calibration.negative_log_likelihood(logits, true)
    assert found == pytest.approx(expected, rel=1e-12)
    halved = calibration.negative_log_likelihood(logits, true, 1 / 2)
    assert halved == pytest.approx(-(math.log(9 / 10) + math.log(1 / 10)) / 2)


def test_no_pixel_is_refused():
    with pytest.raises(ValueError, match="No validation case"):
        calibration.fit_temperature(np.zeros((0, 1)), np.zeros(0, np.uint8))


def test_probabilities_by_hand():
    one = to_probabilities(np.array([[2.0]], np.float32), 2)
    assert one == pytest.approx(np.array([[sigmoid(1)]]))
    several = to_probabilities(np.log(np.array([1.0, 2.0, 5.0])).astype(np.float32))
    assert several == pytest.approx(np.array([2 / 8, 5 / 8]))


@pytest.mark.parametrize("channels", [1, 4])
def test_confidence_slice_by_slice_is_that_of_the_whole(channels):
    logits = np.random.default_rng(0).normal(size=(3, 5, 7, channels))
    logits = logits.astype(np.float32)
    logits[..., -1] -= 10 * (channels > 1)  # The last class is nowhere.
    found = Confidence.of(max(1, channels - 1))
    labels, probabilities = to_labels(logits), to_probabilities(logits, 1.5)
    for own in zip(probabilities, labels, strict=True):
        found.add(*own)
    expected = [
        expected_dice(probabilities[..., i], labels == i + 1)
        for i in range(probabilities.shape[-1])
    ]
    assert found.expected_dice() == pytest.approx(np.array(expected), nan_ok=True)
    assert math.isnan(expected[-1]) == (channels > 1)


def test_bins_of_slices_are_those_of_the_case():
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(4, 40, 30, 3)).astype(np.float32)
    logits[..., 0] += 2 + (generator.random((4, 40, 30)) < 0.995)
    label = (generator.random((4, 40, 30)) < 0.003).astype(np.uint8)
    case = Case("a", np.zeros((4, 40, 30, 1), np.float32), label, (1.0, 1.0, 1.0))
    watched = calibration._Watched(case, "a", 2, 2.0)
    for own in logits:
        watched.add(own, to_labels(own))
    (found, _) = watched.structures()
    # Written out: how far is the nearest pixel of either mask?
    truth, pred = label == 1, to_labels(logits) == 1
    region = np.zeros_like(truth)
    for s, r, c in np.argwhere(truth | pred):
        region[s, max(0, r - 5) : r + 6, max(0, c - 5) : c + 6] = True
    assert 0 < region.mean() < 1
    for bins, temperature in ((found.before, 1.0), (found.after, 2.0)):
        probability = to_probabilities(logits, temperature)[..., 0]
        expected = bin_case(truth, probability, region)
        for own, value in zip(bins, expected, strict=True):
            assert own == pytest.approx(value)
    assert found.dsc == pytest.approx(
        2 * (truth & pred).sum() / (truth.sum() + pred.sum())
    )


def half_scores(temperature):
    """Brier score and ECE of the case `half`: 64 white pixels found, 64 missed.

    Near the square are 13 x 21 pixels; the logit is 0.5 on white and -0.5 on black.
    """
    white, black = sigmoid(0.5 / temperature), sigmoid(-0.5 / temperature)
    pixels = 13 * 21
    rest = pixels - 128
    squares_ = 64 * (1 - white) ** 2 + 64 * (1 - black) ** 2 + rest * black**2
    gaps = abs(64 * white - 64) + abs((64 + rest) * black - 64)
    return squares_ / pixels, gaps / pixels


def test_a_run_by_hand(squares_run):
    run = runs.Run(squares_run)
    validation, test = find_cases(run, "val"), find_cases(run, "test")
    half = [case_id for case_id in test.case_ids if case_id.endswith("half")]
    test.case_ids[:] = half
    found = calibration.calibrate(squares.build_model(), validation, test)
    own = found["measured"]["per_class"]["square"]
    brier, ece = half_scores(1)
    assert own["before"]["brier"] == pytest.approx(brier, rel=1e-6)
    assert own["before"]["ece"] == pytest.approx(ece, rel=1e-6)
    brier, ece = half_scores(found["temperature"])
    assert own["after"]["brier"] == pytest.approx(brier, rel=1e-5)
    assert own["after"]["ece"] == pytest.approx(ece, rel=1e-5)
    assert found["fitted"]["nll_after"] <= found["fitted"]["nll_before"]
    trust = found["measured"]["confidence"]
    assert (trust["structures"], trust["area"]) == (1, pytest.approx(1 / 3))


def test_a_network_that_finds_nothing_has_no_confidence(squares_run):
    model = squares.build_model()

    class Blind:
        def predict_on_batch(self, images):
            return np.full_like(model.predict_on_batch(images), -3)

    cases = [find_cases(runs.Run(squares_run), part) for part in ("val", "test")]
    found = calibration.calibrate(Blind(), *cases)
    trust = found["measured"]["confidence"]
    assert trust["structures"] == 0 and math.isnan(trust["area"])
    assert "finds no structure" in command.format_calibration(found)
    evaluate.main(["--run", str(squares_run), "--workers", "0"])
    found = formats.without_nan(found)
    runs.write_json(squares_run / runs.CALIBRATION, found)
    _, text = read_page(squares_run)
    assert "found no structure" in text


def test_what_a_crop_leaves_out_is_not_drawn(squares_run):
    """There logits are no output of the network: background, at any temperature."""
    config = json.loads((squares_run / "config.json").read_text())
    config["data"] |= {"center_crop": 0.5, "modality": "mri"}
    (squares_run / "config.json").write_text(json.dumps(config))
    cases = find_cases(runs.Run(squares_run), "test")
    logits, true = calibration._draw_pixels(squares.build_model(), cases)
    assert len(true) > 0 and np.abs(logits).max() < 1


class Scaled:
    """A model with logits three times as large: as right, and more sure."""

    def __init__(self, model):
        self._model = model

    def predict_on_batch(self, images):
        return 3 * np.asarray(self._model.predict_on_batch(images))


def test_a_surer_model_is_cooled_to_the_same_probabilities(squares_run):
    run = runs.Run(squares_run)
    # Of all four cases, so that the temperature is not at its limit.
    cases = find_cases(run, "test"), find_cases(run, "test")
    model = squares.build_model()
    plain = calibration.calibrate(model, *cases)
    surer = calibration.calibrate(Scaled(model), *cases)
    assert surer["temperature"] == pytest.approx(3 * plain["temperature"], rel=1e-3)
    ours, theirs = (
        found["measured"]["per_class"]["square"]["after"] for found in (plain, surer)
    )
    assert ours["ece"] == pytest.approx(theirs["ece"], rel=1e-3)
    confidences = [found["measured"]["confidence"]["area"] for found in (plain, surer)]
    assert confidences[0] == confidences[1]


def test_command_writes_what_exports_and_predictions_use(squares_run, capsys):
    command.main(["--run", str(squares_run)])
    printed = capsys.readouterr().out
    assert printed.startswith("temperature ") and "calibration.json" in printed
    text = (squares_run / runs.CALIBRATION).read_text()
    assert "NaN" not in text
    assert runs.Run(squares_run).temperature == json.loads(text)["temperature"]


def test_the_report_shows_it(squares_run):
    evaluate.main(["--run", str(squares_run), "--workers", "0"])
    page, _ = read_page(squares_run)
    with pytest.raises(ValueError):
        page.table("ECE and Brier")
    command.main(["--run", str(squares_run)])
    found = json.loads((squares_run / runs.CALIBRATION).read_text())
    page, _ = read_page(squares_run)
    _, (name, *cells) = page.table("ECE and Brier score of the test part, pixels at mo")
    own = found["measured"]["per_class"][name]
    before = own["before"]
    low, high = before["interval"]["ece"]
    assert cells[0] == f"{before['ece']:.4f} [{low:.4f}, {high:.4f}]"
    assert cells[3].startswith(f"{own['after']['brier']:.4f} [")


def test_a_run_without_calibration_has_temperature_1(squares_run):
    assert runs.Run(squares_run).temperature == 1


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"temperature": 0.0}', '{"temperature": "2"}']
)
def test_a_damaged_calibration_is_refused(squares_run, text):
    (squares_run / runs.CALIBRATION).write_text(text)
    with pytest.raises(ValueError, match=r"calibration\.json is damaged"):
        _ = runs.Run(squares_run).temperature


def test_a_calibration_of_other_weights_is_refused(squares_run):
    values = {"temperature": 2.0, "weights_sha256": "0" * 64}
    runs.write_json(squares_run / runs.CALIBRATION, values)
    with pytest.raises(ValueError, match="of other weights"):
        _ = runs.Run(squares_run).temperature
