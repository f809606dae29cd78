"""A scored run with everything that a report shows, made without a model."""

import dataclasses
import os
import pathlib

import numpy as np

from synergynet_tf import metrics, runs
from synergynet_tf.config import DataConfig, ExperimentConfig, ModelConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.evaluation.cases import RunCases
from synergynet_tf.evaluation.codes.agreement import describe_codes
from synergynet_tf.evaluation.codes.model import CodedCase
from synergynet_tf.evaluation.postprocess import NO_POSTPROCESSING
from synergynet_tf.evaluation.report.slices import NAME, make_slice
from synergynet_tf.evaluation.scores import (
    LabeledCase,
    Scores,
    score_labeled,
    without_nan,
)

CLASSES = ("rv", "myo", "lv")
HOSTILE = """<img src=x onerror=alert(1)>&"'</script><!--"""
IDS = ("case10", "case9", HOSTILE, "empty", "missed")
# Of the bottleneck: which code stands where.
GRID = [[7, 7, 0, 7], [7, 5, 5, 7], [7, 5, 5, 7], [7, 7, 7, 9]]


def draw_labels():
    """Yields the reference and the prediction of each of `IDS`."""
    generator = np.random.default_rng(0)
    for name in IDS:
        true, pred = np.zeros((2, 2, 16, 16), np.uint8)
        if name != "empty":
            true[0, 2:12, 2:12], true[0, 4:10, 4:10] = 1, 2
        if name not in ("empty", "missed"):
            pred[:] = true
            pred[0][generator.random((16, 16)) < 0.2] = 3
        yield true, pred


def score_cases():
    """Returns the results of `IDS`, and their label maps by case."""
    labels = dict(zip(IDS, draw_labels(), strict=True))
    results = [
        score_labeled(
            LabeledCase(
                case_id=name,
                patient=f"patient {i // 2}",
                true_labels=true,
                pred_labels={"native": pred, "network": pred},
                spacing_mm=(10.0, 1.5, 1.5),
            ),
            CLASSES,
            ("strict", "transunet"),
            2.0,
        )
        for i, (name, (true, pred)) in enumerate(labels.items())
    ]
    return results, labels


def write_history(run, epochs=3):
    row = {"learning_rate": 0.01, "loss": 0.5, "val_loss": 0.6, "dsc": 0.8}
    row |= {"val_dsc": 0.7, "seconds": 60.0}
    for part in ("", "val_"):
        codes = {"codes_used": 60, "perplexity": 31.5, "quantization_error": 12.25}
        row |= {part + name: value for name, value in codes.items()}
    rows = [
        {"epoch": epoch, **{name: value / epoch for name, value in row.items()}}
        for epoch in range(1, epochs + 1)
    ]
    runs.write_csv(run / runs.HISTORY, rows)


def write_codes(run):
    """Writes what `code_maps` finds in `IDS` if all their slices have `GRID`."""
    grids = np.tile(np.array(GRID), (2, 1, 1))
    cases = [
        CodedCase(
            case_id=name,
            patient=name,
            pictures=np.zeros((2, 16, 16, 3), np.uint8),
            labels=true,
            pred_labels=pred,
            codes=grids,
            distances=np.ones(grids.shape),
            runners_up=grids,
        )
        for name, (true, pred) in zip(IDS, draw_labels(), strict=True)
    ]
    found = describe_codes(cases, 1024, CLASSES)
    counts = {"num_cases": len(cases), "num_slices": 2 * len(cases)}
    report = {"dataset": "acdc", "model": "vqunet", "split": "val", "num_codes": 1024}
    off = [
        {"code": 5, "positions": 40, "changed_share": 0.25}
        | {"dsc_change": -0.125, "dsc_change_interval": [-0.25, 0.5]},
        {"code": 7, "positions": 100, "changed_share": 0.0}
        | {"dsc_change": None, "dsc_change_interval": [None, None]},
    ]
    part = {"part": "queries", "changed_share": 0.5}
    part |= {"dsc_change": 0.01, "dsc_change_interval": [0.0, 0.02]}
    alone = [
        {"term": "codes", "dsc": 0.5, "dsc_change": 0.125}
        | {"dsc_change_interval": [-0.25, 0.375]},
        {"term": "disconx", "dsc": None, "dsc_change": None}
        | {"dsc_change_interval": [None, None]},
    ]
    means = {
        "disconx": {"effective_tokens": 3.25, "told_by_query_bits": 1.5},
        "refinement": {"distinct_picks": 4.0, "picks_itself": 0.125},
    }
    attention = {
        part: {"tokens": 16, **{name: {"mean": value} for name, value in of.items()}}
        for part, of in means.items()
    }
    effects = {
        "counterfactuals": {"dsc": 0.75, "switched_off": off, "swapped": []},
        "ablations": [part],
        "alone": alone,
    }
    report |= counts | found | attention | effects
    runs.write_json(run / "codes/codes.json", without_nan(report))


def write_run(folder, copies=1, model="vqunet"):
    """Writes the run below a folder; `copies` of each case, under other names."""
    config = ExperimentConfig(
        data=DataConfig("acdc", "nowhere", split="paper"),
        model=ModelConfig(model, image_size=32, num_classes=4),
    )
    run = runs.run_dir(folder, config)
    runs.write_text(run / runs.CONFIG, config.to_json())
    runs.write_json(run / "classes.json", list(CLASSES))
    runs.write_text(run / runs.BEST_WEIGHTS, "")
    # Not by the clock, which may be coarse.
    os.utime(run / runs.BEST_WEIGHTS, (1, 1))
    runs.write_json(run / runs.FINISHED, {"best_epoch": 2})
    runs.write_json(run / "environment.json", {"commit": "0123abc", "cores": 2})
    write_history(run)

    results, labels = score_cases()
    slices = {}
    for place, name in zip(("best", "median", "worst"), IDS, strict=False):
        true, pred = labels[name]
        image = np.random.default_rng(0).random((*true.shape, 1)).astype(np.float32)
        (result,) = (result for result in results if result.case_id == name)
        dsc = metrics.mean_of_classes(result.scores["strict"])["dsc"]
        part = make_slice(name, dsc, image, pred, true, len(CLASSES))
        slices[place] = dataclasses.asdict(part) | {"codes": GRID}
    runs.write_json(run / NAME, slices)
    more = [
        dataclasses.replace(result, case_id=f"{result.case_id} {copy}")
        for copy in range(1, copies)
        for result in results
    ]
    cases = RunCases(
        run=runs.Run(run),
        trained_epochs=3,
        part="test",
        dataset=DATASETS["acdc"],
        root=pathlib.Path("nowhere"),
        case_ids=list(IDS),
        patients={},
    )
    codes = {"used": 12, "total": 1024, "perplexity": 9.5}
    every = [*results, *more]
    scores = Scores.of(cases, "strict", NO_POSTPROCESSING, every, codes)
    runs.write_json(run / "metrics.json", scores.to_json())
    return run
