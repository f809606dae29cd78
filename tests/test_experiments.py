from synergynet_tf.experiments import PAPER, TABLES
from synergynet_tf.metrics import METRICS


def test_numbers_of_the_paper():
    assert PAPER["isic", "synergynet-8s2h"] == {
        "iou": 0.8068,
        "dsc": 0.8931,
        "acc": 0.9491,
        "sp": 0.9737,
        "se": 0.8728,
    }
    assert PAPER["synapse", "synergynet-8s2h"]["hd95"] == 23.29


def test_every_table_has_every_method():
    assert [table.number for table in TABLES] == [1, 2, 3, 4]
    methods = [list(table.rows()) for table in TABLES]
    assert all(len(set(names)) == 11 and names == methods[0] for names in methods)


def test_rows_are_of_fractions_but_for_distances():
    for metrics in PAPER.values():
        assert all(0 < value < 1 for name, value in metrics.items() if name != "hd95")


def test_means_are_those_of_the_classes_but_where_the_paper_errs():
    wrong = set()
    for row, metrics in PAPER.items():
        classes = [value for name, value in metrics.items() if name not in METRICS]
        # Two digits are printed.
        if classes and abs(metrics["dsc"] - sum(classes) / len(classes)) > 2e-4:
            wrong.add(row)
    assert wrong == {
        ("synapse", "r50-unet"),
        ("synapse", "deeplabv3plus"),
        ("synapse", "r50-attunet"),
        ("synapse", "synergynet-8s8h"),
        ("acdc", "r50-unet"),
        ("acdc", "r50-attunet"),
        ("acdc", "synergynet-8s8h"),
    }


def test_iou_follows_from_dsc_as_in_one_confusion_matrix():
    rows = [m for (dataset, _), m in PAPER.items() if dataset in ("isic", "bts")]
    errors = [abs(m["iou"] - m["dsc"] / (2 - m["dsc"])) for m in rows]
    # Two digits are printed of both: 0.005 and 0.005 * 1.7 percentage points.
    assert sum(error < 1.4e-4 for error in errors) == 14
    assert sum(error < 1e-3 for error in errors) == 18
