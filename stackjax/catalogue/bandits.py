"""Stackelberg bandits by their names, and the learners that are tuned to one and a horizon."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stackjax.catalogue.learners import LEARNERS, is_tuned
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.learners import BestResponse, EpsilonBestResponse, EpsilonGreedy, LipschitzUCB, PerArm
from stackjax.protocols import Learner

Tuned = Callable[[StackelbergBandit, int], Learner]


@dataclass(frozen=True)
class InstanceEntry:
    """A Stackelberg bandit on which learners tell themselves apart.

    **Attributes:**

    - `make`: makes it for a horizon; keywords `noise` and `sigma` as in `StackelbergBandit` take the place of its own.
    - `title`, `summary`: its name, and a line about it.
    - `gamma`: the largest error that its tolerant benchmarks tolerate if nothing else is asked for.
    """

    make: Callable[..., StackelbergBandit]
    title: str
    summary: str
    gamma: float = 0.05


def _always(make: Callable[..., StackelbergBandit], *about: Any) -> InstanceEntry:
    """An instance that is the same at every horizon."""
    return InstanceEntry(lambda horizon, **rewards: make(**rewards), *about)


def _lower_bound(member: Literal["I", "J"]) -> InstanceEntry:
    def make(horizon: int, **rewards: Any) -> StackelbergBandit:
        return bandit_instances.lower_bound(member, horizon ** (-1 / 3), **rewards)

    return InstanceEntry(make, f"Lower bound, {member}", "in I or J every pair pays an order of T^(2/3); d = T^(-1/3)")


def _impossibility(member: Literal["I", "J"]) -> InstanceEntry:
    def make(horizon: int, **rewards: Any) -> StackelbergBandit:
        return bandit_instances.impossibility(member, 0.25 / horizon**0.5, **rewards)

    about = "no pair is sublinear against the Stackelberg values in I and in J; d = .25 / sqrt(T)"
    return InstanceEntry(make, f"Impossibility, {member}", about)


INSTANCES: Mapping[str, InstanceEntry] = {
    "aligned": _always(bandit_instances.aligned, "Aligned utilities", "what is good for one is for the other: L* = 2"),
    "etc-failure": _always(
        bandit_instances.etc_failure,
        "ETC's failure",
        "while the follower explores, the leader's worse arm looks better",
    ),
    "etc-failure2": _always(
        bandit_instances.etc_failure2, "ETC's failure, wide gaps", "etc-failure with wider gaps for the follower"
    ),
    "impossibility-i": _impossibility("I"),
    "impossibility-j": _impossibility("J"),
    "lower-bound-i": _lower_bound("I"),
    "lower-bound-j": _lower_bound("J"),
    "self-trap2": _always(
        bandit_instances.self_trap2, "Self-tolerance", "a leader that trusts a phase's mean ruins its follower", 0.2
    ),
    "ucb-trap2": _always(
        bandit_instances.ucb_trap2,
        "UCB's trap",
        "a follower that rarely errs ruins a leader that trusts its means",
        0.01,
    ),
}

#: Families of random bandits: `bandit_instances` has a function for each.
FAMILIES: Mapping[str, str] = {
    "random-aligned": "both order their outcomes alike; L* is as asked for",
    "scaled-gaps": "means as close to 1/2 as the horizon can just tell apart",
    "uniform": "independent means, uniform in [0, 1]",
    "zero-sum": "what one gets the other doesn't: u_2 = 1 - u_1",
}

#: The learners with a `tuned`.
TUNED: Mapping[str, Any] = {name: kind for name, kind in LEARNERS.items() if is_tuned(kind)}


def tuned(learner: Any, role: str, game: StackelbergBandit, horizon: int) -> Learner:
    """A leader or follower of a class with a `tuned`, for a bandit and a horizon."""
    arms = [space.n for space in game.spaces]
    own: dict[str, float] = {}
    if learner is LipschitzUCB:  # of a batch what serves all of its instances
        from stackjax.equilibria import alignment_constant  # here, as it takes long to import

        own["lipschitz"] = float(alignment_constant(game.leader_means, game.follower_means).max())
        if math.isinf(own["lipschitz"]):
            raise ValueError(
                "lipschitz-ucb: expected aligned utilities; here one player is indifferent between outcomes that "
                "differ for the other, so that no radius covers the follower's errors"
            )
    return learner.tuned(horizon, *arms, role, noise=game.noise, sigma=float(game.sigma), **own)


_EPSILON = 0.05  # greedy ones explore so often, best responses err so much: the instances' usual gamma

#: Leaders of a Stackelberg bandit: functions of the game and the horizon. Epsilon-greedy ones aren't tuned.
LEADERS: Mapping[str, Tuned] = {
    **{name: functools.partial(tuned, each, "leader") for name, each in TUNED.items()},
    "epsilon-greedy": lambda game, horizon: EpsilonGreedy(_EPSILON),
}
#: Followers likewise; best responses know their payoffs, and the one that errs, against the leader, the whole game.
FOLLOWERS: Mapping[str, Tuned] = {
    **{name: functools.partial(tuned, each, "follower") for name, each in TUNED.items() if each.follows},
    "best-response": lambda game, horizon: BestResponse(),
    "epsilon-best-response": lambda game, horizon: EpsilonBestResponse(_EPSILON, ties="against"),
    "epsilon-greedy": lambda game, horizon: PerArm(EpsilonGreedy(_EPSILON)),
}
#: Short names.
ALIASES: Mapping[str, str] = {
    "aae": "active-arm-elimination",
    "etc": "explore-then-commit",
    "etc-throw-out": "explore-then-commit-throw-out",
    "etucb": "explore-then-ucb",
    "thompson": "thompson-sampling",
}
#: The pairs (leader, follower) that are compared if none are asked for.
PAIRS = (("etc", "etc"), ("etucb", "etc"), ("ucb", "ucb"))
