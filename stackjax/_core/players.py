"""The game and its learners in one replicate, with every check of what they return."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from stackjax._constraints import is_constrained, of_game
from stackjax._core.noise import BEFORE, computed_once, round_key
from stackjax._core.wrapped import RealisedGame
from stackjax.arms import count
from stackjax.protocols import (
    Calls,
    Game,
    Learner,
    Seen,
    Signals,
    View,
    arms_of,
    level_of,
    same_structure,
)
from stackjax.spaces import Arms

# Coordinates of unbounded spaces beyond it have diverged, although they are finite: such spaces are sampled with unit
# scale, and out there float32 resolves whole units only (from 2^23 = 8.4e6 on).
FAR = 1e7
_FEW = 16  # so many entries of a replicate are added one by one: XLA fuses that, a reduction over a short axis not


class Health(NamedTuple):
    """Are a round's states and actions `finite`, its actions `inside` their spaces, and `near`: not beyond `FAR`?

    The last implies the one before.
    """

    finite: Bool[Array, ""]
    inside: Bool[Array, ""]
    near: Bool[Array, ""]


class Players:
    """The game and its learners in one replicate: everything that they do in a round, and nothing about batches."""

    def __init__(self, game: Game, learners: tuple[Learner, ...], words: Array, start: tuple[Any, ...], dtype: Any):
        self.game, self.learners, self.words, self.dtype = game, learners, words, dtype
        self.players = range(len(learners))
        self.views = [self._view(i, game, start[i]) for i in self.players]
        self.finite = is_finite(game)

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
            earlier = self._earlier(i, actions)
            action = choose(i, Seen(self.views[i], earlier, self._ask(earlier, game_noise)))
            self._check_action(i, method, action)
            actions[i] = jax.tree.map(jnp.asarray, action)
        return tuple(actions)

    def _earlier(self, i: int, actions: Sequence[Any]) -> tuple[Any, ...]:
        """The actions of strictly earlier levels, None elsewhere."""
        mine = level_of(self.game, i)
        return tuple(a if level_of(self.game, j) < mine else None for j, a in enumerate(actions))

    def _check_action(self, i: int, method: str, action: Any) -> None:
        expected = self.game.spaces[i].struct(self.dtype)
        check_same(f"player {i}, {type(self.learners[i]).__name__}.{method}", action, expected, "its space")

    def _ask(self, earlier: tuple[Any, ...], game_noise: Any) -> Callable[[PyTree, int], PyTree]:
        def ask(observations: PyTree, player: int) -> PyTree:
            if earlier[player] is None:
                raise ValueError(f"seen.ask: player {player} doesn't move before the player who asks")
            return self.game.answer(game_noise, player, earlier[player], observations)

        return ask

    def strategies(self, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """What every learner reports as its strategy, later levels seeing earlier strategies."""
        return self.in_order("strategy", lambda i, seen: self._strategy(i, states[i], seen), ())

    def _strategy(self, i: int, state: Any, seen: Seen) -> Any:
        learner = self.learners[i]
        try:
            return learner.strategy(self.views[i], state, seen)
        except Exception as error:  # an `act` without its noise may raise anything; with it, it was traced before this
            kind = type(learner)
            if kind.strategy is not Learner.strategy or kind.draw is Learner.draw:
                raise
            raise TypeError(
                f"player {i}, {kind.__name__}: what it would report at a record point is by default act without noise, "
                f"(), and its act needs its noise ({type(error).__name__}: {error}); define strategy(self, view, "
                "state, seen), such as the action that noise is added to"
            ) from error

    def reports(self, states: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
        """Every learner's diagnostics."""
        found = tuple(each.report(v, s) for each, v, s in zip(self.learners, self.views, states, strict=True))
        for i, report in enumerate(found):
            check_dictionary(f"player {i}, {type(self.learners[i]).__name__}.report", report)
        return found

    def violated(self, states: tuple[Any, ...], strategies: tuple[Any, ...]) -> tuple[dict[str, Any], ...]:
        """The reports, with the `violation` of the strategies for every player that the game constrains."""
        found = []
        for i, report in enumerate(self.reports(states)):
            if is_constrained(self.game, i, strategies):
                report = report | {"violation": of_game(self.game, i, strategies, self.dtype).violation}
            found.append(report)
        return tuple(found)

    def round(self, t: Any, replicate: Array, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """Play round `t`: the new states, actions, payments, oracle calls, and whether an arm was out of bounds.

        Such an arm is replaced by the nearest one, lest it touch another replicate's statistics.
        """
        noise = [
            computed_once(self.learners[i].draw(self.views[i], self.key(i, t, replicate)), t) for i in self.players
        ]
        game_noise = self.game.draw(self.key(None, t, replicate))

        strayed = [jnp.asarray(False)]

        def act(i: int, seen: Seen) -> Any:
            action = self.learners[i].act(self.views[i], states[i], noise[i], seen)
            if not self.finite:
                return action
            self._check_action(i, "act", action)
            # An arm enters every entry of the tables that it updates.
            arm = computed_once(action, t, everything=True)
            strayed.append(~self.game.spaces[i].contains(arm))
            return self.game.spaces[i].project(arm)

        actions = self.in_order("act", act, game_noise)
        realised = RealisedGame(self.game, game_noise)
        paid = self.scalars(realised, actions)
        paid = computed_once(paid, t, everything=True) if self.finite else paid
        new, calls = [], []
        for i, learner in enumerate(self.learners):
            view = self._view(i, realised, self.views[i].start)
            ask = self._ask(self._earlier(i, actions), game_noise)
            after = learner.update(view, states[i], noise[i], Signals(view, actions, paid, ask))
            name = f"player {i}, {type(learner).__name__}"
            check_same(name + ".update", after, states[i], "the state that init returns", _arrays_of(learner))
            new.append(jax.tree.map(jnp.asarray, after))
            calls.append(learner.calls(view, states[i], after))
            if not isinstance(calls[-1], Calls):
                raise TypeError(f"{name}.calls: expected stackjax.Calls, got {calls[-1]!r}")
        return tuple(new), actions, paid, tuple(calls), functools.reduce(jnp.logical_or, strayed)

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
                + _arrays_of(self.game)
            )
        return tuple(jnp.asarray(p).astype(self.dtype) for p in paid)

    def visited(self, visits: Array, actions: tuple[Any, ...]) -> Array:
        """The counts of joint arms, this one added."""
        joint = jnp.int32(0)
        for space, arm in zip(self.game.spaces, actions, strict=True):
            joint = joint * arms_of(space) + arm
        return count(visits, joint)

    def table(self) -> Array:
        """The exact payoffs of all joint arms, `[players, joint arms]`, the last player's arm counting fastest."""
        sizes = [arms_of(space) for space in self.game.spaces]
        joint = jnp.unravel_index(jnp.arange(math.prod(sizes), dtype=jnp.int32), sizes)
        return jnp.stack(jax.vmap(lambda *arms: self.scalars(self.game, arms))(*joint))

    def health(self, states: Any, actions: tuple[Any, ...]) -> Health:
        """Of a round.

        A payoff that isn't finite fails with the state of the learner that uses it; what is only recorded fails nobody.
        """
        # One sum instead of a comparison for each value: 0 x is 0 if x is finite, else NaN, which a sum keeps.
        floats = [x for x in jax.tree.leaves((states, actions)) if jnp.issubdtype(x.dtype, jnp.inexact)]
        turns = list(zip(self.game.spaces, actions, strict=True))
        inside = functools.reduce(jnp.logical_and, (space.contains(a) for space, a in turns))
        limit = min(FAR, float(jnp.finfo(self.dtype).max))  # of float16 it is 65504
        near = functools.reduce(jnp.logical_and, (space.near(a, limit) for space, a in turns))
        return Health(jnp.asarray(sum(_zero(x) for x in floats) == 0), inside, near)


def _zero(x: Array) -> Any:
    """0 if all of x is finite, else NaN."""
    if not 0 < x.size <= _FEW:
        return jnp.sum(x * 0)
    return sum(jnp.reshape(part, ()) * 0 for part in jax.lax.split(jnp.ravel(x), (1,) * x.size))


def is_finite(game: Game) -> bool:
    """Whether every player has a finite number of arms."""
    return all(isinstance(space, Arms) for space in game.spaces)


def check_dictionary(name: str, found: Any) -> None:
    if not isinstance(found, dict) or not all(eqx.is_array_like(x) for x in jax.tree.leaves(found)):
        raise TypeError(f"{name}: expected a dictionary of arrays, got {found!r}")


def check_payoffs(players: Players, replicate: Array, exact: bool) -> None:
    """Evaluate the payoffs at some joint action, before a learner does and fails in its own way."""
    game = players.game
    structs = tuple(space.struct(players.dtype) for space in game.spaces)
    actions = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), structs)
    players.scalars(RealisedGame(game, game.draw(players.key(None, 0, replicate))), actions)
    if exact:
        players.scalars(game, actions)


def _arrays_of(module: Learner | Game) -> str:
    """A hint at the likeliest reason why a state or a payoff has another shape."""
    arrays = [(path, x) for path, x in jax.tree_util.tree_flatten_with_path(module)[0] if getattr(x, "ndim", 0)]
    if not arrays:
        return ""
    found = ", ".join(f"{type(module).__name__}{jax.tree_util.keystr(path)} {x.shape}" for path, x in arrays)
    return f"; if the axis of {found} is one entry a replicate, name it in in_axes and give replicates"


def check_same(name: str, got: Any, expected: Any, what: str, hint: str = "") -> None:
    if not same_structure(got, expected):
        raise ValueError(f"{name}: expected a pytree like {what}, {expected}, got {got}")
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        shape, dtype = jnp.shape(a), getattr(a, "dtype", None) or jnp.result_type(a)
        if (shape, dtype) != (b.shape, b.dtype):
            raise ValueError(f"{name}: expected {b.dtype}{list(b.shape)} as in {what}, got {dtype}{list(shape)}{hint}")
