"""HTML report of a run: one self-contained file, `report.html`."""

from __future__ import annotations

import base64
import functools
import hashlib
import pathlib
from typing import Any

import jinja2

from synergynet_tf import runs
from synergynet_tf.evaluation.figures.curves import read_columns
from synergynet_tf.evaluation.report import context, slices
from synergynet_tf.evaluation.report.codes import read_codes
from synergynet_tf.evaluation.report.fields import blame
from synergynet_tf.evaluation.scores import FILE, read_current_scores
from synergynet_tf.runs import Run

NAME = "report.html"
HERE = pathlib.Path(__file__).parent


def write_html_report(run: Run) -> pathlib.Path:
    """Writes `report.html` of what is in the run's folder and beside its results.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: If the run has no scores, history or settings.
        ValueError: If something is damaged, or the scores are of other weights.
    """
    page = make_page(run)
    runs.write_text(run.results / NAME, page)
    return run.results / NAME


def make_page(run: Run) -> str:
    """Returns the report as text; raises as `write_html_report` does."""
    return render("report.html.j2", _read_context(run))


def render(template: str, context: dict[str, Any]) -> str:
    """Returns a page with the style and the script that all reports share.

    Args:
        template: Name of the template in `templates`; it extends `_page.j2`.
        context: Variables of the template.
    """
    theme, own, script = (
        (HERE / name).read_text("utf-8")
        for name in ("theme.css", "report.css", "report.js")
    )
    style = theme + own
    return (
        environment()
        .get_template(template)
        .render(
            **context,
            style=style,
            style_digest=_digest(style),
            script=script,
            script_digest=_digest(script),
        )
    )


@functools.cache
def environment() -> jinja2.Environment:
    """Returns the template environment: text is escaped, a missing name an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    compact = {"separators": (",", ":"), "allow_nan": False}
    made.policies["json.dumps_kwargs"] = compact
    return made


def _read_context(run: Run) -> dict[str, Any]:
    """Reads all that the template shows of a run."""
    path = run.results / FILE
    report = read_current_scores(run).to_json()
    again = f"score the run again with synergynet evaluate --run {run}"
    columns = read_columns(run)
    with blame(path, "is of another version", again):
        scores = context.scores_context(report)
        cases = context.cases_context(report)
        strict = {case["case_id"]: case["strict"] for case in report["cases"]}
    with blame(run.results / slices.NAME, "is damaged", again):
        overlays = context.overlays_context(
            slices.read_slices(run.results), strict, run.class_names
        )
    return {
        "title": f"{report['model']} on {report['dataset']}, seed {report['seed']}",
        "run": context.run_context(run, report, columns),
        "scores": scores,
        "overlays": overlays,
        "codes": read_codes(run),
        "calibration": context.read_calibration(run),
        "robustness": context.read_robustness(run),
        "training": context.curves_context("training", columns, context.TRAINING),
        "codebook": context.curves_context("codebook", columns, context.CODEBOOK),
        "cases": cases,
    }


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
