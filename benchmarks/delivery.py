"""Writes a large delivery for the benchmarks: CSV files of five feeds with values as a city's offices send them.

Faster than the sample city (about 1 M rows in 4 s) and without its story: enterprises have unique codes with
right check digits and unlike names, facts refer to them; headers are those of the double publicity standard
and of the register's exports. `dirt` is the share of rows with one fault: half can be repaired, the others
are refused or repeat a row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from credit_pipeline.sample.codes import make_reg_nos, make_usccs

AS_OF = date(2026, 10, 31)
FILE_ROWS = 500_000
FEEDS = ("registrations", "licences", "penalties", "complaints", "operations")
_REGIONS = np.array([411302, 411303, 411321, 411322, 411323, 411324, 411325, 411326, 411327, 411328, 411330])
_PLACES = "南阳市 卧龙区 宛城区 南召县 方城县 西峡县 镇平县 内乡县 淅川县 社旗县 唐河县 桐柏县".split(" ")  # noqa: SIM905
_SYLLABLES = list(
    "华兴隆盛达通瑞祥和泰安康宁德信诚义仁福禄宝金银鑫汇丰裕润泽源广大宏伟博文智慧创新科远航凯旋鸿翔飞腾"
)
_TRADES = [
    "商贸有限公司",
    "食品有限公司",
    "建筑工程有限公司",
    "医药有限公司",
    "机械制造有限公司",
    "信息技术有限公司",
    "餐饮管理有限公司",
    "物流有限公司",
    "农业发展有限公司",
    "农民专业合作社",
]
_ROADS = "人民路 建设路 中州路 光武路 仲景路 车站路 两相路 独山大道 滨河路 新华路".split(" ")  # noqa: SIM905
_OFFICES = [
    f"{place}{line}局"
    for place in _PLACES
    for line in ("市场监督管理", "生态环境", "应急管理", "交通运输", "卫生健康")
]
_OFFENCES = [f"违反{law}第{article}条" for law in ("《食品安全法》", "《产品质量法》", "《广告法》", "《安全生产法》", "《消防法》") for article in range(1, 60)]  # fmt: skip


def _pick(rng: np.random.Generator, words: list[str], rows: int) -> pl.Series:
    return pl.Series(words, dtype=pl.String).gather(rng.integers(0, len(words), rows))


def _days(rng: np.random.Generator, rows: int, first: int, last: int) -> pl.Series:
    days = pl.Series(rng.integers(first, last, rows).astype(np.int32)).cast(pl.Date)
    return days.dt.strftime("%Y-%m-%d")


def _text(*parts: pl.Series | str) -> pl.Series:
    return pl.select(pl.concat_str([pl.lit(part) for part in parts])).to_series()


def _number(values: np.ndarray) -> pl.Series:
    return pl.Series(values).cast(pl.String)


def _sometimes(rng: np.random.Generator, share: float, values: pl.Series) -> pl.Series:
    return pl.select(pl.when(pl.lit(pl.Series(rng.random(len(values)) < share))).then(values)).to_series()


class City:
    """The enterprises that all feeds speak of; number n is the same whatever is asked first."""

    def __init__(self, size: int) -> None:
        self.size = size

    def codes(self, numbers: np.ndarray) -> pl.Series:
        return make_usccs(
            np.full(len(numbers), 91), _REGIONS[numbers % len(_REGIONS)], numbers, numbers % 3 > 0
        )

    def names(self, numbers: np.ndarray) -> pl.Series:
        parts: list[pl.Series | str] = [pl.Series(_PLACES).gather(numbers % len(_PLACES))]
        rest = numbers
        for _ in range(4):
            parts.append(pl.Series(_SYLLABLES).gather(rest % len(_SYLLABLES)))
            rest = rest // len(_SYLLABLES)
        return _text(*parts, pl.Series(_TRADES).gather(numbers // 7 % len(_TRADES)))


def _registrations(city: City, rng: np.random.Generator, numbers: np.ndarray) -> dict[str, pl.Series]:
    rows = len(numbers)
    return {
        "uniscid": city.codes(numbers),
        "regno": make_reg_nos(_REGIONS[numbers % len(_REGIONS)], numbers),
        "entname": city.names(numbers),
        "enttype": _pick(rng, ["有限责任公司", "股份有限公司", "个人独资企业", "农民专业合作社"], rows),
        "regstate": _pick(rng, ["存续"] * 9 + ["注销", "吊销"], rows),
        "name": _text(_pick(rng, list("王李张刘陈杨赵黄周吴"), rows), _pick(rng, _SYLLABLES, rows), _pick(rng, _SYLLABLES, rows)),
        "regcap": _number(rng.integers(1, 5000, rows) * 10),
        "regcapcur": _pick(rng, ["人民币"], rows),
        "estdate": _days(rng, rows, 12_000, 20_600),
        "apprdate": _days(rng, rows, 18_000, 20_700),
        "opfrom": _days(rng, rows, 12_000, 20_600),
        "opto": _pick(rng, ["长期", "2035-12-31", "2040-06-30", ""], rows),
        "dom": _text("河南省", city.names(numbers).str.slice(0, 3), _pick(rng, _ROADS, rows), _number(rng.integers(1, 2000, rows)), "号"),
        "domdistrict": _number(_REGIONS[numbers % len(_REGIONS)]),
        "industryphy": _pick(rng, list("ABCDEFGHIJ"), rows),
        "industryco": _number(rng.integers(1000, 9700, rows)),
        "opscope": _text("销售", _pick(rng, _OFFENCES, rows).str.slice(2, 4), _pick(rng, _TRADES, rows), "；技术服务", _number(rng.integers(1, 900, rows))),
        "regorg": _text(_pick(rng, _PLACES, rows), "市场监督管理局"),
    }  # fmt: skip


def _decision(prefix: str, city: City, rng: np.random.Generator, numbers: np.ndarray) -> dict[str, pl.Series]:
    """What licences and penalties share."""
    parties = rng.integers(0, city.size, len(numbers))
    office = rng.integers(0, len(_OFFICES), len(numbers))
    return {
        f"{prefix}_XDR_MC": city.names(parties),
        f"{prefix}_XDR_LB": _pick(rng, ["法人及非法人组织"], len(numbers)),
        f"{prefix}_XDR_SHXYM": city.codes(parties),
        f"{prefix}_WSH": _text(pl.Series(_OFFICES).gather(office).str.slice(0, 2), "监字〔", _number(2019 + numbers % 8), "〕", _number(numbers + 1), "号"),
        f"{prefix}_JDRQ": _days(rng, len(numbers), 18_000, 20_700),
        f"{prefix}_{'XKJG' if prefix == 'XK' else 'CFJG'}": pl.Series(_OFFICES).gather(office),
        f"{prefix}_{'XKJGDM' if prefix == 'XK' else 'CFJGDM'}": city.codes(office + 20_000_000),
    }  # fmt: skip


def _licences(city: City, rng: np.random.Generator, numbers: np.ndarray) -> dict[str, pl.Series]:
    rows = len(numbers)
    return {
        **_decision("XK", city, rng, numbers),
        "XK_XKLB": _pick(rng, ["普通", "特许", "认可", "核准", "登记"], rows),
        "XK_XKZS": _pick(rng, ["食品经营许可证", "道路运输经营许可证", "药品经营许可证", "排污许可证"], rows),
        "XK_XKBH": _text("JY", _number(numbers + 14_113_000_000)),
        "XK_NR": _text("准予从事", _pick(rng, _TRADES, rows).str.slice(0, 2), "经营，项目", _number(rng.integers(1, 400, rows))),
        "XK_YXQZ": _days(rng, rows, 18_000, 20_600),
        "XK_YXQZI": _days(rng, rows, 21_000, 24_000),
        "XK_ZT": _pick(rng, ["1", "1", "1", "2"], rows),
        "XK_LYDW": _pick(rng, _OFFICES, rows),
    }  # fmt: skip


def _penalties(city: City, rng: np.random.Generator, numbers: np.ndarray) -> dict[str, pl.Series]:
    rows = len(numbers)
    fine = rng.integers(1, 500, rows) * 100
    return {
        **_decision("CF", city, rng, numbers),
        "CF_WFXW": _pick(rng, _OFFENCES, rows),
        "CF_SY": _text("经查，当事人于", _days(rng, rows, 17_000, 18_000), "实施上述行为，涉案货值", _number(rng.integers(10, 99_999, rows)), "元"),
        "CF_YJ": _pick(rng, _OFFENCES, rows),
        "CF_CFLB": _pick(rng, ["罚款", "警告", "罚款、没收违法所得", "没收违法所得、没收非法财物"], rows),
        "CF_NR": _text("罚款", _number(fine), "元"),
        "CF_NR_FK": _number(fine / 10_000),
        "CF_YXQ": _days(rng, rows, 20_700, 22_000),
        "CF_GSJZQ": _days(rng, rows, 20_700, 22_000),
        "CF_SJLY": _pick(rng, _OFFICES, rows),
        "CF_JYCX": _pick(rng, ["是", "否"], rows),
    }  # fmt: skip


def _complaints(city: City, rng: np.random.Generator, numbers: np.ndarray) -> dict[str, pl.Series]:
    rows = len(numbers)
    parties = rng.integers(0, city.size, rows)
    return {
        "登记编号": _text("NY12345", _number(numbers + 100_000_000)),
        "类型": _pick(rng, ["投诉", "举报"], rows),
        "统一社会信用代码": city.codes(parties),
        "被投诉企业名称": city.names(parties),
        "登记时间": _days(rng, rows, 19_000, 20_700),
        "问题类别": _pick(rng, ["质量", "售后服务", "价格", "广告", "合同", "食品安全"], rows),
        "是否受理": _pick(rng, ["是", "否"], rows),
        "处理结果": _pick(rng, ["调解成功", "调解失败", "不予受理", "立案", "不立案"], rows),
        "办结时间": _sometimes(rng, 0.9, _days(rng, rows, 20_700, 20_750)),
        "涉及金额": _number(rng.integers(1, 2_000_000, rows) / 100),
        "是否属实": _pick(rng, ["是", "否", ""], rows),
        "诉求内容": _text("消费者反映在", city.names(parties), "购买", _pick(rng, _TRADES, rows).str.slice(0, 2), "商品第", _number(numbers), "次，要求处理"),
    }  # fmt: skip


def _operations(city: City, rng: np.random.Generator, numbers: np.ndarray) -> dict[str, pl.Series]:
    rows = len(numbers)
    parties = numbers // 4 % city.size
    amounts = {name: _number(rng.integers(0, 10_000_000, rows) / 100) for name in ("assgro", "liagro", "vendinc", "ratgro")}  # fmt: skip
    return {
        "uniscid": city.codes(parties),
        "entname": city.names(parties),
        "ancheyear": _number(2021 + numbers % 4),
        "anchedate": _days(rng, rows, 19_000, 20_700),
        **amounts,
        "progro": _number(rng.integers(-1_000_000, 10_000_000, rows) / 100),
        "netinc": _number(rng.integers(-1_000_000, 10_000_000, rows) / 100),
        "empnum": _number(rng.integers(1, 900, rows)),
        "so110": _number(rng.integers(0, 900, rows)),
        "assgrodis": _pick(rng, ["1", "2"], rows),
        "vendincdis": _pick(rng, ["1", "2"], rows),
    }


_MAKERS: dict[str, Callable[[City, np.random.Generator, np.ndarray], dict[str, pl.Series]]] = {
    "registrations": _registrations,
    "licences": _licences,
    "penalties": _penalties,
    "complaints": _complaints,
    "operations": _operations,
}
_CODE = {"registrations": "uniscid", "licences": "XK_XDR_SHXYM", "penalties": "CF_XDR_SHXYM", "complaints": "统一社会信用代码", "operations": "uniscid"}  # fmt: skip
_DATE = {"registrations": "estdate", "licences": "XK_JDRQ", "penalties": "CF_JDRQ", "complaints": "登记时间", "operations": "anchedate"}  # fmt: skip
_NAME = {"registrations": "entname", "licences": "XK_XDR_MC", "penalties": "CF_XDR_MC", "complaints": "被投诉企业名称", "operations": "entname"}  # fmt: skip


def _soiled(frame: pl.DataFrame, feed: str, rng: np.random.Generator, dirt: float) -> pl.DataFrame:
    """One fault in a share of the rows: other date form, full-width code, spaces; lost day, wrong check digit,
    row sent twice."""
    kind = pl.Series(np.where(rng.random(frame.height) < dirt, rng.integers(1, 7, frame.height), 0))
    day, code, name = _DATE[feed], _CODE[feed], _NAME[feed]
    wide = {chr(digit): chr(digit + 0xFEE0) for digit in range(ord("0"), ord("9") + 1)}
    frame = frame.with_columns(
        pl.when(kind == 1).then(pl.col(day).str.replace_all("-", "/"))
        .when(kind == 4).then(pl.lit("2026-13-45")).otherwise(pl.col(day)).alias(day),
        pl.when(kind == 2).then(pl.col(code).str.replace_many(list(wide), list(wide.values())))
        .when(kind == 5).then(pl.concat_str(pl.col(code).str.head(17), pl.lit("#"))).otherwise(pl.col(code)).alias(code),
        pl.when(kind == 3).then(pl.concat_str(pl.lit("\u3000"), pl.col(name), pl.lit(" "))).otherwise(pl.col(name)).alias(name),
    )  # fmt: skip
    again = (kind == 6).arg_true()
    again = again.filter(again > 0)
    order = np.arange(frame.height)
    order[again.to_numpy()] -= 1
    return frame[order]


def write_delivery(
    landing: Path, rows: int, dirt: float, file_rows: int = FILE_ROWS
) -> dict[str, list[Path]]:
    """Write the files and return them by feed. The same arguments give the same bytes."""
    share = rows // len(FEEDS)
    city = City(share)
    files: dict[str, list[Path]] = {}
    for place, feed in enumerate(FEEDS):
        folder = landing / feed
        folder.mkdir(parents=True, exist_ok=True)
        files[feed] = []
        for start in range(0, share, file_rows):
            rng = np.random.default_rng([7, place, start])
            numbers = np.arange(start, min(start + file_rows, share), dtype=np.int64)
            frame = pl.DataFrame(_MAKERS[feed](city, rng, numbers))
            if dirt:
                frame = _soiled(frame, feed, rng, dirt)
            path = folder / f"{start // file_rows:03d}.csv"
            frame.write_csv(path)
            files[feed].append(path)
    return files
