"""Row hashes and exact duplicates: the same content as the latest accepted version of the same fact.

A, B, A keeps three versions, A, A one. What counts as the same fact is the feed's business key, nulls being
equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.lake_schema import USCC_SENT, has_uscc_sent, value_fields
from credit_pipeline.feeds.unidentified import PARTY_COLUMNS

LONGEST_RUN = 1 << 24
"""Keys of a run that is merged no more: doing so takes three times its 256 MB for a moment."""
LOADED_ROWS = 1 << 18
_SEPARATOR, _NULL = "\x1f", "\x1e"
"""Cleaned text holds no control characters, so these are unambiguous."""


def hash_rows(frame: pl.DataFrame) -> np.ndarray:
    """Positive 63-bit hash of each row over all columns in order, int64.

    XXH64 (seed 0) of the values as text, joined by U+001F, without its lowest bit: days as numbers since 1970,
    booleans as 1 and 0, decimals by their bits, U+001E for null. The same on every platform and version; MD5 of
    the same text took a tenth of all the time of an ingest.
    """
    import polars_hash

    values = []
    for name, dtype in frame.schema.items():
        nulls = frame[name].null_count()
        if nulls == frame.height and name != frame.columns[-1]:
            # One text for all rows instead of one each; the last column keeps the number of rows.
            values.append(pl.lit(_NULL))
            continue
        if dtype == pl.Float64:
            bits = pl.Series(name, (frame[name].fill_null(0.0).to_numpy() + 0.0).view(np.int64))
            value = pl.when(pl.col(name).is_not_null()).then(pl.lit(bits)).cast(pl.String)
        elif dtype in (pl.Date, pl.Boolean):
            value = pl.col(name).cast(pl.Int32).cast(pl.String)
        else:
            value = pl.col(name).cast(pl.String)
        values.append(value.fill_null(_NULL) if nulls else value)
    text = frame.select(pl.concat_str(values, separator=_SEPARATOR).alias("text"))
    hashes = text.select(polars_hash.col("text").nchash.xxhash64()).to_series()
    return (hashes.to_numpy() >> np.uint64(1)).astype(np.int64)


_Run = tuple[np.ndarray, np.ndarray]
"""Sorted distinct keys (uint64) and the hash of each one's latest content (int64)."""


class VersionIndex:
    """The latest accepted version of every fact of a feed: hash of its key → hash of its content.

    Sorted runs of keys, each at least twice as long as the one after it: a batch is added as a new run, and
    runs are merged as they come to the same length, so that n keys cost n log n whatever the size of the
    batches. Runs of `LONGEST_RUN` keys are merged no more; 100 million keys are six of them, 16 bytes each.
    """

    def __init__(self, feed: Feed) -> None:
        names = [field.name for field in value_fields(feed)]
        self._content = [*names, "extra"]
        self._key = [pl.col(name) for name in feed.business_key]
        self._read = [*feed.business_key, "row_hash"]
        if has_uscc_sent(feed):
            # Parties without a unified code are told apart by what was sent instead, by other codes and by their names.
            party = [name for name in PARTY_COLUMNS if name in names]
            self._content.append(USCC_SENT)
            self._key += [
                pl.col(USCC_SENT),
                *(pl.when(pl.col("uscc").is_null()).then(name) for name in party),
            ]
            self._read = list(dict.fromkeys([*self._read, "uscc", USCC_SENT, *party]))
        self._runs: tuple[_Run, ...] = ()
        """The oldest first; of one key the newest run counts. Arrays in it never change."""

    def load(self, files: Sequence[Path]) -> None:
        """Take in accepted rows of the lake, files in the order in which they were ingested.

        Only the columns of the key are read, in pieces: memory does not grow with the files.
        """
        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=LOADED_ROWS, columns=self._read):
                    frame = pl.DataFrame(pl.from_arrow(batch))
                    self._remember(self._key_hashes(frame), frame["row_hash"].to_numpy())

    def state(self) -> tuple[_Run, ...]:
        """What `restore` brings back when a file has to be taken out again."""
        return self._runs

    def restore(self, state: tuple[_Run, ...]) -> None:
        self._runs = state

    def add(self, accepted: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
        """Row hashes of accepted rows in order, and which are exact duplicates; remembers the others."""
        hashes = hash_rows(accepted.select(self._content))
        duplicates = self._remember(self._key_hashes(accepted), hashes)
        return pl.Series("row_hash", hashes, dtype=pl.Int64), pl.Series(
            "duplicate", duplicates, dtype=pl.Boolean
        )

    def _key_hashes(self, rows: pl.DataFrame) -> np.ndarray:
        """Hashes that only live as long as the process.

        Two keys with one hash do no harm: a row is a duplicate only if its row hash, which covers the key,
        agrees too.
        """
        keys = rows.select(key.alias(str(place)) for place, key in enumerate(self._key))
        return keys.hash_rows(seed=1).to_numpy()

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
        repeats[first] = self._repeats_known(sorted_keys[first], sorted_hashes[first])
        last = np.append(first[1:], True)
        self._runs = _merged((*self._runs, (sorted_keys[last], sorted_hashes[last])))
        result = np.empty(len(keys), dtype=bool)
        result[order] = repeats
        return result

    def _repeats_known(self, keys: np.ndarray, hashes: np.ndarray) -> np.ndarray:
        """Which sorted, distinct keys have just this content as their latest version."""
        repeats = np.zeros(len(keys), dtype=bool)
        unknown = np.arange(len(keys))
        for run_keys, run_hashes in reversed(self._runs):
            places = np.minimum(np.searchsorted(run_keys, keys[unknown]), len(run_keys) - 1)
            known = run_keys[places] == keys[unknown]
            found = unknown[known]
            repeats[found] = run_hashes[places[known]] == hashes[found]
            unknown = unknown[~known]
        return repeats


def _merged(runs: tuple[_Run, ...]) -> tuple[_Run, ...]:
    """Runs with the last ones put together until each is at least twice as long as the next."""
    while len(runs) > 1:
        (old_keys, old_hashes), (new_keys, new_hashes) = runs[-2:]
        if len(old_keys) >= min(2 * len(new_keys), LONGEST_RUN):
            break
        keys = np.concatenate([old_keys, new_keys])
        hashes = np.concatenate([old_hashes, new_hashes])
        # Stable, so of equal keys the newer one comes last; two sorted halves are merged in one pass.
        order = np.argsort(keys, kind="stable")
        keys, hashes = keys[order], hashes[order]
        last = np.append(keys[1:] != keys[:-1], True)
        runs = (*runs[:-2], (keys[last], hashes[last]))
    return runs
