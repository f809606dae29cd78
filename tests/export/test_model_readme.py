import pytest

from synergynet_tf.export.model_readme import write_readme
from tests.export.models import make_card


@pytest.fixture
def card(tmp_path):
    return make_card(tmp_path, "mri", 4)


def test_scores_have_their_protocol_unit_and_interval(card):
    scores = {"dsc": 0.5, "hd95": 7.25}
    intervals = {"dsc": [0.4, 0.625], "hd95": [None, None]}
    block = {
        "mean": scores,
        "mean_interval": intervals,
        "per_class": {"organ1": scores | {"hd95": None}},
        "per_class_interval": {"organ1": intervals},
    }
    card["scores"] = {
        "distance_unit": "mm",
        "protocols": {"strict": block, "transunet": block},
    }
    card["scores_note"] = "Of the 4 cases of the test part, with 95% intervals."
    page = write_readme(card, {"serving_default": ["logits"]})
    assert card["scores_note"] in page
    assert "| strict | mean | 50.0 % (40.0 to 62.5) | 7.2 mm (-) |" in page
    assert "| strict | organ1 | 50.0 % (40.0 to 62.5) | - |" in page
    assert "| transunet | mean | 50.0 % (40.0 to 62.5) | 7.2 voxels (-) |" in page


def test_what_is_not_known_is_said(card):
    page = write_readme(card, {"serving_default": ["logits"]})
    assert "number of cases not known" in page and "Commit not known" in page
    assert "The run was not scored." in page


def test_only_what_the_model_returns_is_described(card):
    page = write_readme(card, {"serving_default": ["logits"]})
    assert "codes" not in page and "from_bytes" not in page
    signatures = {"serving_default": ["logits", "codes"], "from_bytes": ["labels"]}
    page = write_readme(card, signatures)
    assert "`codes`, int32" in page and "`from_bytes`: `image_bytes`" in page


def test_the_channels_of_scans_are_named(card):
    card["input"] |= {"image_channels": 4, "picked_channels": "0 3"}
    page = write_readme(card, {"serving_default": ["logits"]})
    assert "must have 4 of them. Of these, 0 3 are taken" in page


def test_a_center_crop_is_explained(card):
    signatures = {"serving_default": ["logits"]}
    plain = write_readme(card, signatures)
    assert "central" not in plain
    del card["input"]["center_crop"]  # As cards of before.
    assert write_readme(card, signatures) == plain
    card["input"]["center_crop"] = 0.8
    assert "the central 80% of each side is taken" in write_readme(card, signatures)
