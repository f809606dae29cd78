import itertools
import math

import numpy as np
import pytest

from synergynet_tf import metrics
from synergynet_tf.metrics import LesionRule, Lesions, find_lesions

NONE = Lesions((), (), (), ())


def mask(*rows):
    return np.array([[cell == "#" for cell in row] for row in rows])


def flood(cells, connectivity):
    """Parts a set of places into components, one neighbor at a time."""
    cells, components = set(cells), []
    while cells:
        component, edge = set(), [cells.pop()]
        while edge:
            place = edge.pop()
            component.add(place)
            for step in itertools.product((-1, 0, 1), repeat=len(place)):
                if connectivity == "faces" and sum(map(abs, step)) != 1:
                    continue
                near = tuple(a + b for a, b in zip(place, step, strict=True))
                if near in cells:
                    cells.remove(near)
                    edge.append(near)
        components.append(component)
    return components


def count_by_hand(true, pred, rule):
    """Counts with sets of places what `find_lesions` counts with arrays."""
    both = [
        [
            component
            for component in flood(
                map(tuple, np.argwhere(a).tolist()), rule.connectivity
            )
            if len(component) >= rule.minimal_size
        ]
        for a in (true, pred)
    ]

    def sizes(own, others):
        found, lost = [], []
        for component in own:
            if rule.overlap == "any":
                covered = any(component & other for other in others)
            elif rule.overlap == "share":
                inside = len(component & set().union(*others))
                covered = inside / len(component) >= rule.threshold
            else:
                covered = any(
                    len(component & other) / len(component | other) >= rule.threshold
                    for other in others
                )
            (found if covered else lost).append(len(component))
        return tuple(sorted(found)), tuple(sorted(lost))

    lesions, findings = both
    return Lesions(*sizes(lesions, findings), *sizes(findings, lesions))


RULES = [
    LesionRule(*overlap, connectivity, minimal_size)
    for overlap in (
        ("any",),
        ("share", 0.5),
        ("share", 1.0),
        ("iou", 0.1),
        ("iou", 0.6),
    )
    for connectivity in ("full", "faces")
    for minimal_size in (1, 3)
    for overlap in [(*overlap, None)[:2]]
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_it_is_an_independent_count(rule):
    rng = np.random.default_rng(0)
    several = 0
    for shape in [(12, 14), (12, 14), (5, 6, 7), (5, 6, 7), (1, 9, 9)]:
        true = rng.random(shape) < 0.3
        # Partly the same, so that some components are the same and some are not.
        pred = np.where(rng.random(shape) < 0.7, true, rng.random(shape) < 0.3)
        found = find_lesions(true, pred, rule)
        assert found == count_by_hand(true, pred, rule)
        several += len(found.detected) + len(found.missed) > 1
    assert several


def test_by_hand():
    true = mask(
        "##...#",
        "##....",
        "....##",
        "......",
        "###...",
    )
    pred = mask(
        ".###..",
        "......",
        "......",
        "......",
        "#.##.#",
    )
    # Lesions: 4 (hit once), 1 (missed), 2 (missed), 3 (hit twice). Findings: 3 (true),
    # 1 and 2 (both true by one lesion), 1 (false).
    found = find_lesions(true, pred)
    assert found == Lesions((3, 4), (1, 2), (1, 2, 3), (1,))
    assert found.recall == 2 / 4 and found.precision == 3 / 4
    assert found.f1 == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    assert found.scores() == {
        "lesion_precision": 0.75,
        "lesion_recall": 0.5,
        "lesion_f1": found.f1,
    }
    # 1 of 4 and 2 of 3 voxels are predicted; 1 of 3, 1 of 1 and 1 of 2 are true.
    half = find_lesions(true, pred, LesionRule("share", 0.5))
    assert half == Lesions((3,), (1, 2, 4), (1, 2), (1, 3))
    # IoU 1 / 6, and 1 / 3 and 1 / 4 of the lower lesion.
    quarter = find_lesions(true, pred, LesionRule("iou", 0.25))
    assert quarter == Lesions((3,), (1, 2, 4), (1, 2), (1, 3))
    third = find_lesions(true, pred, LesionRule("iou", 0.3))
    assert third == Lesions((3,), (1, 2, 4), (1,), (1, 2, 3))
    # Of two voxels or more: findings of 3 and 2, the second still true.
    large = find_lesions(true, pred, LesionRule(minimal_size=2))
    assert large == Lesions((3, 4), (2,), (2, 3), ())


def test_a_corner_joins_components_unless_faces_must():
    corner = mask("#.", ".#")
    assert find_lesions(corner, corner).detected == (2,)
    faces = LesionRule(connectivity="faces")
    assert find_lesions(corner, corner, faces).detected == (1, 1)
    in_space = np.zeros((2, 2, 2), bool)
    in_space[0, 0, 0] = in_space[1, 1, 1] = True
    assert find_lesions(in_space, in_space).detected == (2,)
    assert find_lesions(in_space, in_space, faces).detected == (1, 1)


def test_a_threshold_that_is_met_exactly_is_met():
    # In floating point 0.07 * 100 is more than 7, and 0.55 * 20 more than 11.
    for size, inside, threshold in ((100, 7, 0.07), (20, 11, 0.55), (10, 1, 0.1)):
        true, pred = np.zeros((2, 1, size), bool)
        true[:], pred[0, :inside] = True, True
        for overlap in ("share", "iou"):
            found = find_lesions(true, pred, LesionRule(overlap, threshold))
            assert found.detected == (size,)


@pytest.mark.parametrize(
    ("true", "pred", "scores"),
    [
        ("...", "...", (math.nan, math.nan, math.nan)),
        ("#..", "...", (math.nan, 0.0, 0.0)),
        ("...", "#..", (0.0, math.nan, 0.0)),
        ("#..", "..#", (0.0, 0.0, 0.0)),
        ("#..", "#..", (1.0, 1.0, 1.0)),
    ],
)
def test_empty_masks(true, pred, scores):
    found = find_lesions(mask(true), mask(pred))
    assert (found.precision, found.recall, found.f1) == pytest.approx(
        scores, nan_ok=True
    )


def test_a_mask_of_small_components_is_empty():
    true, pred = mask("#.#.."), mask("###..")
    found = find_lesions(true, pred, LesionRule(minimal_size=2))
    assert found == Lesions((), (), (), (3,))
    assert math.isnan(found.recall)
    assert find_lesions(true, true, LesionRule(minimal_size=2)) == NONE


def test_classes_of_a_case():
    true = np.array([[1, 2, 0, 0, 2]], np.uint8)
    pred = np.array([[1, 1, 0, 0, 2]], np.uint8)
    found = metrics.find_lesions_of_case(true, pred, ["a", "b", "c"])
    assert found == {
        "a": Lesions((1,), (), (2,), ()),
        "b": Lesions((1,), (1,), (1,), ()),
        "c": NONE,
    }
    assert metrics.lesion_scores(found)["b"]["lesion_recall"] == 0.5
    in_volume = metrics.find_lesions_of_case(true[None], pred[None], ["a", "b", "c"])
    assert in_volume == found


def test_classes_are_those_of_their_masks():
    true, pred = np.random.default_rng(1).integers(0, 4, (2, 4, 8, 8))
    found = metrics.find_lesions_of_case(true, pred, ["a", "b", "c"])
    for label, lesions in enumerate(found.values(), start=1):
        assert lesions == find_lesions(true == label, pred == label)


def test_lesions_of_all_cases():
    cases = [Lesions((5,), (1,), (4,), ()), Lesions((2,), (), (2,), (3, 7))]
    whole = metrics.total_lesions(cases)
    assert whole == Lesions((2, 5), (1,), (2, 4), (3, 7))
    assert (whole.recall, whole.precision) == (2 / 3, 1 / 2)


def test_scores_of_cases_are_averaged_where_they_are_defined():
    cases = [Lesions((5,), (1,), (4,), ()), NONE]
    averaged = metrics.average([metrics.lesion_scores({"a": case}) for case in cases])
    assert averaged["a"]["lesion_recall"] == 0.5


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"overlap": "most"}, "any, share, iou"),
        ({"connectivity": "edges"}, "full, faces"),
        ({"overlap": "iou"}, "threshold=None"),
        ({"overlap": "share", "threshold": 0.0}, "threshold=0.0"),
        ({"overlap": "share", "threshold": 1.5}, "threshold=1.5"),
        ({"threshold": 0.5}, "overlap='any'"),
        ({"minimal_size": 0}, "minimal_size=0"),
    ],
)
def test_wrong_rules_are_refused(rule, said):
    with pytest.raises(ValueError, match=said):
        LesionRule(**rule)


def test_wrong_masks_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        find_lesions(mask("##"), mask("#"))
    with pytest.raises(ValueError, match="boolean"):
        find_lesions(np.zeros((2, 2)), np.zeros((2, 2), bool))
    labels = np.array([[0, 3]])
    with pytest.raises(ValueError, match="must hold 0 to 2"):
        metrics.find_lesions_of_case(labels, labels, ["a", "b"])
    with pytest.raises(ValueError, match="one shape"):
        metrics.find_lesions_of_case(labels, labels[:, :1], ["a", "b", "c"])
