"""Learners by their names: those of their classes, in small letters with dashes."""

import re
from collections.abc import Mapping
from typing import Any

from stackjax import learners
from stackjax.protocols import Learner


def name_of(kind: type[Learner]) -> str:
    """`HiC` is hi-c, `PhasedUCB` phased-ucb."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", kind.__name__).lower()


def is_tuned(kind: Any) -> bool:
    """Whether a class has parameters for a bandit and a horizon: a `tuned`."""
    return kind.has_tuned() if hasattr(kind, "has_tuned") else hasattr(kind, "tuned")


LEARNERS: Mapping[str, type[Learner]] = {
    name_of(kind): kind
    for kind in sorted(
        (value for value in vars(learners).values() if isinstance(value, type) and issubclass(value, Learner)),
        key=name_of,
    )
}
