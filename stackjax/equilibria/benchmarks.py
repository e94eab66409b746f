"""What the players of a Stackelberg bandit are measured against: exact benchmarks, and how far their payoffs agree.

With `gap(a, b) = max_b' U2[a, b'] - U2[a, b]`, a follower that errs by up to eps replies to a with one of
`B_eps(a) = {b : gap(a, b) <= eps}`, and a leader that does plays one of
`A_eps = {a : max_{b in B_eps(a)} U1[a, b] >= max_a' min_{b in B_eps(a')} U1[a', b] - eps}`.

Source: Donahue, Immorlica, Jagadeesan, Lucier and Slivkins, "Impact of Decentralized Learning on Player Utilities in
Stackelberg Games" (ICML 2024, arXiv 2403.00188), known here by a talk and a summary of it. Each docstring says what is
theirs as printed there and what is a reconstruction.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Scalar

from stackjax.checks import as_number, concrete, number

Matrix = Float[Array, "A B"]


class Benchmark(NamedTuple):
    """What each player is compared with: `R_i(T) = values[i] T - E sum_t U_i(a_t, b_t)` is its regret.

    **Attributes:**

    - `values`: `[..., 2]`, the leader's and the follower's, in units of payoff; leading axes as the instances'.
    - `epsilons`: `[..., 2]`, the smallest error eps at which each infimum is attained, in units of payoff; 0 where the
      benchmark tolerates no errors.
    """

    values: Float[Array, "*batch 2"]
    epsilons: Float[Array, "*batch 2"]


def stackelberg_benchmarks(U1: Any, U2: Any) -> Benchmark:
    """What both players get in the pure Stackelberg equilibrium: `U_i[a*, b*(a*)]`, where no one errs.

    The follower's ties are broken against the leader, and the leader's to the lowest index; what is left of the
    follower's, which are worth the same to the leader, to the lowest index too.

    Origin: the equilibrium is the source's, the rules for ties are a reconstruction.

    **Arguments:** `U1`, `U2`: mean payoffs of the leader and of the follower, finite, both `[..., A, B]`; the leader
    chooses the row. Leading axes are those of a batch of instances.

    **Returns:** a `Benchmark`, of which all `epsilons` are 0.

    **Raises:** `TypeError` or `ValueError` that names the argument. Inside jit or vmap only shapes and types are known,
    and an instance with payoffs that aren't finite gets NaN.

    Computed in the payoffs' floating-point type, but at least in float32. Payoffs are tied if they differ by at most
    1e-9 in float64, 1e-6 in float32, of that player's largest absolute payoff in the instance.

    >>> from stackjax.equilibria.benchmarks import stackelberg_benchmarks
    >>> stackelberg_benchmarks([[4.0, 1.0], [2.0, 3.0]], [[1.0, 1.0], [0.0, 1.0]]).values.tolist()
    [3.0, 1.0]
    """
    return Benchmark(*_stackelberg(*_payoffs(U1, U2)))


def tolerant_benchmarks(U1: Any, U2: Any, gamma: Any) -> Benchmark:
    """The gamma-tolerant benchmarks: what is left to a player if the other one errs by up to gamma, and at which error.

    - leader: `inf_{eps <= gamma} [ max_a min_{b in B_eps(a)} U1[a, b] + eps ]`
    - follower: `inf_{eps <= gamma} [ min_{a in A_eps} max_b U2[a, b] + eps ]`

    Not above the Stackelberg values, and not increasing in gamma.

    Origin: both definitions, `B_eps` and `A_eps` are the source's. How they're evaluated is ours: both sets only grow
    with eps, and contain their breakpoints, so that each infimum is attained at one of finitely many known ones.

    **Arguments:**

    - `U1`, `U2`: mean payoffs of the leader and of the follower, finite, both `[..., A, B]`; the leader chooses the
      row. Leading axes are those of a batch of instances.
    - `gamma`: the largest error, at least 0, in units of payoff: a number, or an array that broadcasts against those
      leading axes.

    **Returns:** a `Benchmark`, exact but for rounding.

    **Raises:** `TypeError` or `ValueError` that names the argument. Inside jit or vmap only shapes and types are known,
    and an instance with payoffs that aren't finite, or a negative gamma, gets NaN.

    Computed in the payoffs' floating-point type, but at least in float32. Numbers are tied if they differ by at most
    1e-9 in float64, 1e-6 in float32, of the instance's largest absolute payoff (the follower's, for its gaps).

    >>> from stackjax.equilibria.benchmarks import tolerant_benchmarks
    >>> tolerant_benchmarks([[1.0, 0.0], [0.75, 0.75]], [[0.5, 0.375], [0.0, 0.0]], gamma=0.25)
    Benchmark(values=Array([0.875, 0.125], dtype=float32), epsilons=Array([0.125, 0.125], dtype=float32))
    """
    U1, U2 = _payoffs(U1, U2)
    return Benchmark(*_tolerant(U1, U2, _gamma(gamma, U1))[:2])


def self_tolerant_benchmarks(U1: Any, U2: Any, gamma: Any) -> Benchmark:
    """The self-gamma-tolerant benchmarks: what is left to player i if both players err by up to gamma.

    `inf_{eps <= gamma} [ min_{a in A_eps} min_{b in B_eps(a)} U_i[a, b] + eps ]`; not above the tolerant ones.

    Origin: the definition is a reconstruction and not the source's text, which says only that this benchmark also
    tolerates the player's own errors. `B_eps` and `A_eps` are the source's.

    Arguments, result, errors and tolerance as of `tolerant_benchmarks`.

    >>> from stackjax.equilibria.benchmarks import self_tolerant_benchmarks
    >>> self_tolerant_benchmarks([[1.0, 0.0], [0.75, 0.75]], [[0.5, 0.375], [0.0, 0.0]], gamma=0.25)
    Benchmark(values=Array([0.125, 0.125], dtype=float32), epsilons=Array([0.125, 0.125], dtype=float32))
    """
    U1, U2 = _payoffs(U1, U2)
    return Benchmark(*_tolerant(U1, U2, _gamma(gamma, U1))[2:])


def alignment_constant(U1: Any, U2: Any) -> Float[Array, "*batch"]:
    """How far the players agree on how much outcomes differ: L* >= 1, the largest `|dU1| / |dU2|` or its inverse.

    The maximum is over all pairs of outcomes `(a, b)`. A pair that both players are indifferent to is skipped; if only
    one of them is, L* is infinite. It is 1 if there is no pair to compare.

    Origin: the constant is the source's. That absolute values are meant, so that a zero-sum game has L* = 1, and the
    value where there is no pair, are a reconstruction.

    **Arguments:** `U1`, `U2`: as of `stackelberg_benchmarks`, and so are errors and ties, which are differences of 0.

    **Returns:** L*, an array with the instances' leading axes.

    A ratio is as exact as its differences: payoffs that are known to 1e-7 (float32) and differ by 0.01 give 1e-5.

    >>> from stackjax.equilibria.benchmarks import alignment_constant
    >>> float(alignment_constant([[4.0, 1.0], [2.0, 3.0]], [[2.0, 0.0], [1.0, 1.5]]))
    2.0
    """
    return _alignment(*_payoffs(U1, U2))


def _instances(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Jit what is written for one instance, over any leading axes; where the input is invalid, it is NaN."""

    def decorate(compute: Callable[..., Any]) -> Any:
        @functools.partial(jnp.vectorize, signature=signature)  # what is the same for several gamma is computed once
        def batched(U1: Matrix, U2: Matrix, *gamma: Scalar) -> Any:
            valid = jnp.all(jnp.isfinite(U1) & jnp.isfinite(U2))
            for error in gamma:
                valid &= error >= 0
            return jax.tree.map(lambda x: jnp.where(valid, x, jnp.nan), compute(U1, U2, *gamma))

        @jax.jit
        @functools.wraps(compute)
        def computed(U1: Array, U2: Array, *gamma: Array) -> Any:
            ranks = [U1.ndim - 2, U2.ndim - 2, *(error.ndim for error in gamma)]
            inputs = zip((U1, U2, *gamma), ranks, strict=True)  # of equal rank, lest strict rank promotion refuse them
            return batched(*(jnp.expand_dims(x, range(max(ranks) - rank)) for x, rank in inputs))

        return computed

    return decorate


@_instances("(a,b),(a,b)->(i),(i)")
def _stackelberg(U1: Matrix, U2: Matrix) -> tuple[Array, ...]:
    best = _gaps(U2) <= _tolerance(U2)
    replies = jnp.where(best, U1, jnp.inf)
    worst = jnp.min(replies, axis=1)
    a = jnp.argmax(worst >= jnp.max(worst) - _tolerance(U1))
    b = jnp.argmin(replies[a])
    return jnp.stack([U1[a, b], U2[a, b]]), jnp.zeros(2, U1.dtype)


@_instances("(a,b),(a,b),()->(i),(i),(i),(i)")
def _tolerant(U1: Matrix, U2: Matrix, gamma: Scalar) -> tuple[Array, ...]:
    """The tolerant benchmark, then the self-tolerant one: nearly all of the work is the same."""
    gaps = _gaps(U2)
    worst, entry = _breakpoints(U1, U2, gaps)
    eps = jnp.maximum(entry[:, None], gaps)  # from which on the outcome (a, b) is tolerated
    least = functools.partial(_least, gamma=gamma, tolerance=_tolerance(U1, U2))
    tolerant = least(worst, gaps.ravel()), least(jnp.max(U2, axis=1), entry)
    self_tolerant = least(U1, eps), least(U2, eps)
    return tuple(jnp.stack(players) for each in (tolerant, self_tolerant) for players in zip(*each, strict=True))


@_instances("(a,b),(a,b)->()")
def _alignment(U1: Matrix, U2: Matrix) -> Scalar:
    players = [(U.ravel(), _tolerance(U)) for U in (U1, U2)]

    def largest(outcome: Int[Array, ""]) -> Scalar:
        """Over its pairs with all of the outcomes."""
        differences = [jnp.abs(entries - entries[outcome]) for entries, _ in players]
        d1, d2 = (jnp.where(d > tolerance, d, 0) for d, (_, tolerance) in zip(differences, players, strict=True))
        larger, smaller = jnp.maximum(d1, d2), jnp.minimum(d1, d2)
        ratio = jnp.where(smaller > 0, larger / jnp.where(smaller > 0, smaller, 1), jnp.inf)
        return jnp.max(jnp.where(larger > 0, ratio, 1))

    return jnp.max(jax.lax.map(largest, jnp.arange(U1.size)))


def _gaps(U2: Matrix) -> Matrix:
    return jnp.max(U2, axis=1, keepdims=True) - U2


def _breakpoints(U1: Matrix, U2: Matrix, gaps: Matrix) -> tuple[Float[Array, "AB"], Float[Array, "A"]]:
    """`max_a min_{b in B_eps(a)} U1[a, b]` where eps is each of the gaps, and the eps from which on a is in `A_eps`.

    From one gap to the next `B_eps` doesn't change, and a is in `A_eps` where `eps >= worst - best[a]`. At the next gap
    the right-hand side is not larger: a value of `max(gap, worst - best[a])` beyond it isn't the least, and needn't be
    excluded, nor must gaps be sorted.
    """
    tolerance = _tolerance(U2)

    def at(entry: Float[Array, "A"], eps: Scalar) -> tuple[Float[Array, "A"], Scalar]:
        tolerated = gaps <= eps + tolerance  # b is in B_eps(a)
        worst = jnp.max(jnp.min(jnp.where(tolerated, U1, jnp.inf), axis=1))
        best = jnp.max(jnp.where(tolerated, U1, -jnp.inf), axis=1)
        return jnp.minimum(entry, jnp.maximum(eps, worst - best)), worst

    # One gap after the other: [AB, A, B] at once would take far more memory, and time, for many instances.
    entry, worst = jax.lax.scan(at, jnp.full(gaps.shape[:1], jnp.inf, gaps.dtype), gaps.ravel())
    return worst, entry


def _least(payoffs: Array, eps: Array, *, gamma: Scalar, tolerance: Scalar) -> tuple[Scalar, Scalar]:
    """The least `payoffs + eps` where `eps <= gamma`, and the smallest such eps."""
    values = jnp.where(eps <= gamma + tolerance, payoffs + eps, jnp.inf)
    value = jnp.min(values)
    attained: Bool[Array, "..."] = values <= value + tolerance
    return value, jnp.minimum(jnp.min(jnp.where(attained, eps, jnp.inf)), gamma)


def _tolerance(*matrices: Matrix) -> Scalar:
    """What counts as a tie, in units of payoff: well above the rounding of payoffs of this size."""
    relative = 1e-9 if matrices[0].dtype == jnp.float64 else 1e-6
    return relative * functools.reduce(jnp.maximum, [jnp.max(jnp.abs(U)) for U in matrices])


# What comes in


def _payoffs(U1: Any, U2: Any) -> tuple[Array, Array]:
    """Payoffs as arrays of one floating-point type, checked as far as their values are known."""
    first, second = (_numbers(U, name) for U, name in ((U1, "U1"), (U2, "U2")))
    for U, name in ((first, "U1"), (second, "U2")):
        if U.ndim < 2:
            raise ValueError(f"{name}: expected an array [..., A, B], got the shape {U.shape}")
        if 0 in U.shape[-2:]:
            raise ValueError(f"{name}: expected at least one action a player, got the shape {U.shape}")
        if concrete(U) and not np.all(np.isfinite(np.asarray(U))):
            raise ValueError(f"{name}: expected finite numbers, got {U}")
    if first.shape != second.shape:
        raise ValueError(
            f"U1, U2: expected the same shape (the leader chooses the row in both), "
            f"got {first.shape} and {second.shape}"
        )
    first, second = jnp.asarray(first), jnp.asarray(second)
    dtype = jnp.float64 if jnp.float64 in (first.dtype, second.dtype) else jnp.float32
    return first.astype(dtype), second.astype(dtype)


def _gamma(gamma: Any, payoffs: Array) -> Array:
    """`gamma` in the payoffs' type, checked likewise."""
    gamma = _numbers(gamma, "gamma")
    number(gamma, "gamma", 0.0, open_low=False)
    try:
        np.broadcast_shapes(payoffs.shape[:-2], gamma.shape)
    except ValueError as error:
        raise ValueError(
            f"gamma: expected a number, or an array that broadcasts against the instances' leading axes "
            f"{payoffs.shape[:-2]}, got the shape {gamma.shape}"
        ) from error
    return jnp.asarray(gamma, payoffs.dtype)


def _numbers(values: Any, name: str) -> Any:
    """An array of floating-point numbers, of NumPy if there is no array yet."""
    array = values
    if not hasattr(values, "dtype"):
        try:
            array = np.asarray(values) if concrete(values) else jnp.asarray(values)
        except ValueError as error:  # rows of different lengths
            raise TypeError(f"{name}: expected an array of numbers, got {values!r}") from error
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer)):
        raise TypeError(f"{name}: expected real numbers, got {values!r}")
    return as_number(array)
