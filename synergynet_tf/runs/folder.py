"""The folder of a run: its names, what is read of it, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import pathlib
import shutil
import tempfile

from synergynet_tf.config import AUTO, ExperimentConfig
from synergynet_tf.runs.files import sha256
from synergynet_tf.runs.lock import LOCK, check_unlocked
from synergynet_tf.safe_io import read_content, read_json, shown

CHECKPOINTS = "checkpoints"
CONFIG = "config.json"
BEST_WEIGHTS = "best.weights.h5"
CHANNELS = "channels.json"
FINISHED = "finished.json"
HISTORY = "history.csv"
# The entry of `FINISHED` that tells whether `BEST_WEIGHTS` is damaged.
WEIGHTS_SHA256 = "best_weights_sha256"

_WRITE_AGAIN = (
    f"Delete it, and {FINISHED} if that is there, and train the run again: it is "
    "written anew from the checkpoints."
)


def run_dir(runs: str | pathlib.Path, config: ExperimentConfig) -> pathlib.Path:
    """Returns the folder of the run that `config` describes, below `runs`."""
    seed = f"seed{config.training.seed}"
    return pathlib.Path(runs, config.data.dataset, config.model.name, seed)


def find_runs(runs: str | pathlib.Path) -> list[pathlib.Path]:
    """Lists the finished runs below `runs`, sorted.

    Raises:
        FileNotFoundError: If there are none.
    """
    found = sorted(path.parent for path in pathlib.Path(runs).glob(f"*/*/*/{FINISHED}"))
    if not found:
        raise FileNotFoundError(
            f"No finished run below {runs}/. Train one with train.py, or name its "
            "folder with --runs or --run."
        )
    return found


def is_finished(run: str | pathlib.Path) -> bool:
    """Tells whether the run's last epoch was trained and written."""
    return pathlib.Path(run, FINISHED).is_file()


def check_startable(
    run: str | pathlib.Path, config: ExperimentConfig, force: bool
) -> None:
    """Refuses a run that cannot be trained; `check_settings` has part of the reasons.

    Raises:
        BlockingIOError: If another process trains it.
        FileExistsError: If `run` is finished, or has other settings, and `force` is
            not set.
        PermissionError: If `run` cannot be written to.
        ValueError: If its `config.json` is damaged and `force` is not set.
    """
    for folder in (pathlib.Path(run), pathlib.Path(run, CHECKPOINTS)):
        require_writable(folder, "--runs")
    check_unlocked(run)
    check_settings(run, config, force)


def check_settings(
    run: str | pathlib.Path, config: ExperimentConfig, force: bool
) -> None:
    """Refuses to overwrite a finished run or to continue one of other settings.

    The precision `auto` goes with whichever the run was begun in, and every strategy
    with every other: a batch has the same loss on however many devices.

    Raises:
        FileExistsError: If `run` is finished, or has other settings, and `force` is
            not set.
        ValueError: If its `config.json` is damaged and `force` is not set.
    """
    run = pathlib.Path(run)
    if force or not (run / CONFIG).exists():
        return
    begun = read_config(run)
    config = config.replace(
        strategy=begun.training.strategy, devices=begun.training.devices
    )
    if config.training.precision == AUTO:
        config = config.replace(precision=begun.training.precision)
    if begun != config:
        raise FileExistsError(
            f"{run} was begun with other settings ({differences(begun, config)}). "
            "Name another folder with --runs, or start it again with --force."
        )
    if is_finished(run):
        raise FileExistsError(
            f"{run} is finished. Score it with evaluate.py, or train it again with "
            "--force."
        )


def delete(run: str | pathlib.Path) -> None:
    """Deletes what is in a run's folder, but for its lock.

    In an order in which a kill leaves no half of a run that is taken for a whole, or
    continued with other settings.
    """
    order = {FINISHED: 0, CHECKPOINTS: 1, CONFIG: 3}
    for path in sorted(pathlib.Path(run).iterdir(), key=lambda p: order.get(p.name, 2)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def differences(begun: ExperimentConfig, config: ExperimentConfig) -> str:
    """Names the settings of `begun` that differ: `epochs 2, not 3`."""
    found = []
    for part in dataclasses.fields(config):
        old, new = vars(getattr(begun, part.name)), vars(getattr(config, part.name))
        found += [f"{k} {old[k]!r}, not {new[k]!r}" for k in old if old[k] != new[k]]
    return "; ".join(found)


def require_writable(folder: str | pathlib.Path, flag: str) -> None:
    """Refuses a folder in which nothing can be written, or that cannot be made.

    It tries: permissions alone do not tell for every user and file system.

    Args:
        folder: The folder, which may not be there yet.
        flag: The command's flag that named it.

    Raises:
        PermissionError: If nothing can be written there.
    """
    folder = pathlib.Path(folder)
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise PermissionError(
            f"{flag}: {folder} cannot be written: {there} is not a folder that can be "
            f"written to ({error.strerror}); name another"
        ) from error


def read_config(run: str | pathlib.Path) -> ExperimentConfig:
    """Reads the run's settings.

    Raises:
        FileNotFoundError: If `run` is not a run folder.
        ValueError: If its `config.json` is damaged or of another version.
    """
    path = _require(run, CONFIG, "Is it the folder of a run?")
    try:
        return ExperimentConfig.from_json(read_content(path).decode("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be used: {error}. It is damaged or from another version; "
            "train the run again with --force."
        ) from error


def class_names(run: str | pathlib.Path) -> tuple[str, ...]:
    """Reads the names of the run's foreground classes; label `i + 1` is name `i`.

    Raises:
        FileNotFoundError: If the run has no `classes.json`.
        ValueError: If it is damaged, or has not one name for each of the model's
            classes.
    """
    path = _require(run, "classes.json", "Train the run again with --force.")
    try:
        names = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(names, list) or not all(
        isinstance(n, str) and n.isprintable() for n in names
    ):
        raise ValueError(f"{path} must be a list of names. Received: {shown(names)}")
    expected = max(1, read_config(run).model.num_classes - 1)
    if len(names) != expected:
        raise ValueError(
            f"{path} must hold {expected} names, as the run's model has classes. "
            f"Received: {shown(names)}"
        )
    return tuple(names)


def image_channels(run: str | pathlib.Path) -> int | None:
    """Reads how many channels the scans had that the run was trained on.

    Returns:
        `None` for a run on photographs, gray or colored, or one of a version that
        did not write it.

    Raises:
        ValueError: If the file is damaged.
    """
    path = pathlib.Path(run, CHANNELS)
    if not path.is_file():
        return None
    try:
        number = read_json(path)
        if type(number) is not int or number < 1:
            raise ValueError(f"it holds {shown(number)}")
    except ValueError as error:
        raise ValueError(f"{path} must be a number of channels: {error}") from error
    return number


def read_history(run: str | pathlib.Path) -> list[dict[str, float]]:
    """Reads the run's `history.csv`: a row of numbers for each trained epoch.

    Raises:
        FileNotFoundError: If no epoch has been trained.
        ValueError: If the file is damaged.
    """
    path = _require(run, HISTORY, "Train the run to the end first.")
    try:
        text = io.StringIO(read_content(path).decode("utf-8"), newline="")
        rows = [{k: float(v) for k, v in r.items()} for r in csv.DictReader(text)]
        if not all(math.isfinite(value) for row in rows for value in row.values()):
            raise ValueError("it has a number that is not finite")
    except (csv.Error, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}. {_WRITE_AGAIN}") from error
    if not rows:
        raise ValueError(f"{path} is empty. {_WRITE_AGAIN}")
    return rows


def require_weights(run: str | pathlib.Path) -> pathlib.Path:
    """Returns the file of the run's best weights.

    Raises:
        FileNotFoundError: If the run has none yet.
        ValueError: If the run is finished and it is not the file that was written.
    """
    path = _require(run, BEST_WEIGHTS, "Train the run to the end first.")
    if is_finished(run):
        finished = pathlib.Path(run, FINISHED)
        try:
            written = read_json(finished).get(WEIGHTS_SHA256)
        except (ValueError, AttributeError) as error:
            raise ValueError(
                f"{finished} is damaged: {error}. {_WRITE_AGAIN}"
            ) from error
        if written is not None:  # As in runs of before.
            check_weights(run, written)
    return path


def check_weights(run: str | pathlib.Path, written: str | None) -> None:
    """Refuses best weights that are not, to the last bit, those that were written.

    Args:
        run: Folder of the run.
        written: Their SHA-256.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If they are others.
    """
    path = _require(run, BEST_WEIGHTS, "Train the run again with --force.")
    if sha256(path) != written:
        raise ValueError(
            f"{path} is damaged: it is not what training wrote. Put the right file "
            "back, or train the run again with --force."
        )


def is_older_than_weights(path: pathlib.Path, run: pathlib.Path | None = None) -> bool:
    """Tells whether a file of a run was written before its best weights.

    It lies in the run's folder itself, unless `run` names that folder.

    Raises:
        FileNotFoundError: If the run has none yet.
    """
    folder = run or path.parent
    weights = _require(folder, BEST_WEIGHTS, "Train the run to the end first.")
    return path.stat().st_mtime < weights.stat().st_mtime


def _require(run: str | pathlib.Path, name: str, advice: str) -> pathlib.Path:
    path = pathlib.Path(run, name)
    if not path.is_file():
        raise FileNotFoundError(f"No {name} in {run}. {advice}")
    return path
