"""Finds the records in an answer of an API and keeps each exactly as the server wrote it.

A number parsed and written again may change (1.10, 12345678901234567890); so a record is a slice of the answer's text,
put on one line. The reader of JSON lines takes numbers as text too.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

_DECODER = json.JSONDecoder(parse_float=str, parse_int=str)
_SPACE = re.compile(r"[ \t\n\r]*")
_LINE_ENDS = re.compile(r"[\r\n\u0085\u2028\u2029]")


class Missing(LookupError):
    """There is nothing at a path."""


def parse(text: str) -> Any:
    """The whole answer, numbers as the text they are written with.

    Raises:
        ValueError: it is no complete JSON.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def at_path(value: Any, path: str) -> Any:
    """What stands at a dotted path; the value itself for an empty one.

    Raises:
        Missing: a step of the path is not there.
    """
    for step in path.split(".") if path else ():
        if not isinstance(value, dict) or step not in value:
            raise Missing(step)
        value = value[step]
    return value


def raw_records(text: str, path: str) -> list[str]:
    """The elements of the array at a path of a valid answer, each as its own text on one line."""
    place = _skip(text, 0)
    for step in path.split(".") if path else ():
        place = _member(text, place, step)
    if text[place] != "[":
        raise Missing(path)
    records = []
    place = _skip(text, place + 1)
    while text[place] != "]":
        _, end = _DECODER.raw_decode(text, place)
        records.append(_one_line(text[place:end]))
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return records


def _one_line(raw: str) -> str:
    """Line ends between tokens become spaces; inside strings only the Unicode ones can stand, which are escaped."""

    def harmless(match: re.Match[str]) -> str:
        end = match[0]
        return " " if end in "\r\n" else f"\\u{ord(end):04x}"

    return _LINE_ENDS.sub(harmless, raw)


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _member(text: str, place: int, name: str) -> int:
    """Where the value of a member begins; of two with one name the last, which is the one that parsing keeps."""
    if text[place] != "{":
        raise Missing(name)
    found = None
    place = _skip(text, place + 1)
    while text[place] != "}":
        key, end = scanstring(text, place + 1, True)
        place = _skip(text, _skip(text, end) + 1)
        if key == name:
            found = place
        _, end = _DECODER.raw_decode(text, place)
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    if found is None:
        raise Missing(name)
    return found
