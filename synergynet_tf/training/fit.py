"""One run, from its settings to its finished folder."""

import contextlib
import datetime
import json
import os
import pathlib
import platform
import shutil
import sys
import time

import keras

import synergynet_tf
from synergynet_tf import machine, runs
from synergynet_tf.data import DATASETS
from synergynet_tf.data.batches import Batches
from synergynet_tf.data.splits import complete, split_ids
from synergynet_tf.data.store import open_store
from synergynet_tf.losses import SegmentationLoss
from synergynet_tf.models import build_model, quantizers
from synergynet_tf.training import checkpoint, distribution, precision
from synergynet_tf.training.callbacks import Progress, RunFiles, ServeEpoch
from synergynet_tf.training.codebook import CodebookCare, start_codebooks
from synergynet_tf.training.normalization import fuse_normalizations
from synergynet_tf.training.optimizer import build_optimizer
from synergynet_tf.training.pooled_dice import PooledDice


def fit(config, run, force=False):
    """Trains a run, or continues it from its last whole epoch.

    A continued run gives the weights of an undisturbed one, bit for bit on a CPU: the
    order and the augmentation of the images depend on the seed and the epoch alone,
    and the checkpoint holds every variable. A GPU adds up in an order of its own.

    Args:
        config: `ExperimentConfig`; `precision.resolve` says what `auto` becomes.
        run: Folder of the run.
        force: bool. Whether to delete the run that is there and start again.

    Raises:
        FileExistsError: If the run is finished, or was begun with other settings,
            and `force` is not set.
        FileNotFoundError: If the data is not there.
        ValueError: If a case cannot be read, or the loss becomes `nan`.
    """
    run = pathlib.Path(run)
    runs.check_startable(run, config, force)
    config = precision.resolve(config, run, force)
    train = open_store(config.data, "train", config.model.image_size)
    val = open_store(config.data, "val", config.model.image_size)
    seed, batch_size = config.training.seed, config.training.batch_size
    train_batches = Batches(train, batch_size, seed, training=True)
    with distribution.scope(config.training.strategy):
        distribution.check_batch_size(batch_size)
        val_size = distribution.validation_batch_size(len(val.labels), batch_size)
        val_batches = Batches(val, val_size, seed, training=False)
        model = compiled_model(config, config.training.epochs * len(train_batches))
    if force and run.exists():
        shutil.rmtree(run)
    rows = checkpoint.restore(model, run / "checkpoints")
    if rows is None:
        start_codebooks(model, train_batches, seed)
        rows = []
    _write_settings(run, config, rows)

    files = RunFiles(run, rows, config.training.early_stopping)
    first_epoch, epochs = len(rows), config.training.epochs
    if first_epoch:
        print(f"continuing {run} after epoch {first_epoch} of {epochs}")
    started = time.monotonic()
    if first_epoch < epochs and not files.exhausted:
        train_data, val_data = _streams(train_batches, val_batches, first_epoch, epochs)
        steps = len(train_batches)
        with contextlib.closing(Progress(epochs, first_epoch, steps)) as progress:
            model.fit(
                train_data,
                epochs=epochs,
                initial_epoch=first_epoch,
                steps_per_epoch=steps,
                shuffle=False,
                validation_data=val_data,
                # In this order: the codebook's numbers, their files, a line of them.
                callbacks=[
                    ServeEpoch(train_batches),
                    CodebookCare(seed),
                    files,
                    progress,
                    *_tensorboard(run),
                ],
                verbose=0,
            )
    best = files.best
    runs.write_json(
        run / runs.FINISHED,
        {
            "epochs": len(rows),
            "best_epoch": best["epoch"],
            "best_val_dsc": best["val_dsc"],
            "seconds": round(sum(row["seconds"] for row in rows), 1),
        },
    )
    minutes = (time.monotonic() - started) / 60
    print(
        f"finished {run} in {minutes:.1f} min: best validation DSC "
        f"{best['val_dsc']:.4f} in epoch {best['epoch']}"
    )


def compiled_model(config, steps):
    """Returns the model with its loss, optimizer and metrics, for `steps` steps."""
    keras.utils.set_random_seed(config.training.seed)
    dtype = config.training.precision
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_model(config.model)
    finally:
        keras.config.set_dtype_policy(before)
    for quantizer in quantizers(model):
        quantizer.count_in_inference = True
    if keras.backend.backend() == "tensorflow":
        fuse_normalizations(model)
    loss = config.loss
    model.compile(
        optimizer=build_optimizer(config.optimizer, steps),
        loss=SegmentationLoss(loss.cross_entropy_weight, loss.dice_weight, loss.smooth),
        metrics=[PooledDice(config.model.num_classes)],
        jit_compile=_jit_compile(),
    )
    # Here, because a checkpoint needs its variables and the strategy its scope.
    model.optimizer.build(model.trainable_variables)
    return model


def _jit_compile():
    """Avoids XLA where it is slower or fails: with TensorFlow, on a CPU or mirrored.

    On a CPU it fails in bfloat16; mirrored, with variables that only one device sets.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    alone = distribution.num_devices() == 1
    return "auto" if alone and keras.distribution.list_devices("gpu") else False


def _streams(train_batches, val_batches, first_epoch, epochs):
    """Returns what `fit` reads: tf.data with TensorFlow, else the batches."""
    if keras.backend.backend() == "tensorflow":
        from synergynet_tf.data import pipeline

        return (
            pipeline.dataset(train_batches, first_epoch, epochs - first_epoch),
            pipeline.dataset(val_batches),
        )
    return train_batches, val_batches


def _tensorboard(run):
    """Returns Keras' TensorBoard callback, which only TensorFlow can write."""
    if keras.backend.backend() != "tensorflow":
        return []
    return [keras.callbacks.TensorBoard(run / "tensorboard", write_graph=False)]


def _write_settings(run, config, rows):
    """Writes what the run is, and what is known of it so far."""
    dataset = DATASETS[config.data.dataset]
    classes = dataset.class_names(config.data.data_dir)
    runs.write_text(run / "config.json", config.to_json())
    runs.write_json(run / "classes.json", list(classes))
    split = split_ids(config.data)
    runs.write_json(run / "split.json", split)
    data = complete(config.data)
    if data.modality != "rgb":  # Photographs may be gray and colored in turn.
        case = dataset.read_case(data.data_dir, split["train"][0])
        runs.write_json(run / runs.CHANNELS, case.image.shape[-1])
    if rows:
        # A kill may have come between the checkpoint and this file.
        runs.write_csv(run / "history.csv", rows)
    path = run / "environment.json"
    if not path.exists():
        runs.write_json(path, _environment())
    else:
        first = json.loads(path.read_text(encoding="utf-8"))
        first.setdefault("continued", []).append(_environment())
        runs.write_json(path, first)


def _environment():
    """Returns what a number of this run depends on besides its settings."""
    return {
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "command": sys.argv,
        "commit": machine.commit(),
        "synergynet_tf": synergynet_tf.__version__,
        "python": platform.python_version(),
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "devices": keras.distribution.list_devices(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
