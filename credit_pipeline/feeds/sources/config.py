"""What `sources.yaml` may say: which databases and APIs each feed comes from, besides files.

Mistakes are errors that name file, feed, source and key; no message repeats a value, which might be a secret.
Secrets stand in it as `${secret:NAME}` only (`redaction`). How a source is read stands in `database` and `http`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.feeds.sources.cursors import Lookback, parse_lookback
from credit_pipeline.feeds.sources.redaction import SECRET_REFERENCE
from credit_pipeline.settings import Settings

_CREDENTIAL_NAME = re.compile(
    r"pass(word|wd)?|pwd|secret|token|api[-_]?key|app[-_]?key|auth|credential|signature|^sign$", re.IGNORECASE
)
_TABLE = re.compile(r"[\w$-]+(\.[\w$-]+){0,2}")


def _secret_reference(value: object) -> object:
    if not isinstance(value, str) or not SECRET_REFERENCE.fullmatch(value):
        raise ValueError(
            "a secret does not stand in this file; write ${secret:NAME} here and set the environment variable "
            "CREDIT_SECRET_NAME, or put NAME into the file that CREDIT_SECRETS_FILE names"
        )
    return value


SecretReference = Annotated[str, BeforeValidator(_secret_reference)]
"""`${secret:NAME}`, never the secret itself."""


def _text(value: object) -> object:
    """Numbers and days that YAML read as such, as they are written in a URL."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Source(_Part):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")
    """Of this source within its feed; part of file names, and what its state is kept under: do not change it."""
    max_attempts: int = Field(5, ge=1, le=20)
    backoff_seconds: float = Field(1.0, ge=0, le=60)
    """Wait after the first failed attempt; doubled after each further one, with jitter."""


class DatabaseSource(_Source):
    """A table or query of a database."""

    kind: Literal["database"]
    engine: Literal["postgres", "mysql", "sqlite"]
    host: str | None = None
    """A name, an address, or the folder (PostgreSQL) or file (MySQL) of a local socket."""
    port: int | None = Field(None, ge=1, le=65535)
    database: str
    """Name; for SQLite the path of the file."""
    user: str | None = None
    password: SecretReference | None = None
    ssl_mode: Literal["disable", "require", "verify-ca", "verify-full"] = "require"
    ssl_root_certificate: Path | None = None
    table: str | None = None
    query: str | None = None
    cursor: str | None = None
    """Column that grows whenever a row is added or changed."""
    cursor_lookback: Text = "0"
    snapshot: bool = False
    """Fetch everything every time; instead of a cursor."""
    timeout_seconds: int = Field(3600, ge=1)
    """For the whole statement."""

    @property
    def lookback(self) -> Lookback:
        return parse_lookback(self.cursor_lookback)

    @model_validator(mode="after")
    def _coherent(self) -> DatabaseSource:
        if (self.table is None) == (self.query is None):
            raise ValueError("give either table or query")
        if self.table is not None and not _TABLE.fullmatch(self.table):
            raise ValueError("table is a name such as public.penalties; anything else belongs into query")
        if (self.cursor is None) != self.snapshot:
            raise ValueError("give either cursor: COLUMN or snapshot: true")
        lookback = self.lookback
        if self.cursor is None and not lookback.is_zero:
            raise ValueError("cursor_lookback needs a cursor")
        if self.engine == "sqlite":
            if self.host or self.port or self.user or self.password:
                raise ValueError("sqlite has only database, the path of its file")
        elif self.host is None or self.user is None:
            raise ValueError(f"{self.engine} needs host and user")
        if self.ssl_mode.startswith("verify") and self.engine != "sqlite" and not self.ssl_root_certificate:
            raise ValueError(f"ssl_mode {self.ssl_mode} needs ssl_root_certificate")
        return self


class BearerAuth(_Part):
    """`Authorization: Bearer TOKEN`."""

    kind: Literal["bearer"]
    token: SecretReference


class HeaderAuth(_Part):
    """A header of the server's choice."""

    kind: Literal["header"]
    header: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    token: SecretReference


class QueryAuth(_Part):
    """A parameter of the URL. Servers write URLs into their logs: a header is better where there is one."""

    kind: Literal["query"]
    parameter: str
    token: SecretReference


class NoPaging(_Part):
    """The answer holds everything."""

    kind: Literal["none"]


class PagePaging(_Part):
    """Pages by number, until one is empty."""

    kind: Literal["page"]
    parameter: str = "page"
    first: int = Field(1, ge=0)
    size_parameter: str | None = None
    size: int = Field(100, ge=1)


class OffsetPaging(_Part):
    """By the number of records to skip, until an answer is empty."""

    kind: Literal["offset"]
    parameter: str = "offset"
    size_parameter: str | None = "limit"
    size: int = Field(100, ge=1)


class CursorPaging(_Part):
    """By a token that each answer gives for the next, until it gives none."""

    kind: Literal["cursor"]
    parameter: str = "cursor"
    next: str
    """Dotted path of the token in the answer."""


class LinkPaging(_Part):
    """By the address of the next page: in the header Link (rel="next"), or in the answer."""

    kind: Literal["link"]
    next: str | None = None
    """Dotted path of the address in the answer; without it the header is read."""


Paging = Annotated[
    NoPaging | PagePaging | OffsetPaging | CursorPaging | LinkPaging, Field(discriminator="kind")
]


class Increment(_Part):
    """How to ask only for what changed."""

    field: str
    """Dotted path in a record of the moment or number that grows whenever it changes."""
    parameter: str
    """Parameter of the URL that carries it."""
    lookback: Text = "0"
    start: Text | None = None
    """Asked for at the first fetch; without it the parameter is left out then."""

    @property
    def parsed_lookback(self) -> Lookback:
        return parse_lookback(self.lookback)


class HttpSource(_Source):
    """An API that answers pages of JSON to GET."""

    kind: Literal["http"]
    url: str
    params: dict[str, Text] = {}
    headers: dict[str, str] = {}
    auth: Annotated[BearerAuth | HeaderAuth | QueryAuth, Field(discriminator="kind")] | None = None
    records: str = ""
    """Dotted path of the array of records in the answer; empty when the answer is the array."""
    total: str | None = None
    """Dotted path of the number of all records: the fetch fails rather than end with fewer."""
    expect: dict[str, Text] = {}
    """Dotted path → value that every good answer has, such as code: 0; another is an error of the server."""
    paging: Paging
    increment: Increment | None = None
    rate_limit_per_second: float | None = Field(None, gt=0)
    timeout_seconds: float = Field(30, gt=0, le=600)
    """For connecting and for each wait on the server, not for the whole answer."""
    max_wait_seconds: float = Field(300, gt=0)
    """The longest Retry-After that is waited for."""
    max_pages: int = Field(100_000, ge=1)
    max_bytes: int = Field(1 << 30, ge=1)
    """Of all pages of one fetch, unpacked."""
    verify_tls: bool = True
    ca_file: Path | None = None
    """Certificates of the authority that signed the server's, when it is not a public one."""

    @model_validator(mode="after")
    def _coherent(self) -> HttpSource:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url is no http(s) address")
        if parts.username or parts.password:
            raise ValueError(
                "a secret does not stand in this file; use auth instead of user:password@ in url"
            )
        plain = [*parse_qsl(parts.query), *self.params.items(), *self.headers.items()]
        for name, value in plain:
            if _CREDENTIAL_NAME.search(name) and not SECRET_REFERENCE.search(value):
                raise ValueError(
                    f"{name} looks like a credential: use auth, or write ${{secret:NAME}} as its value under "
                    "params or headers"
                )
        if SECRET_REFERENCE.search(self.url):
            raise ValueError("a secret does not stand in url; use auth or params")
        if self.increment is not None:
            _ = self.increment.parsed_lookback
        return self


Source = Annotated[DatabaseSource | HttpSource, Field(discriminator="kind")]
_SOURCES: TypeAdapter[list[DatabaseSource | HttpSource]] = TypeAdapter(list[Source])


class _Loader(yaml.SafeLoader):
    """YAML whose mappings hold no key twice: the second would silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = next((key for place, key in enumerate(keys) if key in keys[:place]), None)
        if repeated is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {repeated} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def load_sources(settings: Settings) -> dict[str, list[DatabaseSource | HttpSource]]:
    """Sources by feed; empty when there is no file.

    Raises:
        BadInput: the file says something that cannot be meant; all mistakes of a feed are named.
    """
    path = settings.sources_file
    if not path.exists():
        return {}
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader: plain values only
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8; remedy: save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise BadInput(f"{path}{place}: {problem}; remedy: compare with sources.example.yaml") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise BadInput(f"{path}: expected FEED: [sources]; remedy: compare with sources.example.yaml")
    known = feed_names()
    found: dict[str, list[DatabaseSource | HttpSource]] = {}
    for feed, entries in content.items():
        if feed not in known:
            raise BadInput(f"{path}: there is no feed {feed}; feeds are: {', '.join(sorted(known))}")
        found[feed] = _checked(path, feed, entries)
    return found


def _checked(path: Path, feed: str, entries: Any) -> list[DatabaseSource | HttpSource]:
    if not isinstance(entries, list):
        raise BadInput(f"{path}: {feed}: expected a list of sources, each beginning with '- name:'")
    try:
        sources = _SOURCES.validate_python(entries)
    except ValidationError as error:
        problems = [
            f"{path}: {feed}: {_place(entries, item['loc'])}: {_plain(item['msg'])}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise BadInput("\n".join(problems)) from None
    names = [source.name for source in sources]
    repeated = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if repeated is not None:
        raise BadInput(f"{path}: {feed}: two sources are called {repeated}; their states would mix")
    return sources


def _place(entries: list[Any], location: tuple[int | str, ...]) -> str:
    """`source NAME, key a.b` of a place in the list; pydantic's tags of alternatives left out."""
    entry = entries[location[0]] if location and isinstance(location[0], int) else None
    name = entry.get("name") if isinstance(entry, dict) else None
    shown = (
        name
        if isinstance(name, str) and re.fullmatch(r"[\w-]{1,60}", name)
        else f"no. {int(location[0]) + 1}"
    )
    tags = {"database", "http", "bearer", "header", "query", "none", "page", "offset", "cursor", "link"}
    keys = [str(key) for key in location[1:]]
    path = [key for place, key in enumerate(keys) if key not in tags or place == len(keys) - 1]
    return f"source {shown}" + (f", key {'.'.join(path)}" if path else "")


def _plain(message: str) -> str:
    if message == "Extra inputs are not permitted":
        return "there is no such key; remedy: docs/sources.md lists them"
    return message.removeprefix("Value error, ")
