"""The synthetic city: a whole Nanyang of enterprises with a hidden risk, and the files that offices send.

Here: generating the landing files of any size, with the dirt of real deliveries and an answer key to it.
Not here: reading those files (feeds) or judging what was read.
"""

from __future__ import annotations

from credit_pipeline.sample.generator import SampleSummary, generate

__all__ = ["SampleSummary", "generate"]
