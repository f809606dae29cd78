"""Hooks of the documentation site: help, shipped models, links into the source."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from typing import Any

from synergynet_tf import formats, zoo
from synergynet_tf.cli.synergynet import COMMANDS, EXPORTS
from synergynet_tf.export.exported_model import find_exported

# Links that a reader of the repository can follow, and one of the site cannot.
_SOURCE = re.compile(
    r"\[[^\]]*\]\((?:\.\./)+((?:synergynet_tf|export|benchmarks|tests|studies)[^)]*)\)"
)
_FOLDER = re.compile(r"\[[^\]]*\]\((?:\.\./)*(results/[\w-]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fills in the help of every command; turns links that leave docs/ into paths."""
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", commands_help())
    if "<!-- zoo -->" in markdown:
        markdown = markdown.replace("<!-- zoo -->", zoo_table())
    for outside in (_SOURCE, _FOLDER):
        markdown = outside.sub(r"`\1`", markdown)
    return markdown


def commands_help() -> str:
    """Returns the help of every command as Markdown."""
    table = {name: row for name, row in COMMANDS.items() if row[0]}
    table |= {f"export {name}": row for name, row in EXPORTS.items()}
    parts = []
    for name, (module, text) in sorted(table.items()):
        parts.append(f"## synergynet {name}\n\n{text[0].upper()}{text[1:]}.\n")
        parts.append(f"```text\n{_help(f'synergynet {name}', module)}```\n")
    return "\n".join(parts)


def zoo_table() -> str:
    """Returns the shipped models, with their scores and licenses, as Markdown."""
    rows = [["Name", "Labels", "DSC (%)", "r50-unet", "Trained on", "License"]]
    for name in zoo.names():
        values = find_exported(name).card.values
        about = values[zoo.SECTION]
        protocol, baseline = about["protocol"], about["baseline"]
        cells = [_dsc(of["protocols"][protocol]) for of in (values["scores"], baseline)]
        cells[0] += f", {protocol}, {values['scores']['num_cases']} cases"
        data = f"[{about['data']['name']}]({about['data']['source']})"
        rows.append([name, about["title"], *cells, data, about["license"]])
    return formats.markdown(rows, left=len(rows[0]))


def _dsc(block: dict[str, Any]) -> str:
    value, ends = block["mean"]["dsc"], block["mean_interval"]["dsc"]
    return formats.with_interval(value, ends, ".1f", 100)


def _help(program: str, module: str) -> str:
    parse_args = importlib.import_module(f"synergynet_tf.{module}").parse_args
    before, sys.argv = sys.argv, [program]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            parse_args(["--help"])
    finally:
        sys.argv = before
    return printed.getvalue()
