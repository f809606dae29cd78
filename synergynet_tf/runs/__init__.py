"""Runs: folders of trained models, their files and locks.

    runs/<dataset>/<model>/seed<k>/
        config.json         every setting
        classes.json        names of the foreground classes, in label order
        labels.json         the value of each class in the masks; predictions have it
        channels.json       how many channels a scan has; no file for photographs
        split.json          the cases of each part, written once, when the run begins
        data.json           which cases were in no part, and the data's checksums
        environment.json    versions, machine, command and commit
        history.csv         a row an epoch
        checkpoints/        everything that continues the run
        best.weights.h5     the weights of the best validation DSC
        finished.json       written last: the run is whole
        metrics.json        scores
        calibration.json    the temperature of its probabilities, if it was calibrated

Every file is written beside its place, flushed to the disk and renamed, so a reader
never sees half of one, and neither does a machine that lost its power.
"""

from synergynet_tf.runs.files import (
    atomic_file,
    check_seal,
    read_columns,
    remove_temporaries,
    require_room,
    require_writable,
    seal,
    sha256,
    write_csv,
    write_json,
    write_text,
)
from synergynet_tf.runs.lock import LOCK, Lock, lock
from synergynet_tf.runs.run import (
    BEST_WEIGHTS,
    CALIBRATION,
    CHANNELS,
    CHECKPOINTS,
    CONFIG,
    DATA,
    FINISHED,
    HISTORY,
    LABELS,
    SCORED_SHA256,
    SPLIT,
    WEIGHTS_SHA256,
    Run,
    check_label_values,
    check_settings,
    check_startable,
    delete,
    differences,
    find_runs,
    open_runs,
    run_dir,
)

__all__ = [
    "BEST_WEIGHTS",
    "CALIBRATION",
    "CHANNELS",
    "CHECKPOINTS",
    "CONFIG",
    "DATA",
    "FINISHED",
    "HISTORY",
    "LABELS",
    "LOCK",
    "SCORED_SHA256",
    "SPLIT",
    "WEIGHTS_SHA256",
    "Lock",
    "Run",
    "atomic_file",
    "check_label_values",
    "check_seal",
    "check_settings",
    "check_startable",
    "delete",
    "differences",
    "find_runs",
    "lock",
    "open_runs",
    "read_columns",
    "remove_temporaries",
    "require_room",
    "require_writable",
    "run_dir",
    "seal",
    "sha256",
    "write_csv",
    "write_json",
    "write_text",
]
