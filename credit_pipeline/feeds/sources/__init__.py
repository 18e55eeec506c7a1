"""Feeds that come from databases and HTTP APIs: each increment becomes an immutable file in landing.

From there it goes the way of all files: the same contract, ledger and provenance. `collect` is the one entrance;
`config` is what may be said in sources.yaml.
"""

from credit_pipeline.feeds.sources.collection import Collected, SourceReport, collect

__all__ = ["Collected", "SourceReport", "collect"]
