"""Hooks of the documentation site: command help, and links into the source."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from typing import Any

from synergynet_tf.cli.synergynet import COMMANDS, EXPORTS


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fills in the help of every command; turns links that leave docs/ into paths."""
    if "<!-- commands -->" in markdown:
        markdown = markdown.replace("<!-- commands -->", commands_help())
    return re.sub(
        r"\[[^\]]*\]\((?:\.\./)+((?:synergynet_tf|export|benchmarks|experiments|tests|studies)[^)]*)\)",
        r"`\1`",
        markdown,
    )


def commands_help() -> str:
    """Returns the help of every command as Markdown."""
    table = {name: row for name, row in COMMANDS.items() if row[0]}
    table |= {f"export {name}": row for name, row in EXPORTS.items()}
    parts = []
    for name, (module, text) in sorted(table.items()):
        parts.append(f"## synergynet {name}\n\n{text[0].upper()}{text[1:]}.\n")
        parts.append(f"```text\n{_help(f'synergynet {name}', module)}```\n")
    return "\n".join(parts)


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
