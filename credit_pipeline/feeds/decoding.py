"""Which encoding a text file has, and its lines as text. Nothing is ever replaced: what cannot be decoded
is reported.

Used by the readers of CSV and JSON. One file has one codec: decoding single bad lines by another would
accept garbage (every third UTF-8 line is also valid GB18030).
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

import numpy as np

UTF16_BOMS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_SAMPLE = 1 << 20
_HIGH = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True)
class Line:
    """One physical line with its terminator."""

    text: str | None
    """Null when it cannot be decoded."""
    problem: str = ""
    """Codec and file offset of the first bad byte."""
    shown: str = ""
    """The undecodable line with its bad bytes as escapes."""
    length: int = 0
    """Bytes."""


def guess_codec(data: bytes | memoryview) -> str | None:
    """`utf-8` or `gb18030` by the share of high bytes that form UTF-8 sequences; None while all is ASCII.

    Chinese text in GB18030 reaches at most about 0.3 (its second bytes rarely look like continuations),
    damaged UTF-8 stays near 1; the limit of 0.9 leaves both far away.
    """
    first = _HIGH.search(data)
    if first is None:
        return None
    sample = bytes(data[first.start() : first.start() + _SAMPLE])
    high = len(sample) - len(sample.translate(None, bytes(range(128, 256))))
    valid = sample.decode("utf-8", "ignore").encode("utf-8")
    valid_high = len(valid) - len(valid.translate(None, bytes(range(128, 256))))
    # A sequence cut by the end of the sample loses up to 3 bytes.
    return "utf-8" if valid_high + (3 if len(sample) == _SAMPLE else 0) >= 0.9 * high else "gb18030"


def decode_line(raw: bytes, codec: str, offset: int) -> Line:
    """A line as text, or what is wrong with it; `offset` is where it begins in the file."""
    try:
        return Line(raw.decode(codec), length=len(raw))
    except UnicodeDecodeError as error:
        problem = f"{codec}: byte 0x{raw[error.start]:02X} at offset {offset + error.start}"
        return Line(None, problem, raw.decode(codec, "backslashreplace"), len(raw))


def text_lines(data: bytes, codec: str, offset: int) -> list[Line]:
    """The lines of a piece of an ASCII-compatible file; \\n, \\r\\n and \\r end a line."""
    lines = []
    for raw in data.splitlines(keepends=True):
        lines.append(decode_line(raw, codec, offset))
        offset += len(raw)
    return lines


def utf16_lines(data: bytes, codec: str) -> list[Line]:
    """The lines of a whole UTF-16 file without its byte-order mark."""
    units = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if codec.endswith("le") else ">u2")
    ends = (np.flatnonzero(units == 10) + 1) * 2
    starts = [0, *ends.tolist()]
    stops = [*ends.tolist(), len(data)]
    return [
        decode_line(data[start:stop], codec, start + 2)
        for start, stop in zip(starts, stops, strict=True)
        if stop > start
    ]
