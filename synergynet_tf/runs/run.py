"""Run: a run's folder, opened once."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import math
import os
import pathlib
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from synergynet_tf.config import AUTO, ExperimentConfig
from synergynet_tf.runs.files import require_writable, sha256
from synergynet_tf.runs.lock import LOCK, check_unlocked
from synergynet_tf.safe_io import (
    composed,
    decode_text,
    is_plain,
    read_content,
    read_json,
    require,
    shown,
)

CALIBRATION = "calibration.json"
CHECKPOINTS = "checkpoints"
CONFIG = "config.json"
BEST_WEIGHTS = "best.weights.h5"
CHANNELS = "channels.json"
FINISHED = "finished.json"
HISTORY = "history.csv"
LABELS = "labels.json"
MAX_LABEL_VALUE = 65535
# The cases of each part, and what the data was beside them; written once, at the start.
SPLIT = "split.json"
DATA = "data.json"
_PARTS = ("train", "val", "test")
# Entry of `FINISHED` with the SHA-256 that tells whether `BEST_WEIGHTS` is damaged.
WEIGHTS_SHA256 = "best_weights_sha256"
# Entry of a file of results with the SHA-256 of the weights that they are of.
SCORED_SHA256 = "weights_sha256"

_WRITE_AGAIN = (
    f"Delete it, and {FINISHED} if that is there, and train the run again: it is "
    "written anew from the checkpoints."
)


class Run:
    """A run's folder, opened once.

    What was read of the folder is kept. A run that is being trained changes: open it
    again to see its new state.

    Args:
        path: The folder. It is looked at when something is read of it.
        results: Folder of what scoring writes and the report shows; by default `path`,
            where a run is that cannot be written to.

    Attributes:
        path: The folder.
        results: The folder of the results.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        results: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = pathlib.Path(path)
        self.results = self.path if results is None else pathlib.Path(results)

    def __str__(self) -> str:
        """Returns the folder."""
        return str(self.path)

    def __repr__(self) -> str:
        """Returns the call that opens it."""
        return f"Run({str(self.path)!r})"

    @functools.cached_property
    def config(self) -> ExperimentConfig:
        """The run's settings.

        Raises:
            FileNotFoundError: If this is not a run's folder.
            ValueError: If its `config.json` is damaged or of another version.
        """
        path = self._require(CONFIG, "Is it the folder of a run?")
        try:
            return ExperimentConfig.from_json(decode_text(read_content(path)))
        except ValueError as error:
            raise ValueError(
                f"{path} cannot be used: {error}. It is damaged or from another "
                "version; train the run again with --force."
            ) from error

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names of the run's foreground classes; label `i + 1` is name `i`.

        Raises:
            FileNotFoundError: If the run has no `classes.json`.
            ValueError: If it is damaged, or has not one name for each of the model's
                classes.
        """
        path = self._require("classes.json", "Train the run again with --force.")
        try:
            names = read_json(path)
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if not isinstance(names, list) or not all(
            isinstance(n, str) and is_plain(n) for n in names
        ):
            raise ValueError(
                f"{path} must be a list of names. Received: {shown(names)}"
            )
        expected = max(1, self.config.model.num_classes - 1)
        if len(names) != expected:
            raise ValueError(
                f"{path} must hold {expected} names, as the run's model has classes. "
                f"Received: {shown(names)}"
            )
        return tuple(names)

    @functools.cached_property
    def label_values(self) -> tuple[int, ...] | None:
        """The value of each class in the masks that the run was trained on.

        `labels.json` gives it by name. `None` for a run on data without masks of its
        own, or one of a version that did not write it.

        Raises:
            ValueError: If the file is damaged, or not of the run's classes.
        """
        path = self.path / LABELS
        if not path.is_file():
            return None
        try:
            values = read_json(path)
            if not isinstance(values, dict) or {*values} != {*self.class_names}:
                raise ValueError(f"it holds {shown(values)}")
            return check_label_values([values[name] for name in self.class_names])
        except ValueError as error:
            raise ValueError(
                f"{path} must give each class its own value: {error}"
            ) from error

    @functools.cached_property
    def calibration(self) -> dict[str, Any] | None:
        """Result of `evaluation.calibration`; `None` if the run was not calibrated.

        Raises:
            ValueError: If the file is damaged, or of other weights than the run's.
        """
        path = self.results / CALIBRATION
        if not path.is_file():
            path = self.path / CALIBRATION
        if not path.is_file():
            return None
        try:
            values = read_json(path)
            require(isinstance(values, dict), "it", "an object", values)
            temperature = values.get("temperature")
            valid = type(temperature) is float and 0 < temperature < math.inf
            require(valid, "temperature", "a number above 0", temperature)
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged: {error}; delete it, or run `synergynet calibrate`"
            ) from error
        if stale := self.why_stale(path, values.get(SCORED_SHA256)):
            raise ValueError(
                f"{path} is {stale}; delete it, or run `synergynet calibrate`"
            )
        return values

    @property
    def temperature(self) -> float:
        """Divisor of the logits for probabilities: 1 if it was not calibrated."""
        return float(self.calibration["temperature"]) if self.calibration else 1.0

    @functools.cached_property
    def image_channels(self) -> int | None:
        """Number of channels of the scans that the run was trained on.

        `None` for a run on photographs, gray or colored, or one of a version that did
        not write it.

        Raises:
            ValueError: If the file is damaged.
        """
        path = self.path / CHANNELS
        if not path.is_file():
            return None
        try:
            number = read_json(path)
            if type(number) is not int or number < 1:
                raise ValueError(f"it holds {shown(number)}")
        except ValueError as error:
            raise ValueError(f"{path} must be a number of channels: {error}") from error
        return number

    @functools.cached_property
    def split(self) -> dict[str, list[str]] | None:
        """The cases of `train`, `val` and `test`, as they were when the run began.

        `None` for a run of a version that did not write them.

        Raises:
            ValueError: If the file is damaged.
        """
        path = self.path / SPLIT
        if not path.is_file():
            return None
        try:
            parts: dict[str, list[str]] = read_json(path)
            ok = isinstance(parts, dict) and set(parts) == set(_PARTS)
            require(ok, "it", f"lists of cases for {', '.join(_PARTS)}", parts)
            for part, ids in parts.items():
                require(_is_list(ids, str), part, "a list of cases", ids)
                parts[part] = list(map(composed, ids))  # As cases are listed.
            ids = [case_id for part in _PARTS for case_id in parts[part]]
            twice = [case_id for case_id, count in Counter(ids).items() if count > 1]
            require(not twice, "a case", "in one part, once", twice)
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged: {error}. It says which cases the run was trained "
                "on: put the right file back, or train the run again with --force."
            ) from error
        return parts

    @functools.cached_property
    def data(self) -> dict[str, Any]:
        """Description of the data when the run began, besides its split.

        `unused` lists the cases that were in no part, as with `--limit`; `crc32` has
        the checksums of images and labels of each part as they were prepared. Empty
        for a run of a version that did not write it.

        Raises:
            ValueError: If the file is damaged.
        """
        path = self.path / DATA
        if not path.is_file():
            return {}
        try:
            values: dict[str, Any] = read_json(path)
            ok = isinstance(values, dict) and set(values) == {"unused", "crc32"}
            require(ok, "it", "an object of unused and crc32", values)
            unused, checksums = values["unused"], values["crc32"]
            ok = unused is None or _is_list(unused, str)
            require(ok, "unused", "a list of cases", unused)
            ok = isinstance(checksums, dict) and set(checksums) <= {"train", "val"}
            ok = ok and all(_is_list(pair, int) for pair in checksums.values())
            require(ok, "crc32", "numbers of train and val", checksums)
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged: {error}. Put the right file back, or delete it: "
                "then it is not told whether the data has changed since."
            ) from error
        return values

    @functools.cached_property
    def history(self) -> list[dict[str, float]]:
        """The rows of `history.csv`: numbers, one row for each trained epoch.

        Raises:
            FileNotFoundError: If no epoch has been trained.
            ValueError: If the file is damaged.
        """
        path = self._require(HISTORY, "Train the run to the end first.")
        try:
            text = io.StringIO(decode_text(read_content(path)), newline="")
            rows = [{k: float(v) for k, v in r.items()} for r in csv.DictReader(text)]
            if not all(math.isfinite(value) for row in rows for value in row.values()):
                raise ValueError("it has a number that is not finite")
        except (csv.Error, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error}. {_WRITE_AGAIN}") from error
        if not rows:
            raise ValueError(f"{path} is empty. {_WRITE_AGAIN}")
        return rows

    def is_finished(self) -> bool:
        """Tells whether the last epoch was trained and written."""
        return (self.path / FINISHED).is_file()

    @functools.cached_property
    def weights_sha256(self) -> str:
        """The SHA-256 of the best weights as they are, in hexadecimal digits."""
        path = self._require(BEST_WEIGHTS, "Train the run again with --force.")
        return sha256(path)

    def weights(self) -> pathlib.Path:
        """Returns the file of the best weights.

        Raises:
            FileNotFoundError: If the run has none yet.
            ValueError: If the run is finished and it is not the file that was written.
        """
        path = self._require(BEST_WEIGHTS, "Train the run to the end first.")
        if self._finished_sha256 is not None:
            self.check_weights(self._finished_sha256)
        return path

    def check_weights(self, written: str | None) -> None:
        """Refuses best weights that are not, to the last bit, those that were written.

        Args:
            written: SHA-256 of the best weights when they were written.

        Raises:
            FileNotFoundError: If there are no best weights.
            ValueError: If the SHA-256 differs.
        """
        if self.weights_sha256 != written:
            raise ValueError(
                f"{self.path / BEST_WEIGHTS} is damaged: it is not what training "
                "wrote. Put the right file back, or train the run again with --force."
            )

    def why_stale(self, path: pathlib.Path, sha256: object) -> str:
        """Returns the reason why a file of results is not of the run's best weights.

        A file's time counts only where there is no SHA-256: copies have other times.

        Args:
            path: The file.
            sha256: SHA-256 of the weights, as the file has it under `SCORED_SHA256`;
                `None` or `""` for a file of a version that did not write it.

        Returns:
            The reason; nothing if it is of these weights.

        Raises:
            FileNotFoundError: If the run has no weights yet.
            ValueError: If `FINISHED` is damaged.
        """
        weights = self._require(BEST_WEIGHTS, "Train the run to the end first.")
        if not sha256:
            older = path.stat().st_mtime < weights.stat().st_mtime
            return "older than the weights" if older else ""
        written = self._finished_sha256 or self.weights_sha256
        return "" if sha256 == written else "of other weights than the run's"

    @functools.cached_property
    def _finished_sha256(self) -> str | None:
        """The SHA-256 that `FINISHED` has; `None` in old or unfinished runs.

        Raises:
            ValueError: If the file is damaged.
        """
        path = self.path / FINISHED
        if not path.is_file():
            return None
        try:
            written: str | None = read_json(path).get(WEIGHTS_SHA256)
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error}. {_WRITE_AGAIN}") from error
        return written

    def _require(self, name: str, advice: str) -> pathlib.Path:
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(f"No {name} in {self}. {advice}")
        return path


def check_label_values(values: Sequence[Any]) -> tuple[int, ...]:
    """Returns the values that classes have in masks.

    Raises:
        ValueError: If they are no distinct numbers from 1 to 65535.
    """
    numbers = all(type(value) is int for value in values)
    if not numbers or not all(1 <= value <= MAX_LABEL_VALUE for value in values):
        raise ValueError(
            f"they must be numbers from 1 to {MAX_LABEL_VALUE}. "
            f"Received: {shown(values)}"
        )
    if len(set(values)) < len(values):
        raise ValueError(f"two classes have one value. Received: {shown(values)}")
    return tuple(values)


def _is_list(value: object, of: type) -> bool:
    return isinstance(value, list) and all(isinstance(entry, of) for entry in value)


def run_dir(runs: str | pathlib.Path, config: ExperimentConfig) -> pathlib.Path:
    """Returns the folder of the run that `config` describes, below `runs`."""
    seed = f"seed{config.training.seed}"
    return pathlib.Path(runs, config.data.dataset, config.model.name, seed)


def find_runs(runs: str | pathlib.Path) -> list[Run]:
    """Lists the finished runs below `runs`, sorted.

    Raises:
        FileNotFoundError: If there are none.
    """
    found = sorted(path.parent for path in pathlib.Path(runs).glob(f"*/*/*/{FINISHED}"))
    if not found:
        raise FileNotFoundError(
            f"No finished run below {runs}/. Train one with synergynet train, or name "
            "its folder with --runs or --run."
        )
    return [Run(path) for path in found]


def open_runs(
    folders: Iterable[str | pathlib.Path] | None, runs: str | pathlib.Path
) -> list[Run]:
    """Opens the runs in `folders`; without any, every finished run below `runs`.

    Raises:
        FileNotFoundError: If there are none.
    """
    return [Run(folder) for folder in folders] if folders else find_runs(runs)


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
    with every other: a batch has the same loss on however many devices. Data may have
    moved while the run waits, if `SPLIT` tells which cases it must still have; so may
    files of weights, by their names.

    Raises:
        FileExistsError: If `run` is finished, or has other settings, and `force` is
            not set.
        ValueError: If its `config.json` is damaged and `force` is not set.
    """
    run = pathlib.Path(run)
    if force or not (run / CONFIG).exists():
        return
    opened = Run(run)
    begun, finished = opened.config, opened.is_finished()
    config = config.replace(
        strategy=begun.training.strategy, devices=begun.training.devices
    )
    if config.training.precision == AUTO:
        config = config.replace(precision=begun.training.precision)
    if (run / SPLIT).is_file() and not finished:
        config = config.replace(data_dir=begun.data.data_dir)
    begun, config = begun.with_weights_named(), config.with_weights_named()
    if begun != config:
        raise FileExistsError(
            f"{run} was begun with other settings ({differences(begun, config)}). "
            "Name another folder with --runs, or start it again with --force."
        )
    if finished:
        raise FileExistsError(
            f"{run} is finished. Score it with synergynet evaluate, or train it again "
            "with --force."
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
