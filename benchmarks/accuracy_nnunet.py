"""The peer of `benchmarks.accuracy`: nnU-Net's 2-D configuration, by its own recipe.

Run by the Python of `benchmarks/requirements.txt`, twice: `--prepare` writes the cases
of our split as nnU-Net takes them, and lets it plan and preprocess; without, it trains.
Network, patches, augmentation, losses, SGD and sampling are nnU-Net's. What a CPU needs
is not: `BUDGETS` has smaller batches than planned and shorter epochs, over which the
learning rate falls as it does over 1,000 epochs of 250 steps.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.accuracy_scores import pooled_dice, write_scores
from synergynet_tf.config import DataConfig
from synergynet_tf.data import DATASETS
from synergynet_tf.data.splits import complete, split_ids
from synergynet_tf.runs import write_json
from synergynet_tf.safe_io import read_json

FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
NUMBER, NAME = 1, "Dataset001_Peer"
PLANS, CONFIGURATION = "nnUNetPlans", "2d"
# Images of a batch, and steps of an epoch.
BUDGETS = {"acdc": (4, 100), "msd": (32, 375)}


def main() -> None:
    """Prepares, or trains and writes `history.csv`, a row an epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--arrays", required=True, type=pathlib.Path, help="folder of prepared data")
    add("--prepare", metavar="DATA", help="write it, from the raw data there")
    add("--dataset", choices=BUDGETS, help="its name, for --prepare")
    add("--out", type=pathlib.Path, help="folder of the training")
    add("--epochs", type=int)
    add("--seed", type=int)
    args = parser.parse_args()
    for name in FOLDERS:
        os.environ[name] = str(args.arrays / name)
    if args.prepare:
        prepare(complete(DataConfig(dataset=args.dataset, data_dir=args.prepare)))
    else:
        # Otherwise other processes augment, whose time would not count.
        os.environ |= {"nnUNet_results": str(args.out), "nnUNet_n_proc_DA": "0"}
        train(args.epochs, args.seed, args.out / "history.csv")


def prepare(data: DataConfig) -> None:
    """Writes training and validation cases, and lets nnU-Net preprocess them."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as nnunet

    raw, preprocessed = (_folder(name) for name in FOLDERS[:2])
    split = split_ids(data)
    parts = {part: split[part] for part in ("train", "val")}
    names = DATASETS[data.dataset].class_names(data.data_dir)
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True, exist_ok=True)
    for case_id in (case_id for ids in parts.values() for case_id in ids):
        case = DATASETS[data.dataset].read_case(data.data_dir, case_id)
        affine = np.diag([*case.spacing_mm[::-1], 1.0])
        for path, voxels in (
            (raw / "imagesTr" / f"{case_id}_0000.nii.gz", case.image[..., 0]),
            (raw / "labelsTr" / f"{case_id}.nii.gz", case.label),
        ):
            nib.save(nib.Nifti1Image(voxels.transpose(), affine), path)
    about = {
        "name": data.dataset,
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, **{n: i + 1 for i, n in enumerate(names)}},
        "numTraining": sum(map(len, parts.values())),
        "file_ending": ".nii.gz",
    }
    write_json(raw / "dataset.json", about)
    nnunet.extract_fingerprints([NUMBER], num_processes=2, show_progress_bar=False)
    nnunet.plan_experiments([NUMBER])
    path = preprocessed / f"{PLANS}.json"
    plans: dict[str, Any] = read_json(path)
    plan = plans["configurations"][CONFIGURATION]
    size, batch_size = plan["patch_size"], plan["batch_size"]
    print(f"patches of {size}, batches of {batch_size} by plan", file=sys.stderr)
    plan["batch_size"] = min(BUDGETS[data.dataset][0], batch_size)
    write_json(path, plans)
    write_json(preprocessed / "splits_final.json", [parts])
    nnunet.preprocess([NUMBER], PLANS, (CONFIGURATION,), (2,), show_progress_bar=False)


def train(epochs: int, seed: int, history: pathlib.Path) -> None:
    """Trains as nnU-Net does; its validation of patches is one of whole slices."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    class Trainer(nnUNetTrainer):
        """nnU-Net's, with a shorter schedule, and the validation DSC of ours."""

        def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
            super().on_validation_epoch_end(val_outputs)
            self.set_deep_supervision_enabled(False)
            scores.append(validate(self))
            self.set_deep_supervision_enabled(True)
            write_scores(history, scores)

    def validate(trainer: nnUNetTrainer) -> float:
        predictor = nnUNetPredictor(
            use_mirroring=False, device=trainer.device, allow_tqdm=False
        )
        predictor.manual_initialization(
            trainer.network,
            trainer.plans_manager,
            trainer.configuration_manager,
            None,
            trainer.dataset_json,
            type(trainer).__name__,
            None,
        )
        _, cases = trainer.get_tr_and_val_datasets()

        def labeled() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for case_id in cases.identifiers:
                image, label, *_ = cases.load_case(case_id)
                tensor = torch.from_numpy(np.array(image))
                logits = predictor.predict_sliding_window_return_logits(tensor)
                yield np.array(label)[0], logits.argmax(0).numpy()

        return pooled_dice(labeled(), len(trainer.dataset_json["labels"]))

    scores: list[float] = []
    history.parent.mkdir(parents=True, exist_ok=True)
    np.random.seed(seed)  # noqa: NPY002 - nnU-Net draws from it.
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    folder = _folder("nnUNet_preprocessed")
    plans = read_json(folder / f"{PLANS}.json")
    about = read_json(_folder("nnUNet_raw") / "dataset.json")
    trainer = Trainer(
        {**plans, "continue_training": False},
        CONFIGURATION,
        0,
        about,
        torch.device("cpu"),
    )
    trainer.num_epochs = epochs
    trainer.num_iterations_per_epoch = BUDGETS[about["name"]][1]
    trainer.num_val_iterations_per_epoch = 1
    trainer.disable_checkpointing = True
    trainer.run_training()


def _folder(name: str) -> pathlib.Path:
    return pathlib.Path(os.environ[name], NAME)


if __name__ == "__main__":
    main()
