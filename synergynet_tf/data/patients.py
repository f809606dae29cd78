"""Patients of cases, as a table names them.

A table is a CSV file with the columns `case` and `patient`. A dataset whose format
knows no patients, `folder` or `msd`, may hold one, `patients.csv`: then the cases of a
patient stay in one part of a split, and intervals are by patient.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Callable, Iterable, Sequence

from synergynet_tf.data.listing import first_of, without_ending
from synergynet_tf.safe_io import composed, is_plain, read_content, shown

COLUMNS = ("case", "patient")
MAX_NAMED = 10
# Largest size of a table: a line for each of a million cases.
MAX_TABLE_BYTES = 2**26


def patients_beside(
    table: pathlib.Path | None,
    case_ids: Sequence[str],
    endings: Sequence[str],
    own: Callable[[str], str] = str,
) -> dict[str, str]:
    """Returns the patient of each case: the table's, or without a table its own.

    Args:
        table: The table beside the data; `None` if there is none.
        case_ids: IDs of the cases.
        endings: Endings of the files that the table may name in place of cases.
        own: Function that makes a patient of a case where no table names one.

    Raises:
        OSError, ValueError: As `read_patients` does.
    """
    if table is None:
        return {case_id: own(case_id) for case_id in case_ids}
    return read_patients(
        table, case_ids, lambda name: without_ending(name, endings) or name
    )


def read_patients(
    path: pathlib.Path, case_ids: Iterable[str], case_name: Callable[[str], str]
) -> dict[str, str]:
    """Reads the patient of each case from a table, which may have further lines.

    Args:
        path: The table.
        case_ids: The cases that are asked for.
        case_name: Turns what stands in the column `case`, which may be the name of a
            file, into a case's ID.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is malformed, lacks a case, or has two patients of one.
    """
    try:
        text = read_content(path, MAX_TABLE_BYTES).decode("utf-8-sig")
        lines = text.splitlines()
        # Spreadsheets write semicolons where the comma is the decimal mark.
        head = lines[0] if lines else ""
        delimiter = ";" if ";" in head and "," not in head else ","
        rows = list(csv.DictReader(lines, delimiter=delimiter, strict=True))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is not a table of CSV: {error}") from error
    table: dict[str, str] = {}
    for row in rows:
        case, patient = ((row.get(name) or "").strip() for name in COLUMNS)
        if not case or not patient or not is_plain(case + patient):
            raise ValueError(
                f"{path} must have a case and a patient in each line, in columns of "
                f"these names. Received: {shown(row)}"
            )
        case_id = composed(case_name(case))
        if table.setdefault(case_id, patient) != patient:
            raise ValueError(
                f"{path} has two patients of the case {case_id}, {table[case_id]} and "
                f"{patient}; keep one"
            )
    case_ids = list(case_ids)
    if lacking := [case_id for case_id in case_ids if case_id not in table]:
        raise ValueError(
            f"{path} lacks {len(lacking)} of {len(case_ids)} cases: "
            f"{first_of(lacking, MAX_NAMED)}; add a line for each"
        )
    return {case_id: table[case_id] for case_id in case_ids}
