"""HTML that is escaped as it is made: text becomes markup in one place, here."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

# Elements that have no content and no end.
_VOID = {"br", "img", "input", "meta"}


class Markup(str):
    """Text that is HTML already, and is not escaped again."""


def element(
    name: str, /, *content: str, **attributes: str | int | bool | None
) -> Markup:
    """Returns an element; what is no `Markup` in it is escaped.

    Args:
        name: Its name.
        *content: Text and elements, one after the other.
        **attributes: Their names lose an underscore at the end, and have a hyphen for
            any other. True is an attribute without a value; False and None are none.

    Example:
    >>> element("p", "a < b", element("b", "!"), class_="note", hidden=True)
    '<p class="note" hidden>a &lt; b<b>!</b></p>'
    """
    start = name
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            start += f" {key}"
        elif value is not None and value is not False:
            start += f' {key}="{html.escape(str(value))}"'
    inner = join(content)
    return Markup(f"<{start}>" if name in _VOID else f"<{start}>{inner}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Markup:
    """Returns parts one after the other, escaped where they are no `Markup`."""
    safe = (part if isinstance(part, Markup) else html.escape(part) for part in parts)
    return Markup(between.join(safe))


def section(title: str, *content: str, id_: str) -> Markup:
    """Returns a section with its heading, of the second level."""
    heading = element("h2", title, id=f"{id_}-title")
    return element("section", heading, *content, id=id_, aria_labelledby=f"{id_}-title")


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    **attributes: str | int | bool | None,
) -> Markup:
    """Returns a table that scrolls by itself; the first cell of a row is its head."""
    titles = [element("th", title, scope="col") for title in head]
    lines = [
        element(
            "tr",
            element("th", first, scope="row"),
            *(element("td", cell) for cell in cells),
        )
        for first, *cells in rows
    ]
    return scroller(
        caption,
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *titles)),
            element("tbody", *lines),
            **attributes,
        ),
    )


def scroller(name: str, content: Markup) -> Markup:
    """Lets what is too wide scroll, also with the keyboard."""
    return element(
        "div", content, class_="scroller", tabindex=0, role="region", aria_label=name
    )


def data_block(id_: str, value: Any) -> Markup:
    """Embeds a value as JSON, in which no text can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")
    return element("script", Markup(text), type="application/json", id=id_)
