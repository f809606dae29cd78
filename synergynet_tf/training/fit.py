"""Training of one run, from its settings to its finished folder."""

import contextlib
import datetime
import functools
import os
import pathlib
import platform
import sys
import time

import keras

import synergynet_tf
from synergynet_tf import environment, runs, signals
from synergynet_tf.data.batches import Batches
from synergynet_tf.data.prepared import PARTS, prepare
from synergynet_tf.data.splits import kept_ids
from synergynet_tf.losses import SegmentationLoss
from synergynet_tf.models import build_model, quantizers
from synergynet_tf.safe_io import read_json
from synergynet_tf.training import (
    checkpoint,
    distribution,
    loop,
    precision,
    replicas,
    strategy,
)
from synergynet_tf.training.averaged_weights import ValidateAverage
from synergynet_tf.training.batch_normalization import fuse_normalizations
from synergynet_tf.training.callbacks import Progress, RunFiles, SetEpoch
from synergynet_tf.training.codebook import CodebookMonitor, start_codebooks
from synergynet_tf.training.depthwise_convolution import widen_depthwise_gradients
from synergynet_tf.training.optimizer import SharedLossScale, build_optimizer
from synergynet_tf.training.pooled_dice import PooledDice

# Size of TensorBoard's first events, with a margin.
_EVENTS_BYTES = 2**20


def fit(config, run, force=False, prepared=None):
    """Trains a run, or continues it from its last checkpoint.

    A continued run gives the weights of an undisturbed one, bit for bit on a CPU: the
    order and the augmentation of the images depend on the seed, the epoch and the step
    alone, and the checkpoint holds every variable. A GPU adds up in an order of its
    own, and so do several devices. It keeps the split that it was begun with, whatever
    has been added to the data; the data may have moved.

    Ctrl-C and SIGTERM write a checkpoint after the step that is being done. Of several
    processes that train together the first, the chief, writes.

    Args:
        config: `ExperimentConfig`; `strategy.resolve` and `precision.resolve` say what
            `auto` becomes.
        run: Folder of the run.
        force: bool. Whether to delete the run that is there and start again.
        prepared: `data.prepared.Prepared`; by default that of `config`, from its raw
            data.

    Raises:
        BlockingIOError: If another process trains the run.
        ConnectionError: If a process that trains with this one is gone.
        FileExistsError: If the run is finished, or was begun with other settings,
            and `force` is not set.
        FileNotFoundError: If the data, or a case that the run was begun with, is not
            there.
        OSError: If something cannot be written.
        signals.Stopped: On Ctrl-C or SIGTERM.
        ValueError: If a case cannot be read, the data is not that of the run, or the
            loss becomes `nan`.
    """
    run = pathlib.Path(run)
    runs.check_startable(run, config, force)
    config = precision.resolve(strategy.resolve(config), run, force)
    with distribution.scope(config.training.strategy, config.training.devices):
        _fit(config, run, force, prepared)


def _fit(config, run, force, prepared):
    """Builds model and data, and trains on the devices of the current scope."""
    prepared = prepared or _prepare(config, run, force)
    train, val = prepared.train, prepared.val
    seed, batch_size = config.training.seed, config.training.batch_size
    train_batches = Batches(
        train,
        batch_size,
        seed,
        training=True,
        augmentation=config.training.augmentation,
    )
    distribution.check_batch_size(batch_size)
    val_size = distribution.validation_batch_size(len(val.labels), batch_size)
    val_batches = Batches(val, val_size, seed, training=False)
    model = compiled_model(config, config.training.epochs * len(train_batches))
    if not distribution.is_chief():
        _train(config, run, None, model, train_batches, val_batches, prepared)
        return
    with runs.lock(run) as lock:
        # Again: another process may have trained it since.
        runs.check_settings(run, config, force)
        if force:
            runs.delete(run)
        _check_data(config, run, prepared)
        _train(config, run, lock, model, train_batches, val_batches, prepared)


def _prepare(config, run, force):
    """Prepares the cases that a run was begun with, or draws those of a new one."""
    begun, split = runs.Run(run), None
    if not force and begun.split is not None:
        unused = begun.data.get("unused")
        split, notes = kept_ids(config.data, begun.split, PARTS, run, unused)
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    return prepare(config.data, config.model.image_size, split)


def _check_data(config, run, prepared):
    """Refuses to continue a run on other data, and says what is not as it was."""
    begun = runs.Run(run)
    if begun.split is None:
        if any((run / runs.CHECKPOINTS).glob("*.npz")):
            again = f"its split is drawn again from {config.data.data_dir} as it is now"
            print(f"note: {run} has no {runs.SPLIT}: {again}", file=sys.stderr)
        return
    advice = "name another folder with --runs, or start it again with --force"
    if begun.split != prepared.split:
        raise ValueError(
            f"{run} was begun with another split than that of the data that is given "
            f"({runs.SPLIT}); {advice}"
        )
    if begun.class_names != prepared.class_names:
        raise ValueError(
            f"{run} was begun with the classes {', '.join(begun.class_names)}, and the "
            f"data has {', '.join(prepared.class_names)}; {advice}"
        )
    old, new = begun.config.data.data_dir, config.data.data_dir
    for part, written in begun.data.get("crc32", {}).items():
        found = getattr(prepared, part).checksums
        pairs = zip(("images", "masks"), written, found, strict=False)
        changed = [what for what, one, other in pairs if one != other]
        # Images are rounded, on another processor perhaps otherwise; masks are not.
        if "masks" in changed and old != new:
            raise ValueError(
                f"{new} has cases of the same names as {old}, where {run} was begun, "
                f"but the masks in {part} are others; {advice}"
            )
        if changed:
            print(
                f"warning: {' and '.join(changed)} of {part} are not, to the last bit, "
                f"those that {run} was begun with",
                file=sys.stderr,
            )
    if old != new:
        print(f"the data of {run} is at {new}; it was at {old}")


def _train(config, run, lock, model, train_batches, val_batches, prepared):
    """Trains the epochs that are missing, and closes the run.

    Without the lock, in a process that is not the chief, nothing is written.
    """
    images = [len(batches.store.labels) for batches in (train_batches, val_batches)]
    replicas.require_same(
        [config.replace(data_dir="").to_json(), *images],
        "settings and data must be the same on all machines",
    )
    log = checkpoint.restore(model, run / runs.CHECKPOINTS)
    replicas.require_same(log, f"all machines must see the files of {run}")
    if log is None:
        start_codebooks(model, train_batches, config.training.seed)
    if lock:
        for folder in (run, run / runs.CHECKPOINTS):
            runs.remove_temporaries(folder)
        _write_settings(run, config, prepared)
    begun = (log or {}).get("begun") or {"step": 0, "codes": None}
    epochs, steps = config.training.epochs, len(train_batches)
    started = time.monotonic()
    with signals.Stop() as stop:
        monitor = CodebookMonitor(config.training.seed, steps, begun["codes"])
        patience = config.training.early_stopping
        files = RunFiles(run, log, steps, patience, monitor, stop, lock)
        files.complete(model)
        epoch, step = len(files.rows), begun["step"]
        if epoch or step:
            part = f" and {step} of {steps} steps" if step else ""
            print(f"continuing {run} after epoch {epoch} of {epochs}{part}")
        done = epoch * steps + step
        fit_epochs, evaluate = loop.trainer(model)
        with contextlib.ExitStack() as stack:
            # In this order: the codebook's numbers, their files, a line of them.
            average = ValidateAverage()
            callbacks = [SetEpoch(train_batches), average, monitor, files]
            if lock:
                progress = Progress(epochs, steps, done)
                callbacks += [stack.enter_context(contextlib.closing(progress))]
                callbacks += _tensorboard(run)
            val_data = _stream(val_batches)
            if step == steps:
                logs = files.begun["logs"]
                _finish_epoch(model, evaluate, epoch, logs, val_data, callbacks)
                epoch, step = epoch + 1, 0
            while epoch < epochs and not files.exhausted:
                # A begun epoch has fewer steps than those behind it.
                end = epoch + 1 if step else epochs
                fit_epochs(
                    _stream(train_batches, epoch, end - epoch, step),
                    initial_epoch=epoch,
                    epochs=end,
                    steps_per_epoch=steps - step,
                    validation_data=val_data,
                    callbacks=callbacks,
                )
                epoch, step = end, 0
    if not lock:
        return
    best = files.best
    runs.Run(run).check_weights(files.weights_sha256)
    runs.write_json(
        run / runs.FINISHED,
        {
            "epochs": len(files.rows),
            "best_epoch": best["epoch"],
            "best_val_dsc": best["val_dsc"],
            runs.WEIGHTS_SHA256: files.weights_sha256,
            "seconds": round(sum(row["seconds"] for row in files.rows), 1),
        },
    )
    minutes = (time.monotonic() - started) / 60
    print(
        f"finished {run} in {minutes:.1f} min: best validation DSC "
        f"{best['val_dsc']:.4f} in epoch {best['epoch']}"
    )


def _finish_epoch(model, evaluate, epoch, logs, val_data, callbacks):
    """Completes an epoch after its last step, as `fit` does.

    Args:
        model: The model after that step.
        evaluate: Function that validates, from `loop.trainer`.
        epoch: int. Index of the epoch, from 0.
        logs: dict. Logs of the epoch, without those of the validation.
        val_data: Validation data.
        callbacks: list of `keras.callbacks.Callback`.
    """
    callbacks = keras.callbacks.CallbackList(callbacks, model=model)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(epoch)
    scores = evaluate(val_data, callbacks=callbacks)
    scores = {f"val_{name}": value for name, value in scores.items()}
    callbacks.on_epoch_end(epoch, {**logs, **scores})
    callbacks.on_train_end()


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
    loss = config.loss
    loss = SegmentationLoss(loss.cross_entropy_weight, loss.dice_weight, loss.smooth)
    for quantizer in quantizers(model):
        quantizer.count_in_inference = True
    if keras.backend.backend() == "tensorflow":
        fuse_normalizations(model)
        if not keras.distribution.list_devices("gpu"):
            widen_depthwise_gradients(model)
    if distribution.has_replicas():
        replicas.share_batches(model, loss)
    optimizer = build_optimizer(config.optimizer, steps)
    if dtype == "float16":
        optimizer = SharedLossScale(optimizer, name="loss_scale_optimizer")
    model.compile(
        optimizer=optimizer,
        loss=loss,
        metrics=[PooledDice(config.model.num_classes)],
        jit_compile=_jit_compile(),
    )
    # Here, because a checkpoint needs its variables and the strategy its scope.
    model.optimizer.build(model.trainable_variables)
    # Keras does it with the first step, too late for those of an epoch that goes on.
    labels = keras.KerasTensor(model.output.shape[:-1])
    model._compile_metrics.build(labels, model.output)
    return model


def _jit_compile():
    """Avoids XLA where it is slower or fails: with TensorFlow, on a CPU or mirrored.

    On a CPU it fails in bfloat16; mirrored, with variables that only one device sets.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    alone = distribution.num_devices() == 1
    return "auto" if alone and keras.distribution.list_devices("gpu") else False


def _stream(batches, first_epoch=0, epochs=1, first_step=0):
    """Returns the input of `fit`: tf.data with TensorFlow, else the batches."""
    if keras.backend.backend() == "tensorflow":
        from synergynet_tf.data import pipeline

        make = functools.partial(
            pipeline.dataset, batches, first_epoch, epochs, first_step
        )
        return replicas.divided(make) if distribution.has_replicas() else make()
    batches.first_step = first_step
    return batches


def _tensorboard(run):
    """Returns Keras' TensorBoard callback, which only TensorFlow can write."""
    if keras.backend.backend() != "tensorflow":
        return []
    folder = run / "tensorboard"
    folder.mkdir(exist_ok=True)
    # TensorFlow's error for a full disk is not one that commands take for a refusal.
    runs.require_room(folder, _EVENTS_BYTES)
    return [keras.callbacks.TensorBoard(folder, write_graph=False)]


def _write_settings(run, config, prepared):
    """Writes what the run is, and what is known of it so far."""
    runs.write_text(run / runs.CONFIG, config.to_json())
    runs.write_json(run / "classes.json", list(prepared.class_names))
    if prepared.label_values is not None:
        named = zip(prepared.class_names, prepared.label_values, strict=True)
        runs.write_json(run / runs.LABELS, dict(named))
    if not (run / runs.SPLIT).exists():
        stores = {part: getattr(prepared, part) for part in PARTS}
        checksums = {p: store.checksums for p, store in stores.items()}
        checksums = {p: found for p, found in checksums.items() if found}
        data = {"unused": prepared.unused, "crc32": checksums}
        runs.write_json(run / runs.DATA, data)
        runs.write_json(run / runs.SPLIT, prepared.split)
    if prepared.image_channels is not None:
        runs.write_json(run / runs.CHANNELS, prepared.image_channels)
    path, now = run / "environment.json", _environment()
    if path.exists():
        try:
            first = read_json(path)
            first.setdefault("continued", []).append(now)
            now = first
        except (ValueError, AttributeError) as error:
            # Nothing that continues a run depends on it.
            print(f"{path} is damaged ({error}); beginning it anew", file=sys.stderr)
    runs.write_json(path, now)


def _environment():
    """Returns what a number of this run depends on besides its settings."""
    return {
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "command": sys.argv,
        "commit": environment.commit(),
        "synergynet_tf": synergynet_tf.__version__,
        "python": platform.python_version(),
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "devices": keras.distribution.list_devices(),
        "replicas": distribution.num_devices(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
