"""The primitives of the draw: against published vectors of others, against our own golden file, and at their
edges.

RFC 3797, Rivest's consistent sampler, Stark's generator and draft-thomson-elegy-vrs-00 are rebuilt here over
the same hash, encoding and order as ours: if one of these were wrong, their published results would not come
out.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws import protocol, statements

VECTORS_DIR = Path(__file__).parent / "vectors"
VECTORS: dict[str, Any] = json.loads((VECTORS_DIR / "sampling_vectors.json").read_text("utf-8"))
GOLDEN: dict[str, Any] = json.loads((VECTORS_DIR / "draw1_golden.json").read_text("utf-8"))
KEY = bytes(range(32))


# --- published vectors
# ----------------------------------------------------------------------------------------------


def test_merkle_roots_are_those_of_certificate_transparency() -> None:
    """A swapped prefix byte or a promoted last node would give other roots from the second or third leaf
    on.
    """
    leaves, roots = (VECTORS["rfc6962_roots"][key] for key in ("leaves", "roots"))
    tree = protocol.MerkleTree()
    for leaf, root in zip(leaves, roots, strict=True):
        tree.add(bytes.fromhex(leaf))
        assert tree.root() == root
    assert protocol.merkle_root([]) == hashlib.sha256(b"").hexdigest()


def _recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(
        b"\x01" + _recursive_root(leaves[:split]) + _recursive_root(leaves[split:])
    ).digest()


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_streaming_root_equals_the_recursive_definition(leaves: list[bytes]) -> None:
    """The stack of peaks must fold from the right for every size, not only for powers of two."""
    assert protocol.merkle_root(leaves) == _recursive_root(leaves).hex()


def test_rfc_3797_example() -> None:
    """The key rule (sorted numbers, '.' after each, '/' after each source) and the reduction of the pool."""
    vector = VECTORS["rfc3797_s6"]
    sources = [source if isinstance(source, list) else [int(source)] for source in vector["source_input"]]
    key = "".join("".join(f"{number}." for number in sorted(source)) + "/" for source in sources)
    assert key == vector["key"]
    pool = list(range(1, vector["pool_size"] + 1))
    for index, (digest, divisor, selected) in enumerate(vector["rows_md5_divisor_selected"]):
        counter = index.to_bytes(2, "big")
        found = hashlib.md5(counter + key.encode() + counter, usedforsecurity=False).hexdigest()
        assert (found.upper(), len(pool)) == (digest, divisor)
        assert pool.pop(int(found, 16) % len(pool)) == selected


def _fraction(text: str) -> str:
    return "0." + str(int(hashlib.sha256(text.encode()).hexdigest(), 16)).zfill(64)[::-1]


def _first_fraction(one: Any, seed: Any) -> str:
    return _fraction(hashlib.sha256(str(seed).encode()).hexdigest() + str(one))


def _next_fraction(before: str) -> str:
    digits = before[2:]
    nines = "9" * (len(digits) - len(digits.lstrip("9")))
    after, count = before, 0
    while after <= before:
        count += 1
        after = "0." + nines + _fraction(f"{before}:{count}")[2:]
    return after


def _consistent_sample(
    ids: Iterable[Any], seed: Any, take: int, drop: int = 0, again: bool = False
) -> list[Any]:
    heap = [(_first_fraction(one, seed), one, 1) for one in ids]
    heapq.heapify(heap)
    taken = []
    for _ in range(drop + take):
        number, one, generation = heapq.heappop(heap)
        taken.append((number, one, generation))
        if again:
            heapq.heappush(heap, (_next_fraction(number), one, generation + 1))
    return taken[drop:]


@pytest.mark.parametrize("case", VECTORS["rivest_consistent_sampler"]["cases"], ids=lambda case: case["fn"])
def test_rivest_consistent_sampler(case: dict[str, Any]) -> None:
    """Sorting hash tickets as text, and "n more" continuing the same order: 10 then 10 more are the first
    20.
    """
    name, args = case["fn"], case["args"]
    if name == "sha256_hex":
        assert hashlib.sha256(args[0].encode()).hexdigest() == case["out"]
    elif name == "sha256_uniform":
        assert _fraction(args[0]) == case["out"]
    elif name == "first_fraction":
        assert _first_fraction(args[0], args[1]) == case["out"]
    elif name == "next_fraction":
        assert _next_fraction(args[0]) == case["out"]
    else:
        ids = range(100) if args["ids"] == "range(100)" else args["ids"]
        taken = _consistent_sample(ids, args["seed"], args["take"], args.get("drop", 0))
        if name == "sampler tuple":
            assert [[number[:11], one, count] for number, one, count in taken] == case["out"]
        else:
            assert [one for _, one, _ in taken] == case["out"]


@pytest.mark.parametrize("again", [True, False])
def test_arlo_sample_with_a_seed_outside_ascii(again: bool) -> None:
    """Seeds and ids are hashed as UTF-8, whatever the locale."""
    vector = VECTORS["arlo_test_draw_sample"]
    ids = [(f"pct {district}", number) for district in range(1, 5) for number in range(1, 26)]
    taken = _consistent_sample(ids, vector["seed"], 20, again=again)
    expected = vector["with_replacement_take20" if again else "without_replacement_take20_derived"]
    assert [[number[:20], list(one), count] for number, one, count in taken] == expected


def test_stark_generator_blocks() -> None:
    vector = VECTORS["stark_cryptorandom"]
    for count in (1, 2):
        block = hashlib.sha256(vector["seed"].encode() + b"," + b"\x00" * count).hexdigest()
        assert block == vector[f"nextRandom_after_{count}"]


def test_thomson_vrs_commitment_chain_and_tickets() -> None:
    """The closest relative of our draw: a committed code, public randomness, HMAC tickets, ascending."""
    vector = VECTORS["thomson_vrs00"]
    value, chain = vector["secret_utf8"].encode(), []
    for _ in range(10):
        value = hashlib.sha256(value).digest()
        chain.append(value)
    assert [chain[index].hex() for index in (9, 8, 7)] == vector["hash_chain_10_9_8"]
    for code, name in ((chain[8], "round1"), (chain[7], "round2")):
        key = hmac.digest(code, vector["randomness"].encode(), "sha256")
        labels = sorted(label for _, label in vector[name])
        drawn = sorted(
            (hmac.digest(key, label.encode() + b"\x01", "sha256").hex(), label) for label in labels
        )
        assert [list(pair) for pair in drawn] == vector[name]


def test_drand_randomness_is_the_hash_of_the_signature() -> None:
    vector = VECTORS["drand"]
    assert hashlib.sha256(bytes.fromhex(vector["signature"])).hexdigest() == vector["randomness"]


# --- our own encodings
# ------------------------------------------------------------------------------------------------


def _golden_values() -> dict[str, Any]:
    """Everything an independent verifier must get from the fixed inputs of the golden file."""
    plan, round_, parties = "2026-NY-01", 1, ["credit_office", "audit_office"]
    frame: list[tuple[str, str, str, str, str, bool, str]] = [
        ("A01", "GENERAL", "91411330MA40TE5TX8", "B", "411302", False, ""),
        ("A01", "GENERAL", "91411300MA40TE5TXR", "E", "", True, ""),
        ("A01", "GENERAL", "91411303MA40TE5TX5", "A", "411303", False, "grade_a_exempt"),
        ("A01", "SAFETY", "91411300MA40TE5TXR", "E", "", True, "visit_cap_reached"),
        ("B02", "GENERAL", "91411330MA40TE5TX8", "C", "411302", False, "drawn:P2025GENERAL/1"),
    ]
    quotas: list[Any] = [
        ("A01", "GENERAL", "B", 1, 0, 500, 1, 2, "ceil", 1, 1),
        ("A01", "GENERAL", "E", 1, 3, 10_000, 2, 2, "half_up", 4, 1),
    ]
    roster = [("A01", "NY0001", True, "4113", "fire+food", ""), ("A01", "NY0002", False, "", "", "on_leave")]
    recusals = [
        ("NY0001", "91411300MA40TE5TXR", "relative"),
        ("NY0001", "91411330MA40TE5TX8", "handled_recently"),
    ]
    keys = {party: hashlib.sha256(party.encode()).digest() for party in parties}
    salt = protocol.round_salt(keys["credit_office"], plan, round_)
    root = protocol.merkle_root(
        protocol.leaf_salt(salt, *row[:3]) + protocol.frame_leaf(*row) for row in sorted(frame)
    )
    quotas_root = protocol.merkle_root(
        protocol.leaf_salt(salt, "QUOTA", *row[:3]) + protocol.quota_leaf(*row) for row in quotas
    )
    rule = {"format": "RULE1", "title": "双随机抽查"}
    freeze = protocol.freeze_statement(
        plan,
        round_,
        frozen_date="2026-03-01",
        frame_root=root,
        frame_size=5,
        eligible_count=2,
        unit_sizes={"A01": 4, "B02": 1},
        quotas_root=quotas_root,
        roster_root=protocol.roster_root(salt, roster, recusals),
        rule_sha256=protocol.rule_sha256(rule),
    )
    frozen = protocol.freeze_root(freeze)
    reveals = {party: protocol.party_reveal(keys[party], plan, round_, frozen) for party in parties}
    commitments = [(party, protocol.commitment(plan, round_, party, reveals[party])) for party in parties]
    entropy = "KL8:2026123:01.02.03.04.05.06.07.08.09.10.11.12.13.14.15.16.17.18.19.20"
    seed = protocol.draw_seed(
        plan, round_, freeze_root=frozen, commitments=commitments, reveals=reveals, entropy=entropy
    )
    return {
        "frame": [list(row) for row in frame],
        "quotas": [list(row) for row in quotas],
        "roster": [list(row) for row in roster],
        "recusals": [list(row) for row in recusals],
        "rule": rule,
        "freeze": freeze,
        "freeze_root": frozen,
        "reveals": reveals,
        "commitments": [list(item) for item in commitments],
        "frame_salt": salt.hex(),
        "entropy": entropy,
        "seed": seed,
        "seed_commitment": protocol.seed_commitment(seed),
        "tickets": [protocol.ticket(seed, row[0], row[2]) for row in frame],
        "enterprise_order": protocol.enterprise_order(seed, "A01", "91411330MA40TE5TX8"),
        "candidate_order": protocol.candidate_order(seed, "91411330MA40TE5TX8", "NY0001"),
    }


def test_golden_file_still_comes_out() -> None:
    """A changed label, separator or key order would silently void every past draw's proof."""
    assert _golden_values() == GOLDEN


def test_golden_seed_by_hand() -> None:
    """The formulas of the protocol, written out once more without the module under test."""
    commitments = dict(GOLDEN["commitments"])
    frozen = GOLDEN["freeze_root"]
    for party, reveal in GOLDEN["reveals"].items():
        text = f"COMMIT1|2026-NY-01|1|{party}|{reveal}"
        assert hashlib.sha256(text.encode()).hexdigest() == commitments[party]
        key = hashlib.sha256(party.encode()).digest()
        assert hmac.new(key, f"REVEAL1|2026-NY-01|1|{frozen}".encode(), "sha256").hexdigest() == reveal
    order = [party for party, _ in GOLDEN["commitments"]]
    key = hashlib.sha256("|".join(GOLDEN["reveals"][party] for party in order).encode()).digest()
    listed = ",".join(commitments[party] for party in order)
    message = f"SEED1|2026-NY-01|1|{frozen}|{listed}|{GOLDEN['entropy']}"
    assert hmac.new(key, message.encode(), "sha256").hexdigest() == GOLDEN["seed"]
    assert hashlib.sha256(f"SEEDC1|{GOLDEN['seed']}".encode()).hexdigest() == GOLDEN["seed_commitment"]


def _salted(key: str, line: str) -> bytes:
    salt = hmac.new(bytes.fromhex(GOLDEN["frame_salt"]), key.encode(), "sha256").digest()[:16]
    return salt + line.encode()


def test_golden_roots_by_hand() -> None:
    """The leaves and the freeze statement, written out once more without the module under test."""
    frame, quotas, roster, recusals = [], [], [], []
    for unit, item, uscc, grade, region, safety, reason in sorted(GOLDEN["frame"]):
        line = f"FRAME1|{unit}|{item}|{uscc}|{grade}|{region}|{int(safety)}|{reason}"
        frame.append(_salted(f"{unit}|{item}|{uscc}", line))
    for row in GOLDEN["quotas"]:
        quotas.append(_salted("QUOTA|" + "|".join(row[:3]), "QUOTA1|" + "|".join(map(str, row))))
    for unit, one, leader, prefix, skills, reason in GOLDEN["roster"]:
        line = f"ROSTER1|{unit}|{one}|{int(leader)}|{prefix}|{skills}|{reason}"
        roster.append(_salted(f"ROSTER|{unit}|{one}", line))
    for pair in GOLDEN["recusals"]:
        recusals.append(_salted("RECUSAL|" + "|".join(pair[:2]), "RECUSAL1|" + "|".join(pair)))
    freeze = GOLDEN["freeze"]
    assert _recursive_root(frame).hex() == freeze["frame_root"]
    assert _recursive_root(quotas).hex() == freeze["quotas_root"]
    assert _recursive_root(roster + recusals).hex() == freeze["roster_root"]
    text = '{"format":"RULE1","title":"双随机抽查"}'
    assert hashlib.sha256(text.encode()).hexdigest() == freeze["rule_sha256"]
    statement = json.dumps(freeze, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(f"FREEZE1|{statement}".encode()).hexdigest() == GOLDEN["freeze_root"]


def _seed(**changes: Any) -> str:
    given: dict[str, Any] = {
        "plan": "P1",
        "round_": 1,
        "root": "0" * 64,
        "entropy": "NONE",
        "order": ["a", "b"],
    } | changes
    reveals = {
        party: protocol.party_reveal(party.encode() * 32, given["plan"], given["round_"], "0" * 64)
        for party in "ab"
    }
    commitments = [
        (party, protocol.commitment(given["plan"], given["round_"], party, reveals[party]))
        for party in given["order"]
    ]
    return protocol.draw_seed(
        given["plan"],
        given["round_"],
        freeze_root=given["root"],
        commitments=commitments,
        reveals=given.get("reveals", reveals),
        entropy=given["entropy"],
    )


def test_every_input_of_the_seed_changes_it() -> None:
    """An input left out of the message could be chosen after the others are known."""
    changed: list[dict[str, Any]] = [
        {},
        {"plan": "P2"},
        {"round_": 2},
        {"root": "1" * 64},
        {"entropy": "KL8:1:01.02"},
        {"order": ["b", "a"]},
    ]
    assert len({_seed(**change) for change in changed}) == len(changed)


def test_a_reveal_that_does_not_open_its_commitment_is_refused() -> None:
    """Otherwise the last party to reveal could choose the draw."""
    reveals = {"a": protocol.party_reveal(b"a" * 32, "P1", 1, "0" * 64), "b": "0" * 64}
    with pytest.raises(IntegrityError, match="b does not open"):
        _seed(reveals=reveals)


def test_a_withheld_or_uncommitted_reveal_is_named() -> None:
    with pytest.raises(BadInput, match=r"missing \['b'\], not committed \['c'\]"):
        _seed(reveals={"a": "0" * 64, "c": "0" * 64})


def test_the_reveal_is_the_same_again_and_another_for_another_round() -> None:
    """A re-run after a crash must draw the same; a reveal opened once must not open the next round."""
    roots = ("0" * 64, "1" * 64)
    assert protocol.party_reveal(KEY, "P1", 1, roots[0]) == protocol.party_reveal(KEY, "P1", 1, roots[0])
    found = {
        protocol.party_reveal(KEY, plan, number, root)
        for plan in ("P1", "P2")
        for number in (1, 2)
        for root in roots
    }
    assert len(found) == 8, "a rehearsal on another frame must not tell the reveal of the real one"
    with pytest.raises(BadInput, match="32 random bytes"):
        protocol.party_reveal(b"short", "P1", 1, roots[0])


_GOOD_FRAME: dict[str, Any] = {
    "unit_id": "A01", "item_code": "GENERAL", "uscc": "91411330MA40TE5TX8", "grade": "B", "region": "",
    "is_safety_related": False, "excluded_reason": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("unit_id", "a01"),
        ("unit_id", "A01|B"),
        ("unit_id", "A" * 13),
        ("unit_id", "A01\n"),
        ("item_code", ""),
        ("item_code", "general"),
        ("item_code", "A|B"),
        ("uscc", "91411330MA40TE5TXI"),
        ("uscc", "91411330MA40TE5TX"),
        ("uscc", "91411330ma40te5tx8"),
        ("grade", "F"),
        ("grade", ""),
        ("region", "4113|"),
        ("excluded_reason", "a|b"),
        ("excluded_reason", "a\nb"),
        ("excluded_reason", "x" * 201),
    ],
)
def test_malformed_fields_never_reach_a_hash(field: str, value: str) -> None:
    """With '|' in a field two different frames could have one root."""
    protocol.frame_leaf(**_GOOD_FRAME)
    with pytest.raises(BadInput, match=field):
        protocol.frame_leaf(**(_GOOD_FRAME | {field: value}))


@given(
    st.lists(
        st.tuples(st.sampled_from(["A01", "A0", "B"]), st.sampled_from(["G", "G1", "S-1"]), st.text("09AX", min_size=18, max_size=18),
                  st.sampled_from("ABCDE"), st.sampled_from(["", "41", "4113"]), st.booleans(), st.sampled_from(["", "1", "x"])),
        min_size=2, max_size=2, unique=True,
    )
)  # fmt: skip
def test_two_rows_never_have_one_line(rows: list[tuple[Any, ...]]) -> None:
    """Moving a character from one field to the next must change the bytes."""
    assert protocol.frame_leaf(*rows[0]) != protocol.frame_leaf(*rows[1])


@pytest.mark.parametrize("plan_id", ["", "../x", "a|b", ".", "计划", "a/b"])
def test_a_plan_id_is_safe_as_a_folder_and_in_a_message(plan_id: str) -> None:
    with pytest.raises(BadInput, match="plan_id"):
        protocol.commitment(plan_id, 1, "a", "0" * 64)


@pytest.mark.parametrize("round_", [0, -1, True, "", "..", "1/2"])
def test_a_round_is_safe_as_a_folder_and_in_a_message(round_: Any) -> None:
    with pytest.raises(BadInput, match="round"):
        protocol.round_text(round_)


@pytest.mark.parametrize(
    ("size", "ratio_bp", "ceil", "half_up", "floor"),
    [
        (11, 500, 1, 1, 0),
        (20, 500, 1, 1, 1),  # 20 x 0.05 in floats is 1.0000000000000002 by some orders of operation
        (9, 500, 1, 0, 0),
        (10, 500, 1, 1, 0),
        (30, 500, 2, 2, 1),
        (29, 500, 2, 1, 1),
        (7, 10_000, 7, 7, 7),
        (0, 10_000, 0, 0, 0),
        (100, 0, 0, 0, 0),
        (1_000_000_007, 3, 300_001, 300_000, 300_000),
    ],
)
def test_quota_rounding(size: int, ratio_bp: int, ceil: int, half_up: int, floor: int) -> None:
    """`ceil` is the default: "not less than 5 %" with floats errs by one at exact multiples."""
    found = tuple(protocol.quota(size, ratio_bp, rule) for rule in get_args(protocol.Rounding))
    assert found == (ceil, half_up, floor)


@given(
    size=st.integers(0, 400),
    ratio_bp=st.integers(0, 10_000),
    rounds=st.integers(1, 12),
    rounding=st.sampled_from(get_args(protocol.Rounding)),
)
def test_rounds_of_a_year_add_up_to_the_ratio(size: int, ratio_bp: int, rounds: int, rounding: Any) -> None:
    """With several rounds a year each rounded by itself would draw up to a round's worth too many."""
    drawn = 0
    for due in range(1, rounds + 1):
        drawn += protocol.quota(
            size - drawn, ratio_bp, rounding, drawn_before=drawn, rounds_due=due, rounds_per_year=rounds
        )
        assert 0 <= drawn <= size
    assert drawn == protocol.quota(size, ratio_bp, rounding)


def test_quota_refuses_what_has_no_meaning() -> None:
    for size, ratio_bp, rounding in (
        (-1, 500, "ceil"),
        (1, 10_001, "ceil"),
        (1, -1, "ceil"),
        (1, 500, "round"),
    ):
        with pytest.raises(BadInput):
            protocol.quota(size, ratio_bp, rounding)  # type: ignore[arg-type]


def test_missing_assurances_say_what_one_party_without_entropy_means() -> None:
    """The first form of the draw must not look safer than it is."""
    one = statements.missing_assurances(["credit_office"], protocol.NO_ENTROPY)
    assert len(one) == 2 and "credit_office" in one[0] and "entropy" in one[1]
    assert len(statements.missing_assurances(["a", "b"], "KL8:1:01")) == 1
    assert statements.missing_assurances(["a", "b", "c"], "KL8:1:01") == []


def test_errors_do_not_repeat_a_secret() -> None:
    for call in (
        lambda: protocol.checked_seed("SECRET" * 10),
        lambda: protocol.commitment("P1", 1, "a", "SECRET" * 10),
    ):
        with pytest.raises(BadInput) as caught:
            call()
        assert "SECRET" not in str(caught.value)
