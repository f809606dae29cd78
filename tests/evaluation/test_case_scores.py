import numpy as np
import pytest

from synergynet_tf.evaluation.scores import LabeledCase, score_labeled


def labeled(**pred_labels):
    true = np.zeros((1, 4, 4), np.uint8)
    true[0, 0, :2] = 1
    return LabeledCase("case7", "patient3", true, pred_labels, (1.0, 1.0, 1.0))


def test_each_protocol_scores_the_labels_of_its_grid():
    native, network = np.zeros((2, 1, 4, 4), np.uint8)
    network[0, 0, :2] = 1
    case = labeled(native=native, network=network)
    result = score_labeled(case, ("a",), ("strict", "transunet"), 2.0)
    assert result.scores["strict"]["a"]["dsc"] == 0.0
    assert result.scores["transunet"]["a"]["dsc"] == 1.0
    assert result.presence("strict", "a") == "missed"
    assert result.presence("transunet", "a") == "both"
    assert (result.case_id, result.patient) == ("case7", "patient3")


def test_errors_name_the_case():
    case = labeled(native=np.zeros((1, 4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"Case case7: .*one shape"):
        score_labeled(case, ("a",), ("strict",), 2.0)
