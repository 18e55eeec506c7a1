"""Secrets of sources come from where they may, and go nowhere."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.sources.problems import SourceProblem
from credit_pipeline.feeds.sources.redaction import Secrets, read_secrets_file
from credit_pipeline.settings import Settings

SECRET = "pä ss'w/ör\\d%&\"ü"


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    monkeypatch.setenv("CREDIT_SECRET_DB", SECRET)
    found = Secrets(Settings())
    assert found.reveal("x ${secret:DB} y") == f"x {SECRET} y"
    return found


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
        SECRET.replace("'", "''"),
        repr(SECRET)[1:-1],
        f"connection to 'postgres://u:{quote(SECRET, safe='')}@h/d' failed",
    ],
)
def test_no_form_of_a_secret_survives(secrets: Secrets, form: str) -> None:
    """Prevents the DSN or URL in a library's error from being printed."""
    shown = secrets.redact(f"error: {form}")
    assert "***" in shown and not any(part in shown for part in ("pä", "p%C3%A4", "p%c3%a4", "ss'w"))
    assert SECRET not in repr(secrets) + str(vars(secrets)).replace("\\\\", "\\")


def test_what_is_kept_on_disk_is_named_not_written(secrets: Secrets) -> None:
    """Prevents a token in the progress file, when a server repeats it in the address of the next page."""
    url = f"https://h/?a=1&token={quote(SECRET, safe='')}"
    kept = secrets.conceal(url)
    assert kept == "https://h/?a=1&token=${secret:DB}"


def test_urls_in_library_logs_are_redacted(secrets: Secrets, caplog: pytest.LogCaptureFixture) -> None:
    """Prevents a token in a log at debug level."""
    logger = logging.getLogger("urllib3.connectionpool")
    with caplog.at_level(logging.DEBUG), secrets.kept_out_of_logs():
        logger.debug('%s "GET /v1?token=%s"', "http://h", quote(SECRET))
    assert "***" in caplog.text and "ss%27w" not in caplog.text
    assert not logger.filters


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents an old file from overruling what an administrator sets for one run."""
    path = tmp_path / "secrets.yaml"
    path.write_text("DB: 'from file'\nAPI: 'other'\n")
    path.chmod(0o600)
    monkeypatch.setenv("CREDIT_SECRET_DB", "from environment")
    secrets = Secrets(Settings(secrets_file=path))
    assert secrets.reveal("${secret:DB}") == "from environment" and secrets.reveal("${secret:API}") == "other"


def test_a_missing_secret_is_named_with_the_remedy() -> None:
    """Prevents an anonymous try with an empty password."""
    with pytest.raises(SourceProblem, match="CREDIT_SECRET_NOWHERE"):
        Secrets(Settings()).reveal("${secret:NOWHERE}")


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("DB: hunter22", 0o644, "can be read by others"),
        ("DB: hunter22", 0o660, "can be read by others"),
        ("DB: [hunter22", 0o600, "is no YAML"),
        ("hunter22", 0o600, "holds no NAME"),
        ("DB: 12345678", 0o600, "put it in quotes"),
    ],
)
def test_a_file_that_may_not_be_used_is_refused(tmp_path: Path, content: str, mode: int, words: str) -> None:
    """Prevents secrets that other users of the machine can read, and their content in the refusal."""
    path = tmp_path / "secrets.yaml"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(BadInput, match=words) as error:
        read_secrets_file(path)
    assert "hunter22" not in str(error.value) and "12345678" not in str(error.value)


def test_a_link_or_a_stranger_s_file_is_refused(tmp_path: Path) -> None:
    """Prevents another user from giving us his file as ours."""
    path = tmp_path / "secrets.yaml"
    path.write_text("DB: x")
    path.chmod(0o600)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    with pytest.raises(BadInput, match="cannot be opened"):
        read_secrets_file(link)
    with pytest.raises(BadInput, match="cannot be opened"):
        read_secrets_file(tmp_path / "none.yaml")
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        with pytest.raises(BadInput, match="belongs to another user"):
            read_secrets_file(path)
