"""What bandit learners share: statistics of arms, and the check that nobody puts a bare one behind a leader."""

import math
import warnings
from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from stackjax.checks import number
from stackjax.learners._exploration import check_counts, explore_fraction
from stackjax.learners.per_arm import PerArm
from stackjax.phases import LONGEST
from stackjax.protocols import Learner, Signal, View
from stackjax.spaces import Arms

Role = Literal["leader", "follower"]
_MOST_PHASES = 28  # that many reach any horizon that a counter can count
FAR = 1e30  # stands for infinity: states are finite


class Arm(NamedTuple):
    """Pulls, the mean payoff, and 1 / sqrt(pulls): an index reads it of every arm, an update changes one."""

    pulls: Any
    mean: Any
    width: Any

    def observe(self, payoff: Array) -> "Arm":
        """One more pull."""
        n = self.pulls + 1
        return Arm(n, self.mean + (payoff - self.mean) / n, jnp.sqrt(1 / n))


def fresh(arms: int, dtype: Any) -> Arm:
    """Arms that were never pulled."""
    return Arm(jnp.zeros(arms, dtype), jnp.zeros(arms, dtype), jnp.full(arms, FAR, dtype))


def unpulled_first(arms: Arm, index: Array) -> Array:
    """The index, infinite where an arm was never pulled."""
    return jnp.where(arms.pulls[:] == 0, jnp.inf, index)


class Clocked(NamedTuple):
    """The number of updates so far, and statistics of the arms."""

    t: Any
    arms: Any


class Bandit(Learner):
    """A learner of arms that sees its own payoffs; with `see_others` also the others' arms after the round.

    As a follower it must be put into `PerArm`, which gives it a memory for each arm of the leader.
    """

    see_others: bool = eqx.field(static=True, default=False, kw_only=True)
    #: What it wants if nothing else is asked for; `wants` is a property of an instance.
    usually: ClassVar[Signal] = Signal.PAYOFF
    #: Whether its `tuned` parameters are also those of a follower.
    follows: ClassVar[bool] = True

    @property
    def wants(self) -> Signal:
        """Its payoff, and what `see_others` asks for."""
        return Signal.PAYOFF | Signal.OTHERS if self.see_others else Signal.PAYOFF

    def requires(self, view: View) -> dict[str, Any]:
        """A player of arms, in the first level."""
        name = type(self).__name__
        if not isinstance(view.space, Arms):
            raise ValueError(f"player {view.player}: {name} is a learner of arms, its space is {view.space}")
        if view.earlier:
            raise ValueError(
                f"player {view.player} follows, so {name} would mix up what it learns under different arms of the "
                f"leader: expected PerArm({name}(...))"
            )
        return self.hyper_parameters()

    def hyper_parameters(self) -> dict[str, Any]:
        """What they must satisfy: see `Learner.requires`."""
        return {}

    def exploration(self, arms: int) -> Any:
        """The rounds of its first phase, in which it pulls its `arms` in turn whatever they pay."""
        return 0

    @classmethod
    def tuned(
        cls,
        horizon: int,
        leader_arms: int,
        follower_arms: int,
        role: Role,
        *,
        noise: Literal["gaussian", "bernoulli"] = "gaussian",
        sigma: float = 1.0,
        lipschitz: float | None = None,
    ) -> Learner:
        """The parameters for which its regret bound is shown, as functions of the horizon and the numbers of arms.

        **Arguments:** `horizon` T, rounds; `leader_arms` A, `follower_arms` B; `role`: "leader", or "follower", for
        which the learner comes wrapped in `PerArm`; `noise`, `sigma`: of the game's rewards, for the confidence widths;
        `lipschitz`: how far utilities are aligned, at least the instance's `equilibria.alignment_constant`.
        `LipschitzUCB` can't do without it, the others don't use it.

        **Raises:** `ValueError` that names the argument. It warns (`UserWarning`) if `explore_fraction` is above 1/2; a
        learner whose schedule is longer than the horizon just keeps exploring.
        """
        check_counts(horizon=horizon, leader_arms=leader_arms, follower_arms=follower_arms)
        if role not in ("leader", "follower"):
            raise ValueError(f'role: expected "leader" or "follower", got {role!r}')
        if noise not in ("gaussian", "bernoulli"):
            raise ValueError(f'noise: expected "gaussian" or "bernoulli", got {noise!r}')
        if lipschitz is not None:
            number(lipschitz, "lipschitz", 0.0)
        width = 1.0 if noise == "bernoulli" else 2.0 * sigma
        problem = Problem(horizon, leader_arms, follower_arms, role, width, lipschitz)
        learner = cls._tuned(problem, noise, sigma)
        share = explore_fraction(learner, problem.arms, 1 if role == "leader" else leader_arms, horizon)
        if share > 0.5:
            warnings.warn(
                f"horizon: {cls.__name__} ({role}) would explore in {100 * share:.0f} % of {horizon} rounds, more than "
                "half of them; take a longer horizon, or parameters of your own",
                stacklevel=2,
            )
        if role == "leader":
            return learner
        return PerArm(learner)

    @classmethod
    def has_tuned(cls) -> bool:
        """Whether there are such parameters."""
        return getattr(cls._tuned, "__func__", None) is not getattr(Bandit._tuned, "__func__", None)

    @classmethod
    def _tuned(cls, problem: "Problem", noise: str, sigma: float) -> Learner:
        raise NotImplementedError(f"{cls.__name__} has no tuned parameters")


class Problem(NamedTuple):
    """What the tuned parameters are functions of; `width` is c, 1 for Bernoulli rewards and 2 sigma for normal ones."""

    horizon: int
    leader_arms: int
    follower_arms: int
    role: str
    width: float
    lipschitz: float | None

    @property
    def arms(self) -> int:
        """The player's own."""
        return self.leader_arms if self.role == "leader" else self.follower_arms

    def explore(self, arms: float) -> int:
        """`ceil(arms^(-2/3) (ln T)^(1/3) T^(2/3))`, at least 1."""
        return max(1, math.ceil(arms ** (-2 / 3) * math.log(self.horizon) ** (1 / 3) * self.horizon ** (2 / 3)))

    def phases(self) -> tuple[int, ...]:
        """`M_p = 8 * 2^(p-1)`, the last one only as long as its slots need to reach the horizon.

        It is repeated, as it would be after the horizon, so that all horizons have as many, and one program serves
        them.
        """
        found: list[int] = []
        slots = self.follower_arms
        while (left := self.horizon - slots * sum(found)) > 0:
            found.append(min(8 * 2 ** len(found), math.ceil(left / slots)))
        return (*found, *[found[-1]] * (_MOST_PHASES - len(found)))


def log_horizon(horizon: Any, dtype: Any) -> Array:
    """`ln T`."""
    return jnp.log(jnp.asarray(horizon).astype(dtype))


def is_positive(value: Any) -> Array:
    """Whether it is above 0."""
    return jnp.asarray(value) > 0


def is_whole(value: Any, least: int) -> Array:
    """Whether it is a whole number, at least `least`."""
    number = jnp.asarray(value)
    return number >= least if jnp.issubdtype(number.dtype, jnp.integer) else jnp.asarray(False)


def in_turn(pulls: Any, arms: int) -> Array:
    """The rounds in which each arm is pulled so often, at most all rounds that a counter can count."""
    return jnp.minimum(pulls, LONGEST // arms) * arms
