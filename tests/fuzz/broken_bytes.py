"""Breaks the bytes of any file and the text of CSV and JSON."""

from __future__ import annotations

import random
from collections.abc import Callable

ByteMutation = Callable[[random.Random, bytes], bytes]
TextMutation = Callable[[random.Random, str], bytes]


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(start + rng.randint(1, max(len(data) // 3, 2)), len(data))


def flip_one(rng: random.Random, data: bytes) -> bytes:
    return flip_bytes(rng, data, 1)


def flip_some(rng: random.Random, data: bytes) -> bytes:
    return flip_bytes(rng, data, rng.randint(2, 20))


def flip_many(rng: random.Random, data: bytes) -> bytes:
    return flip_bytes(rng, data, len(data) // 20 + 1)


def flip_bytes(rng: random.Random, data: bytes, count: int) -> bytes:
    changed = bytearray(data)
    for _ in range(count if changed else 0):
        changed[rng.randrange(len(changed))] ^= rng.randint(1, 255)
    return bytes(changed)


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def truncate_end(rng: random.Random, data: bytes) -> bytes:
    return data[: -rng.randint(1, 60)]


def truncate_start(rng: random.Random, data: bytes) -> bytes:
    return data[rng.randint(1, len(data)) :]


def insert_bytes(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    more = rng.choice(
        [
            rng.randbytes(rng.randint(1, 50)),
            b"\x00" * rng.randint(1, 5000),
            b'"',
            b"\xff\xfe",
            b"\r",
            b"\n" * 300,
        ]
    )
    return data[:place] + more + data[place:]


def delete_bytes(rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def repeat_block(rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:end] + data[start:end] * rng.randint(1, 5) + data[end:]


def shuffle_blocks(rng: random.Random, data: bytes) -> bytes:
    size = rng.choice([16, 64, 512])
    blocks = [data[place : place + size] for place in range(0, len(data), size)]
    return b"".join(rng.sample(blocks, len(blocks)))


def zero_block(rng: random.Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + b"\x00" * (end - start) + data[end:]


def append_garbage(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice([rng.randbytes(rng.randint(1, 3000)), data, b"\x00" * 4096, b"\n\n\x1a", b'"'])


def random_bytes(rng: random.Random, data: bytes) -> bytes:
    return rng.choice(
        [
            b"",
            b"PK\x03\x04",
            b"PAR1",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            b"[",
            b"{",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
        ]
    ) + rng.randbytes(rng.randint(0, 3000))


BYTE_MUTATIONS: list[ByteMutation] = [
    flip_one, flip_some, flip_many, truncate, truncate_end, truncate_start, insert_bytes, delete_bytes, repeat_block,
    shuffle_blocks, zero_block, append_garbage, random_bytes,
]  # fmt: skip


def wrong_separator(rng: random.Random, text: str) -> bytes:
    return text.replace(",", rng.choice(["^", "：", "  ", "\x01", "~|~", ";,", "，"])).encode()


def mixed_separators(rng: random.Random, text: str) -> bytes:
    return "".join(rng.choice(",,,,;\t|") if c == "," else c for c in text).encode()


def unbalanced_quotes(rng: random.Random, text: str) -> bytes:
    for _ in range(rng.randint(1, 5)):
        place = rng.randrange(len(text))
        text = text[:place] + '"' + text[place:]
    return text.encode()


def mixed_newlines(rng: random.Random, text: str) -> bytes:
    ends = ["\n", "\r", "\r\n", "\n\r", "\n\n", "\x0b", "\x85", "\u2028"]
    return "".join(rng.choice(ends) if c == "\n" else c for c in text).encode()


def nul_characters(rng: random.Random, text: str) -> bytes:
    for _ in range(rng.randint(1, 30)):
        place = rng.randrange(len(text))
        text = text[:place] + "\x00" + text[place:]
    return text.encode()


def mixed_encodings(rng: random.Random, text: str) -> bytes:
    lines = text.splitlines(keepends=True)
    codecs = ["utf-8", "gb18030", "utf-8", "big5", "utf-16-le", "shift_jis"]
    return b"".join(line.encode(rng.choice(codecs), "ignore") for line in lines)


def wrong_bom(rng: random.Random, text: str) -> bytes:
    boms = [
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xef\xbb\xbf",
        b"\x2b\x2f\x76\x38",
        b"\xff\xfe\x00\x00",
        b"\xef\xbb\xbf\xef\xbb\xbf",
    ]
    return rng.choice(boms) + text.encode(rng.choice(["utf-8", "gb18030", "utf-16-be", "utf-16-le"]))


def other_encoding(rng: random.Random, text: str) -> bytes:
    codec = rng.choice(["big5", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "euc_jp", "hz", "cp037"])
    return text.encode(codec, "replace")


def invalid_sequences(rng: random.Random, text: str) -> bytes:
    data = text.encode()
    for _ in range(rng.randint(1, 10)):
        place = rng.randrange(len(data))
        bad = rng.choice(
            [
                b"\xc0\xaf",
                b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80",
                b"\xff",
                b"\x80",
                b"\xe4\xb8",
                b"\xf8\x88\x80\x80\x80",
            ]
        )
        data = data[:place] + bad + data[place:]
    return data


def lone_surrogates(rng: random.Random, text: str) -> bytes:
    for _ in range(rng.randint(1, 5)):
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice(["\\ud800", "\\udfff", "\\u0000", "\\ud83d\\ud83d"]) + text[place:]
    return text.encode()


TEXT_MUTATIONS = [
    wrong_separator, mixed_separators, unbalanced_quotes, mixed_newlines, nul_characters, mixed_encodings, wrong_bom, other_encoding,
    invalid_sequences, lone_surrogates,
]  # fmt: skip
