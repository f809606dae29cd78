"""What happens beside the steps: the run's files, and progress."""

import math
import sys
import time

import keras
import tqdm

from synergynet_tf import runs
from synergynet_tf.models.weights import save_weights
from synergynet_tf.training import checkpoint


class ServeEpoch(keras.callbacks.Callback):
    """Tells the batches which epoch to serve; tf.data does not need to be told.

    Args:
        batches: `Batches`.
    """

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


class RunFiles(keras.callbacks.Callback):
    """Writes the run's files after every epoch, in an order that survives a kill.

    Best weights first, then the checkpoint, which is what a resumed run believes,
    then `history.csv`. A kill before the checkpoint repeats the epoch and writes the
    same; one after it leaves a `history.csv` that the resumed run completes.

    Args:
        run: Folder of the run.
        rows: list of dict. Rows of the epochs that are already done; is extended.
        early_stopping: int or `None`. Epochs without a better `val_dsc` after which
            training ends.
    """

    def __init__(self, run, rows, early_stopping):
        super().__init__()
        self.run = run
        self.rows = rows
        self.early_stopping = early_stopping

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

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()
        self.learning_rate = float(self.model.optimizer.learning_rate)

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
        if self.best is row:
            with runs.atomic_file(self.run / runs.BEST_WEIGHTS) as temporary:
                save_weights(self.model, temporary)
        checkpoint.save(self.model, self.run / "checkpoints", epoch + 1, self.rows)
        runs.write_csv(self.run / "history.csv", self.rows)
        self.model.stop_training = self.exhausted


class Progress(keras.callbacks.Callback):
    """One bar over all steps of the run, with its ETA, and one line an epoch.

    Args:
        epochs: int. Of the whole run.
        first_epoch: int. Epochs that are already done.
        steps: int. Of an epoch.
    """

    def __init__(self, epochs, first_epoch, steps):
        super().__init__()
        self.epochs = epochs
        interactive = sys.stderr.isatty()
        self.bar = tqdm.tqdm(
            total=epochs * steps,
            initial=first_epoch * steps,
            desc="train",
            unit="step",
            mininterval=0.5 if interactive else 30,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        line = f"epoch {epoch + 1}/{self.epochs}"
        for name in sorted(logs, key=lambda name: name.removeprefix("val_")):
            digits = 0 if "codes" in name else 1 if "perplexity" in name else 4
            line += f"  {name} {float(logs[name]):.{digits}f}"
        self.bar.write(line)

    def close(self):
        """Ends the bar's line; needed also where training fails."""
        self.bar.close()
