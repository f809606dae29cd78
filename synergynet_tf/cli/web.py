"""Web export: `synergynet export web --run RUN --out page.html`.

Writes one HTML file that segments images in a browser, without a server and without a
network: the model, its card and LiteRT.js are in it. `--folder` writes the same as a
folder for a web server. Image files only: a browser reads no NIfTI scans.

Of a run a `.tflite` file is made first, as `export tflite` does. `--quantize`:

    float16    labels of the run but for few pixels, half the size of none
    none       float32
    dynamic    8 bits, a quarter of the size of none; labels differ a little more, and
               by the browser, whose rounding is not that of `synergynet predict`

LiteRT.js is fetched once from npm's registry and kept in the cache.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
from collections.abc import Sequence

from synergynet_tf import runs
from synergynet_tf.cli import command_line
from synergynet_tf.export.card import make_card
from synergynet_tf.export.exported_model import (
    TFLITE,
    find_exported,
    require_interpreter,
)
from synergynet_tf.export.web import page
from synergynet_tf.export.web.runtime import find_runtime
from synergynet_tf.runs import Run

QUANTIZE = ("float16", "none", "dynamic")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = command_line.ArgumentParser(__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="folder of a trained run")
    source.add_argument(
        "--model",
        help=f"a {TFLITE} file, its card beside it, or the name of a shipped model",
    )
    parser.add_argument("--out", required=True, help="the .html file, or the folder")
    parser.add_argument(
        "--folder", action="store_true", help="write a folder for a web server"
    )
    parser.add_argument(
        "--quantize", choices=QUANTIZE, help=f"of --run; default: {QUANTIZE[0]}"
    )
    parser.add_argument(
        "--runtime",
        help="folder with LiteRT.js' two tarballs, as npm pack writes them; "
        "default: the cache, or npm's registry",
    )
    args = parser.parse_args(argv)
    if args.quantize is not None and args.run is None:
        parser.error("only with --run: --quantize")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Checks the arguments, makes the page, and prints what it is."""
    args = parse_args(argv)
    target = _new_target(args.out, args.folder)
    if args.model is not None:
        exported = find_exported(args.model)
        if exported.path.suffix != TFLITE:
            raise ValueError(
                f"{args.model} is no {TFLITE} file, and a browser runs no other: name "
                "one with --model"
            )
        page.check_images(exported.card.config, exported.card.image_channels)
        parts = page.make_parts(exported, find_runtime(args.runtime))
        _write(parts, target, args.folder)
        return
    run = Run(args.run)
    page.check_images(run.config, run.image_channels)
    runtime = find_runtime(args.runtime)  # Before minutes of work, should it fail.
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, f"{run.config.model.name}{TFLITE}")
        _export(run, args.quantize or QUANTIZE[0], file)
        parts = page.make_parts(find_exported(file), runtime)
    _write(parts, target, args.folder)


def _new_target(out: str, folder: bool) -> pathlib.Path:
    """Returns the file or folder to write.

    Raises:
        ValueError: If the name of a file does not end in `.html`.
        FileExistsError: If it is there.
        PermissionError: If its folder cannot be written to.
    """
    target = pathlib.Path(out)
    if not folder and target.suffix != ".html":
        raise ValueError(
            f"--out must end in .html, or be a folder with --folder. Received: {out}"
        )
    if target.exists():
        raise FileExistsError(f"{target} exists; delete it, or choose another --out")
    runs.require_writable(target.parent, "--out")
    return target


def _export(run: Run, kind: str, file: pathlib.Path) -> None:
    card = make_card(run)
    require_interpreter()

    # Here, because importing Keras takes seconds and the checks above do not.
    from synergynet_tf.evaluation.predictor import load_run_model
    from synergynet_tf.export import tflite

    tflite.save(load_run_model(run), kind, (), card, file)


def _write(parts: page.Parts, target: pathlib.Path, folder: bool) -> None:
    if folder:
        page.write_folder(parts, target)
        size = sum(map(len, parts.files.values()))
        print(f"{target}: {size / 1e6:.1f} MB; serve it over HTTP, and open index.html")
        return
    page.write_file(parts, target)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB; open it in a browser")
