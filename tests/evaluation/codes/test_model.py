import numpy as np
import pytest

from synergynet_tf.evaluation.codes.analysis import AttentionSummary, entropy_bits
from synergynet_tf.evaluation.codes.interventions import (
    Edit,
    describe_edits,
    dice_change,
    edited_slices,
    foreground_dice,
)
from synergynet_tf.evaluation.codes.model import Bottleneck
from tests.evaluation.codes.coded_squares import (
    SIZE,
    STRIDE,
    build_model,
    draw,
    make_case,
)

GRID = np.zeros((4, 4))
GRID[0] = [0.4, 0.9, 0.1, 1.0]
GRID_CODES = np.zeros((4, 4), int)
GRID_CODES[0] = [1, 2, 0, 2]
LABELS = np.zeros((2, SIZE, SIZE), np.uint8)
LABELS[0, :STRIDE, :16] = 1


def test_codes_distances_and_runners_up_by_hand():
    _, case = make_case(draw(GRID, 0 * GRID), LABELS)
    np.testing.assert_array_equal(case.codes, [GRID_CODES, 0 * GRID_CODES])
    # float32 against decimals.
    np.testing.assert_allclose(case.distances[0, 0], [0.1, 0.1, 0.1, 0], atol=1e-5)
    np.testing.assert_array_equal(case.runners_up[0, 0], [0, 1, 1, 1])
    assert (case.runners_up[1] == 1).all()
    expected = np.kron(GRID_CODES > 0, np.ones((STRIDE, STRIDE)))
    np.testing.assert_array_equal(case.pred_labels, [expected, 0 * expected])
    assert case.busiest_slice == 0


def test_both_halves_make_the_whole():
    for attention in (False, True):
        images = np.random.default_rng(0).random((3, SIZE, SIZE, 3), np.float32)
        whole = build_model(attention).predict(images, verbose=0)
        batches = []
        model, _ = make_case(images, LABELS, attention=attention, watch=batches.append)
        (found,) = batches
        # What the compiler fuses rounds otherwise.
        np.testing.assert_allclose(
            model.decode(found.codes, found.carried), whole, atol=1e-6
        )


def test_switching_a_code_off_changes_the_positions_that_held_it():
    edit = Edit(2)
    held = edit.held(GRID_CODES)
    np.testing.assert_array_equal(np.argwhere(held), [[0, 1], [0, 3]])
    other = np.full_like(GRID_CODES, 3)
    edited = edit.apply(GRID_CODES, other)
    np.testing.assert_array_equal(edited != GRID_CODES, held)
    assert (edited[held] == 3).all()


def test_swapped_codes_take_each_others_places():
    edited = Edit(2, 0).apply(GRID_CODES, GRID_CODES)
    np.testing.assert_array_equal(edited[0], [1, 0, 2, 0])
    assert (edited[1:] == 2).all()


def test_effects_by_hand():
    images = draw(GRID, 0 * GRID)
    model, case = make_case(images, LABELS)
    edits = [Edit(0), Edit(1), Edit(2), Edit(3), Edit(1, 0)]
    decoded = list(edited_slices(model, case, images, edits))
    order = [(0, 0), (0, 1), (1, 0), (2, 0), (1, 0), (1, 1)]
    assert [(edit.code, index) for edit, index, _ in decoded] == order
    found = describe_edits(model, iter([(case, images)]), edits, 2)
    # Of 64 pixels a square: 2 of the 3 found squares are right.
    assert found["dsc"] == 2 * 2 / (3 + 2)
    off = {entry["code"]: entry for entry in found["switched_off"]}
    # Black becomes gray, 13 and 16 squares: all is the class.
    assert off[0]["changed_pixels"] == 64 * (13 + 16)
    assert off[0]["positions"] == 13 + 16 and off[0]["slices"] == 2
    assert off[0]["changed_per_square"] == 1.0
    # From 0 to 0.5, of the 2.875 to the mean of 0, 0.5, 1 and 10; from 0.5 to 0.
    assert off[0]["moved"] == pytest.approx(0.5 / 2.875)
    assert off[1]["moved"] == pytest.approx(0.5 / 2.375)
    assert off[3]["moved"] is None
    assert off[0]["dsc_change"] == 2 * 2 / (32 + 2) - 0.8
    # Gray becomes black: one of 16 squares of one slice, a right one.
    assert off[1]["changed_share"] == 1 / 16
    assert off[1]["dsc_change"] == 2 * 1 / (2 + 2) - 0.8
    # White becomes gray, which is the class as well.
    assert off[2]["positions"] == 2 and off[2]["changed_pixels"] == 0
    assert off[2]["case_id"] is None
    # Nowhere.
    assert off[3]["positions"] == off[3]["changed_share"] == off[3]["slices"] == 0
    assert list(off) == [0, 1, 2, 3]
    assert (off[1]["case_id"], off[1]["slice"]) == ("a", 1)
    (swapped,) = found["swapped"]
    assert (swapped["code"], swapped["swapped_with"]) == (1, 0)
    assert swapped["changed_pixels"] == 64 * (1 + 13 + 16)
    twice = [Edit.swap(1, 0), Edit.swap(0, 1), Edit(2), Edit(2)]
    again = describe_edits(model, iter([(case, images)]), twice, 2)
    assert again["swapped"] == [swapped | {"code": 0, "swapped_with": 1}]
    assert again["switched_off"] == [off[2]]


def test_changes_have_intervals_by_patient():
    # The second of two patients is found whole, the first not at all.
    before = np.array([[[0, 0], [4, 0]], [[0, 0], [0, 4]]])
    after = np.array([[[0, 0], [0, 4]], [[0, 0], [0, 4]]])
    weights = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    found = dice_change(before, after, weights)
    changes = [1.0, 1 - 2 * 4 / (4 + 8), 0.0]
    assert found["dsc_change"] == changes[1]
    expected = np.quantile(changes, [0.025, 0.975])
    assert found["dsc_change_interval"] == pytest.approx(tuple(expected))
    one_patient = dice_change(before, after, np.ones((3, 2)))
    assert np.isnan(one_patient["dsc_change_interval"]).all()


def test_dice_of_what_is_not_there_is_undefined():
    counts = np.array([[[5, 0], [0, 0]], [[5, 1], [0, 0]], [[0, 2], [2, 4]]])
    np.testing.assert_array_equal(foreground_dice(counts), [np.nan, 0.0, 2 / 3])


def test_attention_by_hand():
    assert entropy_bits(np.array([0.5, 0.25, 0.25, 0.0])) == 1.5
    summary = AttentionSummary()
    make_case(draw(GRID, 0 * GRID), LABELS, attention=True, watch=summary.add)
    found = summary.results()
    # All weights are 0: every token weighs alike. All pick the first other: the first
    # token the second, the others the first.
    assert found["disconx"]["tokens"] == 16
    assert found["disconx"]["entropy_bits"]["mean"] == 4.0
    assert found["disconx"]["effective_tokens"]["per_head"] == [16.0]
    assert found["disconx"]["weight_of_own_position"]["mean"] == 1 / 16
    assert found["disconx"]["told_by_query_bits"]["mean"] == 0.0
    assert found["refinement"]["picks_itself"]["mean"] == 0.0
    assert found["refinement"]["distinct_picks"]["per_head"] == [2.0]


def test_what_queries_tell_of_what_is_looked_at():
    # One head's queries look at four different tokens, another's all at two.
    weights = np.zeros((1, 2, 4, 4), np.float32)
    weights[0, 0] = np.eye(4)
    weights[0, 1, :, :2] = 0.5
    found = Bottleneck(*[np.zeros((1, 2, 2))] * 3, [], attention=weights, picks=None)
    summary = AttentionSummary()
    summary.add(found)
    assert summary.results()["disconx"]["told_by_query_bits"]["per_head"] == [2.0, 0.0]


def test_picks_by_hand():
    # In the first head, the first and the last of four tokens pick themselves.
    picks = np.array([[[0, 0, 1, 3], [2, 2, 0, 2]]])
    found = Bottleneck(*[np.zeros((1, 2, 2))] * 3, [], attention=None, picks=picks)
    summary = AttentionSummary()
    summary.add(found)
    found = summary.results()["refinement"]
    assert found["picks_itself"]["per_head"] == [0.5, 0.0]
    assert found["distinct_picks"]["per_head"] == [3.0, 2.0]


def test_a_method_without_attention_has_none():
    summary = AttentionSummary()
    make_case(draw(GRID), LABELS[:1], watch=summary.add)
    assert summary.results() == {"disconx": None, "refinement": None}
