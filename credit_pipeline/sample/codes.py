"""Codes with check digits, made for whole arrays at once.

Here: unified social credit codes (GB 32100-2015), 15-digit registration numbers (ISO 7064 MOD 11,10),
check characters of personal numbers (GB 11643), pseudonyms.
Not here: checking what a source sent (feeds).
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from credit_pipeline.sample.streams import Ints

Bytes = NDArray[np.uint8]

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ALPHABET = np.frombuffer(ALPHABET.encode(), dtype=np.uint8)
_VALUE = np.zeros(128, dtype=np.int64)
_VALUE[_ALPHABET] = np.arange(31)
_BODY_VALUE = np.zeros(128, dtype=np.int64)
_BODY_VALUE[48:58] = np.arange(10)
_BODY_VALUE[65:91] = np.arange(10, 36)
_WEIGHTS = np.array([pow(3, i, 31) for i in range(17)], dtype=np.int64)
_BODY_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2], dtype=np.int64)
_PERSON_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

# Multipliers without a common divisor with the modulus: serial numbers map one to one to body codes.
_BODIES = 31**6
_BODY_STEP, _BODY_SHIFT = 387_420_489, 123_456_791
_SERIALS = 10**8
_SERIAL_STEP, _SERIAL_SHIFT = 61_803_399, 27_182_819


def strings(matrix: Bytes) -> pl.Series:
    """Rows of an n × k matrix of ASCII bytes as a column of texts of length k."""
    rows, width = matrix.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int64)
    data = np.ascontiguousarray(matrix)
    array = pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(data))
    return pl.Series(array)


def digits(values: Ints, width: int) -> Bytes:
    """Decimal digits of non-negative numbers as ASCII bytes, with leading zeros."""
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % 10 + 48).astype(np.uint8)


def make_usccs(head: Ints, region: Ints, serial: Ints, lettered: NDArray[np.bool_]) -> pl.Series:
    """USCCs whose check characters (positions 17 and 18) are right; distinct serials give distinct codes.

    `head` is the authority and category (91, 92, 93, 11), `region` the six digits of the issuing authority;
    `lettered` bodies are of the kind issued since October 2015 (MA…), the others of eight digits.
    Serials must be below 10**8.
    """
    rows = len(serial)
    matrix = np.empty((rows, 18), dtype=np.uint8)
    matrix[:, 0:2] = digits(head, 2)
    matrix[:, 2:8] = digits(region, 6)
    body = digits((serial * _SERIAL_STEP + _SERIAL_SHIFT) % _SERIALS, 8)
    mixed = (serial * _BODY_STEP + _BODY_SHIFT) % _BODIES
    letters = _ALPHABET[mixed[:, None] // 31 ** np.arange(5, -1, -1, dtype=np.int64) % 31]
    body[lettered, 0], body[lettered, 1] = ord("M"), ord("A")
    body[lettered, 2:] = letters[lettered]
    matrix[:, 8:16] = body
    check = 11 - (_BODY_VALUE[body] @ _BODY_WEIGHTS) % 11
    matrix[:, 16] = np.select([check == 10, check == 11], [ord("X"), ord("0")], check + 48)
    matrix[:, 17] = _ALPHABET[(31 - (_VALUE[matrix[:, :17]] @ _WEIGHTS) % 31) % 31]
    return strings(matrix)


def make_reg_nos(region: Ints, serial: Ints) -> pl.Series:
    """Old 15-digit registration numbers: six digits of the region, eight of a serial, one check digit."""
    matrix = np.empty((len(serial), 15), dtype=np.uint8)
    matrix[:, 0:6] = digits(region, 6)
    matrix[:, 6:14] = digits((serial * 7_654_321 + 3_063) % _SERIALS, 8)
    product = np.full(len(serial), 10, dtype=np.int64)
    for position in range(14):
        total = (product + matrix[:, position] - 48) % 10
        product = np.where(total == 0, 10, total) * 2 % 11
    matrix[:, 14] = (11 - product) % 10 + 48
    return strings(matrix)


def make_pseudonyms(prefix: str, numbers: Ints) -> pl.Series:
    """Identifiers of persons as a register gives them away: a prefix and twelve digits that tell nothing."""
    matrix = np.empty((len(numbers), len(prefix) + 12), dtype=np.uint8)
    matrix[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    matrix[:, len(prefix) :] = digits((numbers * 7_654_321_987 + 7) % 10**12, 12)
    return strings(matrix)


def make_person_ids(birth_day: Ints) -> pl.Series:
    """18-digit numbers that pass the check of GB 11643 and belong to nobody: their serial 000 is never
    issued."""
    born = birth_day.astype("datetime64[D]")
    months = born.astype("datetime64[M]")
    day_of_month = (born - months).astype(np.int64) + 1
    compact = (
        (months.astype(np.int64) // 12 + 1970) * 10_000
        + (months.astype(np.int64) % 12 + 1) * 100
        + day_of_month
    )
    matrix = np.empty((len(birth_day), 18), dtype=np.uint8)
    matrix[:, 0:6] = np.frombuffer(b"411300", dtype=np.uint8)
    matrix[:, 6:14] = digits(compact, 8)
    matrix[:, 14:17] = ord("0")
    remainder = (matrix[:, :17].astype(np.int64) - 48) @ np.array(_PERSON_WEIGHTS, dtype=np.int64) % 11
    matrix[:, 17] = np.frombuffer(b"10X98765432", dtype=np.uint8)[remainder]
    return strings(matrix)


def passes_uscc_check(code: str) -> bool:
    """Whether 18 characters carry the right last check character."""
    if len(code) != 18 or any(character not in ALPHABET for character in code):
        return False
    total = sum(ALPHABET.index(c) * int(w) for c, w in zip(code, _WEIGHTS, strict=False))
    return ALPHABET[(31 - total % 31) % 31] == code[17]
