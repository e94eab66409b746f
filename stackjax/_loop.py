"""The compiled part of `play`: one round for one replicate, vmapped once; blocks of rounds between record points."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from stackjax._dependence import depends
from stackjax._noise import BEFORE, round_key
from stackjax.protocols import Game, Learner, RealisedGame, Seen, Signals, View, level_of, same_structure

OK, NON_FINITE, LEFT_SPACE = 0, 1, 2
_PART = 256  # rounds whose payoffs are added up before they are added to the block's


class Replicate(NamedTuple):
    """What one replicate carries from round to round."""

    states: tuple[Any, ...]
    status: Any  # int32
    failed_at: Any  # int32: the first invalid recorded round, else -1
    payoffs: Any  # sums over the current block; if none are recorded one that only tells failures
    calls: tuple[Any, ...]  # sums over the current block
    actions: tuple[Any, ...]  # last played


class Recording(NamedTuple):
    """What a run records; static."""

    payoffs: str | None
    strategies: bool
    metrics: Callable[..., dict[str, Any]] | None


class Players:
    """The game and its learners in one replicate: everything that they do in a round, and nothing about batches."""

    def __init__(self, game: Game, learners: tuple[Learner, ...], words: Array, start: tuple[Any, ...], dtype: Any):
        self.game, self.learners, self.words, self.dtype = game, learners, words, dtype
        self.players = range(len(learners))
        self.views = [self._view(i, game, start[i]) for i in self.players]

    def _view(self, i: int, game: Game, start: Any) -> View:
        return View(self.learners[i], game, i, start, self.dtype)

    def key(self, player: int | None, round_: Any, replicate: Array) -> Any:
        """The round's key of a player, or of the game (None)."""
        return round_key(self.words[0 if player is None else player + 1], round_, replicate)

    def init(self, replicate: Array) -> tuple[Any, ...]:
        """Every learner's state before the first round."""
        return tuple(
            learner.init(view, self.key(i, BEFORE, replicate))
            for i, (learner, view) in enumerate(zip(self.learners, self.views, strict=True))
        )

    def in_order(self, choose: Callable[[int, Seen], Any], game_noise: Any) -> tuple[Any, ...]:
        """One action a player, each choosing after having seen those of earlier levels."""
        actions: list[Any] = [None] * len(self.players)
        for i in self.players:
            mine = level_of(self.game, i)
            earlier = tuple(a if level_of(self.game, j) < mine else None for j, a in enumerate(actions))
            actions[i] = choose(i, Seen(self.views[i], earlier, self._ask(earlier, game_noise)))
        return tuple(actions)

    def _ask(self, earlier: tuple[Any, ...], game_noise: Any) -> Callable[[int, PyTree], PyTree]:
        def ask(player: int, observations: PyTree) -> PyTree:
            if earlier[player] is None:
                raise ValueError(f"seen.ask: player {player} doesn't move before the player who asks")
            return self.game.answer(game_noise, player, earlier[player], observations)

        return ask

    def strategies(self, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """What every learner reports as its strategy, later levels seeing earlier strategies."""
        return self.in_order(lambda i, seen: self.learners[i].strategy(self.views[i], states[i], seen), ())

    def reports(self, states: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
        """Every learner's diagnostics."""
        return tuple(each.report(v, s) for each, v, s in zip(self.learners, self.views, states, strict=True))

    def round(self, t: Any, replicate: Array, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """Play round `t`: the new states, the actions, the payments and the oracle calls."""
        noise = [self.learners[i].draw(self.views[i], self.key(i, t, replicate)) for i in self.players]
        game_noise = self.game.draw(self.key(None, t, replicate))
        actions = self.in_order(
            lambda i, seen: self.learners[i].act(self.views[i], states[i], noise[i], seen), game_noise
        )
        realised = RealisedGame(self.game, game_noise)
        paid = realised.payoffs(*actions)
        new, calls = [], []
        for i, learner in enumerate(self.learners):
            view = self._view(i, realised, self.views[i].start)
            new.append(learner.update(view, states[i], noise[i], Signals(view, actions, paid)))
            calls.append(learner.calls(view, states[i], new[-1]))
        return tuple(new), actions, paid, tuple(calls)

    def health(self, states: Any, actions: tuple[Any, ...], payoffs: Any) -> tuple[Array, Array]:
        """Are a round's states, actions and payoffs finite, and its actions in their spaces?"""
        # One sum instead of a comparison for each value: 0 x is 0 if x is finite, else NaN, which a sum keeps.
        floats = [x for x in jax.tree.leaves((states, actions, payoffs)) if jnp.issubdtype(x.dtype, jnp.inexact)]
        spaces = zip(self.game.spaces, actions, strict=True)
        inside = functools.reduce(jnp.logical_and, (space.contains(a) for space, a in spaces))
        return jnp.asarray(sum(jnp.sum(x * 0) for x in floats) == 0), inside


def _check_round(players: Players, replicate: Array, states: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """The shapes of a round's actions, payments and oracle calls, after checking that it can be repeated."""
    game = players.game
    example = [
        jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), space.struct(players.dtype)) for space in game.spaces
    ]
    paid = jax.eval_shape(lambda: game.realise(game.draw(players.key(None, 0, replicate)), *example))
    shapes = [jnp.shape(p) for p in paid] if isinstance(paid, tuple | list) else None
    if shapes != [()] * len(game.spaces):
        got = f"a tuple of shapes {shapes}" if shapes is not None else f"{paid}"
        raise ValueError(f"payoffs: expected a tuple of {len(game.spaces)} scalars, one for each player, got {got}")
    new, actions, paid, calls = jax.eval_shape(lambda: players.round(0, replicate, states))
    for i, learner in enumerate(players.learners):
        name = f"player {i}, {type(learner).__name__}"
        _same(name + ".act", actions[i], game.spaces[i].struct(players.dtype), "its space's action")
        _same(name + ".update", new[i], states[i], "the state that init returns")
    return actions, paid, calls


def _same(name: str, got: Any, expected: Any, what: str) -> None:
    if not same_structure(got, expected):
        raise ValueError(f"{name}: expected a pytree like {what}, {expected}, got {got}")
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ValueError(f"{name}: expected {b.dtype}{list(b.shape)} as in {what}, got {a.dtype}{list(a.shape)}")


def _check_resumed(states: Any, expected: Any) -> None:
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), states)
    _same("resume", one, expected, "the states of these learners")


def run(make: Callable[[Any, Any], Players], shared: Any, mapped: Any, ids: Array, carry: Any, plan: "Plan") -> Any:
    """Play the plan's rounds from `carry` (None: from the start); see `Plan`. Traced once, inside `jit`.

    `make(shared, mapped)` builds the players of one replicate from the values that all replicates share and from its
    own. Returns the initial strategies, the records `[K, replicates, ...]`, the oracle calls of each block (`[K]` where
    they are the same in all replicates, else `[K, replicates]`) and the final states, status and failing rounds.
    """
    one = _OneReplicate(make, shared, plan)
    mapped1, id1 = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), (mapped, ids))

    shapes = jax.eval_shape(one.begin, mapped1, id1)
    if carry is None:
        varies = depends(one.begin, (mapped1, id1), (True, True))
    else:
        states, status, failed_at, alike = carry
        _check_resumed(states, shapes.states)
        varies = [not a for a in alike] + [True] * (len(jax.tree.leaves(shapes)) - len(alike))
    structure = jax.tree.structure(shapes)
    n_states = len(jax.tree.leaves(shapes.states))
    varies[n_states : n_states + 2] = [True, True]  # status and failed_at

    while True:  # a leaf that one round makes different stays different: at most one turn a leaf
        flags = jax.tree.unflatten(structure, varies)
        after = depends(
            lambda t, m, r, c, flags=flags: one.round(t, m, r, c, flags.states),
            (jax.ShapeDtypeStruct((), jnp.int32), mapped1, id1, shapes),
            (False, True, True, flags),
        )
        grown = [a or b for a, b in zip(varies, after, strict=True)]
        if grown == varies:
            break
        varies = grown

    axes = jax.tree.unflatten(structure, [0 if v else None for v in varies])
    if carry is None:
        first = jax.vmap(one.begin, out_axes=axes)(mapped, ids)
    else:
        leaves = [x[0] if not v else x for x, v in zip(jax.tree.leaves(states), varies, strict=False)]
        blank = jax.vmap(one.begin, out_axes=0)(mapped, ids)._replace(status=status, failed_at=failed_at)
        rest = [x if v else x[0] for x, v in zip(jax.tree.leaves(blank)[n_states:], varies[n_states:], strict=True)]
        first = jax.tree.unflatten(structure, leaves + rest)

    advance = jax.vmap(
        lambda t, m, r, c: one.round(t, m, r, c, flags.states), (None, 0, 0, axes), axes, axis_size=ids.shape[0]
    )
    initial = jax.vmap(one.strategies, (0, axes), axis_size=ids.shape[0])(mapped, first)

    def without_sums(c: Replicate) -> Replicate:
        return c._replace(payoffs=jax.tree.map(jnp.zeros_like, c.payoffs))

    def block(state: tuple[Any, Any], end: Array) -> tuple[Any, Any]:
        begin, c = state
        c = without_sums(c._replace(calls=jax.tree.map(jnp.zeros_like, c.calls)))

        def part(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            c, sums = carry
            first = begin + i * length
            if plan.spacing is not None:  # a trip count that is known now compiles to a faster and differentiable loop
                c = jax.lax.fori_loop(0, length, lambda j, c: advance(first + j, mapped, ids, c), without_sums(c))
            else:
                last = jnp.minimum(first + length, end)
                c = jax.lax.fori_loop(first, last, lambda t, c: advance(t, mapped, ids, c), without_sums(c))
            return c, jax.tree.map(jnp.add, sums, c.payoffs)

        # Sums of sums: in float32 a running total of 1e5 payoffs is off by 1e-3.
        length = _PART if plan.spacing is None else _divisor(plan.spacing)
        parts = -(-(end - begin) // length) if plan.spacing is None else plan.spacing // length
        c, sums = jax.lax.fori_loop(0, parts, part, (c, c.payoffs))
        c = c._replace(payoffs=sums)
        c, row = jax.vmap(one.record, (None, None, 0, axes), (axes, 0), axis_size=ids.shape[0])(begin, end, mapped, c)
        return (end, c), (row, c.calls)

    (_, last), (rows, calls) = jax.lax.scan(block, (plan.begin, first), plan.points)
    whole = jax.vmap(lambda c: c, in_axes=(axes,), out_axes=0, axis_size=ids.shape[0])(last)
    return initial, rows, calls, (whole.states, whole.status, whole.failed_at)


def _divisor(spacing: int) -> int:
    """The largest number of rounds up to `_PART` that divides a block; the whole block if there is none to speak of."""
    best = max(n for n in range(1, min(spacing, _PART) + 1) if spacing % n == 0)
    return best if best >= _PART // 8 else spacing


class Plan(NamedTuple):
    """When to record, what, and how.

    `begin` (the first round, traced), the record `points` `[K]` (completed rounds, traced), their
    `spacing` if it is always the same (static), what to record (static), and whether to keep failed replicates at the
    state before the round in which they failed, with their status (static); otherwise they are only found out, and play
    on in vain and apart from the others.
    """

    begin: Array
    points: Array
    spacing: int | None
    recording: Recording
    freeze: bool


class _OneReplicate:
    """The functions that `run` vmaps."""

    def __init__(self, make: Callable[[Any, Any], Players], shared: Any, plan: Plan):
        self.make, self.shared, self.recording, self.freeze = make, shared, plan.recording, plan.freeze

    def begin(self, mapped: Any, replicate: Array) -> Replicate:
        players = self.make(self.shared, mapped)
        states = jax.tree.map(jnp.asarray, players.init(replicate))
        actions, paid, calls = _check_round(players, replicate, states)
        blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), actions)
        counts = jax.tree.map(lambda _: jnp.int32(0), calls)
        sums = tuple(jnp.zeros((), players.dtype) for _ in (paid if self.recording.payoffs else "1"))
        return Replicate(states, jnp.int32(OK), jnp.int32(-1), sums, counts, blank if self.recording.strategies else ())

    def round(self, t: Any, mapped: Any, replicate: Array, c: Replicate, varies: Any) -> Replicate:
        players = self.make(self.shared, mapped)
        states, actions, paid, calls = players.round(t, replicate, c.states)
        if self.recording.payoffs == "exact":
            paid = players.game.payoffs(*actions)
        elif self.recording.payoffs is None:
            paid = (jnp.zeros((), players.dtype),)
        finite, inside = players.health(states, actions, paid)
        status = c.status
        if self.freeze:
            now = jnp.where(finite, jnp.where(inside, OK, LEFT_SPACE), NON_FINITE).astype(jnp.int32)
            status = jnp.where(status == OK, now, status)
            # Leaves that all replicates share (counters) go on: freezing them would make them differ.
            states = jax.tree.map(lambda v, a, b: jnp.where(status == OK, a, b) if v else a, varies, states, c.states)
        else:  # a failure is a NaN in the first sum, which `record` finds: no pass of its own over the replicates
            paid = (paid[0] + jnp.where(finite & inside, 0, jnp.nan).astype(players.dtype), *paid[1:])
        sums = tuple(s + p for s, p in zip(c.payoffs, paid, strict=True))
        counts = jax.tree.map(lambda s, n: s + jnp.asarray(n, jnp.int32), c.calls, calls)
        return Replicate(states, status, c.failed_at, sums, counts, actions if self.recording.strategies else ())

    def strategies(self, mapped: Any, c: Replicate) -> Any:
        return self.make(self.shared, mapped).strategies(c.states) if self.recording.strategies else ()

    def record(self, begin: Array, end: Array, mapped: Any, c: Replicate) -> tuple[Replicate, Any]:
        players = self.make(self.shared, mapped)
        if not self.freeze:
            c = c._replace(status=jnp.where((c.status == OK) & ~jnp.isfinite(c.payoffs[0]), NON_FINITE, c.status))
        failed = c.status != OK
        c = c._replace(failed_at=jnp.where((c.failed_at < 0) & failed, end, c.failed_at))
        strategies = players.strategies(c.states) if self.recording.strategies or self.recording.metrics else ()
        sums = c.payoffs if self.recording.payoffs else ()
        means = [jnp.where(failed, jnp.nan, s / (end - begin).astype(s.dtype)) for s in sums]
        metrics = {
            k: jnp.asarray(v)
            for k, v in (self.recording.metrics(*strategies) if self.recording.metrics else {}).items()
        }
        row = {
            "strategies": strategies if self.recording.strategies else (),
            "actions": c.actions,
            "payoffs": jnp.stack(means) if means else None,
            "metrics": jax.tree.map(jnp.asarray, metrics),
            "reports": players.reports(c.states),
        }
        return c, row
