import pytest

from studies import codebooks
from synergynet_tf import runs
from synergynet_tf.config import VQ_CHOICES
from synergynet_tf.experiments import BUDGETS, comparable

EPOCH = {
    "val_dsc": 0.5,
    "val_codes_used": 7,
    "val_perplexity": 3.2,
    "val_quantization_error": 0.25,
}


@pytest.fixture
def args(tmp_path):
    flags = ["--dataset", "phantom", "--runs", str(tmp_path), "--precision", "float32"]
    return codebooks.parse_args(flags)


def test_every_choice_is_measured_and_no_two_rows_are_one():
    # The sum over channels was looked at elsewhere: it is no candidate for a default.
    measured = {k: v for k, v in VQ_CHOICES.items() if k != "vq_loss"}
    for name, choices in measured.items():
        assert {row[name] for row in codebooks.ROWS.values()} == set(choices)
    assert len({tuple(row.values()) for row in codebooks.ROWS.values()}) == 11


def test_runs_differ_in_their_row_and_seed_alone(args):
    jobs = codebooks.plan(args)
    assert [job.config.training.seed for job in jobs] == [0] * 11 + [1] * 11
    same = next(iter(codebooks.ROWS.values()))
    assert len({comparable(job.config.replace(**same)) for job in jobs}) == 1
    assert len({job.run for job in jobs}) == 22
    for job in jobs:
        assert job.config.model.name == "vqunet"
        assert job.config.model.num_classes == 4
        assert job.config.training.epochs == 2
        assert job.config.model.image_size == BUDGETS["short"].settings["image_size"]


def test_the_table_has_the_best_epoch_of_every_finished_run(args):
    args.row = args.row[:2]
    jobs = codebooks.plan(args)
    for job, best in ((jobs[0], 0.71234), (jobs[2], 0.6), (jobs[3], 0.9)):
        rows = [EPOCH, {**EPOCH, "val_dsc": best, "val_codes_used": 12}, EPOCH]
        runs.write_csv(job.run / "history.csv", rows)
        runs.write_text(job.run / runs.CONFIG, job.config.to_json())
    for job in (jobs[0], jobs[2]):
        runs.write_json(job.run / runs.FINISHED, {})
    *_, first, second = codebooks.report(jobs).splitlines()
    assert first == (
        "| uniform | gradient | none | straight_through | euclidean | 0 / 1 | "
        "71.2 / 60.0 | 12 / 12 | 3 / 3 | 0.25 / 0.25 |"
    )
    # Begun, not finished.
    assert second.endswith("| euclidean | - | - | - | - | - |")


def test_a_run_of_other_epochs_is_not_tabulated(args):
    args.row, args.seeds = args.row[:1], [0]
    (job,) = codebooks.plan(args)
    runs.write_csv(job.run / "history.csv", [EPOCH])
    runs.write_text(job.run / runs.CONFIG, job.config.to_json())
    runs.write_json(job.run / runs.FINISHED, {})
    assert "| 50.0 |" in codebooks.report([job])
    args.epochs = 10
    assert "| 50.0 |" not in codebooks.report(codebooks.plan(args))


def test_a_seed_given_twice_counts_once(args):
    args.row, args.seeds = args.row[:1], [1, 0, 1]
    assert [job.config.training.seed for job in codebooks.plan(args)] == [1, 0]
