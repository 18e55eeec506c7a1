"""What the groups of commands share: options, settings, output."""

from __future__ import annotations

import logging
import os
import sys
import time
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import Settings

Landing = Annotated[
    Path | None, typer.Option(help="Folder with one subfolder of files per feed.", file_okay=False)
]
Lake = Annotated[Path | None, typer.Option(help="Folder of the lake, made when missing.", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


def command_settings(landing: Path | None = None, lake: Path | None = None) -> Settings:
    """Settings with the options on top; exported, so that Dagster's processes and dbt see the same."""
    given = {"landing_dir": landing, "lake_dir": lake}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    for name in ("landing_dir", "lake_dir", "keys_dir", "policy_dir", "sources_file", "secrets_file"):
        if getattr(settings, name) is not None:
            os.environ[f"CREDIT_{name.upper()}"] = str(getattr(settings, name))
    return settings


def parse_day(text: str, option: str = "--as-of") -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{option} {text!r} is not a day; write it as YYYY-MM-DD, for example 2026-10-31"
        ) from None


def output_console() -> Console:
    """Stdout; into a file or pipe as wide as the widest table, so that nothing is cut."""
    return Console() if sys.stdout.isatty() else Console(width=160)


class _Progress(logging.Handler):
    """Prints the pipeline's own log lines with the seconds since the start."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.started = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        elapsed = time.monotonic() - self.started
        self.console.print(
            f"[dim]{elapsed:6.1f} s[/dim]  {record.getMessage()}", highlight=False, soft_wrap=True
        )


def show_progress() -> Console:
    """Show progress on a copy of stderr: Dagster redirects the process's own while a step runs."""
    console = Console(file=os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1))
    logger = logging.getLogger("credit_pipeline")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Progress(console)]
    logger.propagate = False
    return console
