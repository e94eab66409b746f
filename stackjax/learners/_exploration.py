"""For how long learners explore by a schedule, whatever they are paid."""

from typing import Any

import numpy as np

from stackjax.protocols import Learner


def exploration(learner: Learner, arms: int) -> Any:
    """The rounds for which a learner says that it explores its `arms` first, 0 if it says nothing of it."""
    rounds_of = getattr(learner, "exploration", None)  # a learner of one's own may have it without being a `Bandit`
    return 0 if rounds_of is None else rounds_of(arms)


def explore_fraction(learner: Learner, arms: int, contexts: int, horizon: int) -> Any:
    """The share of the horizon that scheduled exploration takes: `min(1, contexts exploration(arms) / horizon)`.

    That is the first phase of the learners that explore for a given number of rounds and then commit, or start afresh,
    and of those that learn in phases of given lengths: before its end no payoff changes what they play. As a follower a
    learner explores under each of the leader's arms anew: it is the share if the leader plays all of them often enough.
    It is 0 for all other learners.

    **Arguments:** `learner`, as `play` takes it; `arms`, the player's own; `contexts`: 1 for a leader, for a follower
    the number of (joint) arms of the players before it; `horizon`, rounds.

    **Returns:** a float in [0, 1]; an array where the learner's parameters are arrays.

    **Raises:** `ValueError` that names the argument.

    >>> from stackjax.learners import ExploreThenCommit, PerArm, explore_fraction
    >>> explore_fraction(PerArm(ExploreThenCommit(10)), arms=3, contexts=2, horizon=600)
    0.1
    """
    check_counts(arms=arms, contexts=contexts, horizon=horizon)
    share = np.minimum(1.0, contexts * np.asarray(exploration(learner, arms), float) / horizon)
    return share if share.ndim else float(share)


def check_counts(**counts: Any) -> None:
    """Positive whole numbers, or a `ValueError` that names the argument."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
