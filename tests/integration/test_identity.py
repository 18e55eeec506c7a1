"""Rows without a unified code through whole runs: found by the ladder, held for review, decided, undone, replayed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from credit_pipeline.feeds.codes import is_reg_no
from tests_support import Place, make_place

DAYS = ["2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03"]
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def make_uscc(number: int, head: str = "91411330") -> str:
    """A valid code, digit by digit."""
    body = f"MA{number:06d}"
    total = sum(int(c, 36) * w for c, w in zip(body, [3, 7, 9, 10, 5, 8, 4, 2], strict=True))
    check = 11 - total % 11
    body += "X" if check == 10 else "0" if check == 11 else str(check)
    total = sum(ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(f"{head}{body}"))
    return f"{head}{body}{ALPHABET[(31 - total % 31) % 31]}"


def make_reg_no(number: int) -> str:
    numbers = pl.Series([f"4113300{number:07d}{check}" for check in range(10)])
    return str(numbers.filter(is_reg_no(numbers))[0])


NAMES = {
    1: "桐柏县淮源商贸有限公司",
    2: "桐柏县新名食品有限公司",
    3: "桐柏县盘古建材有限公司",
    4: "桐柏县同名服饰有限公司",
    5: "桐柏县同名服饰有限公司",
    6: "桐柏县盘古建材有限公司南阳分公司",
    7: "桐柏县艾草制品厂",
    **{number: f"桐柏县第{number}农业有限公司" for number in range(10, 40)},
}
CODES = {number: make_uscc(number) for number in NAMES} | {7: make_uscc(7, "92411330")}


def put(place: Place, path: str, rows: list[dict[str, str | None]]) -> None:
    file = place.landing / path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def penalty(number: str, **changes: str | None) -> dict[str, str | None]:
    return {
        "CF_XDR_MC": "", "CF_XDR_SHXYM": "", "CF_XDR_GSZC": "", "CF_WSH": f"桐市监罚〔2026〕{number}号",
        "CF_WFXW": "销售过期食品", "CF_CFLB": "罚款", "CF_NR": "罚款2000元", "CF_NR_FK": "0.2",
        "CF_JDRQ": "2026-10-01", "CF_CFJG": "桐柏县市场监督管理局", "CF_CFJGDM": "11411330MB0R12345X",
    } | changes  # fmt: skip


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An office whose penalties name their enterprises badly."""
    place = make_place(tmp_path_factory.mktemp("identity"))
    put(
        place,
        "registrations/register.csv",
        [
            {
                "uniscid": CODES[number], "regno": make_reg_no(number), "entname": name,
                "regcap": "100", "estdate": "2015-06-01", "domdistrict": "411330",
            }
            for number, name in NAMES.items()
        ],
    )  # fmt: skip
    put(
        place,
        "registration_changes/changes.csv",
        [
            {
                "uniscid": CODES[2], "altitem": "名称变更", "altbe": "桐柏县旧名食品有限公司", "altaf": NAMES[2],
                "altdate": "2020-01-01", "altseq": "1",
            }
        ],
    )  # fmt: skip
    put(
        place,
        "penalties/october.csv",
        [
            penalty("1", CF_XDR_MC=NAMES[1], CF_XDR_GSZC=make_reg_no(1)),
            penalty("2", CF_XDR_MC="桐柏县旧名食品有限公司"),
            penalty("3", CF_XDR_MC=NAMES[3], CF_XDR_SHXYM=CODES[3][:6] + "******" + CODES[3][12:]),
            penalty("4", CF_XDR_MC=NAMES[4]),
            penalty("5", CF_XDR_MC="桐柏县淮原商贸有限公司", CF_XDR_SHXYM="00000000000000000X"),
            penalty("6", CF_XDR_MC=NAMES[6], CF_XDR_SHXYM="无"),
            penalty("7", CF_XDR_MC=NAMES[7], CF_XDR_SHXYM=make_reg_no(7)),
            penalty("8", CF_XDR_MC="张三", CF_XDR_SHXYM="411330198001010015"),
            penalty("9", CF_XDR_MC=NAMES[1], CF_XDR_SHXYM=CODES[1]),
        ],
    )
    return place


def records(place: Place, path: Path | None = None) -> dict[str, tuple[str, str]]:
    """Number of the penalty → enterprise and how it was found."""
    rows = place.query(
        "select document_no, uscc, identity_rung from staging.stg_penalties where known_to is null", path
    )
    return {number.split("〕")[1].removesuffix("号"): (uscc, rung) for number, uscc, rung in rows}


def negatives(place: Place, uscc: str, path: Path | None = None) -> int:
    [(count,)] = place.query(
        f"select coalesce(max(negative_count), 0) from indicators.ind_penalties where uscc = '{uscc}'", path
    )
    return int(count)


def review(place: Place, *arguments: str) -> str:
    return place.command("review", *arguments, "--lake", str(place.lake)).stdout


def decide(place: Place, *arguments: str) -> str:
    return review(
        place, *arguments, "--by", "李四", "--reason", "对照营业执照", "--landing", str(place.landing)
    )


def test_from_review_to_decision_and_back(office: Place, tmp_path: Path) -> None:
    """Prevents a record on the wrong enterprise, a lost decision, one that cannot be undone, and a past that changes."""
    counts = office.run(DAYS[0])["feeds"]["penalties"]
    assert (counts["accepted"], counts["quarantined"]) == (8, 1)
    found = {
        "1": (CODES[1], "reg_no"),
        "2": (CODES[2], "name_region"),
        "3": (CODES[3], "name_region"),
        "6": (CODES[6], "name_region"),
        "7": (CODES[7], "reg_no"),
        "9": (CODES[1], "uscc"),
    }
    assert records(office) == found, "a branch stays a branch, a trader's record stays with the trader"
    assert negatives(office, CODES[1]) == 2 and negatives(office, CODES[4]) == 0
    assert office.query(f"select is_gradable from enterprises.enterprises where uscc = '{CODES[7]}'") == [
        (False,)
    ]
    waiting = {party["party_name"]: party for party in json.loads(review(office, "list", "--json"))}
    assert {name: party["review_reason"] for name, party in waiting.items()} == {
        NAMES[4]: "ambiguous_name",
        "桐柏县淮原商贸有限公司": "no_match",
    }
    twins = waiting[NAMES[4]]["candidates"]
    assert [item["uscc"] for item in twins[:2]] == sorted([CODES[4], CODES[5]])
    similar = waiting["桐柏县淮原商贸有限公司"]["candidates"][0]
    assert similar["uscc"] == CODES[1] and "名称相似度" in similar["why"]
    shown = review(office, "list")
    assert "同名企业不止一家" in shown and NAMES[1] in shown and "张三" not in shown
    assert "411330198001010015" not in shown

    party = waiting["桐柏县淮原商贸有限公司"]["party_key"]
    said = decide(office, "decide", party[:8], "--uscc", CODES[1])
    decision = said.split()[1]
    assert "next run" in said and negatives(office, CODES[1]) == 2, "nothing changes before the next run"

    # The twins are told apart in the sheet that goes back as it came.
    sheet = tmp_path / "review.xlsx"
    review(office, "export", "--out", str(sheet))
    rows = CalamineWorkbook.from_path(str(sheet)).get_sheet_by_index(0).to_python()
    assert {row[1] for row in rows[1:]} == {item["party_key"] for item in waiting.values()}
    filled = office.landing / "identity_decisions" / DAYS[1] / "核对.xlsx"
    filled.parent.mkdir(parents=True, exist_ok=True)
    workbook = xlsxwriter.Workbook(str(filled))
    page = workbook.add_worksheet()
    for number, row in enumerate(rows):
        if row[7].startswith(NAMES[4]):
            row[2:5] = ["同一主体", CODES[5], "王五"]
        page.write_row(number, 0, row)
    workbook.close()

    counts = office.run(DAYS[1])["feeds"]["identity_decisions"]
    assert counts == {"read": 3, "accepted": 3, "quarantined": 0, "duplicates": 0}
    second = found | {"5": (CODES[1], "decision"), "4": (CODES[5], "decision")}
    assert records(office) == second
    assert negatives(office, CODES[1]) == 3 and negatives(office, CODES[5]) == 1
    assert json.loads(review(office, "list", "--json")) == []
    assert decision in review(office, "list", "--decided")
    explained = office.command("explain", CODES[1], "--lake", str(office.lake)).stdout
    assert "reg_no" in explained and make_reg_no(1) in explained

    assert "next run" in decide(office, "undo", decision)
    office.run(DAYS[2])
    assert records(office) == {name: second[name] for name in second if name != "5"}
    assert negatives(office, CODES[1]) == 2

    office.run(DAYS[1])
    replay = office.lake / "replays" / f"{DAYS[1]}.duckdb"
    assert records(office, replay) == second and negatives(office, CODES[1], replay) == 3
    assert negatives(office, CODES[1]) == 2, "a replay leaves what is current alone"
    events = [
        json.loads(line)["event"] for line in (office.lake / "audit" / "log.jsonl").read_text().splitlines()
    ]
    assert events.count("identity_decided") == 1 and events.count("identity_decision_undone") == 1


def test_decisions_that_cannot_be_meant_are_refused(office: Place) -> None:
    """Prevents a decision for nobody, by nobody, or for a code that is none."""
    arguments = ("--lake", str(office.lake), "--landing", str(office.landing), "--reason", "r")
    [(party,)] = office.query("select min(party_key) from staging.party_identities")
    for given, words in (
        ((party, "--uscc", CODES[1], "--not-identifiable", "--by", "x"), "either"),
        ((party, "--by", "x"), "either"),
        ((party, "--uscc", "91411330MA40TE5TX9", "--by", "x"), "no unified social credit code"),
        ((party, "--uscc", make_uscc(999), "--by", "x"), "register"),
        (("ZZZZ", "--not-identifiable", "--by", "x"), "no party begins"),
        ((party, "--not-identifiable", "--by", " "), "--by is empty"),
    ):
        done = office.command("review", "decide", *given, *arguments, check=False)
        assert done.returncode == 2 and words in done.stderr, given
    undone = office.command("review", "undo", "R0", "--by", "x", *arguments, check=False)
    assert undone.returncode == 2 and "no decision" in undone.stderr
