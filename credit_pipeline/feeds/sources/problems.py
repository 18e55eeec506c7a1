"""Why a source could not be read, in words that the office can act on. Nothing else."""

from __future__ import annotations

from typing import Literal

from credit_pipeline.errors import CreditPipelineError

Reason = Literal[
    "configuration", "secret", "connection", "refused", "not_found", "bad_answer", "limit", "repeats", "disk",
    "unexpected",
]  # fmt: skip
"""What goes into the audit log instead of the message: a word that can hold no secret."""


class SourceProblem(CreditPipelineError):
    """A source failed. Holds no secret: whoever raises it has redacted what servers and libraries said."""

    def __init__(self, reason: Reason, message: str, remedy: str) -> None:
        super().__init__(f"{message}; remedy: {remedy}")
        self.reason, self.message, self.remedy = reason, message, remedy
