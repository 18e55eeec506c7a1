"""What sources.yaml may say, and how it is told what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.sources.config import DatabaseSource, HttpSource, load_sources
from credit_pipeline.settings import PROJECT_ROOT, Settings

DATABASE: dict[str, Any] = {
    "name": "bureau", "kind": "database", "engine": "postgres", "host": "db", "database": "city", "user": "reader",
    "password": "${secret:DB}", "table": "public.penalties", "cursor": "updated_at",
}  # fmt: skip
HTTP: dict[str, Any] = {
    "name": "gateway", "kind": "http", "url": "https://example.org/v1", "paging": {"kind": "page"},
    "auth": {"kind": "bearer", "token": "${secret:API}"},
}  # fmt: skip


def loaded(tmp_path: Path, content: Any) -> dict[str, list[DatabaseSource | HttpSource]]:
    path = tmp_path / "sources.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return load_sources(Settings(sources_file=path))


def test_no_file_means_files_only(tmp_path: Path) -> None:
    """Prevents a deployment without databases from needing a file."""
    assert load_sources(Settings(sources_file=tmp_path / "none.yaml")) == {}
    assert loaded(tmp_path, "# nothing yet\n") == {}


def test_the_example_loads() -> None:
    """Prevents an example that its reader cannot start from."""
    path = PROJECT_ROOT / "sources.example.yaml"
    found = load_sources(Settings(sources_file=path))
    kinds = {
        (source.kind, source.engine if isinstance(source, DatabaseSource) else source.paging.kind)
        for sources in found.values()
        for source in sources
    }
    assert kinds >= {
        ("database", "postgres"), ("database", "mysql"), ("database", "sqlite"), ("http", "page"), ("http", "cursor"),
        ("http", "offset"), ("http", "link"),
    }  # fmt: skip


def test_every_key_is_documented() -> None:
    """Prevents a key that only its author knows."""
    page = (PROJECT_ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    for model in (DatabaseSource, HttpSource):
        for name in model.model_fields:
            assert f"`{name}`" in page, name


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (DATABASE | {"cursorr": "id"}, ["bureau", "key cursorr", "no such key"]),
        (DATABASE | {"port": "many"}, ["bureau", "key port"]),
        (DATABASE | {"cursor": None}, ["give either cursor: COLUMN or snapshot: true"]),
        (DATABASE | {"query": "select 1"}, ["either table or query"]),
        (DATABASE | {"table": "penalties; drop table x"}, ["table is a name"]),
        (DATABASE | {"cursor_lookback": "soon"}, ["a look-back is a number"]),
        (DATABASE | {"ssl_mode": "verify-full"}, ["ssl_root_certificate"]),
        (DATABASE | {"engine": "sqlite"}, ["sqlite has only database"]),
        (DATABASE | {"name": "Büro!"}, ["key name"]),
        (HTTP | {"paging": {"kind": "page", "nxt": "a"}}, ["gateway", "key paging.nxt"]),
        (HTTP | {"paging": {"kind": "scroll"}}, ["key paging"]),
        (HTTP | {"url": "ftp://example.org"}, ["url is no http(s) address"]),
        (
            HTTP | {"increment": {"field": "id", "parameter": "since", "lookback": "x"}},
            ["a look-back is a number"],
        ),
        ({"name": "x"}, ["kind"]),
    ],
)
def test_a_mistake_is_named_with_file_feed_and_key(
    tmp_path: Path, source: dict[str, Any], words: list[str]
) -> None:
    """Prevents a source that is silently not fetched, or fetched otherwise than meant."""
    with pytest.raises(BadInput) as error:
        loaded(tmp_path, {"penalties": [source]})
    assert all(word in str(error.value) for word in ["sources.yaml: penalties: source", *words]), str(
        error.value
    )


@pytest.mark.parametrize(
    "source",
    [
        DATABASE | {"password": "hunter22"},
        HTTP | {"auth": {"kind": "bearer", "token": "hunter22"}},
        HTTP | {"auth": {"kind": "query", "parameter": "access_token", "token": "hunter22"}},
        HTTP | {"url": "https://user:hunter22@example.org/"},
        HTTP | {"url": "https://example.org/?api_key=hunter22"},
        HTTP | {"params": {"access_token": "hunter22"}},
        HTTP | {"headers": {"X-Api-Key": "hunter22"}},
        DATABASE | {"passwort": "hunter22"},
        DATABASE | {"port": "hunter22"},
        DATABASE | {"password": ["hunter22"]},
        DATABASE | {"ssl_mode": "hunter22"},
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, source: dict[str, Any]) -> None:
    """Prevents a password in a file that is copied about, and in the message about it."""
    with pytest.raises(BadInput) as error:
        loaded(tmp_path, {"penalties": [source]})
    assert "hunter22" not in str(error.value)
    assert error.value.__cause__ is None and error.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("penaltys: []", ["there is no feed penaltys"]),
        ("penalties: {}", ["expected a list"]),
        ("- a", ["expected FEED"]),
        ("penalties: []\npenalties: []", ["line", "penalties stands twice"]),
        ("penalties: [password: hunter22", ["line"]),
        (yaml.safe_dump({"penalties": [DATABASE, DATABASE]}), ["two sources are called bureau"]),
    ],
)
def test_a_file_that_means_nothing_is_refused(tmp_path: Path, text: str, words: list[str]) -> None:
    """Prevents half a file from counting, such as the first of two lists of one feed."""
    with pytest.raises(BadInput) as error:
        loaded(tmp_path, text)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "hunter22" not in str(error.value)


def test_secrets_may_stand_as_references_in_headers_and_params(tmp_path: Path) -> None:
    """Prevents gateways with an application key of their own from being out of reach."""
    (source,) = loaded(tmp_path, {"penalties": [HTTP | {"headers": {"X-Api-Key": "${secret:KEY}"}}]})[
        "penalties"
    ]
    assert isinstance(source, HttpSource) and source.headers == {"X-Api-Key": "${secret:KEY}"}
