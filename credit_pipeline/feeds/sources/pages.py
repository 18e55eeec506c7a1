"""Which request asks for which page: the ways in which APIs page. Nothing here speaks to a server.

A position is a small JSON object that survives a restart: {"page": 3}, {"offset": 200}, {"token": "…"}, {"url": "…"}.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from credit_pipeline.feeds.sources.config import (
    CursorPaging,
    HttpSource,
    LinkPaging,
    OffsetPaging,
    PagePaging,
    QueryAuth,
)
from credit_pipeline.feeds.sources.json_records import Missing, at_path
from credit_pipeline.feeds.sources.problems import SourceProblem

Position = dict[str, Any]


def first_position(source: HttpSource) -> Position:
    """Where a fetch begins."""
    paging = source.paging
    if isinstance(paging, PagePaging):
        return {"page": paging.first}
    if isinstance(paging, OffsetPaging):
        return {"offset": 0}
    return {}


def request_of(source: HttpSource, position: Position, increment: str | None) -> tuple[str, dict[str, str]]:
    """(address, parameters without any token) that ask for a position.

    Args:
        increment: value of the increment's parameter, None when it is not sent.
    """
    if "url" in position:
        return position["url"], {}
    paging = source.paging
    parameters = dict(source.params)
    if source.increment is not None and increment is not None:
        parameters[source.increment.parameter] = increment
    if isinstance(paging, PagePaging):
        parameters[paging.parameter] = str(position["page"])
    if isinstance(paging, OffsetPaging):
        parameters[paging.parameter] = str(position["offset"])
    if isinstance(paging, PagePaging | OffsetPaging) and paging.size_parameter is not None:
        parameters[paging.size_parameter] = str(paging.size)
    if isinstance(paging, CursorPaging) and "token" in position:
        parameters[paging.parameter] = position["token"]
    return source.url, parameters


def next_position(
    source: HttpSource, position: Position, answer: Any, records: int, link: str | None, is_all: bool
) -> Position | None:
    """Where the next page stands; None after the last.

    Pages by number or offset end with an empty one, or with the server's total: a short page proves nothing, for
    servers cap the size that is asked for.

    Args:
        link: address in the header Link with rel="next".
        is_all: as many records as the server's total have come.

    Raises:
        SourceProblem: the next address leads to another server.
    """
    paging = source.paging
    if isinstance(paging, PagePaging):
        return None if records == 0 or is_all else {"page": position["page"] + 1}
    if isinstance(paging, OffsetPaging):
        return None if records == 0 or is_all else {"offset": position["offset"] + records}
    if isinstance(paging, CursorPaging):
        token = _optional(answer, paging.next)
        return None if token is None else {"token": token}
    if isinstance(paging, LinkPaging):
        address = link if paging.next is None else _optional(answer, paging.next)
        if address is None:
            return None
        here, _ = request_of(source, position, None)
        return {"url": _same_server(source, urljoin(here, address))}
    return None


def _optional(answer: Any, path: str) -> str | None:
    """The text at a path; None when it is missing, null or empty, which all mean that there is no next page."""
    try:
        value = at_path(answer, path)
    except Missing:
        return None
    if value is None or value == "" or value is False:
        return None
    if not isinstance(value, str):
        raise SourceProblem(
            "bad_answer", f"what stands at {path} is no text", "check the dotted path under paging, key next"
        )
    return value


def _same_server(source: HttpSource, address: str) -> str:
    """The address without our token, if it leads to the server of `url`: no other one may get the token."""
    parts = urlsplit(address)
    if _origin(address) != _origin(source.url):
        raise SourceProblem(
            "bad_answer",
            f"the next page stands on another server, {parts.hostname}",
            "ask the server's owner; when it is right, make it a source of its own",
        )
    query = parse_qsl(parts.query, keep_blank_values=True)
    if isinstance(source.auth, QueryAuth):
        query = [(name, value) for name, value in query if name != source.auth.parameter]
        return urlunsplit(parts._replace(query=urlencode(query), fragment=""))
    return urlunsplit(parts._replace(fragment=""))


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
