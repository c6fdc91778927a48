"""Tables as pages: every cell of the Markdown is a cell of the page."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from flexpose_core.errors import DataError
from flexpose_core.stages.page import write_page

TEMPLATE = Path(__file__).parents[1] / "report/page.html"
TABLE = """\
# Table 1 & more

What *flip* means.

| Method         | MSE flip   |   Seeds |
|:---------------|:-----------|--------:|
| flexpose_s0_x  | 1.2 ± 0.3  |       3 |
| a < b          |            |       1 |

Left out:

- one: two.
"""


class Cells(HTMLParser):
    """The texts of the cells of all tables, and of the items of all lists."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.within = False

    def handle_starttag(self, tag, attrs):
        if tag in ("td", "th", "li"):
            self.within = True
            self.found.append("")

    def handle_endtag(self, tag):
        self.within = self.within and tag not in ("td", "th", "li")

    def handle_data(self, data):
        if self.within:
            self.found[-1] += data


def test_a_page_has_every_cell_of_its_table(tmp_path):
    (tmp_path / "t.md").write_text(TABLE, encoding="utf-8")
    write_page(tmp_path / "t.md", TEMPLATE, tmp_path / "t.html")
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    cells = Cells()
    cells.feed(page)
    rows = [line for line in TABLE.splitlines() if line.startswith("|") and ":--" not in line]
    expected = [cell.strip() for row in rows for cell in row.strip("|").split("|")]
    assert cells.found == [*expected, "one: two."]
    assert "<h1>Table 1 &amp; more</h1>" in page
    assert "<em>flip</em>" in page
    assert "src=" not in page
    assert "href=" not in page


def test_what_has_no_title_is_named(tmp_path):
    (tmp_path / "t.md").write_text("| a |\n")
    with pytest.raises(DataError, match=r"t\.md: expected a title in its first line"):
        write_page(tmp_path / "t.md", TEMPLATE, tmp_path / "t.html")
