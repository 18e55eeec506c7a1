"""One line of the audit log: canonical JSON, its hash, and what it may not hold.

Here: the format of a line, to be computed again by anyone with SHA-256 (docs/audit.md). Not here: the chain of lines
(`audit.log_chain`), the file (`audit.log`).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from credit_pipeline.errors import BadInput

DOMAIN = b"AUDITLOG1|"
GENESIS = "0" * 64

_MAX_SAFE_INTEGER = 2**53 - 1
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")
_RECORD_KEYS = {"seq", "prev", "time", "event", "stage", "run_id", "details", "hash"}

DENIED_KEYS = frozenset(
    {
        "enterprise_name", "extract_key", "frame_salt", "grade", "id_number", "inspector_name", "key",
        "legal_representative", "name", "party_key", "password", "phone", "platform_grade", "points",
        "previous_grade", "private_key", "probability", "rank", "reveal", "reveals", "score", "secret",
        "seed", "ticket", "unit_grade", "unit_key", "uscc",
    }
)  # fmt: skip
"""Keys no event may hold, at any depth: grades and persons must not leak, secrets would let a draw be
recomputed.
"""


def canonical_json(value: Any) -> bytes:
    """The one byte string of a JSON value: sorted keys, no spaces, UTF-8, strings in NFC.

    The subset of RFC 8785 in which implementations cannot disagree: no floats, integers within ±(2^53 - 1),
    ASCII keys. Raises `BadInput` for anything outside it.
    """
    try:
        text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"text that is not valid Unicode cannot be recorded: {error.reason}") from None


def plain(value: Any) -> Any:
    """`value` with strings in NFC, or `BadInput`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, int):
        if abs(value) > _MAX_SAFE_INTEGER:
            raise BadInput(f"{value} is beyond 2^53 - 1, where JSON readers disagree: record it as text")
        return int(value)
    if isinstance(value, float):
        raise BadInput(f"{value!r}: floats have no canonical JSON form; record basis points, fen or text")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not key.isascii():
                raise BadInput(f"key {key!r}: keys of a record are ASCII strings")
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise BadInput(
        f"{type(value).__name__} has no canonical JSON form; record text (dates by isoformat()) or integers"
    )


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Record:
    """One line. `seq` counts from 1; `prev` is the hash of the line before, `GENESIS` for the first."""

    seq: int
    prev: str
    time: str
    event: str
    stage: str
    run_id: str | None
    details: dict[str, Any] = field(hash=False)
    hash: str

    def line(self) -> bytes:
        return canonical_json(vars(self))


def refuse_denied(details: Any, event: str) -> None:
    """Raises `BadInput` for details with a key of `DENIED_KEYS` at any depth."""
    if isinstance(details, Mapping):
        for key, value in details.items():
            if isinstance(key, str) and key.casefold() in DENIED_KEYS:
                raise BadInput(
                    f"event {event!r}: the audit log travels in every extract, so it may not hold {key!r}; "
                    "record a count, an id, a digest or a pseudonym under its own key"
                )
            refuse_denied(value, event)
    elif isinstance(details, Sequence) and not isinstance(details, str | bytes):
        for value in details:
            refuse_denied(value, event)


def record_hash(record: Record) -> str:
    """SHA-256 over the domain and the canonical JSON of everything but `hash`."""
    content = {key: value for key, value in vars(record).items() if key != "hash"}
    return sha256_hex(DOMAIN + canonical_json(content))


def parse_record(line: bytes) -> Record | None:
    """The record of a line without its end; None for what is none. Its hash is not looked at."""
    try:
        content = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or set(content) != _RECORD_KEYS:
        return None
    texts = all(isinstance(content[key], str) for key in ("prev", "time", "event", "stage", "hash"))
    if not texts or type(content["seq"]) is not int or not isinstance(content["details"], dict):
        return None
    record = Record(**content)
    try:
        record.line()
    except BadInput:
        return None
    return record
