"""A table for reading, as a page of its own: what Markdown is where nothing shows it, as in Snakemake's report."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markdown import markdown

from flexpose_core.errors import DataError
from flexpose_core.files import write_text


def write_page(source: Path, template: Path, out: Path) -> None:
    """Write a Markdown file as HTML that opens anywhere.

    Parameters
    ----------
    source
        Markdown whose first line is its title.
    template
        A Jinja template, filled with `title`, a text, and `body`, HTML.

    Raises
    ------
    DataError
        If the file has no title.
    """
    text = Path(source).read_text(encoding="utf-8")
    title, _, rest = text.partition("\n")
    if not title.startswith("# "):
        raise DataError(f"{source}: expected a title in its first line, found {title[:60]!r}")
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        Path(template).read_text(encoding="utf-8")
    )
    write_text(out, page.render(title=title.removeprefix("# "), body=markdown(rest, extensions=["tables"])))
