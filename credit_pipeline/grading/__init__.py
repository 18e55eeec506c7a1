"""Stage 3, grading: from indicators to a score, a probability and a grade.

The names below are resolved on first use, so that importing this package costs nothing: scikit-learn is
needed to fit a scorecard, never to score with one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from credit_pipeline.grading.expert import expert_scorecard
    from credit_pipeline.grading.fitting import fit_scorecard
    from credit_pipeline.grading.scorecard import Scorecard
    from credit_pipeline.grading.training_data import NotEnoughLabels

__all__ = ["NotEnoughLabels", "Scorecard", "expert_scorecard", "fit_scorecard"]

_HOME = {
    "NotEnoughLabels": "training_data",
    "Scorecard": "scorecard",
    "expert_scorecard": "expert",
    "fit_scorecard": "fitting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
