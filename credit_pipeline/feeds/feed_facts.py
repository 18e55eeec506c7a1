"""What SQL must know of the catalogue, written as a dbt macro so that the two cannot drift apart.

`python -m credit_pipeline.feeds.feed_facts > dbt_project/macros/feed_facts.sql`, then `make format`; a test
compares the two. Only facts stand there, no rule: what the models make of them is SQL's business.
"""

from __future__ import annotations

import sys
from typing import Any

from credit_pipeline.feeds.catalogue import Feed, load_catalogue

HEAD = """{# What the models must know of the catalogue of feeds. Written by `python -m credit_pipeline.feeds.feed_facts`; edit the
   catalogue, not this file. key: business key; name: column with the enterprise's name ('' if none) and the headers under
   which sources send it; units: columns that name the sender; event: day the fact happened; cadence_days: agreed
   interval of deliveries; pattern: snapshot or increment; kind: kind of information; has_uscc: whether rows name an
   enterprise. #}
"""


def name_column(feed: Feed) -> str:
    """Column with the name of the enterprise a row is about, or ''."""
    names = [column.name for column in feed.stored_columns]
    return next((name for name in ("party_name", "enterprise_name") if name in names), "")


def feed_facts() -> dict[str, dict[str, Any]]:
    """The facts by feed, in the order of the catalogue."""
    return {feed.name: _facts(feed) for feed in load_catalogue().values()}


def _facts(feed: Feed) -> dict[str, Any]:
    name = name_column(feed)
    return {
        "key": list(feed.business_key),
        "name": name,
        "name_headers": feed.column(name).source_names if name else [],
        "units": list(feed.unit_columns),
        "event": feed.event_date or "",
        "cadence_days": feed.cadence_days,
        "pattern": feed.update_pattern,
        "kind": feed.information_kind,
        "has_uscc": feed.has_uscc,
    }


def feed_facts_macro() -> str:
    """The whole macro file, one feed to a line."""
    lines = [f"                {name!r}: {facts!r}," for name, facts in feed_facts().items()]
    body = "\n".join(line.replace("'", '"') for line in lines)
    macro = f"{{% macro feed_facts() %}}\n    {{{{\n        return(\n            {{\n{body}\n            }}\n        )\n    }}}}\n{{% endmacro %}}\n"
    return HEAD + macro


if __name__ == "__main__":
    sys.stdout.write(feed_facts_macro())
