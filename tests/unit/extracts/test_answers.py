"""What `extract open --sql` prints: nothing folded to one character a line, nothing cut in silence."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from credit_pipeline.extracts.answers import SHOWN_ROWS, print_answer

NAMES = [f"列{number}_of_an_extract" for number in range(30)]


def printed(columns: list[str], rows: list[tuple[object, ...]], *, terminal: bool, width: int = 100) -> str:
    file = io.StringIO()
    print_answer(columns, rows, Console(file=file, force_terminal=terminal, width=width, no_color=True))
    return file.getvalue()


def test_a_wide_row_is_a_record() -> None:
    """Thirty columns in a hundred cells came as a strip of single characters, pages long."""
    shown = printed(NAMES, [tuple(f"值{number}" for number in range(30)), (None,) * 30], terminal=True)
    lines = shown.splitlines()
    assert len(lines) == 2 * (1 + len(NAMES))
    assert lines[0].startswith("1 ") and lines[31].startswith("2 ")
    for number, name in enumerate(NAMES):
        assert lines[1 + number].split() == [name, f"值{number}"]
        assert lines[32 + number].split() == [name]


@pytest.mark.parametrize(("width", "is_table"), [(19, True), (18, False)])
def test_a_table_is_a_table_as_long_as_it_fits(width: int, is_table: bool) -> None:
    """Chinese characters take two cells; counted as one, the table folds them."""
    shown = printed(["企业名称", "级别"], [("中文名", "B")], terminal=True, width=width)
    assert ("│ 中文名   │ B    │" in shown) == is_table
    assert ("级别      B" in shown) != is_table


def test_a_file_gets_csv_with_every_row() -> None:
    """A program cannot read borders; and a file that ends at row 200 without a word passes for the whole."""
    rows: list[tuple[object, ...]] = [(number, 'a,"b"\nc', None) for number in range(SHOWN_ROWS + 50)]
    found = list(csv.reader(io.StringIO(printed(["n", "text", "nothing"], rows, terminal=False))))
    assert found == [["n", "text", "nothing"]] + [[str(n), 'a,"b"\nc', ""] for n in range(SHOWN_ROWS + 50)]


@pytest.mark.parametrize("more", [0, 1])
def test_a_terminal_is_told_that_there_is_more(more: int) -> None:
    shown = printed(["n"], [(number,) for number in range(SHOWN_ROWS + more)], terminal=True)
    assert ("> answer.csv" in shown) == bool(more)
    assert shown.count("│ ") - shown.count("│ n") == SHOWN_ROWS


def test_an_empty_answer_has_its_columns() -> None:
    assert printed(["n", "text"], [], terminal=False) == "n,text\n"
    assert "text" in printed(["n", "text"], [], terminal=True)
