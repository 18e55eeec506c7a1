"""Publishing: one release per unit, made of whole files, current once its manifest stands.

Here: the order of steps, what makes a new release, what is kept and swept. Not here: building the database
(`extracts.encrypted_file`), which rows a unit may have (the caller's SQL), keys (`credit_pipeline.keys`), what the
manifest says (`extracts.manifest`), opening (`extracts.opening`).

Order, so that a crash at any edge leaves the release before: temporary files in the same folder -> CHECKPOINT, DETACH,
no .wal -> opened again READ_ONLY and read to the last row -> fsync -> rename -> fsync of the folder -> manifest, last.
What a crash leaves is named tmp-* or carries the next number, and the next publication sweeps it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import fsync_directory, write_durably
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.extracts.encrypted_file import BuiltExtract, Comments, attached, build_encrypted
from credit_pipeline.extracts.manifest import (
    MANIFEST_NAME,
    FileMismatch,
    Terms,
    build_manifest,
    is_form_1,
    manifest_bytes,
    manifest_sha256,
    read_manifest,
    verify_form_1,
    verify_manifest,
)
from credit_pipeline.extracts.release_files import (
    SIGNING_KEYS_NAME,
    companion_entries,
    database_name,
    kept_manifest_name,
    measure,
    release_name,
    verify_files,
    wrapped_key_name,
)
from credit_pipeline.keys import KeyStore
from credit_pipeline.keys.age import new_release_key, release_key_id, wrap
from credit_pipeline.keys.handover import signing_keys_document, trusted_keys
from credit_pipeline.keys.recipients import Recipients, Register

DIGEST_EXCLUDES = frozenset({"notice"})
"""Tables that name the release itself: with them in the digest every run would be a new release."""

Tables = Mapping[str, str | pa.Table]
DocumentWriter = Callable[[Path, duckdb.DuckDBPyConnection, str], None]
"""Writes one further file of a release: its path, the finished extract attached read only, the release key."""


@dataclass(frozen=True)
class Publication:
    """The manifest that is current now. `is_new` is False when nothing was published, for the `reason`
    given.
    """

    manifest: dict[str, Any]
    is_new: bool
    reason: str


@dataclass(frozen=True)
class Contents:
    """What a release is made of.

    `tables` for a release number (its notice may name it); `documents` by what follows the release's name and a dot
    (`xlsx`); `companions` are files without a number that the newest release replaces (the reader, the guide).
    """

    tables: Callable[[int], Tables]
    views: Mapping[str, str] = field(default_factory=dict)
    comments: Mapping[str, Comments] = field(default_factory=dict)
    documents: Mapping[str, DocumentWriter] = field(default_factory=dict)
    companions: Mapping[str, bytes] = field(default_factory=dict)


def publish_extract(
    directory: Path,
    unit_id: str,
    as_of_date: date,
    source: duckdb.DuckDBPyConnection | Path | str,
    contents: Contents,
    keys: KeyStore,
    *,
    terms: Terms,
    checkpoint: Mapping[str, Any] | None,
) -> Publication:
    """Publishes the next release of a unit's extract in `directory`, wrapped for the unit's keys and the escrow.

    Nothing new is published for the same day, content, recipients and signing key, nor for a day before the current
    release's: running a day again changes nothing. The release before stays, with its manifest; older ones go.
    Raises `IntegrityError` if the manifest that stands there was not signed by us, `CreditPipelineError` when the
    disk is full; then the release before is current and nothing of the new one is left.
    """
    recipients = Register(keys).recipients_for(unit_id)
    with _private_files():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        current = _current_manifest(directory, unit_id, keys)
        if current is not None and as_of_date.isoformat() < current["as_of_date"]:
            reason = f"a release for {current['as_of_date']} is current; older days stay as they were"
            return Publication(current, False, reason)
        release_seq = 1 if current is None else current["release_seq"] + 1
        _sweep(directory, unit_id, release_seq)
        with _nothing_left_on_error(directory, unit_id, release_seq):
            draft = _Draft(directory, unit_id, release_seq, contents, recipients)
            built = draft.build(source)
            if current is not None and draft.is_unchanged(built, current, as_of_date, keys):
                built.path.unlink()
                draft.refresh_companions()
                return Publication(current, False, "the same content is published for this day")
            manifest = build_manifest(
                unit_id=unit_id,
                as_of_date=as_of_date,
                release_seq=release_seq,
                files=draft.finish(built),
                companions=companion_entries(contents.companions),
                content_digest=built.content_digest,
                prev_manifest_sha256=None if current is None else manifest_sha256(current),
                checkpoint=checkpoint,
                key_id=release_key_id(draft.key),
                recipients=recipients.key_ids,
                key_mode=recipients.key_mode,
                terms=terms,
                watermark=keys.watermark(unit_id, release_seq),
                tables=built.tables,
                private_key=keys.signing_key(),
            )
            _write_changed(directory / SIGNING_KEYS_NAME, signing_keys_document(keys))
            if current is not None:
                kept = directory / kept_manifest_name(unit_id, current["release_seq"])
                write_durably(kept, manifest_bytes(current))
            write_durably(directory / MANIFEST_NAME, manifest_bytes(manifest))
            draft.refresh_companions()
        _remove_older(directory, unit_id, keep={release_seq, release_seq - 1})
    return Publication(manifest, True, "published")


class _Draft:
    """A release in the making: its files under temporary names until `finish`."""

    def __init__(
        self, directory: Path, unit_id: str, release_seq: int, contents: Contents, recipients: Recipients
    ) -> None:
        self.directory = directory
        self.unit_id = unit_id
        self.release_seq = release_seq
        self.key = new_release_key()
        self._contents = contents
        self._recipients = recipients

    def build(self, source: duckdb.DuckDBPyConnection | Path | str) -> BuiltExtract:
        return build_encrypted(
            source,
            self._contents.tables(self.release_seq),
            self._temporary(database_name(self.unit_id, self.release_seq)),
            self.key,
            views=self._contents.views,
            comments=self._contents.comments,
            digest_excludes=DIGEST_EXCLUDES,
        )

    def is_unchanged(
        self, built: BuiltExtract, current: Mapping[str, Any], as_of_date: date, keys: KeyStore
    ) -> bool:
        """Whether the current release says the same to the same readers, and is whole."""
        if is_form_1(current):
            return False
        signer = next(reversed(trusted_keys(keys)))
        companions = companion_entries(self._contents.companions)
        same = (
            current["as_of_date"], current["content_digest"], current["recipients"], current["key_mode"],
            current["signed_by"], current["companions"], set(current["files"]),
        ) == (
            as_of_date.isoformat(), built.content_digest, self._recipients.key_ids, self._recipients.key_mode,
            signer, companions, set(self._file_names(current["release_seq"])),
        )  # fmt: skip
        if not same:
            return False
        try:
            verify_files(current, self.directory)
        except FileMismatch:
            return False  # damaged: a whole one takes its place, under the next number
        return True

    def finish(self, built: BuiltExtract) -> dict[str, dict[str, Any]]:
        """Makes the other files, and gives all their final names; size and SHA-256 of each."""
        database, wrapped, *documents = self._file_names(self.release_seq)
        made = {database: built.path, wrapped: self._temporary(wrapped)}
        made[wrapped].write_bytes(wrap(self.key, self._recipients.public))
        with closing(attached(built.path, self.key)) as connection:
            for name, write in zip(documents, self._contents.documents.values(), strict=True):
                made[name] = self._temporary(name)
                write(made[name], connection, self.key)
        for path in made.values():
            path.chmod(0o600)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        measured = {name: measure(path) for name, path in made.items()}
        for name, path in made.items():
            path.replace(self.directory / name)
        fsync_directory(self.directory)
        return measured

    def refresh_companions(self) -> None:
        for name, content in self._contents.companions.items():
            _write_changed(self.directory / name, content)

    def _file_names(self, release_seq: int) -> list[str]:
        suffixes = self._contents.documents
        return [
            database_name(self.unit_id, release_seq),
            wrapped_key_name(self.unit_id, release_seq),
            *(f"{release_name(self.unit_id, release_seq)}.{suffix}" for suffix in suffixes),
        ]

    def _temporary(self, name: str) -> Path:
        return self.directory / f"tmp-{secrets.token_hex(8)}-{name}"


def _current_manifest(directory: Path, unit_id: str, keys: KeyStore) -> dict[str, Any] | None:
    path = directory / MANIFEST_NAME
    if not path.exists():
        return None
    current = read_manifest(path)
    if is_form_1(current):
        verify_form_1(current, trusted_keys(keys), unit_id)
    else:
        verify_manifest(current, trusted_keys(keys), unit_id=unit_id)
    return current


def _write_changed(path: Path, content: bytes) -> None:
    if not path.is_file() or path.is_symlink() or path.read_bytes() != content:
        write_durably(path, content)


def _sweep(directory: Path, unit_id: str, release_seq: int) -> None:
    """Removes what a killed publication left: temporary files, and files of a release that never became current."""
    for left_over in (*directory.glob("tmp-*"), *directory.glob(f"{release_name(unit_id, release_seq)}.*")):
        if left_over.is_dir() and not left_over.is_symlink():
            shutil.rmtree(left_over)
        else:
            left_over.unlink()


@contextmanager
def _nothing_left_on_error(directory: Path, unit_id: str, release_seq: int) -> Iterator[None]:
    """After a failure the release before is current and alone, unless the new manifest stands already."""
    try:
        yield
    except Exception as error:
        stands = directory / MANIFEST_NAME
        if not stands.exists() or read_manifest(stands)["release_seq"] != release_seq:
            _sweep(directory, unit_id, release_seq)
        if _is_disk_full(error):
            current = (
                f"release {release_seq - 1} stays current" if release_seq > 1 else "there is no release yet"
            )
            raise CreditPipelineError(
                f"the disk of {directory} is full: release {release_seq} of unit {unit_id} was not published, "
                f"{current}, nothing partial is left; remedy: make room, then run the day again"
            ) from error
        raise


def _is_disk_full(error: BaseException | None) -> bool:
    """DuckDB tells it in words only, and further up it is the cause of another error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if isinstance(error, duckdb.Error) and re.search(
            "No space left|File too large|quota exceeded", str(error)
        ):
            return True
        error = error.__cause__
    return False


def _remove_older(directory: Path, unit_id: str, keep: set[int]) -> None:
    for path in directory.glob(f"{unit_id}-*"):
        found = re.fullmatch(rf"{re.escape(unit_id)}-(\d{{6,}})\..+", path.name)
        if found and int(found[1]) not in keep:
            path.unlink()
    fsync_directory(directory)


@contextmanager
def _private_files() -> Iterator[None]:
    """DuckDB creates its files by the process's umask."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
