"""The page `docs/feeds.md`, written from the catalogue so that it cannot fall behind it.

`python -m credit_pipeline.feeds.documentation` prints it; a test compares it with the file.
"""

from __future__ import annotations

import sys

from credit_pipeline.feeds.catalogue import Column, Feed, load_catalogue

HEAD = """# Feeds

Written from the catalogue (`credit_pipeline/feeds/catalogue/*.yaml`) by `python -m credit_pipeline.feeds.documentation`;
edit the catalogue, not this page. Files of a feed lie in `landing/<feed>/`. A header is recognized under any of the names
given, whatever its case and width. Money is stored in fen (分), dates as dates; columns marked *never stored* are dropped
while reading.
"""


def feeds_markdown() -> str:
    """The whole page."""
    return HEAD + "".join(_section(feed) for feed in load_catalogue().values())


def _section(feed: Feed) -> str:
    key = ", ".join(f"`{name}`" for name in feed.business_key)
    lines = [
        f"\n## {feed.name} {feed.label}\n",
        f"{feed.description} Delivered every {feed.cadence_days} days at least, as {feed.update_pattern}; "
        f"a later row with the same {key} supersedes the earlier." + _rules(feed) + "\n",
        "| column | label | type | must | headers of sources | notes |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(column) for column in feed.columns)]) + "\n"


def _rules(feed: Feed) -> str:
    """What holds between columns, and which of them name the sender."""
    labels = {column.name: column.label for column in feed.columns}
    order = ", ".join(f"{labels[later]} ≥ {labels[earlier]}" for later, earlier in feed.date_order)
    senders = ", else ".join(f"`{name}`" for name in feed.unit_columns)
    return (f" Dates in order: {order}." if order else "") + (f" Sent by: {senders}." if senders else "")


def _row(column: Column) -> str:
    notes = []
    if column.personal == "drop":
        notes.append("*never stored*")
    if column.unit:
        notes.append("unit " + {"yuan": "元", "wan_yuan": "万元"}[column.unit])
    if column.alias_units:
        notes.append(
            ", ".join(
                f"{alias} in {'元' if unit == 'yuan' else '万元'}"
                for alias, unit in column.alias_units.items()
            )
        )
    if column.codes:
        notes.append("; ".join(f"{code}: {'/'.join(words)}" for code, words in column.codes.items()))
    if column.pattern:
        notes.append(f"`{column.pattern}`")
    if column.open_ended:
        notes.append("长期 and 2099-12-31 mean no end")
    if column.description:
        notes.append(column.description)
    headers = ", ".join(name for name in column.source_names if name not in (column.name, column.label))
    cells = [
        f"`{column.name}`",
        column.label,
        column.type,
        "yes" if column.required else "",
        headers,
        ". ".join(notes),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(feeds_markdown())
