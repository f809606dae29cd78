"""A run's report: one file of HTML that needs nothing else, `report.html`."""

from __future__ import annotations

import base64
import hashlib
import pathlib

from synergynet_tf import runs
from synergynet_tf.evaluation.figures.curves import read_columns
from synergynet_tf.evaluation.report.cases import cases_section
from synergynet_tf.evaluation.report.codes import codes_section, read_codes
from synergynet_tf.evaluation.report.markup import Markup, element, join
from synergynet_tf.evaluation.report.overlays import overlays_section, slices_of
from synergynet_tf.evaluation.report.robustness import (
    read_corruption,
    robustness_section,
)
from synergynet_tf.evaluation.report.run import read_object, run_section
from synergynet_tf.evaluation.report.scores import key_numbers, scores_section
from synergynet_tf.evaluation.report.training import codebook_section, training_section
from synergynet_tf.evaluation.scores import FILE, read_scores
from synergynet_tf.runs import Run

NAME = "report.html"


def write_html_report(run: Run) -> pathlib.Path:
    """Writes `<run>/report.html` of what is in the run's folder.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: If the run has no scores, history or settings.
        ValueError: If something is damaged, or the scores are older than the weights.
    """
    page = make_page(run)
    runs.write_text(run.path / NAME, page)
    return run.path / NAME


def make_page(run: Run) -> str:
    """Returns the report as text; raises as `write_html_report` does."""
    names = run.class_names
    report = read_scores(run).to_json()
    if run.is_older_than_weights(FILE):
        raise ValueError(
            f"{run}/metrics.json is older than the weights; score the run again with "
            f"evaluate.py --run {run}"
        )
    columns = read_columns(run)
    finished = read_object(run.path, runs.FINISHED)
    slices, codes = slices_of(run.path, report, names), read_codes(run)
    corruption = read_corruption(run)
    sections = {
        "Run": run_section(run, report, _seconds(columns)),
        "Scores": scores_section(report),
        "Overlays": overlays_section(report, names, slices),
        "Codes": codes_section(codes, slices) if codes else None,
        "Robustness": robustness_section(corruption) if corruption else None,
        "Training": training_section(columns, finished.get("best_epoch")),
        "Codebook": codebook_section(columns, run.config.model.num_codes),
        "Cases": cases_section(report),
    }
    title = f"{report['model']} on {report['dataset']}, seed {report['seed']}"
    return _page(
        title,
        key_numbers(report),
        {name: part for name, part in sections.items() if part is not None},
    )


def _seconds(columns: dict[str, list[float]]) -> float | None:
    return sum(columns["seconds"]) if "seconds" in columns else None


def _page(title: str, summary: Markup, sections: dict[str, Markup]) -> str:
    """Puts the parts together, with the style and the script in the page."""
    links = [
        element("li", element("a", name, href=f"#{name.lower()}")) for name in sections
    ]
    contents = element("nav", element("ul", *links), aria_label="Sections")
    style, script = (
        pathlib.Path(__file__).with_name(f"report.{kind}").read_text("utf-8")
        for kind in ("css", "js")
    )
    # Nothing is fetched, and no script runs but this one, whatever the page holds.
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title}: report"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("header", element("h1", title), contents, summary),
        element("main", *sections.values()),
        element(
            "footer",
            element("p", "A research tool's report: no output of it is a diagnosis."),
        ),
        element("script", Markup(script)),
    )
    return join([Markup("<!doctype html>\n"), element("html", head, body, lang="en")])


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
