"""Stackelberg bandits by name, on which pairs of learners tell themselves apart, and random families of them.

The named ones are of Donahue et al. (2024, Impact of Decentralized Learning on Player Utilities in Stackelberg Games),
but for `etc_failure2`, `aligned`, `ucb_trap2` and `self_trap2`, which were made for this purpose. Rows are the leader's
arms, entries `(u_1, u_2)`. Every function also takes the `noise` and `sigma` of `StackelbergBandit`; the default is
Bernoulli rewards where all means are away from 0 and 1 or it doesn't matter, else normal ones. The random families take
them by keyword, after the numbers of arms and `batch`: so many instances on a leading axis, for `in_axes`.
"""

import math
from typing import Any, Literal, TypedDict, Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from stackjax.checks import number
from stackjax.games.bandits import StackelbergBandit

Member = Literal["I", "J"]


class Rewards(TypedDict, total=False):
    """The noise of the rewards, as in `StackelbergBandit`."""

    noise: str
    sigma: Any


def impossibility(member: Member, d: Any = 0.01, noise: str = "gaussian", sigma: Any = 1.0) -> StackelbergBandit:
    """`(.6, d) (.2, 0 or 2 d)` and `(.5, .6) (.4, .4)`: the members I and J differ in one entry of the follower's.

    The Stackelberg values are (.6, d) in I and (.5, .6) in J: no pair of learners has a small regret against both.
    """
    return _pair(member, [[0.6, 0.2], [0.5, 0.4]], [[d, None], [0.6, 0.4]], d, noise, sigma)


def lower_bound(member: Member, d: Any = 0.01, noise: str = "gaussian", sigma: Any = 0.5) -> StackelbergBandit:
    """`(.5 + d, d) (0, 0 or 2 d)` and twice `(.5, 3 d)`.

    The tolerant benchmarks are (.5 + d, d) in I and (.5, 3 d) in J; with `d = T^(-1/3)` every pair of learners pays an
    order of T^(2/3) in one of them.
    """
    return _pair(member, [[0.5 + d, 0.0], [0.5, 0.5]], [[d, None], [3 * d, 3 * d]], d, noise, sigma)


def etc_failure(noise: str = "bernoulli", sigma: Any = 1.0) -> StackelbergBandit:
    """`(.6, .4) (.2, .2)` and `(.5, .3) (.4, .1)`: while the follower explores, the leader's worse arm looks better."""
    return StackelbergBandit([[0.6, 0.2], [0.5, 0.4]], [[0.4, 0.2], [0.3, 0.1]], noise, sigma)


def etc_failure2(noise: str = "bernoulli", sigma: Any = 1.0) -> StackelbergBandit:
    """`etc_failure` with wider gaps for the follower: `(.6, .4) (.2, 0)` and `(.5, .2) (.4, .1)`."""
    return StackelbergBandit([[0.6, 0.2], [0.5, 0.4]], [[0.4, 0.0], [0.2, 0.1]], noise, sigma)


def aligned(noise: str = "bernoulli", sigma: Any = 1.0) -> StackelbergBandit:
    """`u_1 = [[.9, .3], [.6, .5]]`, `u_2 = 1/4 + u_1 / 2`: the alignment constant is 2."""
    u1 = jnp.array([[0.9, 0.3], [0.6, 0.5]])
    return StackelbergBandit(u1, 0.25 + u1 / 2, noise, sigma)


def ucb_trap2(noise: str = "bernoulli", sigma: Any = 1.0) -> StackelbergBandit:
    """`(.6, .40) (0, .38)` and twice `(.5, .2)`: a follower that rarely errs ruins a leader that trusts its means."""
    return StackelbergBandit([[0.6, 0.0], [0.5, 0.5]], [[0.4, 0.38], [0.2, 0.2]], noise, sigma)


def self_trap2(noise: str = "bernoulli", sigma: Any = 1.0) -> StackelbergBandit:
    """`(1, .5) (0, .4)` and twice `(.8, 0)`: with gamma = .2 the self-tolerant benchmark is (.1, .1), not (.9, .1).

    A leader that believes in the mean of a phase, not in its best slot, ruins its follower.
    """
    return StackelbergBandit([[1.0, 0.0], [0.8, 0.8]], [[0.5, 0.4], [0.0, 0.0]], noise, sigma)


def uniform(
    key: PRNGKeyArray, leader_arms: int, follower_arms: int, batch: int | None = None, **rewards: Unpack[Rewards]
) -> StackelbergBandit:
    """Independent means, uniform in [0, 1]."""
    means = jax.random.uniform(key, (2, *_shape(leader_arms, follower_arms, batch)))
    return _drawn(means[0], means[1], **rewards)


def zero_sum(
    key: PRNGKeyArray, leader_arms: int, follower_arms: int, batch: int | None = None, **rewards: Unpack[Rewards]
) -> StackelbergBandit:
    """The leader's means uniform in [0, 1], the follower's `1 - u_1`."""
    means = jax.random.uniform(key, _shape(leader_arms, follower_arms, batch))
    return _drawn(means, 1 - means, **rewards)


def scaled_gaps(
    key: PRNGKeyArray,
    leader_arms: int,
    follower_arms: int,
    horizon: int,
    factor: float = 1.0,
    batch: int | None = None,
    **rewards: Unpack[Rewards],
) -> StackelbergBandit:
    """Means `1/2 + u factor sqrt(A B ln T / T)`, clipped to [0, 1], u independent and uniform in [-1, 1].

    Gaps of that order are those that T = `horizon` rounds can just tell apart: a learner's worst case over gaps is the
    largest regret over some `factor` > 0. The gaps' order is that of the bounds of Donahue et al. (2024); the family is
    a reconstruction.
    """
    number(horizon, "horizon", 1, open_low=False, whole=True)
    number(factor, "factor", 0.0)
    shape = _shape(leader_arms, follower_arms, batch)
    scale = factor * math.sqrt(leader_arms * follower_arms * math.log(horizon) / horizon)
    means = jnp.clip(0.5 + scale * jax.random.uniform(key, (2, *shape), minval=-1.0), 0.0, 1.0)
    return _drawn(means[0], means[1], **rewards)


def random_aligned(
    key: PRNGKeyArray,
    leader_arms: int,
    follower_arms: int,
    alignment: float,
    batch: int | None = None,
    **rewards: Unpack[Rewards],
) -> StackelbergBandit:
    """Means in [0, 1], ordered alike for both players, with the alignment constant L* = `alignment` >= 1.

    The leader's are uniform. From one outcome to the next in their order the follower's grow by those steps times a
    factor, log-uniform between 1 / L* and L* and one of these two once; then both are divided by the larger range.
    """
    number(alignment, "alignment", 1.0, open_low=False)
    shape = _shape(leader_arms, follower_arms, batch)
    u1 = jax.random.uniform(key, shape).reshape(*shape[:-2], -1)
    order = jnp.argsort(u1, axis=-1)
    steps = jnp.diff(jnp.take_along_axis(u1, order, -1), axis=-1)
    exponents = jax.random.uniform(jax.random.fold_in(key, 1), steps.shape, minval=-1.0, maxval=1.0)
    exponents = exponents.at[..., 0].set(jnp.where(exponents[..., 0] > 0, 1.0, -1.0)) if steps.shape[-1] else exponents
    grown = jnp.cumsum(steps * jnp.asarray(alignment) ** exponents, axis=-1)
    sorted2 = jnp.concatenate([jnp.zeros_like(u1[..., :1]), grown], axis=-1)
    u2 = jnp.take_along_axis(sorted2, jnp.argsort(order, axis=-1), -1)
    largest = jnp.maximum(jnp.max(u1, -1, keepdims=True), jnp.max(u2, -1, keepdims=True))
    return _drawn((u1 / largest).reshape(shape), (u2 / largest).reshape(shape), **rewards)


def _pair(member: str, u1: Any, u2: Any, d: Any, noise: str, sigma: Any) -> StackelbergBandit:
    if member not in ("I", "J"):
        raise ValueError(f'member: expected "I" or "J", got {member!r}')
    u2[0][1] = 0.0 if member == "I" else 2 * d
    return StackelbergBandit(jnp.asarray(u1), jnp.asarray(u2), noise, sigma)


def _shape(leader_arms: int, follower_arms: int, batch: int | None) -> tuple[int, ...]:
    for name, value in (("leader_arms", leader_arms), ("follower_arms", follower_arms), ("batch", batch)):
        if value is not None:
            number(value, name, 1, open_low=False, whole=True)
    return (leader_arms, follower_arms) if batch is None else (batch, leader_arms, follower_arms)


def _drawn(u1: Array, u2: Array, noise: str = "bernoulli", sigma: Any = 1.0) -> StackelbergBandit:
    """What a random family draws."""
    return StackelbergBandit(u1, u2, noise, sigma)
