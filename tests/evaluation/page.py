"""A page of the report, as a browser would have it."""

import html.parser
import itertools
import re

from synergynet_tf.evaluation.report.page import write_html_report
from synergynet_tf.runs import Run

VOID = {"br", "img", "input", "meta"}


class Page(html.parser.HTMLParser):
    """Text, tags and tables of a page, as a browser would have them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.tables, self.texts, self.blocks = [], [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        names = [tag for tag, _ in self.open]
        if "script" in names:
            self.blocks[self.open[-1][1].get("id")] = data
        elif "caption" in names:
            self.tables[-1]["caption"] += data
        elif "td" in names or "th" in names:
            self.tables[-1]["rows"][-1][-1] += data
        elif "style" not in names:
            self.texts.append(data)

    def table(self, caption):
        (found,) = [t for t in self.tables if t["caption"].startswith(caption)]
        return found["rows"]

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def check_read_aloud(page):
    """Checks what a screen reader goes by: headings, tables, images, names."""
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all("scope" in attributes for attributes in page.all("th"))
    assert all(table["caption"] for table in page.tables)
    assert all(attributes["alt"] for attributes in page.all("img"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    named = {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a}
    assert named <= set(ids)
    return set(ids)


def read_page(run):
    """Writes the report of a run; returns it, and its text."""
    text = write_html_report(Run(run)).read_text("utf-8")
    return Page(text), text


def shown(metric, value):
    """Writes a score as the page does."""
    if value is None:
        return "-"
    return f"{value if metric == 'hd95' else 100 * value:.2f}"
