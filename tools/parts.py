"""Cuts folders into files of 16 MiB, and puts them together again.

    python -m tools.parts cut FOLDER PARTS
    python -m tools.parts join PARTS FOLDER

For machines that are reached through a slot of that size. The parts of a compressed
archive are `part-000` and on; `parts.json`, written last, has the SHA-256 of each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pathlib
import tarfile
import tempfile
from collections.abc import Sequence

from synergynet_tf.cli import command_line
from synergynet_tf.safe_io import read_json

PART_BYTES = 16 * 2**20
LIST = "parts.json"


def cut(folder: pathlib.Path, parts: pathlib.Path, part_bytes: int = PART_BYTES) -> int:
    """Writes a folder's content as parts; returns their number.

    Raises:
        FileExistsError: If `parts` is there.
        FileNotFoundError: If `folder` is no folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}")
    parts.mkdir(parents=True)
    digests: dict[str, str] = {}
    with tempfile.TemporaryFile() as archive:
        with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=3) as tar:
            tar.add(folder, arcname=".")
        archive.seek(0)
        while content := archive.read(part_bytes):
            name = f"part-{len(digests):03d}"
            (parts / name).write_bytes(content)
            digests[name] = hashlib.sha256(content).hexdigest()
    (parts / LIST).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
    return len(digests)


def join(parts: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpacks parts into a folder; files of the same names are replaced.

    Raises:
        FileNotFoundError: If a part is missing.
        ValueError: If a part is not what was written.
    """
    with tempfile.TemporaryFile() as archive:
        for name, digest in read_json(parts / LIST).items():
            content = (parts / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError(f"{parts / name} is damaged; copy it again")
            archive.write(content)
        archive.seek(0)
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            tar.extractall(folder, filter="data")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("action", choices=("cut", "join"))
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("target", type=pathlib.Path)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Cuts or joins."""
    args = parse_args(argv)
    if args.action == "cut":
        print(f"{args.target}: {cut(args.source, args.target)} parts")
    else:
        join(args.source, args.target)
        print(f"{args.target}: joined")


if __name__ == "__main__":
    command_line.run(main)
