"""Row hashes and exact duplicates: the same content as the latest accepted version of the same fact.

A, B, A keeps three versions, A, A one. What counts as the same fact is the feed's business key, nulls being
equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.lake_schema import value_fields

_SEPARATOR, _NULL = "\x1f", "\x1e"
"""Cleaned text holds no control characters, so these are unambiguous."""


def hash_rows(frame: pl.DataFrame, connection: duckdb.DuckDBPyConnection) -> np.ndarray:
    """Positive 63-bit hash of each row over all columns in order, int64.

    The lower half of the MD5 of the values as text, without its lowest bit: days as numbers since 1970,
    decimals by their bits, null and '' different. The same on every platform and version.
    """
    values = []
    for name, dtype in frame.schema.items():
        if dtype == pl.Float64:
            bits = pl.Series(name, (frame[name].fill_null(0.0).to_numpy() + 0.0).view(np.int64))
            values.append(pl.when(pl.col(name).is_not_null()).then(pl.lit(bits)).cast(pl.String))
        elif dtype in (pl.Date, pl.Boolean):
            values.append(pl.col(name).cast(pl.Int32).cast(pl.String))
        else:
            values.append(pl.col(name).cast(pl.String))
    text = frame.select(
        pl.concat_str([value.fill_null(_NULL) for value in values], separator=_SEPARATOR).alias("text")
    )
    connection.register("row_texts", text.to_arrow(compat_level=pl.CompatLevel.newest()))
    try:
        result = connection.execute("select (md5_number_lower(text) >> 1)::bigint as hash from row_texts")
        return result.to_arrow_table().column("hash").to_numpy()
    finally:
        connection.unregister("row_texts")


def _key_hashes(keys: pl.DataFrame) -> np.ndarray:
    """Hashes that only live as long as the process; five times as fast as MD5.

    Two keys with one hash do no harm: a row is a duplicate only if its row hash, which covers the key,
    agrees too.
    """
    return keys.hash_rows(seed=1).to_numpy()


class VersionIndex:
    """The latest accepted version of every fact of a feed: hash of its key → hash of its content."""

    def __init__(self, feed: Feed, connection: duckdb.DuckDBPyConnection) -> None:
        self._key = list(feed.business_key)
        self._content = [field.name for field in value_fields(feed)] + ["extra"]
        self._connection = connection
        self._keys = np.empty(0, dtype=np.uint64)
        self._hashes = np.empty(0, dtype=np.int64)

    def load(self, files: Sequence[Path]) -> None:
        """Take in accepted rows of the lake, files in the order in which they were ingested."""
        for path in files:
            frame = pl.read_parquet(path, columns=[*self._key, "row_hash"], hive_partitioning=False)
            self._remember(_key_hashes(frame.select(self._key)), frame["row_hash"].to_numpy())

    def state(self) -> tuple[np.ndarray, np.ndarray]:
        """What `restore` brings back when a file has to be taken out again."""
        return self._keys, self._hashes

    def restore(self, state: tuple[np.ndarray, np.ndarray]) -> None:
        self._keys, self._hashes = state

    def add(self, accepted: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        """Row hashes of accepted rows in order, and which are exact duplicates; remembers the others."""
        hashes = hash_rows(accepted.select(self._content), self._connection)
        keys = _key_hashes(accepted.select(self._key))
        duplicates = self._remember(keys, hashes)
        return pl.Series("row_hash", hashes, dtype=pl.Int64), pl.Series(
            "duplicate", duplicates, dtype=pl.Boolean
        )

    def _remember(self, keys: np.ndarray, hashes: np.ndarray) -> np.ndarray:
        """Which rows repeat the version before them; the last version of each key stays."""
        if len(keys) == 0:
            return np.empty(0, dtype=bool)
        order = np.argsort(keys, kind="stable")
        sorted_keys, sorted_hashes = keys[order], hashes[order]
        first = np.empty(len(keys), dtype=bool)
        first[0] = True
        first[1:] = sorted_keys[1:] != sorted_keys[:-1]
        repeats = np.zeros(len(keys), dtype=bool)
        repeats[1:] = ~first[1:] & (sorted_hashes[1:] == sorted_hashes[:-1])
        places = np.searchsorted(self._keys, sorted_keys[first])
        inside = np.minimum(places, max(len(self._keys) - 1, 0))
        known = (
            self._keys[inside] == sorted_keys[first] if len(self._keys) else np.zeros(len(places), dtype=bool)
        )
        if len(self._keys):
            repeats[first] = known & (self._hashes[inside] == sorted_hashes[first])
        last = np.append(first[1:], True)
        newest_keys, newest_hashes = sorted_keys[last], sorted_hashes[last]
        updated = self._hashes.copy()
        updated[places[known]] = newest_hashes[known]
        self._keys = np.insert(self._keys, places[~known], newest_keys[~known])
        self._hashes = np.insert(updated, places[~known], newest_hashes[~known])
        result = np.empty(len(keys), dtype=bool)
        result[order] = repeats
        return result
