#!/usr/bin/env python3
"""Checks the proof of one inspection draw without trusting the office that made it.

    python3 -I -S verify_draw.py BUNDLE [--key HEX] [--party NAME=HEX ...] [--witness FILE ...] [--json]

BUNDLE is the folder written by `credit-pipeline draw bundle`. Python 3.8 or later, nothing else. Exit code 0: all that
was checked is as it must be. 1: something is not. 2: the bundle cannot be read. The format is `docs/draw-format.md`.

How it works: nothing in the bundle is believed that can be computed. The lists that went into the draw (frame, quotas,
roster, rule) are hashed again; the hash must be the one that every party signed BEFORE the lottery number was known.
The parties' secret numbers must open what they signed. Lists, secrets and lottery number give one seed, the seed gives
every ticket, rank and inspector: these are computed here and compared with what the bundle says was drawn.

Read it from the top: 1 the format, 2 reading, 3 hashes and signatures, 4 statements, 5 manifest and rule, 6 the log,
7 what was frozen, 8 the seed, 9 the draw, 10 top-ups, 11 who inspects, 12 the log against the files, 13 the report.
"""
# Untyped and set by hand: it must run on Python 3.8 and stay short (its exceptions are in pyproject.toml).
# mypy: ignore-errors

import argparse
import csv
import hashlib
import hmac
import itertools
import json
import os
import re
import stat
import sys
import unicodedata
from collections import deque, namedtuple
from datetime import date, datetime, timedelta

# === 1 The format ==============================================================================================

FORMAT = "credit-pipeline-draw/1"
GENESIS = "0" * 64  # what the first line of the log and the first checkpoint name as the one before
COMPANIONS = ("README.md", "verify_draw.py")  # may lie in the folder; they prove nothing
PUBLIC_FILES = ("abort.json", "checkpoints.json", "commitments.json", "entropy.json", "freeze.json", "log.jsonl",
                "plan.json", "seed.json")
AUTHORISED_FILES = PUBLIC_FILES + ("assignments.csv", "draw.csv", "frame.csv", "quotas.csv", "recusals.csv",
                                   "replacements.json", "reveals.json", "roster.csv", "topups.json")

STATES = ("FRAME_FROZEN", "COMMITTED", "ENTROPY", "DRAWN", "ASSIGNED", "CLOSED", "ABORTED")
STEPS = {  # event of the log: the states in which it may come ("" is none yet), the state after it (None: as before)
    "round_frame_frozen": (("",), "FRAME_FROZEN"),
    "round_committed": (("FRAME_FROZEN",), "COMMITTED"),
    "round_entropy": (("COMMITTED",), "ENTROPY"),
    "round_drawn": (("ENTROPY",), "DRAWN"),
    "round_topped_up": (("DRAWN", "ASSIGNED"), None),
    "round_assigned": (("DRAWN", "ASSIGNED"), "ASSIGNED"),
    "round_inspector_replaced": (("ASSIGNED",), None),
    "round_closed": (("ASSIGNED",), "CLOSED"),
    "round_aborted": (STATES[:5], "ABORTED"),
}

HASH, SALT, SIGNATURE = "[0-9a-f]{64}", "[0-9a-f]{32}", "[0-9a-f]{128}"
COUNT, FLAG = "0|[1-9][0-9]{0,14}", "[01]"
UNIT, ITEM, USCC = "[0-9A-Z]{1,12}", "[0-9A-Z][0-9A-Z_-]{0,31}", "[0-9A-HJ-NPQRTUWXY]{18}"
REGION, REASON, SKILLS = "[0-9]{0,12}", r"[^|\x00-\x1f\x7f]{0,200}", r"[^|\x00-\x1f\x7f]{0,400}"
INSPECTOR, PARTY = r"[^|;:,\s\x00-\x1f\x7f]{1,64}", "[a-z][a-z0-9_]{0,31}"
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = DAY + "T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"

FORMS = {  # of the columns; a column that is not named here is a whole number, COUNT
    "unit_id": UNIT, "draw_unit_id": UNIT, "item_code": ITEM, "uscc": USCC, "platform_grade": "[A-E]", "region": REGION,
    "region_prefix": REGION, "inspector_id": INSPECTOR, "skills": SKILLS, "excluded_reason": REASON, "reason": REASON,
    "is_safety_related": FLAG, "is_leader": FLAG, "is_drawn": FLAG, "role": "leader|member", "ticket": HASH, "salt": SALT,
    "rounding": "ceil|half_up|floor", "skipped": r"[^\x00-\x1f\x7f]{0,9000}",
}
COLUMNS = {name: [(column, FORMS.get(column, COUNT)) for column in columns.split()] for name, columns in {
    "frame.csv": "unit_id item_code uscc platform_grade region is_safety_related excluded_reason salt",
    "quotas.csv": "unit_id item_code platform_grade stratum_size drawn_before ratio_bp rounds_due rounds_per_year rounding "
                  "target quota salt",
    "roster.csv": "wave unit_id inspector_id is_leader region_prefix skills excluded_reason salt",
    "recusals.csv": "wave inspector_id uscc reason salt",
    "draw.csv": "unit_id item_code uscc platform_grade ticket rank stratum_size quota is_drawn",
    "assignments.csv": "wave unit_id draw_unit_id uscc inspector_id role position eligible_count rank_taken skipped",
}.items()}
SORTED_BY = {"frame.csv": 3, "quotas.csv": 3, "roster.csv": 3, "recusals.csv": 3}  # the first columns, no two rows alike
STATEMENTS = {  # fields beside `format`, `plan_id`, `round` (`number` for TOPUP1 and REPLACED1); only RULE1 may have more
    "RULE1": {"items": list, "parties": list, "entropy": dict, "topup_reasons": list, "inspectors_per_visit": int,
              "rounds_per_year": int, "initiator": r"\*|" + UNIT, "cooperating_units": list, "draw_sql_sha256": HASH},
    "FREEZE1": {"frozen_date": DAY, "frame_root": HASH, "frame_size": int, "eligible_count": int, "unit_sizes": dict,
                "quotas_root": HASH, "roster_root": HASH, "rule_sha256": HASH},
    "COMMITMENT1": {"party": PARTY, "freeze_root": HASH, "commitment": HASH, "escrow_sha256": str, "time": TIME,
                    "signature": SIGNATURE},
    "ENTROPY1": {"announcements": list, "entropy": "[0-9A-Z:.;+]{1,512}"},
    "REVEAL1": {"party": PARTY, "freeze_root": HASH, "entropy": str, "reveal": HASH, "signed_by": str,
                "signature": SIGNATURE},
    "TOPUP1": {"unit_id": UNIT, "uscc": USCC, "reason": str, "event_id": r"[^\x00-\x1f\x7f]{1,200}",
               "event_date": DAY, "approvers": list},
    "REPLACED1": {"unit_id": UNIT, "uscc": USCC, "inspector_id": INSPECTOR, "reason": str, "declared_date": DAY,
                  "approvers": list, "replaced_by": str},
    "ABORT1": {"aborted_from": "|".join(STATES[:5]), "reason": str, "approvers": list},
}
LOG_FIELDS = {"seq", "prev", "time", "event", "stage", "run_id", "details", "hash"}
CHECKPOINT_FIELDS = {"log", "size", "head", "time", "frame_root", "prev_checkpoint", "key_id", "signature"}
POOLS = {"KL8": ((20, 80),), "SSQ": ((6, 33), (1, 16)), "DLT": ((5, 35), (2, 12))}  # so many numbers of so many

# What is not checked, because no bundle can prove it; each is reported when it applies.
NO_PIN = "That key %s is the office's own: compare it with the key you were given on paper (--key)."
NO_PARTY_PIN = "That these keys belong to these parties (ask each for its key, then --party): %s"
ONE_PARTY = ("ONE PARTY ONLY: whoever holds its key could know this draw before it was made, and choose among frames "
             "until the result suited.")
TWO_PARTIES = "Only two parties: if they agree they can know the draw before it is made."
NO_ENTROPY = "NO PUBLIC ENTROPY: nothing that nobody could know beforehand went into the seed."
SUPERIOR = "That a superior ordered %s (document %s): by it grade A may be drawn in unit %s for item %s."
HIDDEN_LINES = ("What the other lines of the log say: the public form has only their hashes, so a second draw written "
                "under another name, or elsewhere, is not seen.")
COMPLETE = ("That the frame holds every enterprise of the register and its true grade: compare with the register "
            "(inspection/frame_reconciliation).")
NUMBERS = "That the lottery numbers are the announced ones: compare with the publication: %s"
NO_ISSUE = "That %s had no issue from %s to the day before %s: the first one counts."
FALLBACK = "That %s was not announced in time, so that the fallback counts."
LOGGED_LATE = ("Why the office logged the commitments %d day(s) after the last party signed: had it known all reveals, it "
               "could have chosen among so many lottery issues.")
FROM_ESCROW = "That %s did not reveal: its number was opened from escrow by %s, who alone signed for it."
ONE_SIGNER = "That this was the lottery issue: %s alone signed for it."
EVENTS_TRUE = "That the register holds these events, and that the approvers approved: %s"
LATER_WAVE = ("Wave %d was made from a roster of a later day, when the seed was known: who entered or left it then could "
              "steer who inspects.")
NO_TEAM = "Unit %s has no lawful assignment in wave %d."
HAD_TO_LEAVE = "That inspector %s had to leave the visit to %s (%s)."
ABORT_APPROVED = "That the approvers approved the abort: %s"
NOT_COVERED = "The last %d line(s) of the log: no signed checkpoint covers them yet."
LONGER_WITNESS = "%s: it saw %d lines, this bundle's log ends at %d; compare with a longer one."
NO_WITNESS = ("That nobody rewrote the whole log with the office's key: bring a checkpoint that a unit or a party kept "
              "from then (--witness).")
PUBLIC_FORM = ("PUBLIC FORM: frame, grades, quotas, tickets, draw, top-ups and inspectors are not in it. It proves that "
               "they were fixed before the lottery, not what they are.")

# === 2 Reading =================================================================================================

class Wrong(Exception):
    """The bundle says something that is not so: exit code 1."""

class Unreadable(Exception):
    """Nothing can be said about this bundle: exit code 2."""

def need(condition, sentence, *values):
    if not condition:
        raise Wrong(sentence % values)

def legible(condition, sentence, *values):
    if not condition:
        raise Unreadable(sentence % values)

class Bundle:
    """The folder, its JSON files (all small but the log) and its tables, which are read row by row."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        path = os.path.join(self.folder, name)
        try:
            status = os.lstat(path)
        except (OSError, ValueError) as error:
            raise Unreadable("%s is missing or cannot be read: %s" % (name, error))
        legible(stat.S_ISREG(status.st_mode),
                "%s is not a plain file (a link, a folder or a device): copy the bundle anew", name)
        return path

    def json(self, name, kind):
        with open(self.path(name), "rb") as file:
            data = file.read(100_000_001)
        legible(len(data) <= 100_000_000, "%s is larger than any file of its kind can be (100 MB)", name)
        value = parse_json(data, name)
        legible(canonical(value) + b"\n" == data,
                "%s is not canonical JSON (sorted keys, no spaces, one line): it was rewritten", name)
        legible(isinstance(value, kind), "%s holds a JSON %s where another kind belongs", name, type(value).__name__)
        return value

    def rows(self, name):
        """(number, fields) of the rows of a table, each field of its form, the keys ascending. Row 1 is the header."""
        columns, keys, before, number = COLUMNS[name], SORTED_BY.get(name, 0), None, 0
        whole = re.compile("\x1f".join("(?:%s)" % pattern for _, pattern in columns))
        try:
            with open(self.path(name), encoding="utf-8", newline="\n") as file:
                for number, line in enumerate(file, 1):
                    row = split_csv(line, name, number)
                    if number == 1:
                        legible(row == [column for column, _ in columns],
                                "%s: the first row is not %s", name, ",".join(column for column, _ in columns))
                        continue
                    legible(len(row) == len(columns), "%s, row %d: %d fields instead of %d; the file is cut or damaged",
                            name, number, len(row), len(columns))
                    if not whole.fullmatch("\x1f".join(row)):
                        for (column, pattern), value in zip(columns, row):
                            need(re.fullmatch(pattern, value), "%s, row %d, column %s: %s is not of the form %s",
                                 name, number, column, short(value), pattern)
                    key = [int(row[0])] + row[1:keys] if columns[0][0] == "wave" else row[:keys]
                    if keys and before is not None and key <= before:
                        need(key != before, "%s, row %d: %s stands there twice", name, number, " ".join(row[:keys]))
                        raise Wrong("%s, row %d: not in the order of %s"
                                    % (name, number, ", ".join(column for column, _ in columns[:keys])))
                    before = key
                    yield number, row
        except UnicodeDecodeError:
            raise Unreadable("%s, near row %d: it is not UTF-8 text" % (name, number + 1))
        legible(number, "%s is empty, even of its first row", name)

def split_csv(line, name, number):
    """The fields of a line, which must be written in the one way of the format; no field holds a line end."""
    text = line[:-1]
    legible(line.endswith("\n"), "%s, row %d: it has no line end; the file is cut", name, number)
    legible(not text.endswith("\r"), "%s, row %d: it ends with CR LF, not with LF: the file was rewritten", name, number)
    if '"' not in text:
        return text.split(",")
    try:
        row = next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise Unreadable("%s, row %d: it is not CSV (%s)" % (name, number, error))
    again = ('"%s"' % one.replace('"', '""') if "," in one or '"' in one else one for one in row)
    legible(",".join(again) == text, "%s, row %d: a field stands in quotation marks that holds neither a comma nor one of "
            "them: the file was rewritten", name, number)
    return row

def short(value):
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."

def parse_json(data, name):
    """JSON without floats, doubled keys or numbers that readers could understand differently."""

    def refuse(text):
        raise Unreadable("%s: the number %s has no place in a bundle" % (name, short(text)))
    def whole(text):
        return int(text) if len(text) <= 17 and abs(int(text)) < 2**53 else refuse(text)
    def once(pairs):
        legible(len(dict(pairs)) == len(pairs), "%s: a JSON object has the same key twice", name)
        return dict(pairs)
    try:
        return json.loads(data.decode("utf-8"), parse_float=refuse, parse_int=whole, parse_constant=refuse,
                          object_pairs_hook=once)
    except (ValueError, RecursionError) as error:  # the first also for what is not UTF-8
        raise Unreadable("%s is not JSON: %s" % (name, error))

def canonical(value):
    """The one byte string of a JSON value: keys sorted, no spaces, UTF-8."""
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        raise Unreadable("a JSON value has half a character, or is nested deeper than any bundle")

def field(holder, name, kind, where):
    """`holder[name]`, which must be there and of its kind: a pattern for text, or a Python type."""
    need(isinstance(holder, dict) and name in holder, "%s has no field %s", where, name)
    value = holder[name]
    if isinstance(kind, str):
        need(isinstance(value, str) and re.fullmatch(kind, value),
             "%s: %s is %s, not of the form %s", where, name, short(value), kind)
    else:
        need(isinstance(value, kind) and not (kind is int and isinstance(value, bool)),
             "%s: %s is %s, a %s was expected", where, name, short(value), kind.__name__)
    return value

def people(names, where):
    """The different persons: without regard to case and blanks at the ends, and with no invisible character."""
    for name in names:
        need(isinstance(name, str) and name.strip(), "%s: an approver has no name", where)
        need(all(unicodedata.category(one) not in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") for one in name),
             "%s: the name %s holds an invisible character", where, short(name))
    return {name.strip().casefold() for name in names}

def day(text, where):
    try:
        return date(int(text[0:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        raise Wrong("%s: %s is not a day of the calendar" % (where, short(text)))

def shanghai_day(time, where):
    """The day in China (UTC+8, no summer time) of a UTC time."""
    try:
        return (datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ") + timedelta(hours=8)).date()
    except (ValueError, OverflowError):
        raise Wrong("%s: %s is not a time" % (where, short(time)))

# === 3 Hashes and signatures ===================================================================================

def sha256(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()

def labelled_sha256(label, value):
    return hashlib.sha256(label + canonical(value)).hexdigest()

def stored_sha256(statement):
    """SHA-256 of the file in which the office keeps a statement: canonical JSON and a line end."""
    return hashlib.sha256(canonical(statement) + b"\n").hexdigest()

def file_sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()

class MerkleTree:
    """Root of a list of leaves by RFC 6962, added one by one; `peaks` are the roots of the full subtrees so far."""

    def __init__(self):
        self.peaks = []  # (height, hash), the largest first

    def add(self, salt, line):
        node = hashlib.sha256(b"\x00" + bytes.fromhex(salt) + line.encode("utf-8")).digest()
        height = 0
        while self.peaks and self.peaks[-1][0] == height:
            node = hashlib.sha256(b"\x01" + self.peaks.pop()[1] + node).digest()
            height += 1
        self.peaks.append((height, node))

    def root(self):
        if not self.peaks:
            return hashlib.sha256(b"").hexdigest()
        node = self.peaks[-1][1]
        for _, left in reversed(self.peaks[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node.hex()

# Ed25519 by RFC 8032, section 5.1; points are (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z: slow and plain.
P = 2**255 - 19  # the field
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, P - 2, P) % P  # the curve: -x^2 + y^2 = 1 + D x^2 y^2

def point_add(a, b):
    u, v = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = v - u, d - c, d + c, v + u
    return e * f % P, g * h % P, f * g % P, e * h % P

def point_multiply(number, point):
    total = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = point_add(total, point)
        point = point_add(point, point)
        number >>= 1
    return total

def point_from_bytes(data):
    """The point of its 32 bytes, or None when no point has them."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P

def same_point(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0

BASE = point_from_bytes((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))

def signature_is_good(public_key, message, signature):
    """Whether `signature` (128 hex digits) of `message` (bytes) was made by the owner of `public_key` (64)."""
    if not re.fullmatch(HASH, public_key) or not re.fullmatch(SIGNATURE, signature):
        return False
    key_bytes, r_bytes = bytes.fromhex(public_key), bytes.fromhex(signature[:64])
    key, r = point_from_bytes(key_bytes), point_from_bytes(r_bytes)
    s = int.from_bytes(bytes.fromhex(signature[64:]), "little")
    if key is None or r is None or s >= L or same_point(point_multiply(8, key), (0, 1, 1, 0)):
        return False
    k = int.from_bytes(hashlib.sha512(r_bytes + key_bytes + message).digest(), "little") % L
    return same_point(point_multiply(s, BASE), point_add(r, point_multiply(k, key)))

def need_signature(holder, key, label, where, unsigned=("signature",)):
    """That `signature` of a JSON object was made with this key over all its other fields."""
    content = {name: value for name, value in holder.items() if name not in unsigned}
    need(signature_is_good(key, label + canonical(content), str(holder["signature"])),
         "%s: the signature is not one of key %s over this content", where, key)

# === 4 What the checks share ===================================================================================
# Each check takes the bundle and `known`, what the checks before it computed, and returns a sentence for the report.
# It raises Wrong at the first thing that is not so.

class NotReached(Exception):
    """An earlier check failed, so this one has nothing to compare with."""

class Known:
    """What the checks have established, by name: computed here, never taken from the bundle unchecked."""

    def __init__(self, options):
        self.options, self.facts = options, {}
        self.open = []  # what could not be checked

    def __getitem__(self, name):
        if name not in self.facts:
            raise NotReached(name)
        return self.facts[name]

    def __setitem__(self, name, value):
        self.facts[name] = value

    def leave_open(self, sentence, *values):
        self.open.append(sentence % values)

def not_yet(known, state, name, content):
    """Whether the round has not come as far as `state`, and so has no content here. An aborted one: where it stopped."""
    if STATES.index(known["reached"]) >= STATES.index(state):
        return False
    need(not content, "%s: the round has not come so far", name)
    return True

def statement(value, kind, known, where, number=None):
    """The statement of this kind and of this round (or with this number), with its fields and no others."""
    need(isinstance(value, dict) and value.get("format") == kind, "%s is not a statement %s", where, kind)
    names = {"format", "number"} if number else {"format", "plan_id", "round"}
    if number:
        need(field(value, "number", int, where) == number, "%s has the number %d", where, value["number"])
    else:
        found = (value.get("plan_id"), value.get("round"))
        need(found == (known["plan_id"], known["round"]) and type(found[1]) is int,
             "%s is of plan %s, round %s; this bundle is of plan %s, round %s",
             where, found[0], found[1], known["plan_id"], known["round"])
    need(kind == "RULE1" or set(value) == names | set(STATEMENTS[kind]), "%s: its fields are not those of %s", where, kind)
    for name, form in STATEMENTS[kind].items():
        field(value, name, form, where)
    return value

def compare(name, found, expected):
    """The rows of a table against those that were computed: the first difference is named."""
    number = 1
    for number, right in enumerate(expected, 2):
        _, row = next(found, (0, None))
        need(row is not None, "%s ends at row %d; the next one must be %s", name, number - 1, short(right))
        for (column, _), value, computed in zip(COLUMNS[name], row, right):
            need(value == computed, "%s, row %d, column %s: it says %s, computed is %s",
                 name, number, column, short(value), short(computed))
    extra = next(found, None)
    need(extra is None, "%s, row %d: a row that the seed does not give: %s", name, number + 1, short(extra))

# === 5 Manifest and rule =======================================================================================

def check_manifest(bundle, known):
    """bundle.json lists every file with its SHA-256 and is signed by the office that made the draw."""
    manifest, where = bundle.json("bundle.json", dict), "bundle.json"
    need(manifest.get("format") == FORMAT, "%s: format is %s, this verifier reads %s",
         where, short(manifest.get("format")), FORMAT)
    form = field(manifest, "form", "authorised|public", where)
    need(set(manifest) == {"format", "form", "plan_id", "round", "state", "files", "public_key", "signature"},
         "%s: its fields are not those of the format", where)
    files, wanted = field(manifest, "files", dict, where), PUBLIC_FILES if form == "public" else AUTHORISED_FILES
    need(sorted(files) == sorted(wanted), "%s: the files of the %s form are %s; it lists %s",
         where, form, ", ".join(sorted(wanted)), short(", ".join(sorted(files))))
    for name in sorted(os.listdir(bundle.folder)):
        need(name in files or name in COMPANIONS or name == where,
             "the folder holds %s, which bundle.json does not list", short(name))
    for name in sorted(files):
        digest = file_sha256(bundle.path(name))
        need(digest == files[name], "%s was changed: its SHA-256 is %s, bundle.json says %s",
             name, digest, short(files[name]))
    key = field(manifest, "public_key", HASH, where)
    need_signature(manifest, key, b"BUNDLE1|", where)
    need(known.options.key in (None, key), "bundle.json is signed by key %s, not by the key you gave", key)
    if not known.options.key:
        known.leave_open(NO_PIN, key)
    known["form"], known["office_key"] = form, key
    known["plan_id"] = field(manifest, "plan_id", "[0-9A-Za-z][0-9A-Za-z_-]{0,63}", where)
    known["round"] = field(manifest, "round", int, where)
    need(known["round"] >= 1, "%s: the rounds are counted from 1", where)
    known["state"] = known["reached"] = field(manifest, "state", "|".join(STATES), where)
    abort = bundle.json("abort.json", dict)
    need((known["state"] == "ABORTED") == bool(abort), "abort.json and the state %s do not agree", known["state"])
    if abort:
        known["reached"] = field(abort, "aborted_from", "|".join(STATES[:5]), "abort.json")
    return "%d files, none missing, none added, none changed; signed by %s" % (len(files), key[:16])

def check_plan(bundle, known):
    """plan.json: the rule of the round, which holds the public keys of all parties."""
    where = "plan.json"
    rule = statement(bundle.json(where, dict), "RULE1", known, where)
    items, parties, tasks = {}, {}, rule.get("superior_tasks", [])
    for item in rule["items"]:
        code = field(item, "item_code", ITEM, "plan.json, items")
        need(code not in items, "plan.json: item %s stands there twice", code)
        field(item, "is_safety_related", bool, "plan.json, item " + code)
        field(item, "required_skill", SKILLS, "plan.json, item " + code)
        items[code] = item
    for party in rule["parties"]:
        name = field(party, "party", PARTY, "plan.json, parties")
        key = field(party, "signing_key", HASH, "plan.json, party " + name)
        need(name not in parties, "plan.json: party %s stands there twice", name)
        need(key not in parties.values(), "plan.json: party %s has the same key as another party", name)
        parties[name] = key
    need(parties, "plan.json names no party")
    pinned = dict(known.options.party)
    for name, key in sorted(pinned.items()):
        need(parties.get(name) == key, "plan.json: the key of party %s is %s, not the one you gave", name, parties.get(name))
    need(rule["inspectors_per_visit"] >= 2, "plan.json: fewer than two inspectors per visit")
    need(rule.get("algorithm") == "DRAW1", "plan.json: this verifier replays algorithm DRAW1 only")
    for unit in rule["cooperating_units"]:
        need(isinstance(unit, str) and re.fullmatch(UNIT, unit), "plan.json: %s cooperates, but is no unit", short(unit))
    source = field(rule["entropy"], "source", "KL8|SSQ|DLT|NONE", "plan.json, entropy")
    if source == "NONE":
        known.leave_open(NO_ENTROPY)
    else:
        need(field(rule["entropy"], "lag_days", int, "plan.json, entropy") >= 1, "plan.json: lag_days of the entropy is "
             "below 1, the number could be known before the commitments")
        field(rule["entropy"], "fallback_after_days", int, "plan.json, entropy")
    if len(parties) < 3:
        known.leave_open(ONE_PARTY if len(parties) == 1 else TWO_PARTIES)
    unpinned = ", ".join("%s=%s" % pair for pair in sorted(parties.items()) if pair[0] not in pinned)
    if unpinned:
        known.leave_open(NO_PARTY_PIN, unpinned)
    need(isinstance(tasks, list), "plan.json: superior_tasks is no list")
    for task in tasks:
        unit = field(task, "unit_id", r"\*|" + UNIT, "plan.json, superior_tasks")
        item = field(task, "item_code", r"\*|" + ITEM, "plan.json, superior_tasks")
        known.leave_open(SUPERIOR, short(task.get("exception_id")), short(task.get("document_no")), unit, item)
    known["rule"], known["items"], known["parties"] = rule, items, parties
    return "%d item(s), %d part%s, entropy %s" % (len(items), len(parties), "y" if len(parties) == 1 else "ies", source)

def ordered_by_a_superior(known, unit, item):
    """Whether the rule lets grade A be drawn here although safety is no concern."""
    tasks = known["rule"].get("superior_tasks", [])
    return any(task["unit_id"] in ("*", unit) and task["item_code"] in ("*", item) for task in tasks)

# === 6 The log =================================================================================================

Step = namedtuple("Step", "seq event time details before state")  # before, state: of the round, around the step

def check_log(bundle, known):
    """log.jsonl: an unbroken chain; the steps of this round forward only."""
    head, state, steps, heads = GENESIS, "", [], {0: GENESIS}
    named, public = (known["plan_id"], str(known["round"])), known["form"] == "public"
    with open(bundle.path("log.jsonl"), "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(1 << 21), b""), 1):
            where = "log.jsonl, line %d" % number
            need(line.endswith(b"\n"), "%s: it is cut", where)
            record = parse_json(line[:-1], where)
            need(isinstance(record, dict) and canonical(record) == line[:-1], "%s: it is not canonical JSON", where)
            hidden = public and set(record) == {"seq", "hash"}
            need(hidden or set(record) == LOG_FIELDS, "%s: its fields are not those of a record", where)
            need(record["seq"] == number and type(record["seq"]) is int,
                 "%s: its number is %s: lines were removed, doubled or moved", where, short(record["seq"]))
            heads[number] = field(record, "hash", HASH, where)
            if not hidden:
                need(record["prev"] == head, "%s: it does not continue the line before: lines were changed or removed", where)
                content = {name: value for name, value in record.items() if name != "hash"}
                need(record["hash"] == labelled_sha256(b"AUDITLOG1|", content),
                     "%s: its content does not match its hash: it was changed", where)
                today = shanghai_day(field(record, "time", TIME, where), where)
                event, details = field(record, "event", str, where), field(record, "details", dict, where)
                mine = event.startswith("round_") and (details.get("plan_id"), str(details.get("round"))) == named
                need(mine or not public, "%s: the public form holds lines that are no steps of the round as hashes", where)
                if mine:
                    comes_in, after = STEPS.get(event, ((), None))
                    need(state in comes_in, "%s: %s where the round is %s: steps were added, removed or moved; a round goes "
                         "forward only and is drawn once", where, event, state or "not begun")
                    need(not steps or today >= shanghai_day(steps[-1].time, where),
                         "%s: %s stands on an earlier day than the step before", where, event)
                    steps.append(Step(number, event, record["time"], details, state, after or state))
                    state = after or state
            head = record["hash"]
    need(state == known["state"], "log.jsonl: by the log the round is %s, the bundle says %s: lines are missing or the "
         "state is false", state or "not begun", known["state"])
    known["steps"], known["heads"], known["log_size"] = steps, heads, len(heads) - 1
    if public:
        known.leave_open(HIDDEN_LINES)
    return "%d lines, chain unbroken; %d steps of this round, each in its place" % (len(heads) - 1, len(steps))

# === 7 What was frozen =========================================================================================

def check_freeze(bundle, known):
    """freeze.json: one statement that binds rule, frame, quotas and roster; the parties signed its hash."""
    where = "freeze.json"
    freeze = statement(bundle.json(where, dict), "FREEZE1", known, where)
    day(freeze["frozen_date"], where)
    rule_hash = labelled_sha256(b"", known["rule"])
    need(freeze["rule_sha256"] == rule_hash, "plan.json is not the rule that was frozen: its hash is %s, freeze.json has %s",
         rule_hash, freeze["rule_sha256"])
    for unit, size in freeze["unit_sizes"].items():
        need(re.fullmatch(UNIT, unit) and type(size) is int and size > 0,
             "freeze.json: unit_sizes is not a list of units with their numbers of rows")
        need_drawing_unit(known, unit, where)
    need(sum(freeze["unit_sizes"].values()) == freeze["frame_size"], "freeze.json: unit_sizes do not add up to frame_size")
    need(0 <= freeze["eligible_count"] <= freeze["frame_size"], "freeze.json: eligible_count is greater than frame_size")
    known["freeze"], known["freeze_root"] = freeze, labelled_sha256(b"FREEZE1|", freeze)
    known.leave_open(COMPLETE)
    return "freeze root %s" % known["freeze_root"]

def need_drawing_unit(known, unit, where):
    """In a joint plan the initiator alone draws, for all."""
    initiator = known["rule"]["initiator"]
    need(initiator in ("*", unit), "%s: unit %s stands there, but by the rule %s alone draws", where, unit, initiator)

def check_frame(bundle, known):
    """frame.csv: every enterprise of every unit and item, the excluded ones with their reason, under one root."""
    freeze, items = known["freeze"], known["items"]
    tree, unit_sizes, strata, excluded = MerkleTree(), {}, {}, 0
    facts_of, shared = {}, {}  # uscc: (grade, region, safety); equal ones are kept once
    for number, (unit, item, uscc, grade, region, safety, reason, salt) in bundle.rows("frame.csv"):
        need(item in items, "frame.csv, row %d, column item_code: %s is no item of the plan", number, item)
        facts = (grade, region, safety)
        need(facts_of.setdefault(uscc, shared.setdefault(facts, facts)) == facts, "frame.csv, row %d, column platform_grade, "
             "region or is_safety_related: %s stands elsewhere with another one", number, uscc)
        if reason:
            excluded += 1
        else:
            need(grade != "A" or (items[item]["is_safety_related"] and safety == "1")
                 or ordered_by_a_superior(known, unit, item),
                 "frame.csv, row %d, column excluded_reason: grade A may be drawn for safety only, and this is not", number)
            strata[unit, item, grade] = strata.get((unit, item, grade), 0) + 1
        unit_sizes[unit] = unit_sizes.get(unit, 0) + 1
        tree.add(salt, "FRAME1|%s|%s|%s|%s|%s|%s|%s" % (unit, item, uscc, grade, region, safety, reason))
    size = sum(unit_sizes.values())
    need(size == freeze["frame_size"], "frame.csv has %d rows, %d were frozen: enterprises were %s",
         size, freeze["frame_size"], "added" if size > freeze["frame_size"] else "dropped")
    need(unit_sizes == freeze["unit_sizes"], "frame.csv: the number of rows of a unit is not the frozen one")
    need(tree.root() == freeze["frame_root"], "frame.csv is not the frozen frame: its root is %s, frozen was %s; a row, a "
         "grade, a reason or a salt was changed", tree.root(), freeze["frame_root"])
    need(size - excluded == freeze["eligible_count"], "frame.csv has %d eligible rows, freeze.json says %d",
         size - excluded, freeze["eligible_count"])
    known["strata"], known["facts_of"] = strata, facts_of
    return "%d rows, %d of them excluded with a reason; root as frozen" % (size, excluded)

def check_quotas(bundle, known):
    """quotas.csv: how many of each unit, item and grade, with the whole arithmetic."""
    strata, quotas, tree, ratios = known["strata"], {}, MerkleTree(), {}
    for number, row in bundle.rows("quotas.csv"):
        (unit, item, grade), rounding, where = row[:3], row[8], "quotas.csv, row %d" % number
        size, drawn_before, ratio, due, rounds, target, quota = (int(row[i]) for i in (3, 4, 5, 6, 7, 9, 10))
        need_drawing_unit(known, unit, where)
        need(item in known["items"], "%s, column item_code: %s is no item of the plan", where, item)
        need(size == strata.get((unit, item, grade), 0), "%s, column stratum_size: %d, but %d enterprises are eligible in the "
             "frame", where, size, strata.get((unit, item, grade), 0))
        need(ratio <= 10000, "%s, column ratio_bp: above 10000", where)
        need(1 <= due <= rounds == known["rule"]["rounds_per_year"],
             "%s, column rounds_due or rounds_per_year: not those of the plan", where)
        product, divisor = (size + drawn_before) * ratio * due, 10000 * rounds
        right = (product + {"ceil": divisor - 1, "half_up": divisor // 2, "floor": 0}[rounding]) // divisor
        need(target == right, "%s, column target: %d, the arithmetic gives %d", where, target, right)
        right = min(max(target - drawn_before, 0), size)
        need(quota == right, "%s, column quota: %d, the arithmetic gives %d", where, quota, right)
        better = ratios.get((unit, item), 0)
        need(ratio >= better, "%s, column ratio_bp: %d, below the %d of a better grade", where, ratio, better)
        need(grade != "A" or known["items"][item]["is_safety_related"] or ratio == 0
             or ordered_by_a_superior(known, unit, item),
             "%s, column ratio_bp: grade A has a ratio for an item that is not of safety", where)
        ratios[unit, item], quotas[unit, item, grade] = ratio, quota
        tree.add(row[11], "QUOTA1|" + "|".join(row[:11]))
    for key in sorted(strata):
        need(key in quotas, "quotas.csv has no row for unit %s, item %s, grade %s, in which enterprises are eligible", *key)
    need(tree.root() == known["freeze"]["quotas_root"], "quotas.csv is not the frozen one: its root is %s, frozen was %s",
         tree.root(), known["freeze"]["quotas_root"])
    known["quotas"] = quotas
    return "%d strata; sizes as in the frame, targets and quotas recomputed; no worse grade has a lower ratio" % len(quotas)

def check_roster(bundle, known):
    """roster.csv and recusals.csv: who may inspect, and whom not; wave 0 is what was frozen before the entropy."""
    available, barred, trees = {0: {}}, {0: set()}, {0: MerkleTree()}
    for number, (wave, unit, inspector, leader, region, skills, reason, salt) in bundle.rows("roster.csv"):
        wave, held = int(wave), skills.split("+") if skills else []
        need(held == sorted(held), "roster.csv, row %d, column skills: not sorted", number)
        if not reason:
            available.setdefault(wave, {}).setdefault(unit, {})[inspector] = (leader == "1", region, frozenset(held))
        line = "ROSTER1|%s|%s|%s|%s|%s|%s" % (unit, inspector, leader, region, skills, reason)
        trees.setdefault(wave, MerkleTree()).add(salt, line)
    for _, (wave, inspector, uscc, reason, salt) in bundle.rows("recusals.csv"):
        barred.setdefault(int(wave), set()).add((inspector, uscc))
        trees.setdefault(int(wave), MerkleTree()).add(salt, "RECUSAL1|%s|%s|%s" % (inspector, uscc, reason))
    roots = {wave: tree.root() for wave, tree in trees.items()}
    need(roots[0] == known["freeze"]["roster_root"], "roster.csv and recusals.csv are not the frozen ones: their root is %s, "
         "frozen was %s; an inspector or a recusal was added, removed or changed", roots[0], known["freeze"]["roster_root"])
    known["available"], known["barred"], known["roster_roots"] = available, barred, roots
    return "%d inspectors available, %d recusals, as frozen" % (sum(map(len, available[0].values())), len(barred[0]))

# === 8 The seed ================================================================================================

def check_commitments(bundle, known):
    """commitments.json: every party signed this very freeze and its own hidden number."""
    statements, parties = bundle.json("commitments.json", list), known["parties"]
    if not_yet(known, "COMMITTED", "commitments.json", statements):
        return "none yet"
    need([one.get("party") if isinstance(one, dict) else None for one in statements] == list(parties),
         "commitments.json: the parties are not %s, in this order, once each", ", ".join(parties))
    for one in statements:
        where = "commitments.json, party " + one["party"]
        statement(one, "COMMITMENT1", known, where)
        need(one["freeze_root"] == known["freeze_root"], "%s signed another freeze: %s, this bundle's is %s",
             where, one["freeze_root"], known["freeze_root"])
        need_signature(one, parties[one["party"]], b"COMMITMENT1|", where)
        shanghai_day(one["time"], where)
        field(one, "escrow_sha256", "" if len(parties) == 1 else HASH, where)
    known["commitments"] = statements
    return "signed by %s, all over this freeze" % ", ".join(parties)

def check_entropy(bundle, known):
    """entropy.json: the public number, announced after all commitments were made."""
    content, rule = bundle.json("entropy.json", dict), known["rule"]["entropy"]
    if not_yet(known, "ENTROPY", "entropy.json", content):
        return "none yet"
    announced, text = statement(content, "ENTROPY1", known, "entropy.json")["announcements"], content["entropy"]
    if rule["source"] == "NONE":
        need(text == "NONE" and not announced, "entropy.json: the plan names no public entropy, but there is some")
    else:
        sources = [one.get("source") if isinstance(one, dict) else None for one in announced]
        need(sources in ([rule["source"]], rule.get("fallback")),
             "entropy.json: the sources %s are not those of the plan", short(sources))
        right = ";".join(announcement_text(one) for one in announced)
        need(text == right, "entropy.json: entropy is not %s, the text of its announcements", right)
        known.leave_open(NUMBERS, text)
    known["entropy"] = content
    return text

def announcement_text(one):
    """SOURCE:issue:numbers; refused if that lottery cannot have drawn them."""
    need(set(one) == {"source", "issue", "announced_date", "numbers"}, "entropy.json: an announcement has other fields")
    source, issue = field(one, "source", "|".join(POOLS), "entropy.json"), field(one, "issue", "[0-9]{5,8}", "entropy.json")
    numbers = field(one, "numbers", r"[0-9]{2}([.+][0-9]{2})*", "entropy.json")
    pools, parts = POOLS[source], [[int(n) for n in part.split(".")] for part in numbers.split("+")]
    need(len(parts) == len(pools) and all(
        len(part) == count and part == sorted(set(part)) and part[0] >= 1 and part[-1] <= largest
        for part, (count, largest) in zip(parts, pools)), "entropy.json: %s cannot have drawn %s", source, numbers)
    year = day(field(one, "announced_date", DAY, "entropy.json"), "entropy.json").year
    issue_year = {5: 2000 + int(issue[:2]), 7: int(issue[:4])}.get(len(issue), year)
    need(issue_year == year, "entropy.json: issue %s was not announced in %d", issue, year)
    return "%s:%s:%s" % (source, issue, numbers)

def check_seed(bundle, known):
    """reveals.json opens the commitments; with the entropy they give the seed, and nothing else does."""
    content, public = bundle.json("seed.json", dict), known["form"] == "public"
    statements = [] if public else bundle.json("reveals.json", list)
    if not_yet(known, "DRAWN", "seed.json, reveals.json", content or statements):
        return "none yet"
    if public:
        need(set(content) == {"seed_commitment"}, "seed.json: the public form holds the seed's hash and nothing else")
        known["seed_commitment"] = field(content, "seed_commitment", HASH, "seed.json")
        return "public form: the hash of the seed only"
    commitments, named = known["commitments"], "%s|%d" % (known["plan_id"], known["round"])
    need([one.get("party") if isinstance(one, dict) else None for one in statements]
         == [one["party"] for one in commitments],
         "reveals.json: the parties are not those that committed, in this order, once each")
    for one, committed in zip(statements, commitments):
        check_reveal(one, committed, named, known)
    signers = sorted({one["signed_by"] for one in statements})
    need(len(signers) > 1 or len(commitments) < 3,
         "reveals.json: %s alone signed for the entropy; with three parties two must", signers[0])
    if len(signers) == 1 and len(commitments) > 1:
        known.leave_open(ONE_SIGNER, signers[0])
    key = hashlib.sha256("|".join(one["reveal"] for one in statements).encode()).digest()
    message = "SEED1|%s|%s|%s|%s" % (named, known["freeze_root"], ",".join(one["commitment"] for one in commitments),
                                     known["entropy"]["entropy"])
    seed = hmac.new(key, message.encode(), hashlib.sha256).hexdigest()
    need(content == {"seed": seed, "seed_commitment": sha256("SEEDC1|" + seed)},
         "seed.json is not what reveals, freeze and entropy give")
    known["seed"], known["seed_commitment"] = seed, content["seed_commitment"]
    return "all %d reveals open their commitments, signed for this entropy; seed recomputed" % len(statements)

def check_reveal(one, committed, named, known):
    """A party signed which lottery issue it saw: who knows all numbers cannot take another issue afterwards."""
    where = "reveals.json, party " + one["party"]
    statement(one, "REVEAL1", known, where)
    need(sha256("COMMIT1|%s|%s|%s" % (named, one["party"], one["reveal"])) == committed["commitment"],
         "reveals.json: the number of %s does not open its commitment", one["party"])
    need(one["freeze_root"] == known["freeze_root"], "%s is of another freeze", where)
    need(one["entropy"] == known["entropy"]["entropy"], "%s is signed for another entropy, %s: the lottery issue was exchanged",
         where, short(one["entropy"]))
    signer = one["signed_by"]
    need(signer in known["parties"], "%s: signed_by %s is no party", where, short(signer))
    need_signature(one, known["parties"][signer], b"REVEAL1|", "%s, signed by %s" % (where, signer))
    if signer != one["party"]:
        known.leave_open(FROM_ESCROW, one["party"], signer)

# === 9 The draw ================================================================================================

def check_draw(bundle, known):
    """draw.csv: every ticket and rank of every eligible enterprise, and that the first `quota` are drawn."""
    if not_yet(known, "DRAWN", "draw.csv", next(bundle.rows("draw.csv"), None)):
        return "none yet"
    statements = bundle.json("topups.json", list)
    topped = {(str(one.get("unit_id")), str(one.get("uscc"))) for one in statements if isinstance(one, dict)}
    drawn, reserves = {}, {}
    compare("draw.csv", bundle.rows("draw.csv"), ranked(bundle, known, topped, drawn, reserves))
    places = sum(map(len, drawn.values()))
    known["drawn"], known["drawn_count"], known["reserves"] = drawn, places, reserves
    return "%d tickets and ranks recomputed; %d places drawn, %d visits; nobody else" % (
        known["freeze"]["eligible_count"], places, len(drawn))

def ranked(bundle, known, topped, drawn, reserves):
    """The rows of draw.csv. Fills `drawn`, {(unit, uscc): [(item, grade)]}, and `reserves`, {(unit, item, grade): [uscc in
    the order in which they follow]}, the latter only of cells in which one of `topped` stands.
    """
    eligible = (row for _, row in bundle.rows("frame.csv") if not row[6])
    for (unit, item), rows in itertools.groupby(eligible, key=lambda row: row[:2]):
        cells = {}
        for _, _, uscc, grade, *_ in rows:
            cells.setdefault(grade, []).append((sha256("DRAW1|%s|%s|%s" % (known["seed"], unit, uscc)), uscc))
        for grade, cell in sorted(cells.items()):
            quota = known["quotas"][unit, item, grade]
            cell.sort()
            for rank, (ticket, uscc) in enumerate(cell, 1):
                if rank <= quota:
                    drawn.setdefault((unit, uscc), []).append((item, grade))
                yield [unit, item, uscc, grade, ticket, str(rank), str(len(cell)), str(quota), "01"[rank <= quota]]
            if any((unit, uscc) in topped for _, uscc in cell):
                reserves[unit, item, grade] = [uscc for _, uscc in cell[quota:]]

# === 10 Top-ups ================================================================================================

def check_top_ups(bundle, known):
    """topups.json: an enterprise that cannot be inspected is replaced by the next rank, for a listed reason."""
    statements = bundle.json("topups.json", list)
    if not_yet(known, "DRAWN", "topups.json", statements):
        return "none yet"
    places = {pair: [(0, item, grade) for item, grade in held] for pair, held in known["drawn"].items()}
    closed, used, frozen = {}, {}, day(known["freeze"]["frozen_date"], "freeze.json")
    for number, one in enumerate(statements, 1):
        where = "topups.json, top-up %d" % number
        unit, uscc = pair = (statement(one, "TOPUP1", known, where, number)["unit_id"], one["uscc"])
        need(pair in places, "%s: unit %s has not drawn %s", where, unit, uscc)
        need(pair not in closed, "%s: %s of unit %s was topped up before", where, uscc, unit)
        need(one["reason"] in known["rule"]["topup_reasons"],
             "%s: reason %s is not on the frozen list", where, short(one["reason"]))
        need(one["event_id"].strip(), "%s: no event of the register", where)
        need(day(one["event_date"], where) > frozen, "%s: the event of %s was known when the frame was frozen on %s",
             where, one["event_date"], frozen)
        need(len(people(one["approvers"], where)) == len(one["approvers"]) == 2, "%s: not two different approvers", where)
        closed[pair] = number
        for _, item, grade in sorted(places[pair], key=lambda place: place[1:]):
            rank, reserve = used.get((unit, item, grade), 0), known["reserves"][unit, item, grade]
            if rank < len(reserve):
                used[unit, item, grade] = rank + 1
                places.setdefault((unit, reserve[rank]), []).append((number, item, grade))
    logged = sum(step.event == "round_topped_up" for step in known["steps"])
    need(len(statements) == logged, "topups.json holds %d top-ups, the log %d", len(statements), logged)
    if statements:
        known.leave_open(EVENTS_TRUE, ", ".join(one["event_id"] for one in statements))
    known["places"], known["closed"], known["top_ups"] = places, closed, statements
    return "%d top-up(s), each by the next rank of its cell" % len(statements)

def wanted_of(known, pair, top_ups):
    """(region, skills) that a visit of (unit that drew, uscc) asks for after so many top-ups; None: no visit then."""
    held = [known["items"][item] for since, item, _ in known["places"][pair] if since <= top_ups]
    skills = {one for item in held for one in item["required_skill"].split("+") if one}
    return (known["facts_of"][pair[1]][1], frozenset(skills)) if held else None

# === 11 Who inspects: section 11 of docs/draw-format.md ========================================================

class Flow:
    """A network of whole numbers: `left[a][b]` is how much more can go from a to b; what is 0 is not there."""

    def __init__(self):
        self.left = {}

    def join(self, a, b, room):
        self.left.setdefault(a, {})
        self.left.setdefault(b, {})
        if room:
            self.left[a][b] = self.left[a].get(b, 0) + room

    def path(self, starts, goal):
        """A shortest way from one of `starts` to `goal` as its nodes, or the set of all that can be reached."""
        came_from = dict.fromkeys(starts)
        queue = deque(starts)
        while queue:
            node = queue.popleft()
            for after in self.left[node]:
                if after not in came_from:
                    came_from[after] = node
                    if after == goal:
                        way = [after]
                        while came_from[way[-1]] is not None:
                            way.append(came_from[way[-1]])
                        return way[::-1], None
                    queue.append(after)
        return None, set(came_from)

    def send(self, way):
        for a, b in zip(way, way[1:]):
            self.left[a][b] -= 1
            if self.left[a][b] == 0:
                del self.left[a][b]
            self.join(b, a, 1)

    def fix(self, a, b):
        """Sends one from a to b for good. False, and nothing changes, when the rest could not all be sent then."""
        if a in self.left[b]:  # one goes this way already
            del self.left[b][a]
            return True
        del self.left[a][b]
        way, _ = self.path([b], a)  # what else left a is led around another way
        if way is None:
            self.left[a][b] = 1
            return False
        self.send(way)
        return True

def candidates_of(seed, uscc, wanted, available, barred):
    """Who may go to this enterprise, in its seeded order."""
    region, skills = wanted
    may_go = [one for one, (_, prefix, held) in available.items()
              if (one, uscc) not in barred and (not region or region.startswith(prefix)) and skills <= held]
    return sorted(may_go, key=lambda one: (sha256("ASSIGN1|%s|%s|%s" % (seed, uscc, one)), one))

def choose_teams(seed, unit, visits, available, barred, k, earlier):
    """The teams of one unit: [uscc, inspector, is leader of the visit, candidates, rank, skipped], or None if impossible.

    visits: {uscc: (region, skills)}; available: {inspector: (may lead, region prefix, skills)}; k: inspectors per visit;
    earlier: the teams that earlier waves gave the unit.
    """
    if len(available) < k:
        return None
    order = sorted(visits, key=lambda uscc: (sha256("FIRM1|%s|%s|%s" % (seed, unit, uscc)), uscc))
    leaders = {one for one in available if available[one][0]}
    loads, pairs = dict.fromkeys(available, 0), {}
    for team in earlier:
        count_pairs(pairs, team)
        for one in team:
            if one in loads:
                loads[one] += 1

    # The network: visit -> leaders, visit -> gate -> others (the gate lets k-1 through, so one leader is in), -> end.
    flow, candidates = Flow(), {}
    for uscc in order:
        candidates[uscc] = candidates_of(seed, uscc, visits[uscc], available, barred)
        flow.join(("visit", uscc), ("gate", uscc), k - 1 if leaders else k)
        for one in sorted(candidates[uscc]):
            flow.join(("visit" if one in leaders else "gate", uscc), ("person", one), 1)

    # The capacities: an even share of all visits, for leaders at least one of the lead of each visit.
    share = -(-(k * len(order) + sum(loads.values())) // len(available))
    level, room = dict.fromkeys(available, share), dict.fromkeys(available, 0)
    for one in leaders:
        level[one] = max(share, -(-(len(order) + sum(loads[leader] for leader in leaders)) // len(leaders)))

    def set_room(one, more):
        level[one] += more
        added = max(0, level[one] - loads[one]) - room[one]
        room[one] += added
        flow.join(("person", one), "end", added)

    for one in available:
        set_room(one, 0)

    # They are raised until everybody can be served, and then once more.
    missing = {("visit", uscc): k for uscc in order}
    while True:
        for visit in sorted(missing):
            while missing[visit]:
                way, _ = flow.path([visit], "end")
                if way is None:
                    break
                flow.send(way)
                missing[visit] -= 1
        starved = sorted(visit for visit in missing if missing[visit])
        if not starved:
            break
        _, reached = flow.path(starved, "end")
        raised = [node[1] for node in reached if node[0] == "person"]
        if not raised:
            return None
        for one in raised:
            set_room(one, 1)
    for one in available:
        set_room(one, 1)

    # The choice in the seeded order.
    all_pairs = len(available) * (len(available) - 1) // 2
    limit = -(-(len(order) + len(earlier)) * (k * (k - 1) // 2) // all_pairs) + 1
    given, chosen = dict.fromkeys(available, 0), []
    for uscc in order:
        team, skipped, again = [], [], []
        for first_pass, tried in ((True, candidates[uscc]), (False, again)):
            for one in tried:
                if len(team) == k:
                    break
                has_leader = not leaders.isdisjoint(team)
                if first_pass and any(pairs.get(frozenset((one, mate)), 0) >= limit for mate in team):
                    again.append(one)
                    reason = "paired_often"
                elif given[one] >= room[one]:
                    reason = "at_capacity"
                elif leaders and one not in leaders and len(team) == k - 1 and not has_leader:
                    reason = "needs_leader"
                elif not flow.fix(("visit" if one in leaders else "gate", uscc), ("person", one)):
                    reason = "reserved"
                else:
                    given[one] += 1
                    rank = candidates[uscc].index(one) + 1
                    chosen.append([uscc, one, one in leaders and not has_leader, len(candidates[uscc]), rank,
                                   ";".join(skipped)])
                    team.append(one)
                    skipped = []
                    continue
                skipped.append(one + ":" + reason)
        count_pairs(pairs, team)
    return chosen

def count_pairs(pairs, team):
    for pair in map(frozenset, itertools.combinations(team, 2)):
        pairs[pair] = pairs.get(pair, 0) + 1

def check_assignment(bundle, known):
    """assignments.csv, replacements.json: the seeded order gives each visit these inspectors and no others."""
    waves = [step.details for step in known["steps"] if step.event == "round_assigned"]
    statements = bundle.json("replacements.json", list)
    if not waves:
        need(not statements and next(bundle.rows("assignments.csv"), None) is None,
             "assignments.csv, replacements.json: no round_assigned stands in the log")
        return "none yet"
    roots, k, rule = known["roster_roots"], known["rule"]["inspectors_per_visit"], known["rule"]
    expected, teams, source_of = [], {}, {}
    for wave, details in enumerate(waves, 1):
        where = "log.jsonl, wave %d" % wave
        top_ups = field(details, "top_ups", int, where)
        need(0 <= top_ups <= len(known["top_ups"]), "%s: it names top-ups that are not there", where)
        logged = (field(details, "wave_roots", list, where) + [""] * wave)[wave - 1]
        source_of[wave] = source = 0 if logged == roots[0] else wave
        need(roots.get(source, MerkleTree().root()) == logged, "roster.csv, recusals.csv: those of wave %d are not the ones in the log, whose root "
             "is %s", wave, short(logged))
        if source:
            need(wave > 1 or not known["available"][0],
                 "wave 1 was made from another roster than the frozen one, which had inspectors")
            known.leave_open(LATER_WAVE, wave)
        available, barred = known["available"].get(source, {}), known["barred"].get(source, set())
        visits = {}  # unit that goes: {uscc: (unit that drew, what the visit asks for)}
        for drew, uscc in known["places"]:
            wanted = wanted_of(known, (drew, uscc), top_ups)
            if wanted and known["closed"].get((drew, uscc), top_ups + 1) > top_ups:
                for goes in {drew} if rule["initiator"] == "*" else {drew, *rule["cooperating_units"]}:
                    if (goes, uscc) not in teams:
                        visits.setdefault(goes, {})[uscc] = (drew, wanted)
        impossible, made = [], {}
        for unit in sorted(visits):
            asked = {uscc: wanted for uscc, (_, wanted) in visits[unit].items()}
            earlier = [team for (goes, _), (_, team) in teams.items() if goes == unit]
            found = choose_teams(known["seed"], unit, asked, available.get(unit, {}), barred, k, earlier)
            if found is None:
                impossible.append(unit)
                known.leave_open(NO_TEAM, unit, wave)
            for uscc, one, leads, candidates, rank, skipped in found or ():
                drew = visits[unit][uscc][0]
                _, team = made.setdefault((unit, uscc), ((wave, drew), {}))
                team[one] = "leader" if leads else "member"
                expected.append([str(wave), unit, drew, uscc, one, team[one], str(len(team)), str(candidates), str(rank),
                                 skipped])
        teams.update(made)
        need(details.get("unassigned_units") == impossible,
             "log.jsonl, wave %d: it says that units %s had no lawful assignment; computed: %s",
             wave, short(details.get("unassigned_units")), impossible)
    need(set(roots) <= {0, *source_of.values()}, "roster.csv or recusals.csv: they hold a wave that no assignment was made from")
    expected.sort(key=lambda row: (int(row[0]), row[2], row[1], row[3], int(row[6])))
    compare("assignments.csv", bundle.rows("assignments.csv"), expected)
    check_replacements(known, statements, teams, source_of)
    known["replacements"] = statements
    return "%d inspectors of %d visits in %d wave(s), replayed; %d replaced later" % (
        len(expected), len(teams), len(waves), len(statements))

def check_replacements(known, statements, teams, source_of):
    """A recusal declared after the assignment: the next in that enterprise's order goes, as things stood then."""
    events = [step.details for step in known["steps"] if step.event == "round_inspector_replaced"]
    gone = {}
    for number, (one, details) in enumerate(zip(statements, events), 1):
        where = "replacements.json, number %d" % number
        statement(one, "REPLACED1", known, where, number)
        unit, uscc, leaving = one["unit_id"], one["uscc"], one["inspector_id"]
        day(one["declared_date"], where)
        need(one["reason"].strip() and people(one["approvers"], where), "%s: a reason or an approver is missing", where)
        (wave, drew), team = teams.get((unit, uscc), ((0, ""), {}))
        need(leaving in team and wave <= field(details, "waves", int, where), "%s: %s is not to visit %s", where, leaving, uscc)
        wanted = wanted_of(known, (drew, uscc), field(details, "top_ups", int, where))
        need(wanted, "%s: %s was not drawn then", where, uscc)
        available = known["available"].get(source_of[wave], {}).get(unit, {})
        left = gone.setdefault((unit, uscc), set())
        free = [who for who in candidates_of(known["seed"], uscc, wanted, available,
                                             known["barred"].get(source_of[wave], set()))
                if who not in team and who not in left]
        if team[leaving] == "leader":
            free = [who for who in free if available[who][0]] or free
        need(one["replaced_by"] in free[:1], "%s: %s goes in place of %s, next in order is %s",
             where, short(one["replaced_by"]), leaving, free[0] if free else "nobody")
        team[free[0]] = team.pop(leaving)
        left.add(leaving)
        known.leave_open(HAD_TO_LEAVE, leaving, uscc, short(one["reason"]))
    need(len(statements) == len(events), "replacements.json holds %d replacements, the log %d", len(statements), len(events))

# === 12 The log against the files ==============================================================================

def check_steps(bundle, known):
    """Each step of the log says of the round what the files of the bundle say, and so do all steps after it."""
    public, freeze, rule = known["form"] == "public", known["freeze"], known["rule"]
    says = {name: freeze[name] for name in ("plan_id", "round", "frozen_date", "frame_root", "frame_size", "eligible_count",
                                            "unit_sizes")}
    says.update(freeze_root=known["freeze_root"], commitments=[], entropy=None, seed_commitment=None, drawn_count=None,
                draw_sql_sha256=None, top_ups=0, waves=0, wave_roots=[], unassigned_units=[], replacements=0,
                aborted_from=None)
    files, times, stored = {}, {}, {}  # the statements so far, the days, the digests of the step before
    for number, (_, event, time, details, before, state) in enumerate(known["steps"], 1):
        where = "log.jsonl, event %s" % event
        times[event] = shanghai_day(time, where)
        says.update(step=number, last_event=event, state=state)
        if event == "round_frame_frozen":
            files.update({"rule.json": rule, "freeze.json": freeze})
        elif event == "round_committed":
            says["commitments"] = [[one["party"], one["commitment"]] for one in known["commitments"]]
            files.update(("commitment-%s.json" % one["party"], one) for one in known["commitments"])
            check_commitment_days(known, times)
        elif event == "round_entropy":
            says["entropy"], files["entropy.json"] = known["entropy"]["entropy"], known["entropy"]
            check_entropy_days(known, times)
        elif event == "round_drawn":
            says["seed_commitment"], says["draw_sql_sha256"] = known["seed_commitment"], rule["draw_sql_sha256"]
            says["drawn_count"] = field(details, "drawn_count", int, where) if public else known["drawn_count"]
        elif event == "round_topped_up":
            says["top_ups"] += 1
            if not public:
                files["topup-%03d.json" % says["top_ups"]] = known["top_ups"][says["top_ups"] - 1]
        elif event == "round_assigned":
            says["waves"] += 1
            # What it adds was compared with the computed assignment; the public form has only what the log says.
            says["wave_roots"] = says["wave_roots"] + field(details, "wave_roots", list, where)[-1:]
            says["unassigned_units"] = field(details, "unassigned_units", list, where)
            need(len(says["wave_roots"]) == says["waves"], "%s: wave_roots lacks the root of this wave", where)
        elif event == "round_inspector_replaced":
            says["replacements"] += 1
            if not public:
                files["replaced-%03d.json" % says["replacements"]] = known["replacements"][says["replacements"] - 1]
        elif event == "round_aborted":
            says["aborted_from"], files["abort.json"] = before, check_abort(bundle, known, before)
        for name, value in sorted(says.items()):
            need(name in details and details[name] == value and type(details[name]) is type(value),
                 "%s: %s is %s in the log, %s by the files", where, name, short(details.get(name)), short(value))
        logged = field(details, "files", dict, where)
        for name, digest in sorted(stored.items()):
            need(logged.get(name) == digest, "%s: %s has another SHA-256 than at an earlier step: it was replaced", where, name)
        for name, content in sorted(files.items()):
            need(logged.get(name) == stored_sha256(content), "%s: the SHA-256 of %s in the log is not that of this bundle's "
                 "content", where, name)
        for one in known["commitments"] if says["commitments"] else ():
            need(logged.get("escrow-%s.age" % one["party"], "") == one["escrow_sha256"],
                 "%s: the log holds another escrow of %s than the one that it signed", where, one["party"])
        stored = logged
    return "roots, digests and counts of all %d steps agree with the files" % len(known["steps"])

def check_commitment_days(known, times):
    first, last, latest = times["round_frame_frozen"], times["round_committed"], date.min
    for one in known["commitments"]:
        signed = shanghai_day(one["time"], "commitments.json")
        latest = max(latest, signed)
        need(signed >= first, "commitments.json: %s signed on %s, before the freeze was logged on %s",
             one["party"], signed, first)
        need(signed <= last, "commitments.json: %s signed on %s, after the log had all commitments on %s: too late",
             one["party"], signed, last)
    if last > latest and known["rule"]["entropy"]["source"] != "NONE":
        known.leave_open(LOGGED_LATE, (last - latest).days)

def check_entropy_days(known, times):
    """The issue must be one that nobody could know when the commitments were made, and the first of these."""
    rule, announcements = known["rule"]["entropy"], known["entropy"]["announcements"]
    if rule["source"] == "NONE":
        return
    committed, used, limit = times["round_committed"], times["round_entropy"], rule["fallback_after_days"]
    earliest = committed + timedelta(days=rule["lag_days"])
    for one in announcements:
        announced, issue = day(one["announced_date"], "entropy.json"), "%s issue %s" % (one["source"], one["issue"])
        need(announced >= earliest, "entropy.json: %s is of %s, but the commitments were logged on %s and %d day(s) must lie "
             "between: too early", issue, announced, committed, rule["lag_days"])
        need(announced <= used, "entropy.json: %s was logged before its announcement on %s", issue, announced)
        need((announced - earliest).days <= limit, "entropy.json: %s of %s is too late: the first one from %s on counts",
             issue, announced, earliest)
        if announced > earliest:
            known.leave_open(NO_ISSUE, one["source"], earliest, announced)
    if [one["source"] for one in announcements] != [rule["source"]]:
        need((used - earliest).days >= limit, "entropy.json: the fallback was taken after %d days, the plan says %d",
             (used - earliest).days, limit)
        known.leave_open(FALLBACK, rule["source"])

def check_abort(bundle, known, aborted_from):
    """abort.json: a reason and approvers; three of them once the result could be known."""
    abort = statement(bundle.json("abort.json", dict), "ABORT1", known, "abort.json")
    need(abort["aborted_from"] == aborted_from, "abort.json: aborted_from is %s, by the log it was %s",
         abort["aborted_from"], aborted_from)
    needed = 3 if STATES.index(aborted_from) >= STATES.index("ENTROPY") else 1
    names = people(abort["approvers"], "abort.json")
    need(len(names) >= needed, "abort.json: %d approver(s), %d different ones are needed", len(names), needed)
    need(abort["reason"].strip(), "abort.json: no reason")
    known.leave_open(ABORT_APPROVED, ", ".join(sorted(names)))
    return abort

def check_checkpoints(bundle, known):
    """checkpoints.json: signed statements of how long the log was and how it ended then; the log is cut at one."""
    previous, largest, size, last = GENESIS, 0, known["log_size"], known["steps"][-1].seq
    checkpoints, witnesses = bundle.json("checkpoints.json", list), known.options.witness
    for number, one in enumerate(checkpoints, 1):
        where = "checkpoints.json, number %d" % number
        check_checkpoint(one, known, where)
        need(one["size"] > largest, "%s: its size is not above the one before", where)
        need(one["prev_checkpoint"] == previous, "%s: it does not name the one before: one was removed or replaced", where)
        need(one["size"] <= size, "%s: it saw %d lines, the log has %d: its end was cut off", where, one["size"], size)
        previous, largest = labelled_sha256(b"", one), one["size"]
    cut = min((one["size"] for one in checkpoints if one["size"] >= last), default=last)
    need(size == cut, "log.jsonl ends at line %d; it must end at line %d, %s: lines were added, or a checkpoint was taken away",
         size, cut, "the last step of the round" if cut == last else "where the first checkpoint after the last step stands")
    if largest < size:
        known.leave_open(NOT_COVERED, size - largest)
    for path in witnesses:
        where = "witness " + os.path.basename(path)
        try:
            with open(path, "rb") as file:
                witness = parse_json(file.read(1_000_000), where)
        except OSError as error:
            raise Unreadable("the witness %s cannot be read: %s" % (path, error))
        check_checkpoint(witness, known, where)
        if witness["size"] > size:
            known.leave_open(LONGER_WITNESS, where, witness["size"], size)
    if not witnesses:
        known.leave_open(NO_WITNESS)
    return "%d checkpoint(s) and %d witness(es) agree with the log" % (len(checkpoints), len(witnesses))

def check_checkpoint(one, known, where):
    """That it is a checkpoint signed by the office, and that it saw the log as it is, as far as this one goes."""
    need(isinstance(one, dict) and set(one) == CHECKPOINT_FIELDS, "%s: it is not a checkpoint", where)
    need(field(one, "size", int, where) >= 0, "%s: its size is negative", where)
    key = known["office_key"]
    need(one["key_id"] == hashlib.sha256(bytes.fromhex(key)).hexdigest()[:16], "%s: its key_id is not of the office's key", where)
    need_signature(one, key, b"CHECKPOINT1|", where, unsigned=("key_id", "signature"))
    need(one["head"] == known["heads"].get(one["size"], one["head"]),
         "%s: it saw another line %d than this log has: the log was rewritten", where, one["size"])

# === 13 The report =============================================================================================

CHECKS = (  # name, function, whether the public form has it too, 中文
    ("manifest", check_manifest, True, "清单与签名"),
    ("plan", check_plan, True, "计划规则"),
    ("log", check_log, True, "审计日志链"),
    ("freeze", check_freeze, True, "冻结声明"),
    ("frame", check_frame, False, "抽查对象名录"),
    ("quotas", check_quotas, False, "抽查数量"),
    ("roster", check_roster, False, "检查人员名录与回避"),
    ("commitments", check_commitments, True, "各方承诺"),
    ("entropy", check_entropy, True, "公开随机数"),
    ("seed", check_seed, True, "种子"),
    ("draw", check_draw, False, "抽取结果"),
    ("top-ups", check_top_ups, False, "递补"),
    ("assignment", check_assignment, False, "检查人员匹配"),
    ("steps", check_steps, True, "日志与文件一致"),
    ("checkpoints", check_checkpoints, True, "检查点"),
)
VERDICTS = {"good": ("ok", "通过"), "bad": ("WRONG", "不符"), "skipped": ("not reached", "未能检查")}

def verify(folder, options):
    """(list of [check, Chinese name, "good"|"bad"|"skipped", sentence], list of what could not be checked)."""
    legible(os.path.isdir(folder), "%s is not a folder", folder)
    bundle, known, results = Bundle(folder), Known(options), []
    for name, function, is_public, chinese in CHECKS:
        if known.facts.get("form") == "public" and not is_public:
            continue
        try:
            results.append([name, chinese, "good", function(bundle, known)])
        except Wrong as problem:
            results.append([name, chinese, "bad", str(problem)])
        except NotReached as lacking:
            sentence = "it needs what an earlier check did not establish (%s)" % lacking
            results.append([name, chinese, "skipped", sentence])
        except Unreadable as problem:
            if all(result[2] != "bad" for result in results):
                raise
            results.append([name, chinese, "bad", str(problem)])
    if known.facts.get("form") == "public":
        known.leave_open(PUBLIC_FORM)
    return results, known.open

def print_report(folder, results, still_open):
    print("Proof of the draw in %s 双随机抽查结果验证" % folder)
    for name, chinese, verdict, sentence in results:
        print("[%-11s] %-11s %s" % (VERDICTS[verdict][0], name, sentence))
        print("              %s：%s" % (chinese, VERDICTS[verdict][1]))
    if still_open:
        print("\nNOT CHECKED, because no bundle can prove it: 本程序无法验证的事项：")
        for number, sentence in enumerate(still_open, 1):
            print("  %d. %s" % (number, sentence))
    if all(verdict == "good" for _, _, verdict, _ in results):
        print("\nHONEST as far as was checked. 已检查的部分全部相符。")
    else:
        print("\nNOT AS IT MUST BE: see the lines marked WRONG. 存在不符，见标有 WRONG 的行。")

def pinned_key(text):
    if not re.fullmatch(HASH, text):
        raise argparse.ArgumentTypeError("a public key is 64 lower-case hexadecimal digits")
    return text

def pinned_party(text):
    name, _, key = text.partition("=")
    return name, pinned_key(key)

def main(arguments):
    parser = argparse.ArgumentParser(description="Checks the proof of an inspection draw. "
                                                 "Exit 0 honest, 1 not, 2 unreadable.")
    parser.add_argument("bundle", help="the folder that `credit-pipeline draw bundle` wrote")
    parser.add_argument("--key", type=pinned_key, help="the office's public key as you were given it")
    parser.add_argument("--party", type=pinned_party, action="append", default=[], metavar="NAME=HEX",
                        help="a party's public key as that party gave it to you")
    parser.add_argument("--witness", action="append", default=[], metavar="FILE",
                        help="a checkpoint of the log that somebody else kept")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        results, still_open = verify(options.bundle, options)
        code = 0 if all(verdict == "good" for _, _, verdict, _ in results) else 1
        answer = {"code": code, "checks": [{"check": r[0], "verdict": r[2], "says": r[3]} for r in results],
                  "not_checked": still_open}
    except (Unreadable, OSError, MemoryError, ValueError, RecursionError) as error:
        code, answer = 2, {"code": 2, "unreadable": str(error) or type(error).__name__}
    if options.json:
        print(json.dumps(answer, ensure_ascii=False, indent=1, sort_keys=True))
    elif code == 2:
        print("UNREADABLE 无法读取：%s" % answer["unreadable"], file=sys.stderr)
    else:
        print_report(options.bundle, results, still_open)
    return code

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
