"""Private files: made once and whole, read back only when nobody else could have read or replaced them.

Here: folders of 0700, files of 0600, their owner, no links. Not here: what stands in them.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from credit_pipeline.audit.log import fsync_directory
from credit_pipeline.errors import CreditPipelineError


class UnsafeKeyFile(CreditPipelineError):
    """A key, or its folder, that someone other than its owner could read or replace."""


def ensure_directories(root: Path, directory: Path) -> None:
    """Makes `directory` and all between it and `root` (0700); refuses one that others could enter."""
    below = [parent for parent in directory.parents if parent.is_relative_to(root)]
    for path in (*reversed(below), directory):
        if not path.exists():
            path.mkdir(mode=0o700, parents=path == root, exist_ok=True)
            fsync_directory(path.parent)
        refuse_unsafe(path.stat(), path, "chmod 700")


def make_once(path: Path, content: bytes) -> None:
    """Whole and on disk before it has its name, and never over another: two processes end up with the same
    key.
    """
    temporary = path.with_name(f"tmp-{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    fsync_directory(path.parent)


def read_private(path: Path, limit: int = 4096) -> bytes:
    """At most `limit` bytes of a key file, refusing links and files that others could read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise UnsafeKeyFile(
            f"{path}: cannot be read as a key: {error.strerror}; a key is a plain file, no link"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        refuse_unsafe(os.fstat(file.fileno()), path, "chmod 600")
        return file.read(limit)


def refuse_unsafe(status: os.stat_result, path: Path, remedy: str) -> None:
    if status.st_mode & 0o077:
        raise UnsafeKeyFile(
            f"{path}: others may read or change it (mode {status.st_mode & 0o777:04o}). Run `{remedy} "
            f"{path}`; if others had access to the machine, replace the key."
        )
    if status.st_uid != os.geteuid():
        raise UnsafeKeyFile(
            f"{path}: it belongs to user {status.st_uid}, the pipeline runs as {os.geteuid()}"
        )
