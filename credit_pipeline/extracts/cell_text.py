"""Text of an extract as cells of files that people open in spreadsheets: nothing a spreadsheet would run as a formula.

The guard is in SQL, so that a million cells are one pass. It is not undone when a file comes back (draw_protocol.md §5).
"""

from __future__ import annotations

_STARTS = "=+\\-@＝＋－＠"
"""What makes a formula of a cell, in ASCII and full width (Excel and WPS fold the latter)."""
_BEFORE = "^|[\\s,;|\"''\\x{3000}\\x{feff}\\x{200b}]"
"""Where a cell may begin: at the start, after blanks, and after what another separator setting would split at."""


def guarded(expression: str) -> str:
    """SQL of a text with an apostrophe before whatever would begin a formula; a plain number stays one."""
    return (
        f"case when try_cast({expression} as double) is not null then {expression} "
        f"else regexp_replace({expression}, '({_BEFORE})([{_STARTS}])', '\\1''\\2', 'g') end"
    )


def as_text(expression: str, data_type: str) -> str:
    """SQL of a value as guarded text: 是 and 否, ISO days, numbers as they are."""
    if data_type == "BOOLEAN":
        return f"case {expression} when true then '是' when false then '否' end"
    if data_type == "VARCHAR":
        return guarded(expression)
    return f"cast({expression} as varchar)"


def quoted(name: str) -> str:
    """A name as SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
