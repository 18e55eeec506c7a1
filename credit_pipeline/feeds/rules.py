"""Names of the rules a row or file can break and of the repairs, each with its remedy in English and Chinese.

The single list: contracts, readers, reports and documentation take names and sentences from here.
What counts as breaking a rule is decided in `contracts`, `codes` and the readers.
"""

from __future__ import annotations

import re

import polars as pl

QUARANTINE_RULES: dict[str, str] = {
    "required_missing": ("Fill in the value; the row cannot be used without it. 请补填必填项后重新报送。"),
    "uscc_length": (
        "Give the 18-character unified social credit code. 统一社会信用代码应为18位，请核对后重报。"
    ),
    "uscc_characters": (
        "The code holds characters that no code has (I, O, S, V, Z or signs); correct it. "
        "代码含有非法字符，请核对后重报。"
    ),
    "uscc_check_digit": (
        "A check digit does not fit, so a character is wrong; compare with the business licence. "
        "校验码不符，请对照营业执照核对。"
    ),
    "uscc_masked": ("Send the full code, not a masked one. 代码被隐去部分字符，请报送完整代码。"),
    "uscc_placeholder": ("Replace the filler by the real code. 代码为占位符，请填写真实代码。"),
    "uscc_old_reg_no": (
        "This is the old 15-digit registration number; give the 18-character code. "
        "此为旧的15位注册号，请改报18位统一社会信用代码。"
    ),
    "uscc_org_code": (
        "This is the 9-character organisation code; give the 18-character code. "
        "此为9位组织机构代码，请改报18位统一社会信用代码。"
    ),
    "personal_id_in_uscc": (
        "This is a citizen's identity number; remove it and give the enterprise's code. "
        "此处误填居民身份证号，请删除并改报企业统一社会信用代码。"
    ),
    "natural_person": (
        "Rows of natural persons are not collected; send enterprises and individual businesses with a "
        "unified code only. 自然人信息不在归集范围，请仅报送有统一社会信用代码的企业和个体工商户。"
    ),
    "digits_lost": (
        "A spreadsheet turned the code into a number and lost digits; format the column as text and "
        "send again. "
        "表格将代码转为数字导致丢位，请将该列设为文本格式后重报。"
    ),
    "date_unreadable": ("Write the date as YYYY-MM-DD. 日期无法识别，请按YYYY-MM-DD填写。"),
    "date_in_future": ("The date lies after the day of delivery; correct it. 日期晚于报送日，请更正。"),
    "number_unreadable": ("Write a plain number with its unit in the header. 数值无法识别，请填写纯数字。"),
    "number_out_of_range": (
        "The number is outside the possible range; check value and unit. 数值超出合理范围，请核对数值和单位。"
    ),
    "code_unknown": ("Use a code or word of the code list. 取值不在代码表内，请按代码表填写。"),
    "codes_conflict": (
        "One of the codes excludes the others (no problem found beside a problem); give those that are true. "
        "所填代码相互矛盾（如“未发现问题”与问题代码并存），请更正。"
    ),
    "region_unknown": ("Use a region code of GB/T 2260 or of the city's list. 行政区划代码不存在，请核对。"),
    "too_long": ("Shorten the text to the permitted length. 文本超过规定长度，请精简。"),
    "pattern": ("Write the value in the agreed form. 格式不符合规定，请核对。"),
    "test_row": ("Remove test rows before sending. 请删除测试数据后重报。"),
    "foreign_row": (
        "The row belongs to another feed; send it there. 该行属于其他数据类别，请报送到相应目录。"
    ),
    "column_count": (
        "The row has more or fewer cells than the header; quote cells that hold separators or line "
        "breaks. "
        "该行列数与表头不符，请对含分隔符或换行的内容加引号。"
    ),
    "above_header": (
        "The row stands above the header; move it below. 该行位于表头之上，请移至表头下方后重报。"
    ),
    "undecodable": (
        "The row cannot be decoded; export the file again in one encoding (UTF-8). "
        "该行无法解码，请统一用UTF-8编码重新导出。"
    ),
    "period_reversed": (
        "The end lies before the beginning; correct the dates. 截止日期早于起始日期，请更正。"
    ),
}
"""Rule of a refused row → what its sender does about it."""

FILE_RULES: dict[str, str] = {
    "empty_file": ("The file holds nothing; export and send it again. 文件为空，请重新导出报送。"),
    "unreadable_file": (
        "The file is damaged, truncated or protected; export and send it again. "
        "文件损坏、不完整或已加密，请重新导出报送。"
    ),
    "unknown_format": (
        "Send CSV, XLSX, XLS, JSON, Parquet or a ZIP of these. "
        "文件格式无法识别，请报送CSV、XLSX、XLS、JSON、Parquet或其ZIP压缩包。"
    ),
    "foreign_file": (
        "The file belongs to another feed; put it into that feed's folder. "
        "文件属于其他数据类别，请放入相应目录。"
    ),
    "columns_missing": (
        "Add the missing columns or restore their names. 缺少必填列或列名不符，请按模板补齐表头。"
    ),
    "hidden_sheet": (
        "The sheet is hidden; show it if its rows are meant, or delete it, and send again. "
        "工作表被隐藏，如需报送请取消隐藏，否则请删除后重报。"
    ),
    "link_outside": (
        "The entry is a link that leads out of the landing folder; put the file itself there. "
        "该文件是指向目录外的链接，请放入文件本身。"
    ),
    "unsafe_archive": (
        "Send a plain ZIP without folders that lead outside, without nested archives, within the limits. "
        "压缩包不符合安全要求，请去除嵌套压缩包并控制大小后重报。"
    ),
}
"""Rule of a refused file (or sheet, or archive member) → remedy."""

REPAIR_RULES: dict[str, str] = {
    "full_width": ("Full-width letters, digits or signs made half-width. 全角转半角。"),
    "spaces_or_hyphens": (
        "Spaces, invisible characters, hyphens or an apostrophe removed. 去除空格、不可见字符、连字符或撇号。"
    ),
    "lower_case": ("Letters made upper case. 小写转大写。"),
    "confusable_character": (
        "Look-alike characters exchanged; check digits and name confirm it. 易混字符更正。"
    ),
    "date_format": ("Date written as YYYY-MM-DD. 日期格式统一。"),
    "date_sentinel": ("A date that stands for 'no end' or 'unknown' made empty. 占位日期置空。"),
    "null_word": ("A word that stands for 'nothing' made empty. 表示空值的文字置空。"),
    "unit_mismatch": (" Amount taken in the unit that the text confirms (元/万元). 按文书内容更正金额单位。"),
    "number_format": ("Separators, signs, unit words or excess decimals resolved. 数值格式统一。"),
    "document_no_format": (" Brackets, 第 and leading zeros of a document number unified. 文号格式统一。"),
    "name_brackets": ("Brackets and spaces of a name unified. 名称括号、空格统一。"),
    "placeholder_code": ("A filler code made empty. 占位代码置空。"),
}
"""Repair of an accepted row → what was done."""

REMEDIES: dict[str, str] = {**QUARANTINE_RULES, **FILE_RULES}


def remedy_expression(rule: pl.Expr) -> pl.Expr:
    """Remedy sentence of each rule name."""
    return rule.replace_strict(REMEDIES, return_dtype=pl.String)


RULE_LABELS: dict[str, str] = {
    "required_missing": "必填项为空",
    "uscc_length": "统一社会信用代码位数不对",
    "uscc_characters": "统一社会信用代码含非法字符",
    "uscc_check_digit": "统一社会信用代码校验码不符",
    "uscc_masked": "统一社会信用代码被隐去",
    "uscc_placeholder": "统一社会信用代码为占位符",
    "uscc_old_reg_no": "误填15位注册号",
    "uscc_org_code": "误填9位组织机构代码",
    "personal_id_in_uscc": "误填居民身份证号",
    "natural_person": "自然人信息",
    "digits_lost": "编码丢位",
    "date_unreadable": "日期无法识别",
    "date_in_future": "日期晚于报送日",
    "number_unreadable": "数值无法识别",
    "number_out_of_range": "数值超出范围",
    "code_unknown": "取值不在代码表内",
    "codes_conflict": "代码相互矛盾",
    "region_unknown": "行政区划代码不存在",
    "too_long": "文本过长",
    "pattern": "格式不符",
    "test_row": "测试数据",
    "foreign_row": "不属于本类数据",
    "column_count": "列数与表头不符",
    "undecodable": "无法解码",
    "above_header": "表头上方的数据行",
    "period_reversed": "日期先后颠倒",
    "empty_file": "文件为空",
    "unreadable_file": "文件损坏或不完整",
    "unknown_format": "文件格式无法识别",
    "foreign_file": "不属于本类数据的文件",
    "columns_missing": "缺少必填列",
    "hidden_sheet": "隐藏工作表",
    "link_outside": "指向目录外的链接",
    "unsafe_archive": "压缩包不安全",
}
"""Rule → what is wrong, in the words of those who get the rows back."""
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def rule_label(rule: str) -> str:
    """What is wrong, in Chinese; the rule's own name for one that has no words yet."""
    return RULE_LABELS.get(rule, rule)


def chinese_remedy(rule: str) -> str:
    """The Chinese half of a rule's remedy."""
    text = REMEDIES.get(rule, "")
    found = _CHINESE.search(text)
    return text[found.start() :] if found else text
