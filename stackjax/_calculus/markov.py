"""Tabular Markov games: values of policies, how often states are visited, best responses.

Policies are per state: `[S, A_i]`, or `[H, S, A_i]` for a player who knows the time. Sums are written out, not
contracted: over a batch XLA makes loops of its own of small contractions, and one loop of plain arithmetic.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Scalar

from stackjax._calculus.entries import Entries, each, entries, joined, pack, unpack
from stackjax._calculus.linear import lapack_solve

#: A table of the states and of some players' actions, `[S, A_i, ...]`, with a leading time axis where it depends on it.
Table: TypeAlias = Float[Array, "..."]
#: Steps, of an episode or an elimination, up to which they are written one after the other, as XLA then fuses them.
UNROLLED = 16
#: Largest difference, as a share of the largest value that a game can have, at which two actions tie.
TIE = {8: 1e-9, 4: 1e-5}


def average(table: Table, policies: Sequence[Array | None], rest: int = 0) -> Table:
    """The mean of `[S, A_0, ..., A_{N-1}, ...]` over the actions of the players whose policies are given.

    **Arguments:** `policies`, one a player, `[S, A_i]` or `[H, S, A_i]`, None for those whose actions stay; `rest`: the
    number of axes after the players'.

    **Returns:** the table without those players' axes, and with a leading time axis if one of the policies has it.
    """
    still = [p if p is None or p.ndim == 2 else None for p in policies]
    table = _average(table, still, rest)
    left = [p for p, done in zip(policies, still, strict=True) if done is None]
    if all(p is None for p in left):
        return table
    return jax.vmap(lambda left: _average(table, left, rest))(left)


def _average(table: Table, policies: Sequence[Array | None], rest: int) -> Table:
    axis = 1
    for i, policy in enumerate(policies):
        if policy is None:
            axis += 1
            continue
        others = (1,) * (len(policies) - 1 - i + rest)
        weights = jnp.reshape(policy, (policy.shape[0], *(1,) * (axis - 1), policy.shape[1], *others))
        table = _sum_of_products(table, weights, axis)
    return table


def _sum_of_products(table: Array, weights: Array, axis: int) -> Array:
    """Summed over an axis; one by one where it is short, as a reduction over a short axis costs many times as much."""
    n = weights.shape[axis]
    if n > UNROLLED:
        return jnp.sum(table * weights, axis)
    pairs = zip(jnp.split(table, n, axis), jnp.split(weights, n, axis), strict=True)
    return jnp.squeeze(functools.reduce(jnp.add, (t * w for t, w in pairs)), axis)


def state_policy(policy: Array, observations: Array | None) -> Array:
    """What a policy `[..., O, A]` does in each state, `[..., S, A]`, its player seeing `observations [S, O]`."""
    if observations is None:
        return policy
    shape = policy.shape[:-2]
    weights = jnp.reshape(observations, (*(1,) * len(shape), *observations.shape, 1))
    return jnp.sum(weights * policy[..., None, :, :], -2)


@functools.partial(jax.jit, static_argnames="horizon", inline=True)
def visits(initial: Array, moves: Table, horizon: int | None, discount: Any) -> Array:
    """How often each state is visited: `[H, S]`, the states' distribution at each time, or `[1, S]`, discounted.

    **Arguments:** `moves`, `[S, S]` or `[H, S, S]`, from a state to the next. Discounted shares d sum to 1 and solve
    `d = (1 - discount) initial + discount moves' d`.
    """
    if horizon is None:
        identity = jnp.eye(initial.shape[-1], dtype=moves.dtype)
        return discounted_solve(identity - discount * moves.T, (1 - discount) * initial)[None]

    def step(now: Array, move: Array | None) -> tuple[Array, Array]:
        return jnp.sum(now[:, None] * (moves if move is None else move), 0), now

    steps = None if moves.ndim == 2 else moves
    return jax.lax.scan(step, initial, steps, length=horizon)[1]


@functools.partial(jax.jit, static_argnames="horizon", inline=True)
def payoffs(
    initial: Array,
    transitions: Table,
    rewards: Sequence[Table],
    policies: Sequence[Array],
    horizon: int | None,
    discount: Any,
) -> tuple[Scalar, ...]:
    """All players' payoffs per step, by following the states' distribution, or by its discounted sum."""
    if horizon is None:
        (often,) = visits(initial, average(transitions, policies, 1), None, discount)
        return tuple(_sum_of_products(average(r, policies), often, 0) for r in rewards)
    clocked = [p if p.ndim == 3 else None for p in policies]
    still = [p if p.ndim == 2 else None for p in policies]
    moves, paying = average(transitions, still, 1), [average(r, still) for r in rewards]
    size = moves.size
    moves, paying = entries(moves, size), [entries(r, size) for r in paying]

    def step(carry: Any, now: Sequence[Array | None]) -> tuple[Any, None]:
        state, paid = carry
        state = unpack(state)
        acting = [entries(p, size) for p in now if p is not None]
        paid = tuple(total + (state * _mean(r, acting, 0)).sum() for total, r in zip(paid, paying, strict=True))
        return (pack((state[:, None] * _mean(moves, acting, 1)).sum(0)), paid), None

    zero = jnp.zeros((), initial.dtype)
    start = pack(entries(initial, size)), (zero,) * len(rewards)
    return tuple(total / horizon for total in jax.lax.scan(step, start, clocked, length=horizon)[0][1])


def _mean(table: Entries, policies: Sequence[Entries], rest: int) -> Entries:
    """The mean over the actions of all players whose actions the table has, `rest` axes coming after theirs."""
    for i, policy in enumerate(policies):
        others = (1,) * (len(policies) - 1 - i + rest)
        table = (table * policy.reshape(*policy.shape, *others)).sum(1)
    return table


@functools.partial(jax.jit, static_argnames="horizon", inline=True)
def values_of_many(
    initial: Array,
    moves: Table,
    rewards: Table,
    policies: Sequence[Array],
    horizon: int | None,
    discount: Any,
) -> Float[Array, " P"]:
    """The payoffs per step of one player for P joint policies of the others, by the values of the time that is left.

    **Arguments:** `moves [S, A_i, ..., S]` and `rewards [S, A_i, ...]`, averaged over the players who do the same in
    all P cases; `policies`, of each of the others, `[S, A_i, P]` or `[H, S, A_i, P]`. The cases come last, as XLA
    vectorises over the last axis.
    """

    def mean(table: Array, now: Sequence[Array]) -> Array:
        for policy in now:
            others = (1,) * (table.ndim - 3)
            table = jnp.sum(table * jnp.reshape(policy, (*policy.shape[:2], *others, policy.shape[2])), 1)
        return table

    def first(value: Array) -> Array:
        return jnp.sum(initial[:, None] * value, 0)

    if horizon is None:
        move, reward = mean(moves[..., None], policies), mean(rewards[..., None], policies)
        identity = jnp.eye(move.shape[0], dtype=move.dtype)

        def one(move: Array, reward: Array) -> Array:
            return (1 - discount) * discounted_solve(identity - discount * move, reward)

        return first(jax.vmap(one, -1, -1)(move, reward))

    def step(value: Array, now: Sequence[Array | None]) -> tuple[Array, None]:
        known = [p if q is None else q for p, q in zip(policies, now, strict=True)]
        lined = jnp.reshape(value, (*(1,) * (moves.ndim - 1), *value.shape))
        return mean(rewards[..., None] + jnp.sum(moves[..., None] * lined, -2), known), None

    times = [p if p.ndim == 4 else None for p in policies]
    zero = jnp.zeros((initial.shape[0], policies[0].shape[-1]), rewards.dtype)
    unrolled = horizon <= UNROLLED
    return first(jax.lax.scan(step, zero, times, horizon, reverse=True, unroll=unrolled)[0]) / horizon


def discounted_solve(matrix: Float[Array, "S S"], vector: Float[Array, " S"]) -> Float[Array, " S"]:
    """Solve with the identity less a discounted transition matrix, or its transpose. Differentiable.

    Small ones by elimination without pivoting, which is stable as the diagonal dominates: a product for each state,
    where scalars, of which the solver of general systems is made, take many times as long to compile.
    """
    if vector.shape[0] > UNROLLED:
        return lapack_solve(matrix, vector)
    return jax.lax.custom_linear_solve(
        lambda v: jnp.sum(matrix * v[None], -1),
        vector,
        solve=lambda _, b: _eliminate(matrix, b),
        transpose_solve=lambda _, b: _eliminate(matrix.T, b),
    )


def _eliminate(matrix: Array, vector: Array) -> Array:
    rows = jnp.concatenate([matrix, vector[:, None]], 1)
    for k in range(vector.shape[0]):
        row = rows[k] / rows[k, k]
        others = rows[:, k].at[k].set(0)
        rows = (rows - others[:, None] * row[None]).at[k].set(row)
    return rows[:, -1]


class Response(NamedTuple):
    """One player's decision problem between fixed policies of the others.

    `moves [S, A, S]`, its `own` rewards and the `leader`'s, `[S, A]`, each with a leading time axis or without; `sign`:
    1 breaks ties for the leader and -1 against it.
    """

    moves: Table
    own: Table
    leader: Table
    sign: int


@functools.partial(jax.jit, static_argnames="horizon", inline=True)
def backward_induction(tables: Response, horizon: int) -> Float[Array, "H S A"]:
    """A player's best response to fixed policies over a horizon, deterministic, with ties broken as said.

    By values of the time that is left, the leader's among the player's best actions: exact, since every choice among
    tied actions is best for the player, so that the leader's preference is a decision problem over those alone.
    """
    states, actions = tables.own.shape[-2:]
    size = states * actions * states
    slack = _slack(entries(tables.own, size)) * horizon
    timed = [table if table.ndim > like else None for table, like in zip(tables[:3], (3, 2, 2), strict=True)]
    fixed = [table if more is not None else entries(table, size) for table, more in zip(tables[:3], timed, strict=True)]

    def step(values: Any, now: list[Array | None]) -> tuple[Any, Array]:
        moves, own, leader = (b if a is None else entries(a, size) for a, b in zip(now, fixed, strict=True))
        (q_own, best), (q_leader, _) = (_ahead(moves, r, unpack(v)) for r, v in zip((own, leader), values, strict=True))
        # The leader's value of an action that is among the best; nothing ranks below the others.
        pairs = zip(_columns(q_own), _columns(q_leader), strict=True)
        ranked = [
            each(lambda q, m, v: jnp.where(q >= m - slack, tables.sign * v, -jnp.inf), q, best, v) for q, v in pairs
        ]
        top = _best(ranked)
        policy = joined(_rows(_first(ranked, top))).astype(tables.own.dtype)
        return (pack(best), pack(each(lambda v: tables.sign * v, top))), _failed(policy, joined(best))

    zero = pack(entries(jnp.zeros(states, tables.own.dtype), size))
    return jax.lax.scan(step, (zero, zero), timed, length=horizon, reverse=True)[1]


def _ahead(moves: Entries, rewards: Entries, value: Entries) -> tuple[Entries, Entries]:
    """The values of all actions now and then as `value` says, and of the best of them."""
    q = rewards + (moves * value[None, None]).sum(-1)
    return q, _best(_columns(q))


def _first(columns: list[Entries], top: Entries) -> list[Entries]:
    """For each column, where it is the first that equals the top."""
    found: list[Entries] = []
    before = each(lambda t: jnp.zeros_like(t, bool), top)
    for column in columns:
        hit = each(lambda c, t, b: (c == t) & ~b, column, top, before)
        found.append(hit)
        before = each(jnp.logical_or, before, hit)
    return found


@functools.partial(jax.jit, inline=True)
def policy_iteration(tables: Response, discount: Scalar) -> Float[Array, "S A"]:
    """A player's best response to fixed policies in a discounted game, with ties broken as said.

    Policy iteration (Howard, 1960), which evaluates every policy exactly and ends after a few: first for the player,
    and then for the leader, or against it, over the actions that are best for the player.
    """
    size = tables.moves.size
    moves, own, leader = (entries(table, size) for table in (tables.moves, tables.own, tables.leader))
    slack = _slack(own) / (1 - discount)
    scales = _largest(own), _largest(leader)
    everything = each(lambda r: jnp.ones_like(r, bool), own)
    _, q = _iterated(moves, own, everything, discount, scales[0])
    best = _best(_columns(q))
    tied = _rows([each(lambda a, b: a >= b - slack, column, best) for column in _columns(q)])
    taken, preferred = _iterated(moves, each(lambda r: tables.sign * r, leader), tied, discount, scales[1])
    policy = joined(taken).astype(tables.own.dtype)
    return _failed(policy, joined(best) + joined(_best(_columns(preferred))))


def _columns(table: Entries) -> list[Entries]:
    return [table[:, a] for a in range(table.shape[1])]


def _rows(columns: Sequence[Entries]) -> Entries:
    """The inverse of `_columns`."""
    return (np if isinstance(columns[0], np.ndarray) else jnp).stack(columns, 1)


def _best(columns: Sequence[Entries]) -> Entries:
    return functools.reduce(lambda a, b: each(jnp.maximum, a, b), columns)


def _iterated(
    moves: Entries, rewards: Entries, allowed: Entries, discount: Scalar, scale: Scalar
) -> tuple[Entries, Entries]:
    """Which of the allowed actions are the best `[S, A]`, one a state, and the discounted values of all of them."""
    states, actions = rewards.shape
    dtype = scale.dtype
    # Improvements of a few units of rounding would go in circles.
    threshold = 16 * jnp.finfo(dtype).eps * scale / (1 - discount)

    def chosen(ranked: Entries) -> Entries:
        columns = _columns(ranked)
        return _rows(_first(columns, _best(columns)))

    def only(values: Entries) -> Entries:
        return each(lambda q, a: jnp.where(a, q, -jnp.inf), values, allowed)

    def improve(carry: Any) -> Any:
        packed, _, _, n = carry
        taken = unpack(packed).reshape(states, actions)
        weights = each(lambda t: t.astype(dtype), taken)
        move = joined((moves * weights[:, :, None]).sum(1))
        reward = joined((rewards * weights).sum(1))
        value = entries(discounted_solve(jnp.eye(states, dtype=dtype) - discount * move, reward), moves.size)
        q = each(lambda r, later: r + discount * later, rewards, (moves * value[None, None]).sum(-1))
        ranked = only(q)
        gain = each(lambda a, b: a > b + threshold, _best(_columns(ranked)), (q * weights).sum(1))
        better = chosen(ranked)
        new = _rows([each(jnp.where, gain, b, t) for b, t in zip(_columns(better), _columns(taken), strict=True)])
        return pack(new.ravel()), pack(q.ravel()), jnp.any(joined(gain)), n + 1

    enough = states * actions + 10
    start = pack(chosen(only(rewards)).ravel()), pack((rewards * 0).ravel()), jnp.asarray(True), jnp.int32(0)
    packed, q, _, _ = jax.lax.while_loop(lambda carry: carry[2] & (carry[3] < enough), improve, start)
    return unpack(packed).reshape(states, actions), unpack(q).reshape(states, actions)


def _largest(rewards: Entries) -> Scalar:
    if isinstance(rewards, np.ndarray):  # a reduction over a short axis costs many times as much
        return functools.reduce(jnp.maximum, map(jnp.abs, rewards.ravel()))
    return jnp.max(jnp.abs(rewards))


def _slack(rewards: Entries) -> Scalar:
    """The difference of one step's payoffs at which actions tie."""
    largest = _largest(rewards)
    return TIE[largest.dtype.itemsize] * largest


def _failed(policy: Array, values: Array) -> Array:
    """The policy, or NaN where values aren't finite: a failure must not look like a policy."""
    return jnp.where(jnp.all(jnp.isfinite(values)), policy, jnp.nan)
