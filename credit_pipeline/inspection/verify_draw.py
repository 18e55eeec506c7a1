#!/usr/bin/env python3
"""Checks the proof of one inspection draw without trusting the office that made it.

    python3 -I -S verify_draw.py BUNDLE [--key HEX] [--party NAME=HEX ...] [--witness FILE ...] [--json]

BUNDLE is the folder written by `credit-pipeline draw bundle`. Python 3.8 or later, nothing else. Exit code 0: all that
was checked is as it must be. 1: something is not. 2: the bundle cannot be read. The format is `docs/draw-format.md`.

How it works: nothing in the bundle is believed that can be computed. The lists that went into the draw (frame, quotas,
roster, rule) are hashed again; the hash must be the one that every party signed BEFORE the lottery number was known.
The parties' secret numbers must open what they signed. Lists, secrets and lottery number give one seed, the seed gives
every ticket, rank and inspector: these are computed here and compared with what the bundle says was drawn.

Read it from `main` at the end, or from the top: 1 reading, 2 hashes, 3 signatures, 4 one function for each check.
"""
# Untyped: it must run on Python 3.8 and stay short (its exceptions from the linter are in pyproject.toml).
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
from collections import deque
from datetime import date, datetime, timedelta

FORMAT = "credit-pipeline-draw/1"
GRADES = "ABCDE"  # A is the best
GENESIS = "0" * 64  # what the first line of the log and the first checkpoint name as the one before
COMPANIONS = ("README.md", "verify_draw.py")  # may lie in the folder; they prove nothing
PUBLIC_FILES = ("abort.json", "checkpoints.json", "commitments.json", "entropy.json", "freeze.json", "log.jsonl",
                "plan.json", "seed.json")  # fmt: skip
AUTHORISED_FILES = PUBLIC_FILES + ("assignments.csv", "draw.csv", "frame.csv", "quotas.csv", "recusals.csv",
                                   "replacements.json", "reveals.json", "roster.csv", "topups.json")  # fmt: skip
STATES = ("FRAME_FROZEN", "COMMITTED", "ENTROPY", "DRAWN", "ASSIGNED", "CLOSED", "ABORTED")

HASH = "[0-9a-f]{64}"
SALT = "[0-9a-f]{32}"
COUNT = "0|[1-9][0-9]{0,14}"
FLAG = "[01]"
UNIT = "[0-9A-Z]{1,12}"
ITEM = "[0-9A-Z][0-9A-Z_-]{0,31}"
USCC = "[0-9A-HJ-NPQRTUWXY]{18}"
GRADE = "[A-E]"
REGION = "[0-9]{0,12}"
REASON = r"[^|\x00-\x1f\x7f]{0,200}"
INSPECTOR = r"[^|;:,\s\x00-\x1f\x7f]{1,64}"
SKILLS = r"[^|\x00-\x1f\x7f]{0,400}"
DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
TIME = DAY + "T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"

COLUMNS = {
    "frame.csv": (
        ("unit_id", UNIT), ("item_code", ITEM), ("uscc", USCC), ("platform_grade", GRADE), ("region", REGION),
        ("is_safety_related", FLAG), ("excluded_reason", REASON), ("salt", SALT),
    ),
    "quotas.csv": (
        ("unit_id", UNIT), ("item_code", ITEM), ("platform_grade", GRADE), ("stratum_size", COUNT),
        ("drawn_before", COUNT), ("ratio_bp", COUNT), ("rounds_due", COUNT), ("rounds_per_year", COUNT),
        ("rounding", "ceil|half_up|floor"), ("target", COUNT), ("quota", COUNT), ("salt", SALT),
    ),
    "roster.csv": (
        ("wave", COUNT), ("unit_id", UNIT), ("inspector_id", INSPECTOR), ("is_leader", FLAG), ("region_prefix", REGION),
        ("skills", SKILLS), ("excluded_reason", REASON), ("salt", SALT),
    ),
    "recusals.csv": (
        ("wave", COUNT), ("inspector_id", INSPECTOR), ("uscc", USCC), ("reason", REASON), ("salt", SALT),
    ),
    "draw.csv": (
        ("unit_id", UNIT), ("item_code", ITEM), ("uscc", USCC), ("platform_grade", GRADE), ("ticket", HASH),
        ("rank", COUNT), ("stratum_size", COUNT), ("quota", COUNT), ("is_drawn", FLAG),
    ),
    "assignments.csv": (
        ("wave", COUNT), ("unit_id", UNIT), ("draw_unit_id", UNIT), ("uscc", USCC), ("inspector_id", INSPECTOR),
        ("role", "leader|member"), ("position", COUNT), ("eligible_count", COUNT), ("rank_taken", COUNT),
        ("skipped", r"[^\x00-\x1f\x7f]{0,9000}"),
    ),
}  # fmt: skip


class Wrong(Exception):
    """The bundle says something that is not so: exit code 1."""


class Unreadable(Exception):
    """Nothing can be said about this bundle: exit code 2."""


def need(condition, sentence):
    if not condition:
        raise Wrong(sentence)


# === 1 Reading ================================================================================================


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
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(
                "%s is not a plain file (a link, a folder or a device): copy the bundle anew" % name
            )
        return path

    def json(self, name, kind):
        with open(self.path(name), "rb") as file:
            data = file.read(100_000_001)
        if len(data) > 100_000_000:
            raise Unreadable("%s is larger than any file of its kind can be (100 MB)" % name)
        value = parse_json(data, name)
        if canonical(value) + b"\n" != data:
            raise Unreadable(
                "%s is not canonical JSON (sorted keys, no spaces, one line): it was rewritten" % name
            )
        if not isinstance(value, kind):
            raise Unreadable("%s holds a JSON %s where another kind belongs" % (name, type(value).__name__))
        return value

    def rows(self, name):
        """The rows of a table as lists of text, each field of its form. Row 1 is the header."""
        columns = COLUMNS[name]
        whole = re.compile("\x1f".join("(?:%s)" % pattern for _, pattern in columns))
        number = 1
        try:
            with open(self.path(name), encoding="utf-8", newline="") as file:
                reader = csv.reader(file, strict=True)
                header = next(reader, None)
                if header != [column for column, _ in columns]:
                    raise Unreadable("%s: the first row is not %s" % (name, ",".join(c for c, _ in columns)))
                for number, row in enumerate(reader, 2):
                    if not whole.fullmatch("\x1f".join(row)) or len(row) != len(columns):
                        raise bad_row(name, number, row)
                    yield row
        except UnicodeDecodeError:
            raise Unreadable("%s, near row %d: it is not UTF-8 text" % (name, number + 1))
        except csv.Error as error:
            raise Unreadable("%s, near row %d: it is not CSV (%s)" % (name, number + 1, error))


def bad_row(name, number, row):
    columns = COLUMNS[name]
    if len(row) != len(columns):
        return Unreadable("%s, row %d: %d fields instead of %d; the file is cut or damaged"
                          % (name, number, len(row), len(columns)))  # fmt: skip
    for (column, pattern), value in zip(columns, row):
        if not re.fullmatch(pattern, value):
            return Wrong("%s, row %d, column %s: %s is not of the form %s"
                         % (name, number, column, short(value), pattern))  # fmt: skip
    return Wrong("%s, row %d: a field holds a control character" % (name, number))


def short(value):
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


def parse_json(data, name):
    """JSON without floats, doubled keys or numbers that readers could understand differently."""

    def refuse(text):
        raise Unreadable("%s: the number %s has no place in a bundle" % (name, short(text)))

    def whole(text):
        return int(text) if len(text) <= 16 else refuse(text)

    def once(pairs):
        if len(dict(pairs)) != len(pairs):
            raise Unreadable("%s: a JSON object has the same key twice" % name)
        return dict(pairs)

    try:
        text = data.decode("utf-8")
        return json.loads(
            text, parse_float=refuse, parse_int=whole, parse_constant=refuse, object_pairs_hook=once
        )
    except UnicodeDecodeError:
        raise Unreadable("%s is not UTF-8 text" % name)
    except RecursionError:
        raise Unreadable("%s is nested deeper than any bundle" % name)
    except ValueError as error:
        raise Unreadable("%s is not JSON: %s" % (name, error))


def canonical(value):
    """The one byte string of a JSON value: keys sorted, no spaces, UTF-8."""
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        raise Unreadable("a JSON value has half a character, or is nested deeper than any bundle")


def field(holder, name, kind, where):
    """`holder[name]`, which must be there and of its kind: a pattern for text, or a Python type."""
    need(isinstance(holder, dict) and name in holder, "%s has no field %s" % (where, name))
    value = holder[name]
    if isinstance(kind, str):
        need(isinstance(value, str) and re.fullmatch(kind, value),
             "%s: %s is %s, not of the form %s" % (where, name, short(value), kind))  # fmt: skip
    else:
        right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        need(right, "%s: %s is %s, a %s was expected" % (where, name, short(value), kind.__name__))
    return value


def visible(name, where):
    """A name without regard to case and blanks at its ends; one with invisible characters could be two persons."""
    need(all(unicodedata.category(one) not in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") for one in name),
         "%s: the name %s holds an invisible character" % (where, short(name)))  # fmt: skip
    return name.strip().casefold()


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


# === 2 Hashes ================================================================================================


def sha256(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


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


# === 3 Signatures: Ed25519 by RFC 8032, section 5.1; points are (x, y), slow and plain ========================

P = 2**255 - 19  # the field
L = 2**252 + 27742317777372353535851937790883648493  # the order of the base point
D = -121665 * pow(121666, P - 2, P) % P  # the curve: -x^2 + y^2 = 1 + D x^2 y^2


def point_add(a, b):
    """Sum of two points (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z."""
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
    if not re.fullmatch(HASH, public_key) or not re.fullmatch("[0-9a-f]{128}", signature):
        return False
    key_bytes, r_bytes = bytes.fromhex(public_key), bytes.fromhex(signature[:64])
    key, r = point_from_bytes(key_bytes), point_from_bytes(r_bytes)
    s = int.from_bytes(bytes.fromhex(signature[64:]), "little")
    if key is None or r is None or s >= L or same_point(point_multiply(8, key), (0, 1, 1, 0)):
        return False
    k = int.from_bytes(hashlib.sha512(r_bytes + key_bytes + message).digest(), "little") % L
    return same_point(point_multiply(s, BASE), point_add(r, point_multiply(k, key)))


# === 4 The checks ============================================================================================
# Each takes the bundle and `known`, what the checks before it computed, and returns a sentence for the report.
# It raises Wrong at the first thing that is not so. `known.open` collects what could not be checked.


class Known:
    """What the checks have established so far; a check that needs more than there is is not reached."""

    def __init__(self, options):
        self.options = options
        self.open = []
        self.facts = {}  # by name: computed here, never taken from the bundle unchecked

    def __getitem__(self, name):
        if name not in self.facts:
            raise NotReached(name)
        return self.facts[name]

    def __setitem__(self, name, value):
        self.facts[name] = value


class NotReached(Exception):
    """An earlier check failed, so this one has nothing to compare with."""


def step_of(known, state):
    """Whether the round has come as far as `state`; an aborted one counts from where it stopped."""
    return STATES.index(known["reached"]) >= STATES.index(state)


def check_manifest(bundle, known):
    """bundle.json lists every file with its SHA-256 and is signed by the office that made the draw."""
    manifest = bundle.json("bundle.json", dict)
    need(manifest.get("format") == FORMAT, "bundle.json: format is %s, this verifier reads %s"
         % (short(manifest.get("format")), FORMAT))  # fmt: skip
    form = field(manifest, "form", "authorised|public", "bundle.json")
    expected = {"format", "form", "plan_id", "round", "state", "files", "public_key", "signature"}
    need(set(manifest) == expected, "bundle.json: its fields are not those of the format")
    files = field(manifest, "files", dict, "bundle.json")
    wanted = PUBLIC_FILES if form == "public" else AUTHORISED_FILES
    need(sorted(files) == sorted(wanted), "bundle.json: the files of the %s form are %s; it lists %s"
         % (form, ", ".join(sorted(wanted)), short(", ".join(sorted(files)))))  # fmt: skip
    for name in sorted(os.listdir(bundle.folder)):
        need(name in files or name in COMPANIONS or name == "bundle.json",
             "the folder holds %s, which bundle.json does not list" % short(name))  # fmt: skip
    for name in sorted(files):
        digest = file_sha256(bundle.path(name))
        need(digest == files[name], "%s was changed: its SHA-256 is %s, bundle.json says %s"
             % (name, digest, short(files[name])))  # fmt: skip
    key = field(manifest, "public_key", HASH, "bundle.json")
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    need(signature_is_good(key, b"BUNDLE1|" + canonical(unsigned), str(manifest["signature"])),
         "bundle.json: the signature is not one of key %s over this content" % key)  # fmt: skip
    pinned = known.options.key
    need(not pinned or pinned == key, "bundle.json is signed by key %s, not by the key you gave" % key)
    if not pinned:
        known.open.append("That key %s is the office's own: compare it with the key you were given on paper (--key)."
                          % key)  # fmt: skip
    known["form"], known["office_key"] = form, key
    known["plan_id"] = field(manifest, "plan_id", "[0-9A-Za-z][0-9A-Za-z_-]{0,63}", "bundle.json")
    known["round"] = field(manifest, "round", int, "bundle.json")
    known["state"] = field(manifest, "state", "|".join(STATES), "bundle.json")
    abort = bundle.json("abort.json", dict)
    need(
        (known["state"] == "ABORTED") == bool(abort),
        "abort.json and the state %s do not agree" % known["state"],
    )
    known["reached"] = known["state"]
    if abort:
        known["reached"] = field(abort, "aborted_from", "|".join(STATES[:5]), "abort.json")
    return "%d files, none missing, none added, none changed; signed by %s" % (len(files), key[:16])


def check_plan(bundle, known):
    """plan.json: the rule of the round, which holds the public keys of all parties."""
    rule = bundle.json("plan.json", dict)
    same_round(rule, known, "plan.json", "RULE1")
    items = {}
    for item in field(rule, "items", list, "plan.json"):
        code = field(item, "item_code", ITEM, "plan.json, items")
        need(code not in items, "plan.json: item %s stands there twice" % code)
        field(item, "is_safety_related", bool, "plan.json, item " + code)
        field(item, "required_skill", SKILLS, "plan.json, item " + code)
        items[code] = item
    parties = {}
    for party in field(rule, "parties", list, "plan.json"):
        name = field(party, "party", "[a-z][a-z0-9_]{0,31}", "plan.json, parties")
        key = field(party, "signing_key", HASH, "plan.json, party " + name)
        need(name not in parties, "plan.json: party %s stands there twice" % name)
        need(key not in parties.values(), "plan.json: party %s has the same key as another party" % name)
        parties[name] = key
    need(parties, "plan.json names no party")
    pinned = dict(known.options.party)
    for name, key in sorted(pinned.items()):
        need(parties.get(name) == key, "plan.json: the key of party %s is %s, not the one you gave"
             % (name, parties.get(name)))  # fmt: skip
    need(
        field(rule, "inspectors_per_visit", int, "plan.json") >= 2,
        "plan.json: fewer than two inspectors per visit",
    )
    need(rule.get("algorithm") == "DRAW1", "plan.json: this verifier replays algorithm DRAW1 only")
    entropy = field(rule, "entropy", dict, "plan.json")
    source = field(entropy, "source", "KL8|SSQ|DLT|NONE", "plan.json, entropy")
    need(source == "NONE" or field(entropy, "lag_days", int, "plan.json, entropy") >= 1,
         "plan.json: lag_days of the entropy is below 1, the number could be known before the commitments")  # fmt: skip
    if len(parties) == 1:
        known.open.append("ONE PARTY ONLY: whoever holds its key could know this draw before it was made, and choose "
                          "among frames until the result suited.")  # fmt: skip
    elif len(parties) < 3:
        known.open.append("Only two parties: if they agree they can know the draw before it is made.")
    unpinned = ", ".join("%s=%s" % pair for pair in sorted(parties.items()) if pair[0] not in pinned)
    if unpinned:
        known.open.append(
            "That these keys belong to these parties (ask each for its key, then --party): " + unpinned
        )
    if source == "NONE":
        known.open.append("NO PUBLIC ENTROPY: nothing that nobody could know beforehand went into the seed.")
    tasks = rule.get("superior_tasks", [])
    need(isinstance(tasks, list), "plan.json: superior_tasks is no list")
    for task in tasks:
        for name, pattern in (("unit_id", UNIT), ("item_code", ITEM)):
            field(task, name, r"\*|" + pattern, "plan.json, superior_tasks")
        known.open.append("That a superior ordered %s (document %s): by it grade A may be drawn in unit %s for item %s."
                          % (short(task.get("exception_id")), short(task.get("document_no")), task["unit_id"],
                             task["item_code"]))  # fmt: skip
    known["rule"], known["items"], known["parties"] = rule, items, parties
    return "%d item(s), %d part%s, entropy %s" % (
        len(items),
        len(parties),
        "y" if len(parties) == 1 else "ies",
        source,
    )


def ordered_by_a_superior(known, unit, item):
    """Whether the rule lets grade A be drawn here although safety is no concern."""
    tasks = known["rule"].get("superior_tasks", [])
    return any(task["unit_id"] in ("*", unit) and task["item_code"] in ("*", item) for task in tasks)


def same_round(holder, known, where, format_):
    need(
        isinstance(holder, dict) and holder.get("format") == format_,
        "%s is not a statement %s" % (where, format_),
    )
    found = (holder.get("plan_id"), holder.get("round"))
    need(found == (known["plan_id"], known["round"]) and type(found[1]) is int,
         "%s is of plan %s, round %s; this bundle is of plan %s, round %s"
         % ((where,) + found + (known["plan_id"], known["round"])))  # fmt: skip


def check_freeze(bundle, known):
    """freeze.json: one statement that binds rule, frame, quotas and roster; the parties signed its hash."""
    freeze = bundle.json("freeze.json", dict)
    same_round(freeze, known, "freeze.json", "FREEZE1")
    names = {"format", "plan_id", "round", "frozen_date", "frame_root", "frame_size", "eligible_count", "unit_sizes",
             "quotas_root", "roster_root", "rule_sha256"}  # fmt: skip
    need(set(freeze) == names, "freeze.json: its fields are not those of FREEZE1")
    day(field(freeze, "frozen_date", DAY, "freeze.json"), "freeze.json")
    for name in ("frame_root", "quotas_root", "roster_root", "rule_sha256"):
        field(freeze, name, HASH, "freeze.json")
    rule_hash = hashlib.sha256(canonical(known["rule"])).hexdigest()
    need(freeze["rule_sha256"] == rule_hash,
         "plan.json is not the rule that was frozen: its hash is %s, freeze.json has %s"
         % (rule_hash, freeze["rule_sha256"]))  # fmt: skip
    sizes = field(freeze, "unit_sizes", dict, "freeze.json")
    need(all(re.fullmatch(UNIT, unit) and type(size) is int and size > 0 for unit, size in sizes.items()),
         "freeze.json: unit_sizes is not a list of units with their numbers of rows")  # fmt: skip
    need(sum(sizes.values()) == freeze["frame_size"], "freeze.json: unit_sizes do not add up to frame_size")
    need(0 <= field(freeze, "eligible_count", int, "freeze.json") <= freeze["frame_size"],
         "freeze.json: eligible_count is greater than frame_size")  # fmt: skip
    known["freeze"] = freeze
    known["freeze_root"] = hashlib.sha256(b"FREEZE1|" + canonical(freeze)).hexdigest()
    known.open.append("That the frame holds every enterprise of the register and its true grade: compare with the "
                      "register (inspection/frame_reconciliation).")  # fmt: skip
    return "freeze root %s" % known["freeze_root"]


def check_frame(bundle, known):
    """frame.csv: every enterprise of every unit and item, the excluded ones with their reason, under one root."""
    freeze, items = known["freeze"], known["items"]
    tree, before, unit_sizes, strata, seen, excluded = MerkleTree(), None, {}, {}, {}, 0
    for number, row in enumerate(bundle.rows("frame.csv"), 2):
        unit, item, uscc, grade, region, safety, reason, salt = row
        where = "frame.csv, row %d" % number
        key = (unit, item, uscc)
        need(key != before, "%s, column uscc: %s stands there twice" % (where, uscc))
        need(before is None or before < key, "%s: not in the order of unit_id, item_code, uscc" % where)
        before = key
        need(item in items, "%s, column item_code: %s is no item of the plan" % (where, item))
        same = seen.setdefault(uscc, grade + safety + region)
        need(same == grade + safety + region,
             "%s, column platform_grade, region or is_safety_related: %s stands elsewhere with another one" % (where, uscc))  # fmt: skip
        if reason:
            excluded += 1
        else:
            exempt = grade == "A" and not (items[item]["is_safety_related"] and safety == "1")
            need(
                not exempt or ordered_by_a_superior(known, unit, item),
                "%s, column excluded_reason: grade A may be drawn for safety only, and this is not" % where,
            )
            strata[unit, item, grade] = strata.get((unit, item, grade), 0) + 1
        unit_sizes[unit] = unit_sizes.get(unit, 0) + 1
        tree.add(salt, "FRAME1|%s|%s|%s|%s|%s|%s|%s" % (unit, item, uscc, grade, region, safety, reason))
    size = sum(unit_sizes.values())
    need(size == freeze["frame_size"], "frame.csv has %d rows, %d were frozen: enterprises were %s"
         % (size, freeze["frame_size"], "added" if size > freeze["frame_size"] else "dropped"))  # fmt: skip
    need(unit_sizes == freeze["unit_sizes"], "frame.csv: the number of rows of a unit is not the frozen one")
    need(tree.root() == freeze["frame_root"], "frame.csv is not the frozen frame: its root is %s, frozen was %s; a row, "
         "a grade, a reason or a salt was changed" % (tree.root(), freeze["frame_root"]))  # fmt: skip
    need(size - excluded == freeze["eligible_count"], "frame.csv has %d eligible rows, freeze.json says %d"
         % (size - excluded, freeze["eligible_count"]))  # fmt: skip
    known["strata"] = strata
    return "%d rows, %d of them excluded with a reason; root as frozen" % (size, excluded)


def check_quotas(bundle, known):
    """quotas.csv: how many of each unit, item and grade, with the whole arithmetic."""
    strata, quotas, tree, before, ratios = known["strata"], {}, MerkleTree(), None, {}
    for number, row in enumerate(bundle.rows("quotas.csv"), 2):
        unit, item, grade, rounding = row[0], row[1], row[2], row[8]
        size, drawn_before, ratio, due, rounds, target, quota = (int(row[i]) for i in (3, 4, 5, 6, 7, 9, 10))
        where = "quotas.csv, row %d" % number
        key = (unit, item, grade)
        need(
            before is None or before < key,
            "%s: not in the order of unit_id, item_code, grade, or twice" % where,
        )
        before = key
        need(item in known["items"], "%s, column item_code: %s is no item of the plan" % (where, item))
        need(size == strata.get(key, 0), "%s, column stratum_size: %d, but %d enterprises are eligible in the frame"
             % (where, size, strata.get(key, 0)))  # fmt: skip
        need(ratio <= 10000, "%s, column ratio_bp: above 10000" % where)
        need(1 <= due <= rounds == known["rule"].get("rounds_per_year"),
             "%s, column rounds_due or rounds_per_year: not those of the plan" % where)  # fmt: skip
        product, divisor = (size + drawn_before) * ratio * due, 10000 * rounds
        up = {"ceil": divisor - 1, "half_up": divisor // 2, "floor": 0}[rounding]
        need(target == (product + up) // divisor, "%s, column target: %d, the arithmetic gives %d"
             % (where, target, (product + up) // divisor))  # fmt: skip
        right = min(max(target - drawn_before, 0), size)
        need(quota == right, "%s, column quota: %d, the arithmetic gives %d" % (where, quota, right))
        better = ratios.get((unit, item), 0)
        need(
            ratio >= better,
            "%s, column ratio_bp: %d, below the %d of a better grade" % (where, ratio, better),
        )
        need(grade != "A" or known["items"][item]["is_safety_related"] or ratio == 0 or ordered_by_a_superior(known, unit, item),
             "%s, column ratio_bp: grade A has a ratio for an item that is not of safety" % where)  # fmt: skip
        ratios[unit, item] = ratio
        quotas[key] = quota
        tree.add(row[11], "QUOTA1|" + "|".join(row[:11]))
    for key in sorted(strata):
        need(
            key in quotas,
            "quotas.csv has no row for unit %s, item %s, grade %s, in which enterprises are eligible" % key,
        )
    need(tree.root() == known["freeze"]["quotas_root"], "quotas.csv is not the frozen one: its root is %s, frozen was %s"
         % (tree.root(), known["freeze"]["quotas_root"]))  # fmt: skip
    known["quotas"] = quotas
    return (
        "%d strata; sizes as in the frame, targets and quotas recomputed; no worse grade has a lower ratio"
        % len(quotas)
    )


def check_roster(bundle, known):
    """roster.csv and recusals.csv: who may inspect, and whom not; wave 0 is what was frozen before the entropy."""
    people, barred, leaves = {}, {}, {}
    before = None
    for number, row in enumerate(bundle.rows("roster.csv"), 2):
        wave, unit, inspector, leader, region, skills, reason, salt = row
        where = "roster.csv, row %d" % number
        key = (int(wave), unit, inspector)
        need(
            before is None or before < key,
            "%s: not in the order of wave, unit_id, inspector_id, or twice" % where,
        )
        before = key
        skills_held = skills.split("+") if skills else []
        need(skills_held == sorted(skills_held), "%s, column skills: not sorted" % where)
        if not reason:
            everyone = people.setdefault(int(wave), {}).setdefault(unit, {})
            everyone[inspector] = (leader == "1", region, frozenset(skills_held))
        line = "ROSTER1|" + "|".join(row[1:7])
        leaves.setdefault(int(wave), []).append((salt, line))
    before = None
    for number, row in enumerate(bundle.rows("recusals.csv"), 2):
        wave, inspector, uscc, reason, salt = row
        key = (int(wave), inspector, uscc)
        need(before is None or before < key,
             "recusals.csv, row %d: not in the order of wave, inspector_id, uscc, or twice" % number)  # fmt: skip
        before = key
        barred.setdefault(int(wave), set()).add((inspector, uscc))
        leaves.setdefault(int(wave), []).append((salt, "RECUSAL1|%s|%s|%s" % (inspector, uscc, reason)))
    roots = {}
    for wave in set(leaves) | {0}:
        tree = MerkleTree()
        for salt, line in leaves.get(wave, []):
            tree.add(salt, line)
        roots[wave] = tree.root()
    need(roots[0] == known["freeze"]["roster_root"],
         "roster.csv and recusals.csv are not the frozen ones: their root is %s, frozen was %s; an inspector or a recusal "
         "was added, removed or changed" % (roots[0], known["freeze"]["roster_root"]))  # fmt: skip
    known["people"], known["barred"], known["roster_roots"] = people, barred, roots
    count = sum(len(unit) for unit in people.get(0, {}).values())
    return "%d inspectors available, %d recusals, as frozen" % (count, len(barred.get(0, ())))


def check_commitments(bundle, known):
    """commitments.json: every party signed this very freeze and its own hidden number."""
    statements = bundle.json("commitments.json", list)
    if not step_of(known, "COMMITTED"):
        need(not statements, "commitments.json: the round has not come so far")
        return "none yet"
    parties, found, files = known["parties"], [], {}
    need([s.get("party") if isinstance(s, dict) else None for s in statements] == list(parties),
         "commitments.json: the parties are not %s, in this order, once each" % ", ".join(parties))  # fmt: skip
    names = {
        "format",
        "plan_id",
        "round",
        "party",
        "freeze_root",
        "commitment",
        "escrow_sha256",
        "time",
        "signature",
    }
    for statement in statements:
        party = statement["party"]
        where = "commitments.json, party " + party
        same_round(statement, known, where, "COMMITMENT1")
        need(set(statement) == names, "%s: its fields are not those of COMMITMENT1" % where)
        need(statement["freeze_root"] == known["freeze_root"],
             "%s signed another freeze: %s, this bundle's is %s"
             % (where, short(statement["freeze_root"]), known["freeze_root"]))  # fmt: skip
        content = {name: value for name, value in statement.items() if name != "signature"}
        need(signature_is_good(parties[party], b"COMMITMENT1|" + canonical(content), str(statement["signature"])),
             "%s: the signature is not one of this party's key over this content" % where)  # fmt: skip
        shanghai_day(field(statement, "time", TIME, where), where)
        field(statement, "escrow_sha256", "" if len(parties) == 1 else HASH, where)
        found.append([party, field(statement, "commitment", HASH, where)])
        files["commitment-%s.json" % party] = stored_sha256(statement)
    known["commitments"], known["commitment_files"] = found, files
    known["signed_times"] = [statement["time"] for statement in statements]
    return "signed by %s, all over this freeze" % ", ".join(parties)


def stored_sha256(statement):
    """SHA-256 of the file in which the office keeps a statement: canonical JSON and a line end."""
    return hashlib.sha256(canonical(statement) + b"\n").hexdigest()


POOLS = {
    "KL8": ((20, 80),),
    "SSQ": ((6, 33), (1, 16)),
    "DLT": ((5, 35), (2, 12)),
}  # how many numbers of how many


def check_entropy(bundle, known):
    """entropy.json: the public number, announced after all commitments were made."""
    statement = bundle.json("entropy.json", dict)
    if not step_of(known, "ENTROPY"):
        need(not statement, "entropy.json: the round has not come so far")
        return "none yet"
    same_round(statement, known, "entropy.json", "ENTROPY1")
    need(set(statement) == {"format", "plan_id", "round", "announcements", "entropy"},
         "entropy.json: its fields are not those of ENTROPY1")  # fmt: skip
    rule = known["rule"]["entropy"]
    text = field(statement, "entropy", "[0-9A-Z:.;+]{1,512}", "entropy.json")
    announced = field(statement, "announcements", list, "entropy.json")
    sources = [one.get("source") if isinstance(one, dict) else None for one in announced]
    if rule["source"] == "NONE":
        need(
            text == "NONE" and not announced,
            "entropy.json: the plan names no public entropy, but there is some",
        )
    else:
        need(sources in ([rule["source"]], rule.get("fallback")),
             "entropy.json: the sources %s are not those of the plan" % short(sources))  # fmt: skip
        texts = [announcement_text(one) for one in announced]
        need(
            text == ";".join(texts),
            "entropy.json: entropy is not %s, the text of its announcements" % ";".join(texts),
        )
        known.open.append(
            "That the lottery numbers are the announced ones: compare with the publication: " + text
        )
    known["entropy"], known["announced"] = text, announced
    known["entropy_file"] = stored_sha256(statement)
    return text


def announcement_text(one):
    """SOURCE:issue:numbers; refused if that lottery cannot have drawn them."""
    need(
        set(one) == {"source", "issue", "announced_date", "numbers"},
        "entropy.json: an announcement has other fields",
    )
    source, issue = one["source"], field(one, "issue", "[0-9]{5,8}", "entropy.json")
    numbers = field(one, "numbers", r"[0-9]{2}([.+][0-9]{2})*", "entropy.json")
    pools, parts = POOLS[source], [[int(n) for n in part.split(".")] for part in numbers.split("+")]
    right = len(parts) == len(pools) and all(
        len(part) == count and part == sorted(set(part)) and part[0] >= 1 and part[-1] <= largest
        for part, (count, largest) in zip(parts, pools))  # fmt: skip
    need(right, "entropy.json: %s cannot have drawn %s" % (source, numbers))
    year = day(field(one, "announced_date", DAY, "entropy.json"), "entropy.json").year
    issue_year = {5: 2000 + int(issue[:2]), 7: int(issue[:4])}.get(len(issue), year)
    need(issue_year == year, "entropy.json: issue %s was not announced in %d" % (issue, year))
    return "%s:%s:%s" % (source, issue, numbers)


def check_seed(bundle, known):
    """reveals.json opens the commitments; with the entropy they give the seed, and nothing else does."""
    statement = bundle.json("seed.json", dict)
    if known["form"] == "public":
        need(set(statement) == ({"seed_commitment"} if step_of(known, "DRAWN") else set()),
             "seed.json: the public form holds the seed's hash and nothing else")  # fmt: skip
        if statement:
            known["seed_commitment"] = field(statement, "seed_commitment", HASH, "seed.json")
        return "public form: the hash of the seed only"
    statements = bundle.json("reveals.json", list)
    if not step_of(known, "DRAWN"):
        need(not statement and not statements, "seed.json, reveals.json: the round has not come so far")
        return "none yet"
    named = "|".join((known["plan_id"], str(known["round"])))
    parties = [party for party, _ in known["commitments"]]
    need([one.get("party") if isinstance(one, dict) else None for one in statements] == parties,
         "reveals.json: the parties are not those that committed, in this order, once each")  # fmt: skip
    reveals = {}
    for (party, commitment), one in zip(known["commitments"], statements):
        reveals[party] = reveal = field(one, "reveal", HASH, "reveals.json, party " + party)
        need(sha256("COMMIT1|%s|%s|%s" % (named, party, reveal)) == commitment,
             "reveals.json: the number of %s does not open its commitment" % party)  # fmt: skip
    check_reveal_signatures(statements, known)
    key = hashlib.sha256("|".join(reveals[party] for party in parties).encode()).digest()
    listed = ",".join(commitment for _, commitment in known["commitments"])
    message = "SEED1|%s|%s|%s|%s" % (named, known["freeze_root"], listed, known["entropy"])
    seed = hmac.new(key, message.encode(), hashlib.sha256).hexdigest()
    need(statement == {"seed": seed, "seed_commitment": sha256("SEEDC1|" + seed)},
         "seed.json is not what reveals, freeze and entropy give")  # fmt: skip
    known["seed"], known["seed_commitment"] = seed, statement["seed_commitment"]
    return "all %d reveals open their commitments, signed for this entropy; seed recomputed" % len(parties)


REVEAL_FIELDS = {
    "format",
    "plan_id",
    "round",
    "party",
    "freeze_root",
    "entropy",
    "reveal",
    "signed_by",
    "signature",
}


def check_reveal_signatures(statements, known):
    """Every party signed which lottery issue it saw: who knows all numbers cannot take another issue afterwards."""
    signers = set()
    for one in statements:
        party = one["party"]
        where = "reveals.json, party " + party
        same_round(one, known, where, "REVEAL1")
        need(set(one) == REVEAL_FIELDS, "%s: its fields are not those of REVEAL1" % where)
        need(one["freeze_root"] == known["freeze_root"], "%s is of another freeze" % where)
        need(one["entropy"] == known["entropy"], "%s is signed for another entropy, %s: the lottery issue was exchanged"
             % (where, short(one["entropy"])))  # fmt: skip
        signer = one["signed_by"]
        need(
            isinstance(signer, str) and signer in known["parties"],
            "%s: signed_by %s is no party" % (where, short(signer)),
        )
        content = {name: value for name, value in one.items() if name != "signature"}
        need(signature_is_good(known["parties"][signer], b"REVEAL1|" + canonical(content), str(one["signature"])),
             "%s: the signature is not one of the key of %s over this content" % (where, signer))  # fmt: skip
        signers.add(signer)
        if signer != party:
            known.open.append("That %s did not reveal: its number was opened from escrow by %s, who alone signed for it."
                              % (party, signer))  # fmt: skip
    need(len(signers) > 1 or len(known["parties"]) < 3,
         "reveals.json: %s alone signed for the entropy; with three parties two must" % ", ".join(sorted(signers)))  # fmt: skip
    if len(signers) == 1 and len(known["parties"]) > 1:
        known.open.append("That this was the lottery issue: %s alone signed for it." % ", ".join(signers))


def check_draw(bundle, known):
    """draw.csv: every ticket and rank of every eligible enterprise, and that the first `quota` are drawn."""
    if not step_of(known, "DRAWN"):
        need(next(bundle.rows("draw.csv"), None) is None, "draw.csv: the round has not come so far")
        return "none yet"
    seed, quotas, drawn, total, drawn_rows = known["seed"], known["quotas"], {}, 0, 0
    topped = {
        (one.get("unit_id"), one.get("uscc"))
        for one in bundle.json("topups.json", list)
        if isinstance(one, dict)
    }
    reserves, regions = {}, {}
    frame_rows = bundle.rows("frame.csv")
    found = bundle.rows("draw.csv")
    for (unit, item), group in itertools.groupby(frame_rows, key=lambda row: (row[0], row[1])):
        cells = {grade: [] for grade in GRADES}
        region_of = {}
        for row in group:
            if not row[6]:
                cells[row[3]].append((sha256("DRAW1|%s|%s|%s" % (seed, unit, row[2])), row[2]))
                region_of[row[2]] = row[4]
        for grade in GRADES:
            cell = sorted(cells[grade])
            quota = quotas.get((unit, item, grade), 0)
            for rank, (ticket, uscc) in enumerate(cell, 1):
                total += 1
                inside = rank <= quota
                right = [
                    unit,
                    item,
                    uscc,
                    grade,
                    ticket,
                    str(rank),
                    str(len(cell)),
                    str(quota),
                    "1" if inside else "0",
                ]
                row = next(found, None)
                if row != right:
                    raise Wrong(difference("draw.csv", total + 1, row, right))
                if inside:
                    drawn_rows += 1
                    drawn.setdefault((unit, uscc), []).append((item, grade))
                    regions[uscc] = region_of[uscc]
            if any((unit, uscc) in topped for _, uscc in cell):
                reserves[unit, item, grade] = [uscc for _, uscc in cell[quota:]]
                regions.update(region_of)
    extra = next(found, None)
    need(
        extra is None,
        "draw.csv, row %d: a row that no eligible enterprise of the frame has: %s"
        % (total + 2, short(extra)),
    )
    known["drawn"], known["drawn_count"] = drawn, drawn_rows
    known["reserves"], known["regions"] = reserves, regions
    return "%d tickets and ranks recomputed; %d places drawn, %d visits; nobody else" % (
        total,
        drawn_rows,
        len(drawn),
    )


def difference(name, number, row, right):
    """The first field in which a row is not what it must be."""
    if row is None:
        return "%s ends at row %d; the next one must be %s" % (name, number - 1, short(right))
    for (column, _), value, expected in zip(COLUMNS[name], row, right):
        if value != expected:
            return "%s, row %d, column %s: it says %s, computed is %s" % (
                name,
                number,
                column,
                short(value),
                short(expected),
            )
    return "%s, row %d: another number of fields" % (name, number)


def check_top_ups(bundle, known):
    """topups.json: an enterprise that cannot be inspected is replaced by the next rank, for a listed reason."""
    statements = bundle.json("topups.json", list)
    if not step_of(known, "DRAWN"):
        need(not statements, "topups.json: the round has not come so far")
        return "none yet"
    cells = {pair: list(held) for pair, held in known["drawn"].items()}
    closed, history, files, used = set(), [(dict(known["drawn"]), set())], {}, {}
    names = {"format", "number", "unit_id", "uscc", "reason", "event_id", "event_date", "approvers"}
    for number, one in enumerate(statements, 1):
        where = "topups.json, top-up %d" % number
        need(isinstance(one, dict) and set(one) == names and one["format"] == "TOPUP1" and one["number"] == number,
             "%s: it is not the statement TOPUP1 with this number" % where)  # fmt: skip
        pair = (field(one, "unit_id", UNIT, where), field(one, "uscc", USCC, where))
        need(pair in cells, "%s: unit %s has not drawn %s" % ((where,) + pair))
        need(pair not in closed, "%s: %s of unit %s was topped up before" % (where, pair[1], pair[0]))
        need(one["reason"] in known["rule"].get("topup_reasons", []),
             "%s: reason %s is not on the frozen list" % (where, short(one["reason"])))  # fmt: skip
        need(
            field(one, "event_id", r"[^\x00-\x1f\x7f]{1,200}", where).strip(),
            "%s: no event of the register" % where,
        )
        event = day(field(one, "event_date", DAY, where), where)
        need(event > day(known["freeze"]["frozen_date"], where),
             "%s: the event of %s was known when the frame was frozen on %s"
             % (where, event, known["freeze"]["frozen_date"]))  # fmt: skip
        approvers = [visible(a, where) for a in field(one, "approvers", list, where) if isinstance(a, str)]
        need(
            len(set(approvers)) == len(one["approvers"]) == 2 and all(approvers),
            "%s: not two different approvers" % where,
        )
        closed.add(pair)
        for item, grade in sorted(cells[pair]):
            cell = (pair[0], item, grade)
            used[cell] = used.get(cell, 0) + 1
            if used[cell] <= len(known["reserves"][cell]):
                cells.setdefault((pair[0], known["reserves"][cell][used[cell] - 1]), []).append((item, grade))
            else:
                used[cell] -= 1
        files["topup-%03d.json" % number] = stored_sha256(one)
        history.append(({pair: list(held) for pair, held in cells.items()}, set(closed)))
    if statements:
        known.open.append("That the register holds these events, and that the approvers approved: %s"
                          % ", ".join(str(one["event_id"]) for one in statements))  # fmt: skip
    known["history"], known["topup_files"] = history, files
    return "%d top-up(s), each by the next rank of its cell" % len(statements)


# --- who inspects: section "Assignment" of docs/draw-format.md ------------------------------------------------


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


def choose_teams(seed, unit, visits, people, barred, k, earlier):
    """The teams of one unit: [uscc, inspector, is leader of the visit, candidates, rank, skipped], or None if impossible.

    visits: {uscc: (region, skills)}; people: {inspector: (may lead, region prefix, skills)}; k: inspectors per visit;
    earlier: the teams that earlier waves gave the unit.
    """
    if len(people) < k:
        return None
    order = sorted(visits, key=lambda uscc: (sha256("FIRM1|%s|%s|%s" % (seed, unit, uscc)), uscc))
    leaders = [one for one in people if people[one][0]]
    loads, pairs = dict.fromkeys(people, 0), {}
    for team in earlier:
        for one in team:
            if one in loads:
                loads[one] += 1
        for pair in itertools.combinations(sorted(team), 2):
            pairs[pair] = pairs.get(pair, 0) + 1

    # The network: visit -> leaders, visit -> gate -> others (the gate lets k-1 through, so one leader is in), -> end.
    flow, candidates = Flow(), {}
    for uscc in order:
        region, skills = visits[uscc]
        allowed = [one for one, (_, prefix, held) in people.items()
                   if (one, uscc) not in barred and (not region or region.startswith(prefix)) and skills <= held]  # fmt: skip
        candidates[uscc] = sorted(
            allowed, key=lambda one: (sha256("ASSIGN1|%s|%s|%s" % (seed, uscc, one)), one)
        )
        flow.join(("visit", uscc), ("gate", uscc), k - 1 if leaders else k)
        for one in sorted(allowed):
            flow.join(("visit" if people[one][0] else "gate", uscc), ("person", one), 1)
    level = first_levels(people, leaders, loads, len(order), k)
    room = {one: max(0, level[one] - loads[one]) for one in people}
    for one in people:
        flow.join(("person", one), "end", room[one])

    # Level up the capacities until everybody can be served.
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
            raise_room(flow, room, level, loads, one)
    for one in people:
        raise_room(flow, room, level, loads, one)

    # Choose in the seeded order.
    all_pairs = len(people) * (len(people) - 1) // 2
    limit = -(-(len(order) + len(earlier)) * (k * (k - 1) // 2) // all_pairs) + 1
    given, chosen = dict.fromkeys(people, 0), []
    for uscc in order:
        team, skipped, again = [], [], []
        for first_pass, tried in ((True, candidates[uscc]), (False, again)):
            for one in tried:
                if len(team) == k:
                    break
                leads = people[one][0]
                if first_pass and any(pairs.get(tuple(sorted((one, mate))), 0) >= limit for mate in team):
                    again.append(one)
                    reason = "paired_often"
                elif given[one] >= room[one]:
                    reason = "at_capacity"
                elif (
                    leaders and not leads and len(team) == k - 1 and not any(people[mate][0] for mate in team)
                ):
                    reason = "needs_leader"
                elif not flow.fix(("visit" if leads else "gate", uscc), ("person", one)):
                    reason = "reserved"
                else:
                    given[one] += 1
                    rank = candidates[uscc].index(one) + 1
                    is_first_leader = leads and not any(people[mate][0] for mate in team)
                    chosen.append(
                        [uscc, one, is_first_leader, len(candidates[uscc]), rank, ";".join(skipped)]
                    )
                    team.append(one)
                    skipped = []
                    continue
                skipped.append(one + ":" + reason)
        for pair in itertools.combinations(sorted(team), 2):
            pairs[pair] = pairs.get(pair, 0) + 1
    return chosen


def first_levels(people, leaders, loads, visits, k):
    """An even share of all visits; for leaders at least an even share of the lead of each visit."""
    share = -(-(k * visits + sum(loads.values())) // len(people))
    level = dict.fromkeys(people, share)
    for one in leaders:
        level[one] = max(share, -(-(visits + sum(loads[leader] for leader in leaders)) // len(leaders)))
    return level


def raise_room(flow, room, level, loads, one):
    level[one] += 1
    more = max(0, level[one] - loads[one]) - room[one]
    room[one] += more
    flow.join(("person", one), "end", more)


def visits_of(known, pairs_and_cells, closed):
    """{(unit that goes, unit that drew, uscc): (region, skills)} of all that must be visited."""
    rule, found = known["rule"], {}
    for (unit, uscc), cells in pairs_and_cells.items():
        if (unit, uscc) in closed:
            continue
        skills = set()
        for item, _ in cells:
            skills.update(one for one in known["items"][item]["required_skill"].split("+") if one)
        going = {unit} if rule.get("initiator") == "*" else {unit} | set(rule.get("cooperating_units", ()))
        for goer in going:
            found[goer, unit, uscc] = (known["regions"].get(uscc, ""), frozenset(skills))
    return found


def check_assignment(bundle, known):
    """assignments.csv, replacements.json: the seeded order gives each visit these inspectors and no others."""
    rows = list(bundle.rows("assignments.csv"))
    statements = bundle.json("replacements.json", list)
    waves = [details for event, _, details in known["events"] if event == "round_assigned"]
    if not waves:
        need(
            not rows and not statements,
            "assignments.csv, replacements.json: no round_assigned stands in the log",
        )
        return "none yet"
    history, roots, k = known["history"], known["roster_roots"], known["rule"]["inspectors_per_visit"]
    expected, teams, used_waves, later = [], {}, {0}, []
    for wave, details in enumerate(waves, 1):
        topped = field(details, "top_ups", int, "log.jsonl, wave %d" % wave)
        need(0 <= topped < len(history), "log.jsonl, wave %d: it names top-ups that are not there" % wave)
        logged = (field(details, "wave_roots", list, "log.jsonl, wave %d" % wave) + [""] * wave)[wave - 1]
        source = 0 if logged == roots[0] else wave
        need(roots.get(source) == logged,
             "roster.csv, recusals.csv: those of wave %d are not the ones in the log, whose root is %s" % (wave, short(logged)))  # fmt: skip
        if source:
            need(wave > 1 or not known["people"].get(0),
                 "wave 1 was made from another roster than the frozen one, which had inspectors")  # fmt: skip
            used_waves.add(wave)
            later.append(wave)
        people, barred = known["people"].get(source, {}), known["barred"].get(source, set())
        wanted = visits_of(known, *history[topped])
        wanted = {key: value for key, value in wanted.items() if (key[0], key[2]) not in teams}
        impossible, made = [], {}
        for unit in sorted({key[0] for key in wanted}):
            mine = {key[2]: value for key, value in wanted.items() if key[0] == unit}
            drew = {key[2]: key[1] for key in wanted if key[0] == unit}
            earlier = [team for (goer, _), team in teams.items() if goer == unit]
            found = choose_teams(known["seed"], unit, mine, people.get(unit, {}), barred, k, earlier)
            if found is None:
                impossible.append(unit)
                continue
            for uscc, one, leads, candidates, rank, skipped in found:
                team = made.setdefault((unit, uscc), [])
                team.append(one)
                expected.append([str(wave), unit, drew[uscc], uscc, one, "leader" if leads else "member", str(len(team)),
                                 str(candidates), str(rank), skipped])  # fmt: skip
        teams.update(made)
        need(details.get("unassigned_units") == impossible,
             "log.jsonl, wave %d: it says that units %s had no lawful assignment; computed: %s"
             % (wave, short(details.get("unassigned_units")), impossible))  # fmt: skip
        known.open += ["Unit %s has no lawful assignment in wave %d." % (unit, wave) for unit in impossible]
    need(
        set(roots) == used_waves,
        "roster.csv or recusals.csv: they hold a wave that no assignment was made from",
    )
    expected.sort(key=lambda row: (int(row[0]), row[2], row[1], row[3], int(row[6])))
    for number, right in enumerate(expected, 2):
        row = rows[number - 2] if number - 2 < len(rows) else None
        if row != right:
            raise Wrong(difference("assignments.csv", number, row, right))
    need(
        len(rows) == len(expected),
        "assignments.csv, row %d: one more than the seed gives" % (len(expected) + 2),
    )
    for wave in later:
        known.open.append("Wave %d was made from a roster of a later day, when the seed was known: who entered or left it "
                          "then could steer who inspects." % wave)  # fmt: skip
    known["replacement_files"] = check_replacements(known, statements, rows)
    return "%d inspectors of %d visits in %d wave(s), replayed; %d replaced later" % (
        len(rows), len(teams), len(waves), len(statements))  # fmt: skip


def check_replacements(known, statements, rows):
    """A recusal declared after the assignment: the next in that enterprise's order goes. Digests for the log."""
    names = {
        "format",
        "number",
        "unit_id",
        "uscc",
        "inspector_id",
        "reason",
        "declared_date",
        "approvers",
        "replaced_by",
    }
    team_now, wave_of, gone, files = {}, {}, {}, {}
    for wave, unit, _, uscc, inspector, role, _, _, _, _ in rows:
        team_now.setdefault((unit, uscc), {})[inspector] = role
        wave_of[unit, uscc] = int(wave)
    needed = {
        (goer, uscc): edge for (goer, _, uscc), edge in visits_of(known, known["history"][-1][0], ()).items()
    }
    for number, one in enumerate(statements, 1):
        where = "replacements.json, number %d" % number
        need(isinstance(one, dict) and set(one) == names and one["format"] == "REPLACED1" and one["number"] == number,
             "%s: it is not the statement REPLACED1 with this number" % where)  # fmt: skip
        visit = (field(one, "unit_id", UNIT, where), field(one, "uscc", USCC, where))
        leaving = field(one, "inspector_id", INSPECTOR, where)
        day(field(one, "declared_date", DAY, where), where)
        need(field(one, "reason", str, where).strip() and field(one, "approvers", list, where),
             "%s: a reason or an approver is missing" % where)  # fmt: skip
        team = team_now.get(visit, {})
        need(leaving in team, "%s: %s is not to visit %s" % (where, leaving, visit[1]))
        source = wave_of[visit] if wave_of[visit] in known["roster_roots"] else 0
        people, barred = known["people"].get(source, {}).get(visit[0], {}), known["barred"].get(source, set())
        region, skills = needed[visit]
        free = [who for who, (_, prefix, held) in people.items()
                if who not in team and who not in gone.get(visit, ()) and (who, visit[1]) not in barred
                and (not region or region.startswith(prefix)) and skills <= held]  # fmt: skip
        if team[leaving] == "leader" and any(people[who][0] for who in free):
            free = [who for who in free if people[who][0]]
        ordered = sorted(
            free, key=lambda who: (sha256("ASSIGN1|%s|%s|%s" % (known["seed"], visit[1], who)), who)
        )
        right = ordered[0] if ordered else None
        need(one["replaced_by"] == right, "%s: %s goes in place of %s, next in order is %s"
             % (where, short(one["replaced_by"]), leaving, right))  # fmt: skip
        team[right] = team.pop(leaving)
        gone.setdefault(visit, set()).add(leaving)
        files["replaced-%03d.json" % number] = stored_sha256(one)
        known.open.append(
            "That inspector %s had to leave the visit to %s (%s)." % (leaving, visit[1], short(one["reason"]))
        )
    return files


# --- the log ---------------------------------------------------------------------------------------------------

LOG_FIELDS = {"seq", "prev", "time", "event", "stage", "run_id", "details", "hash"}
ORDER_OF_EVENTS = (
    "round_frame_frozen",
    "round_committed",
    "round_entropy",
    "round_drawn",
)  # then, in any order:
LATER_EVENTS = ("round_topped_up", "round_assigned", "round_inspector_replaced")
END_EVENTS = ("round_closed", "round_aborted")


def check_log(bundle, known):
    """log.jsonl: an unbroken chain; the events of this round once each and forward only."""
    head, size, events, heads = GENESIS, 0, [], {}
    with open(bundle.path("log.jsonl"), "rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(1 << 21), b""), 1):
            where = "log.jsonl, line %d" % number
            need(line.endswith(b"\n"), "%s: it is cut" % where)
            record = parse_json(line[:-1], where)
            need(
                isinstance(record, dict) and canonical(record) == line[:-1],
                "%s: it is not canonical JSON" % where,
            )
            hidden = known["form"] == "public" and set(record) == {"seq", "hash"}
            need(hidden or set(record) == LOG_FIELDS, "%s: its fields are not those of a record" % where)
            need(record["seq"] == number and type(record["seq"]) is int,
                 "%s: its number is %s: lines were removed, doubled or moved" % (where, short(record["seq"])))  # fmt: skip
            field(record, "hash", HASH, where)
            if not hidden:
                need(
                    record["prev"] == head,
                    "%s: it does not continue the line before: lines were changed or removed" % where,
                )
                content = {name: value for name, value in record.items() if name != "hash"}
                right = hashlib.sha256(b"AUDITLOG1|" + canonical(content)).hexdigest()
                need(
                    record["hash"] == right, "%s: its content does not match its hash: it was changed" % where
                )
                shanghai_day(field(record, "time", TIME, where), where)
                details = field(record, "details", dict, where)
                mine = (details.get("plan_id"), str(details.get("round"))) == (
                    known["plan_id"],
                    str(known["round"]),
                )
                if str(record["event"]).startswith("round_") and mine:
                    events.append((record["event"], record["time"], details))
            head, size = record["hash"], number
            heads[size] = head
    check_order([event for event, _, _ in events], known["state"])
    for (_, earlier, _), (event, time, _) in zip(events, events[1:]):
        need(shanghai_day(time, event) >= shanghai_day(earlier, event), "log.jsonl: %s stands on an earlier day than the step before"
             % event)  # fmt: skip
    known["events"], known["heads"], known["log_size"] = events, heads, size
    if known["form"] == "public":
        known.open.append("What the other lines of the log say: the public form has only their hashes, so a second draw "
                          "written under another name, or elsewhere, is not seen.")  # fmt: skip
    return "%d lines, chain unbroken; %d steps of this round, each in its place" % (size, len(events))


def check_order(names, state):
    for name in ORDER_OF_EVENTS + END_EVENTS:
        need(names.count(name) <= 1, "log.jsonl: %s stands there %d times for this round; a round is drawn once"
             % (name, names.count(name)))  # fmt: skip
    body = names[:-1] if names and names[-1] in END_EVENTS else names
    start = min(len(body), 4)
    need(tuple(body[:4]) == ORDER_OF_EVENTS[:start] and start > 0,
         "log.jsonl: the steps of the round are %s, expected %s first" % (", ".join(names), ", ".join(ORDER_OF_EVENTS)))  # fmt: skip
    need(
        all(name in LATER_EVENTS for name in body[4:]),
        "log.jsonl: a step of the round stands out of order: %s" % ", ".join(names),
    )
    last = "ASSIGNED" if "round_assigned" in names else STATES[start - 1]
    last = {"round_closed": "CLOSED", "round_aborted": "ABORTED"}.get(names[-1], last)
    need(last == state, "log.jsonl: by the log the round is %s, the bundle says %s: lines are missing or the state is false"
         % (last, state))  # fmt: skip
    need(
        names[-1] != "round_closed" or "round_assigned" in names,
        "log.jsonl: the round was closed before it was assigned",
    )


def check_steps(bundle, known):
    """Each event of the log says of its step what the files of the bundle say."""
    events, freeze, public = known["events"], known["freeze"], known["form"] == "public"
    says = {
        name: freeze[name]
        for name in ("frozen_date", "frame_root", "frame_size", "eligible_count", "unit_sizes")
    }
    says.update(plan_id=known["plan_id"], round=known["round"], freeze_root=known["freeze_root"], commitments=[],
                entropy=None, seed_commitment=None, drawn_count=None, top_ups=0, waves=0, replacements=0,
                aborted_from=None)  # fmt: skip
    files = {"rule.json": stored_sha256(known["rule"]), "freeze.json": stored_sha256(freeze)}
    state, stored = "", {}
    for step, (event, time, details) in enumerate(events, 1):
        where = "log.jsonl, event %s" % event
        if event == "round_frame_frozen":
            state, frozen_time = "FRAME_FROZEN", time
        elif event == "round_committed":
            state, committed_time = "COMMITTED", time
            says["commitments"] = known["commitments"]
            files.update(known["commitment_files"])
            check_commitment_times(known, frozen_time, time)
        elif event == "round_entropy":
            state = "ENTROPY"
            says["entropy"] = known["entropy"]
            files["entropy.json"] = known["entropy_file"]
            check_entropy_days(known, committed_time, time)
        elif event == "round_drawn":
            state = "DRAWN"
            says["seed_commitment"] = known["seed_commitment"]
            says["drawn_count"] = details.get("drawn_count") if public else known["drawn_count"]
        elif event == "round_topped_up":
            says["top_ups"] += 1
            name = "topup-%03d.json" % says["top_ups"]
            if not public:
                need(
                    name in known["topup_files"],
                    "topups.json lacks top-up %d, which the log has" % says["top_ups"],
                )
                files[name] = known["topup_files"][name]
        elif event == "round_assigned":
            state = "ASSIGNED"
            says["waves"] += 1
        elif event == "round_inspector_replaced":
            says["replacements"] += 1
            name = "replaced-%03d.json" % says["replacements"]
            if not public:
                need(
                    name in known["replacement_files"],
                    "replacements.json lacks number %d, which the log has" % says["replacements"],
                )
                files[name] = known["replacement_files"][name]
        elif event == "round_closed":
            state = "CLOSED"
        elif event == "round_aborted":
            says["aborted_from"], state = state, "ABORTED"
            files["abort.json"] = check_abort(bundle, known, says["aborted_from"])
        says.update(step=step, last_event=event, state=state)
        for name in sorted(says):
            need(name in details and details[name] == says[name] and type(details[name]) is type(says[name]),
                 "%s: %s is %s in the log, %s by the files" % (where, name, short(details.get(name)), short(says[name])))  # fmt: skip
        logged_files = field(details, "files", dict, where)
        for name in sorted(stored):
            need(logged_files.get(name) == stored[name], "%s: %s has another SHA-256 than at an earlier step: it was replaced"
                 % (where, name))  # fmt: skip
        stored = logged_files
        for name in sorted(files):
            need(logged_files.get(name) == files[name], "%s: the SHA-256 of %s in the log is not that of this bundle's content"
                 % (where, name))  # fmt: skip
    if not public and step_of(known, "DRAWN"):
        need(says["top_ups"] == len(known["topup_files"]), "topups.json holds %d top-ups, the log %d"
             % (len(known["topup_files"]), says["top_ups"]))  # fmt: skip
        need(says["replacements"] == len(known.facts.get("replacement_files", ())),
             "replacements.json and the log do not hold the same number of replacements")  # fmt: skip
    return "roots, digests and counts of all %d steps agree with the files" % len(events)


def check_commitment_times(known, frozen_time, committed_time):
    first, last = shanghai_day(frozen_time, "log.jsonl"), shanghai_day(committed_time, "log.jsonl")
    for (party, _), time in zip(known["commitments"], known["signed_times"]):
        signed = shanghai_day(time, "commitments.json")
        need(
            signed >= first,
            "commitments.json: %s signed on %s, before the freeze was logged on %s" % (party, signed, first),
        )
        need(signed <= last, "commitments.json: %s signed on %s, after the log had all commitments on %s: too late"
             % (party, signed, last))  # fmt: skip
    waited = (last - max(shanghai_day(time, "commitments.json") for time in known["signed_times"])).days
    if waited and known["rule"]["entropy"]["source"] != "NONE":
        known.open.append("Why the office logged the commitments %d day(s) after the last party signed: had it known all "
                          "reveals, it could have chosen among so many lottery issues." % waited)  # fmt: skip


def check_entropy_days(known, committed_time, entropy_time):
    """The issue must be one that nobody could know when the commitments were made, and the first of these."""
    rule = known["rule"]["entropy"]
    if rule["source"] == "NONE":
        return
    committed = shanghai_day(committed_time, "log.jsonl")
    earliest = committed + timedelta(days=rule["lag_days"])
    for one in known["announced"]:
        announced = day(one["announced_date"], "entropy.json")
        need(announced >= earliest, "entropy.json: %s issue %s is of %s, but the commitments were logged on %s and %d day(s) "
             "must lie between: too early" % (one["source"], one["issue"], announced, committed, rule["lag_days"]))  # fmt: skip
        need(announced <= shanghai_day(entropy_time, "log.jsonl"),
             "entropy.json: it was logged before its announcement on %s" % announced)  # fmt: skip
        limit = field(rule, "fallback_after_days", int, "plan.json, entropy")
        need((announced - earliest).days <= limit, "entropy.json: %s issue %s of %s is too late: the first one from %s on counts"
             % (one["source"], one["issue"], announced, earliest))  # fmt: skip
        if announced > earliest:
            known.open.append("That %s had no issue from %s to the day before %s: the first one counts."
                              % (one["source"], earliest, announced))  # fmt: skip
    if [one["source"] for one in known["announced"]] != [rule["source"]]:
        waited = (shanghai_day(entropy_time, "log.jsonl") - earliest).days
        need(waited >= rule["fallback_after_days"], "entropy.json: the fallback was taken after %d days, the plan says %d"
             % (waited, rule["fallback_after_days"]))  # fmt: skip
        known.open.append("That %s was not announced in time, so that the fallback counts." % rule["source"])


def check_abort(bundle, known, aborted_from):
    """abort.json: a reason and approvers; three of them once the result could be known."""
    abort = bundle.json("abort.json", dict)
    same_round(abort, known, "abort.json", "ABORT1")
    need(abort.get("aborted_from") == aborted_from, "abort.json: aborted_from is %s, by the log it was %s"
         % (short(abort.get("aborted_from")), aborted_from))  # fmt: skip
    needed = 3 if STATES.index(aborted_from) >= STATES.index("ENTROPY") else 1
    names = {visible(str(name), "abort.json") for name in field(abort, "approvers", list, "abort.json")}
    need(
        len(names) >= needed and all(names),
        "abort.json: %d approver(s), %d different ones are needed" % (len(names), needed),
    )
    need(field(abort, "reason", str, "abort.json").strip(), "abort.json: no reason")
    known.open.append("That the approvers approved the abort: %s" % ", ".join(sorted(names)))
    return stored_sha256(abort)


CHECKPOINT_FIELDS = {"log", "size", "head", "time", "frame_root", "prev_checkpoint", "key_id", "signature"}


def check_checkpoints(bundle, known):
    """checkpoints.json: signed statements of how long the log was and how it ended then."""
    previous, largest = GENESIS, 0
    checkpoints = bundle.json("checkpoints.json", list)
    for number, one in enumerate(checkpoints, 1):
        where = "checkpoints.json, number %d" % number
        compare_checkpoint(one, known, where)
        need(one["size"] > largest, "%s: its size is not above the one before" % where)
        need(
            one["prev_checkpoint"] == previous,
            "%s: it does not name the one before: one was removed or replaced" % where,
        )
        need(one["size"] <= known["log_size"], "%s: it saw %d lines, the log has %d: its end was cut off"
             % (where, one["size"], known["log_size"]))  # fmt: skip
        need(one["head"] == known["heads"][one["size"]],
             "%s: it saw another line %d than this log has: the log was rewritten" % (where, one["size"]))  # fmt: skip
        previous, largest = hashlib.sha256(canonical(one)).hexdigest(), one["size"]
    if largest < known["log_size"]:
        known.open.append(
            "The last %d line(s) of the log: no signed checkpoint covers them yet."
            % (known["log_size"] - largest)
        )
    for path in known.options.witness:
        witness = read_witness(path)
        where = "witness " + os.path.basename(path)
        compare_checkpoint(witness, known, where)
        if witness["size"] > known["log_size"]:
            known.open.append("%s: it saw %d lines, this bundle's log ends at %d; compare with a longer one."
                              % (where, witness["size"], known["log_size"]))  # fmt: skip
        else:
            need(witness["head"] == known["heads"].get(witness["size"], GENESIS),
                 "%s: it saw another line %d than this log has: the log was rewritten" % (where, witness["size"]))  # fmt: skip
    if not known.options.witness:
        known.open.append("That nobody rewrote the whole log with the office's key: bring a checkpoint that a unit or a party "
                          "kept from then (--witness).")  # fmt: skip
    return "%d checkpoint(s) and %d witness(es) agree with the log" % (
        len(checkpoints),
        len(known.options.witness),
    )


def compare_checkpoint(one, known, where):
    """That it is a checkpoint signed by the office."""
    need(isinstance(one, dict) and set(one) == CHECKPOINT_FIELDS, "%s: it is not a checkpoint" % where)
    need(field(one, "size", int, where) >= 0, "%s: its size is negative" % where)
    content = {name: value for name, value in one.items() if name not in ("key_id", "signature")}
    need(one["key_id"] == hashlib.sha256(bytes.fromhex(known["office_key"])).hexdigest()[:16]
         and signature_is_good(known["office_key"], b"CHECKPOINT1|" + canonical(content), str(one["signature"])),
         "%s: the signature is not one of the office's key over this content" % where)  # fmt: skip


def read_witness(path):
    try:
        with open(path, "rb") as file:
            return parse_json(file.read(1_000_000), "witness " + os.path.basename(path))
    except OSError as error:
        raise Unreadable("the witness %s cannot be read: %s" % (path, error))


# === 5 The report ============================================================================================

CHECKS = (  # name, function, needed for the public form too, 中文
    ("manifest", check_manifest, True, "清单与签名"),
    ("plan", check_plan, True, "计划规则"),
    ("freeze", check_freeze, True, "冻结声明"),
    ("log", check_log, True, "审计日志链"),
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
VERDICTS = {"good": "ok", "bad": "WRONG", "skipped": "not reached"}
CHINESE = {"good": "通过", "bad": "不符", "skipped": "未能检查"}


def verify(folder, options):
    """(list of [check, Chinese name, "good"|"bad"|"skipped", sentence], list of what could not be checked)."""
    if not os.path.isdir(folder):
        raise Unreadable("%s is not a folder" % folder)
    bundle, known, results = Bundle(folder), Known(options), []
    for name, function, is_public, chinese in CHECKS:
        if known.facts.get("form") == "public" and not is_public:
            continue
        try:
            results.append([name, chinese, "good", function(bundle, known)])
        except Wrong as problem:
            results.append([name, chinese, "bad", str(problem)])
        except NotReached as lacking:
            results.append(
                [name, chinese, "skipped", "it needs what an earlier check did not establish (%s)" % lacking]
            )
        except Unreadable as problem:
            if all(result[2] != "bad" for result in results):
                raise
            results.append([name, chinese, "bad", str(problem)])
    if known.facts.get("form") == "public":
        known.open.append("PUBLIC FORM: frame, grades, quotas, tickets, draw, top-ups and inspectors are not in it. It "
                          "proves that they were fixed before the lottery, not what they are.")  # fmt: skip
    return results, known.open


def print_report(folder, results, still_open):
    print("Proof of the draw in %s 双随机抽查结果验证" % folder)
    for name, chinese, verdict, sentence in results:
        print("[%-11s] %-11s %s" % (VERDICTS[verdict], name, sentence))
        print("              %s：%s" % (chinese, CHINESE[verdict]))
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
    parser = argparse.ArgumentParser(
        description="Checks the proof of an inspection draw. Exit 0 honest, 1 not, 2 unreadable."
    )
    parser.add_argument("bundle", help="the folder that `credit-pipeline draw bundle` wrote")
    parser.add_argument("--key", type=pinned_key, help="the office's public key as you were given it")
    parser.add_argument("--party", type=pinned_party, action="append", default=[], metavar="NAME=HEX",
                        help="a party's public key as that party gave it to you")  # fmt: skip
    parser.add_argument("--witness", action="append", default=[], metavar="FILE",
                        help="a checkpoint of the log that somebody else kept")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        results, still_open = verify(options.bundle, options)
        code = 0 if all(verdict == "good" for _, _, verdict, _ in results) else 1
        answer = {"code": code, "checks": [{"check": r[0], "verdict": r[2], "says": r[3]} for r in results],
                  "not_checked": still_open}  # fmt: skip
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
