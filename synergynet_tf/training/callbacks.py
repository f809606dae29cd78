"""Keras callbacks: checkpoints, best weights, history, progress bar."""

import contextlib
import math
import sys
import time

import keras
import tqdm
from keras import ops

from synergynet_tf import runs, signals
from synergynet_tf.models.weights import save_weights
from synergynet_tf.training import checkpoint, replicas
from synergynet_tf.training.averaged_weights import averaged

# A kill, or a machine that fails, costs no more than this of a long epoch.
_SAVE_EVERY_S = 1800


class SetEpoch(keras.callbacks.Callback):
    """Sets the epoch that the batches serve; tf.data does not need to be told.

    Args:
        batches: `Batches`.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


class RunFiles(keras.callbacks.Callback):
    """Writes the run's files, in an order that survives a kill; ends it on a signal.

    After every epoch the checkpoint, which is what a resumed run believes, then the
    best weights, then `history.csv`. A kill before the checkpoint repeats the epoch and
    writes the same; after it, `complete` writes what is missing. A signal, and every
    half hour of an epoch, write a checkpoint in the middle of it. Put it behind
    `CodebookMonitor`, whose moves belong to the step before. Of processes that train
    together one writes, and all end together, on a signal to any of them.

    Args:
        run: Folder of the run.
        log: dict that `checkpoint.restore` returned, or `None` for a new run.
        steps: int. Steps of an epoch.
        early_stopping: int or `None`. Epochs without a better `val_dsc` after which
            training ends.
        monitor: `CodebookMonitor` of the run.
        stop: `signals.Stop` that takes the signals.
        lock: `runs.Lock` of the run; `None` in a process that writes nothing.
    """

    def __init__(self, run, log, steps, early_stopping, monitor, stop, lock):
        super().__init__()
        log = log or {"rows": [], runs.WEIGHTS_SHA256: None, "begun": None}
        self.run = run
        self.rows = log["rows"]
        self.weights_sha256 = log[runs.WEIGHTS_SHA256]
        self.begun = log["begun"]
        self.steps = steps
        self.early_stopping = early_stopping
        self.monitor = monitor
        self.stop = stop
        self.lock = lock
        self.saved = time.monotonic()

    @property
    def best(self):
        """The row of the best validation DSC, the first of equals."""
        return max(self.rows, key=lambda row: row["val_dsc"])

    @property
    def exhausted(self):
        """Whether early stopping ends the run here."""
        if not self.early_stopping or not self.rows:
            return False
        return len(self.rows) - self.best["epoch"] >= self.early_stopping

    def complete(self, model):
        """Writes the files that a kill right after a checkpoint has left out.

        Args:
            model: Model in the state of that checkpoint.
        """
        if not self.rows or not self.lock:
            return
        runs.write_csv(self.run / runs.HISTORY, self.rows)
        if self.best is self.rows[-1] and not self.begun:
            try:
                runs.Run(self.run).check_weights(self.weights_sha256)
            except (FileNotFoundError, ValueError):
                with self._best_weights(model):
                    pass

    def on_epoch_begin(self, epoch, logs=None):
        signum, _ = self._wanted()
        if signum:
            self._leave(signum, f"after epoch {epoch}")
        self.epoch = epoch
        begun, self.begun = self.begun or {}, None
        self.step = begun.get("step", 0)
        self.started = time.monotonic() - begun.get("seconds", 0.0)
        rate = float(self.model.optimizer.learning_rate)
        self.learning_rate = begun.get("learning_rate", rate)
        self.logs = begun.get("logs")
        # After the last step of an epoch no metrics are saved, only its `logs`.
        values = begun.get("metrics", ())
        for variable, value in zip(self.model.metrics_variables, values, strict=False):
            variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.stop.wait = True
        if self.step == self.steps:
            checkpoint.sync(self.model)
            logs = self.model.get_metrics_result()
            self.logs = {name: float(value) for name, value in logs.items()}
        self._save_or_leave()

    def on_test_batch_end(self, batch, logs=None):
        self._save_or_leave()

    def on_epoch_end(self, epoch, logs=None):
        row = {
            "epoch": epoch + 1,
            "learning_rate": self.learning_rate,
            **{name: float(value) for name, value in logs.items()},
            "seconds": round(time.monotonic() - self.started, 1),
        }
        for name, value in row.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"{name} of {self.run} became {value} in epoch {epoch + 1}. Lower "
                    "--learning-rate and train again with --force."
                )
        self.rows.append(row)
        self.saved = time.monotonic()
        if self.lock:
            self._write_epoch(row)
        self.model.stop_training = self.exhausted

    def _write_epoch(self, row):
        with self._writing():
            if self.best is row:
                with self._best_weights(self.model):
                    self._save()
            else:
                self._save()
            runs.write_csv(self.run / runs.HISTORY, self.rows)

    def _wanted(self):
        """Returns a signal to any process, and whether the half hour of one is over."""
        over = time.monotonic() - self.saved > _SAVE_EVERY_S
        return replicas.largest([self.stop.signum or 0, int(over)])

    def _save_or_leave(self):
        """Saves or stops in the middle of an epoch, if a signal or the time says so."""
        signum, over = self._wanted()
        if signum or over:
            self._save_in_between()
        if signum:
            step = f"step {self.step} of {self.steps} in epoch {self.epoch + 1}"
            self._leave(signum, f"after {step}")

    def _leave(self, signum, when):
        raise signals.Stopped(
            signum,
            f"stopped {self.run} {when}: all is saved, the same command continues it",
        )

    def _save_in_between(self):
        # In every process, because metrics are summed over all of them.
        state = self._state()
        self.saved = time.monotonic()
        if self.lock:
            with self._writing():
                self._save(state)

    def _state(self):
        """Returns the state of an epoch, besides variables of model and optimizer."""
        checkpoint.sync(self.model)
        values = self.model.metrics_variables if self.step < self.steps else ()
        return {
            "step": self.step,
            "seconds": time.monotonic() - self.started,
            "learning_rate": self.learning_rate,
            "logs": self.logs,
            "metrics": [ops.convert_to_numpy(value).tolist() for value in values],
            "codes": self.monitor.state(),
        }

    def _save(self, begun=None):
        """Writes a checkpoint, in the middle of the epoch whose `_state` is `begun`."""
        log = {
            "rows": self.rows,
            runs.WEIGHTS_SHA256: self.weights_sha256,
            "begun": begun,
        }
        folder, step = self.run / runs.CHECKPOINTS, begun["step"] if begun else 0
        checkpoint.save(self.model, folder, len(self.rows), log, step)

    @contextlib.contextmanager
    def _writing(self):
        """Refuses to write to a run that is gone; says that a failure loses nothing."""
        self.lock.require()
        try:
            yield
        except OSError as error:
            raise OSError(
                f"{error}. Everything before is kept: once there is room, the same "
                "command continues the run"
            ) from error

    @contextlib.contextmanager
    def _best_weights(self, model):
        """Writes the best weights, which take their place when the block has ended."""
        runs.require_room(self.run, checkpoint.size(model))
        with runs.atomic_file(self.run / runs.BEST_WEIGHTS) as temporary:
            with averaged(model):
                save_weights(model, temporary)
            self.weights_sha256 = runs.sha256(temporary)
            yield


class Progress(keras.callbacks.Callback):
    """One bar over all steps of the run, with its ETA, and one line an epoch.

    Args:
        epochs: int. Of the whole run.
        steps: int. Of an epoch.
        done: int. Steps that are already done.
    """

    def __init__(self, epochs, steps, done):
        super().__init__()
        self.epochs = epochs
        interactive = sys.stderr.isatty()
        self.bar = tqdm.tqdm(
            total=epochs * steps,
            initial=done,
            desc="train",
            unit="step",
            mininterval=0.5 if interactive else 30,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self.started
        self.bar.write(epoch_line(epoch + 1, self.epochs, logs, seconds))

    def close(self):
        """Ends the bar's line; needed also where training fails."""
        self.bar.close()


def epoch_line(epoch, epochs, logs, seconds):
    """Returns an epoch as one line of under 100 columns, the validation's score first.

    Args:
        epoch: int. From 1.
        epochs: int. Of the whole run.
        logs: dict. Of the epoch, as in `history.csv`.
        seconds: float. That it took here.
    """
    line = f"epoch {epoch:{len(str(epochs))}}/{epochs}  val DSC {logs['val_dsc']:.4f}"
    line += f"  DSC {logs['dsc']:.4f}"
    line += f"  loss {logs['loss']:.3f}, val {logs['val_loss']:.3f}"
    if "codes_used" in logs:
        used = (logs[name] for name in ("codes_used", "val_codes_used"))
        line += "  codes {:.0f}, val {:.0f}".format(*used)
    minutes, rest = divmod(round(seconds), 60)
    return f"{line}  {minutes}:{rest:02d} min"
