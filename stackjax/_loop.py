"""The compiled part of `play`: one round for one replicate, vmapped once; blocks of rounds between record points."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from stackjax._dependence import depends
from stackjax._derivatives import where_differentiable
from stackjax._noise import BEFORE, computed_once, round_key
from stackjax.protocols import (
    Calls,
    Game,
    Learner,
    RealisedGame,
    Seen,
    Signals,
    View,
    level_of,
    same_structure,
    tree_where,
)

OK, NON_FINITE, LEFT_SPACE = 0, 1, 2
_FEW = 16  # so many entries of a replicate are added one by one: XLA fuses that, a reduction over a short axis not
_PART = 256  # rounds whose payoffs are added up before they are added to the block's
THOUSAND = 2**20  # oracle calls are counted in these and the rest


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

    def in_order(self, method: str, choose: Callable[[int, Seen], Any], game_noise: Any) -> tuple[Any, ...]:
        """One action a player, each choosing (in a `method`) after having seen those of earlier levels."""
        actions: list[Any] = [None] * len(self.players)
        for i in self.players:
            mine = level_of(self.game, i)
            earlier = tuple(a if level_of(self.game, j) < mine else None for j, a in enumerate(actions))
            action = choose(i, Seen(self.views[i], earlier, self._ask(earlier, game_noise)))
            expected = self.game.spaces[i].struct(self.dtype)
            _same(f"player {i}, {type(self.learners[i]).__name__}.{method}", action, expected, "its space")
            actions[i] = jax.tree.map(jnp.asarray, action)
        return tuple(actions)

    def _ask(self, earlier: tuple[Any, ...], game_noise: Any) -> Callable[[PyTree, int], PyTree]:
        def ask(observations: PyTree, player: int) -> PyTree:
            if earlier[player] is None:
                raise ValueError(f"seen.ask: player {player} doesn't move before the player who asks")
            return self.game.answer(game_noise, player, earlier[player], observations)

        return ask

    def strategies(self, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """What every learner reports as its strategy, later levels seeing earlier strategies."""
        return self.in_order("strategy", lambda i, seen: self.learners[i].strategy(self.views[i], states[i], seen), ())

    def reports(self, states: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
        """Every learner's diagnostics."""
        found = tuple(each.report(v, s) for each, v, s in zip(self.learners, self.views, states, strict=True))
        for i, report in enumerate(found):
            _dictionary(f"player {i}, {type(self.learners[i]).__name__}.report", report)
        return found

    def round(self, t: Any, replicate: Array, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """Play round `t`: the new states, the actions, the payments and the oracle calls."""
        noise = [
            computed_once(self.learners[i].draw(self.views[i], self.key(i, t, replicate)), t) for i in self.players
        ]
        game_noise = self.game.draw(self.key(None, t, replicate))
        actions = self.in_order(
            "act", lambda i, seen: self.learners[i].act(self.views[i], states[i], noise[i], seen), game_noise
        )
        realised = RealisedGame(self.game, game_noise)
        paid = self.scalars(realised, actions)
        new, calls = [], []
        for i, learner in enumerate(self.learners):
            view = self._view(i, realised, self.views[i].start)
            after = learner.update(view, states[i], noise[i], Signals(view, actions, paid))
            name = f"player {i}, {type(learner).__name__}"
            _same(name + ".update", after, states[i], "the state that init returns", _arrays_of(learner))
            new.append(jax.tree.map(jnp.asarray, after))
            calls.append(learner.calls(view, states[i], after))
            if not isinstance(calls[-1], Calls):
                raise TypeError(f"{name}.calls: expected stackjax.Calls, got {calls[-1]!r}")
        return tuple(new), actions, paid, tuple(calls)

    def scalars(self, game: Game, actions: tuple[Any, ...]) -> tuple[Array, ...]:
        """The payoffs of a game as scalars of the run's type, one a player."""
        paid = game.payoffs(*actions)
        shapes = (
            [getattr(p, "shape", () if isinstance(p, int | float) else None) for p in paid]
            if isinstance(paid, tuple | list)
            else None
        )
        if shapes != [()] * len(self.players):
            got = f"shapes {shapes}" if shapes is not None else f"{paid!r}"
            raise ValueError(
                f"payoffs: expected a tuple of {len(self.players)} scalars, one for each player, got {got}"
            )
        return tuple(jnp.asarray(p).astype(self.dtype) for p in paid)

    def health(self, states: Any, actions: tuple[Any, ...]) -> tuple[Array, Array]:
        """Are a round's states and actions finite, and its actions in their spaces?

        A payoff that isn't finite fails with the state of the learner that uses it; what is only recorded fails nobody.
        """
        # One sum instead of a comparison for each value: 0 x is 0 if x is finite, else NaN, which a sum keeps.
        floats = [x for x in jax.tree.leaves((states, actions)) if jnp.issubdtype(x.dtype, jnp.inexact)]
        spaces = zip(self.game.spaces, actions, strict=True)
        inside = functools.reduce(jnp.logical_and, (space.contains(a) for space, a in spaces))
        return jnp.asarray(sum(_zero(x) for x in floats) == 0), inside


def _zero(x: Array) -> Any:
    """0 if all of x is finite, else NaN."""
    if not 0 < x.size <= _FEW:
        return jnp.sum(x * 0)
    return sum(jnp.reshape(part, ()) * 0 for part in jax.lax.split(jnp.ravel(x), (1,) * x.size))


def _dictionary(name: str, found: Any) -> None:
    if not isinstance(found, dict) or not all(eqx.is_array_like(x) for x in jax.tree.leaves(found)):
        raise TypeError(f"{name}: expected a dictionary of arrays, got {found!r}")


def _check_payoffs(players: Players, replicate: Array, exact: bool) -> None:
    """Evaluate the payoffs at some joint action, before a learner does and fails in its own way."""
    game = players.game
    structs = tuple(space.struct(players.dtype) for space in game.spaces)
    actions = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), structs)
    players.scalars(RealisedGame(game, game.draw(players.key(None, 0, replicate))), actions)
    if exact:
        players.scalars(game, actions)


def _arrays_of(learner: Learner) -> str:
    """A hint at the likeliest reason why a state changes its shape."""
    arrays = [(path, x) for path, x in jax.tree_util.tree_flatten_with_path(learner)[0] if getattr(x, "ndim", 0)]
    if not arrays:
        return ""
    found = ", ".join(f"{type(learner).__name__}{jax.tree_util.keystr(path)} {x.shape}" for path, x in arrays)
    return f"; if the axis of {found} is one entry a replicate, name it in in_axes and give replicates"


def _same(name: str, got: Any, expected: Any, what: str, hint: str = "") -> None:
    if not same_structure(got, expected):
        raise ValueError(f"{name}: expected a pytree like {what}, {expected}, got {got}")
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        shape, dtype = jnp.shape(a), getattr(a, "dtype", None) or jnp.result_type(a)
        if (shape, dtype) != (b.shape, b.dtype):
            raise ValueError(f"{name}: expected {b.dtype}{list(b.shape)} as in {what}, got {dtype}{list(shape)}{hint}")


def _check_resumed(states: Any, expected: Any) -> None:
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), states)
    _same("resume", one, expected, "the states of these learners")


def run(make: Callable[[Any, Any], Players], shared: Any, mapped: Any, ids: Array, carry: Any, plan: "Plan") -> Any:
    """Play the plan's rounds from `carry` (None: from the start); see `Plan`. Traced once, inside `jit`.

    `make(shared, mapped)` builds the players of one replicate from the values that all replicates share and from its
    own. Returns the initial strategies, the records `[K, replicates, ...]`, the oracle calls of each block in units of
    `THOUSAND` and the rest (`[K]` where they are the same in all replicates, else `[K, replicates]`) and the final
    states, status and failing rounds.
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
            one.round,
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

    advance = jax.vmap(one.round, (None, 0, 0, axes), axes, axis_size=ids.shape[0])
    initial = jax.vmap(one.strategies, (0, axes), axis_size=ids.shape[0])(mapped, first)

    def without_sums(c: Replicate) -> Replicate:
        return c._replace(payoffs=jax.tree.map(jnp.zeros_like, c.payoffs))

    def without_calls(c: Replicate) -> Replicate:
        return c._replace(calls=jax.tree.map(jnp.zeros_like, c.calls))

    def block(state: tuple[Any, Any], end: Array) -> tuple[Any, Any]:
        begin, c = state
        c = without_calls(without_sums(c))
        thousands = c.calls

        # Sums of sums: in float32 a running total of 1e5 payoffs is off by 1e-3, and int32 counts would overflow.
        def part(length: int, first: Any, carry: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            c, sums, thousands = carry
            c = without_sums(c)
            if plan.spacing is not None:  # a trip count that is known now compiles to a faster and differentiable loop
                c = jax.lax.fori_loop(0, length, lambda j, c: advance(first + j, mapped, ids, c), c)
            else:
                last = jnp.minimum(first + length, end)
                c = jax.lax.fori_loop(first, last, lambda t, c: advance(t, mapped, ids, c), c)
            sums = jax.tree.map(jnp.add, sums, c.payoffs)
            thousands = jax.tree.map(lambda a, n: a + n // THOUSAND, thousands, c.calls)
            return c._replace(calls=jax.tree.map(lambda n: n % THOUSAND, c.calls)), sums, thousands

        length = _PART if plan.spacing is None else _part(plan.spacing)
        parts = -(-(end - begin) // length) if plan.spacing is None else plan.spacing // length
        carry = (c, c.payoffs, thousands)
        carry = jax.lax.fori_loop(0, parts, lambda i, carry: part(length, begin + i * length, carry), carry)
        if plan.spacing is not None and plan.spacing % length:
            carry = part(plan.spacing % length, begin + parts * length, carry)
        c, sums, thousands = carry
        c = c._replace(payoffs=sums)
        c, row = jax.vmap(one.record, (None, None, 0, axes), (axes, 0), axis_size=ids.shape[0])(begin, end, mapped, c)
        return (end, c), (row, (thousands, c.calls))

    (_, last), (rows, calls) = jax.lax.scan(block, (plan.begin, first), plan.points)
    whole = jax.vmap(lambda c: c, in_axes=(axes,), out_axes=0, axis_size=ids.shape[0])(last)
    return initial, rows, calls, (whole.states, whole.status, whole.failed_at)


def _part(spacing: int) -> int:
    """Rounds of a part: `_PART`, or a bit less if that divides the block, and no remainder is compiled then."""
    best = max(n for n in range(1, min(spacing, _PART) + 1) if spacing % n == 0)
    return best if best >= _PART // 8 else min(spacing, _PART)


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
        _check_payoffs(players, replicate, self.recording.payoffs == "exact")
        _, actions, paid, calls = jax.eval_shape(lambda: players.round(0, replicate, states))
        blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), actions)
        counts = jax.tree.map(lambda _: jnp.int32(0), calls)
        sums = tuple(jnp.zeros((), players.dtype) for _ in (paid if self.recording.payoffs else "1"))
        return Replicate(states, jnp.int32(OK), jnp.int32(-1), sums, counts, blank if self.recording.strategies else ())

    def round(self, t: Any, mapped: Any, replicate: Array, c: Replicate) -> Replicate:
        status = c.status
        if self.freeze:
            # A derivative through a failed round is NaN, and 0 * NaN would reach what the replicates share: so it is
            # first found out whether the round fails, and then played with derivatives only where it doesn't.
            probe = jax.lax.stop_gradient((self.shared, mapped, c))
            *_, finite, inside = self._play(t, replicate, *probe)
            now = jnp.where(finite, jnp.where(inside, OK, LEFT_SPACE), NON_FINITE).astype(jnp.int32)
            status = jnp.where(status == OK, now, status)
            shared, mapped, before = where_differentiable(status == OK, (self.shared, mapped, c))
            states, actions, paid, counts, *_ = self._play(t, replicate, shared, mapped, before)
            states, counts = tree_where(status == OK, (states, counts), (c.states, c.calls))
        else:  # a failure is a NaN in the first sum, which `record` finds: no pass of its own over the replicates
            states, actions, paid, counts, finite, inside = self._play(t, replicate, self.shared, mapped, c)
            paid = (paid[0] + jnp.where(finite & inside, 0, jnp.nan).astype(paid[0].dtype), *paid[1:])
        sums = tuple(s + p for s, p in zip(c.payoffs, paid, strict=True))
        return Replicate(states, status, c.failed_at, sums, counts, actions if self.recording.strategies else ())

    def _play(self, t: Any, replicate: Array, shared: Any, mapped: Any, c: Replicate) -> tuple[Any, ...]:
        players = self.make(shared, mapped)
        states, actions, paid, calls = players.round(t, replicate, c.states)
        finite, inside = players.health(states, actions)
        if self.recording.payoffs == "exact":
            paid = players.scalars(players.game, actions)
        elif self.recording.payoffs is None:
            paid = (jnp.zeros((), players.dtype),)
        counts = jax.tree.map(lambda s, n: s + jnp.asarray(n, jnp.int32), c.calls, calls)
        return states, actions, paid, counts, finite, inside

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
        metrics = self.recording.metrics(*strategies) if self.recording.metrics else {}
        _dictionary("metrics", metrics)
        row = {
            "strategies": strategies if self.recording.strategies else (),
            "actions": c.actions,
            "payoffs": jnp.stack(means) if means else None,
            "metrics": jax.tree.map(jnp.asarray, metrics),
            "reports": players.reports(c.states),
        }
        return c, row
