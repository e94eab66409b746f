"""What experiments measure of a run beside what it records: distances to equilibria, and regrets."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from stackjax.equilibria import (
    Benchmark,
    self_tolerant_benchmarks,
    stackelberg_benchmarks,
    tolerant_benchmarks,
)
from stackjax.equilibria.regret import pseudo_regret
from stackjax.experiments.run import Measure
from stackjax.experiments.settings import Setting, called, is_maker
from stackjax.experiments.store import Arrays
from stackjax.games import StackelbergBandit
from stackjax.protocols import Action, Game
from stackjax.spaces import Space
from stackjax.trace import Trace

EQUILIBRIA = ("nash", "stackelberg")
#: The benchmarks by their names, each a function of both players' means and of gamma.
BENCHMARKS: Mapping[str, Callable[[Any, Any, Any], Benchmark]] = {
    "tolerant": tolerant_benchmarks,
    "self-tolerant": self_tolerant_benchmarks,
    "stackelberg": lambda U1, U2, gamma: stackelberg_benchmarks(U1, U2),
}
JointAction = tuple[Action, ...]


class Points(NamedTuple):
    """Equilibria of one kind: of several games, each with as many points, NaN where there are fewer."""

    actions: JointAction  # leaves [games, points, ...]
    which: Int[np.ndarray, " settings"]  # the game of each setting


def several(points: Any) -> list[Any]:
    """One joint action, or a list of them, as a list."""
    return points if isinstance(points, list) and all(isinstance(point, tuple) for point in points) else [points]


def known(game: Game, name: str, given: Any) -> list[JointAction]:
    """The equilibria of a kind: those that are given, else those that the game knows.

    **Raises:** `ValueError` that names the kind.
    """
    return existing(game, name, getattr(game, f"{name}_equilibria")() if given is None else several(given))


def existing(game: Game, name: str, points: Sequence[Any]) -> list[JointAction]:
    """Joint actions of the spaces' shapes, without those of which a game says with NaN that there are none."""
    finite = []
    for actions in points:
        if not isinstance(actions, tuple | list) or len(actions) != len(game.spaces):
            raise ValueError(f"{name}: expected one action a player ({len(game.spaces)}), got {actions!r}")
        actions = tuple(jax.tree.map(jnp.asarray, action) for action in actions)
        for i, (space, action) in enumerate(zip(game.spaces, actions, strict=True)):
            expected = space.struct(jnp.float32)
            try:
                chex.assert_trees_all_equal_shapes(expected, action)
            except AssertionError:
                raise ValueError(f"{name}: player {i}: expected an action like {expected}, got {action!r}") from None
        if all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(actions)):
            finite.append(actions)
    return finite


def stacked(games: Sequence[Sequence[JointAction]]) -> JointAction:
    """The points of several games in arrays `[games, points, ...]`, NaN where a game has fewer than another."""
    most = max(map(len, games))
    blank = jax.tree.map(lambda x: np.full(x.shape, np.nan), next(points[0] for points in games if points))
    rows = [[*points, *[blank] * (most - len(points))] for points in games]
    flat = [point for row in rows for point in row]
    return jax.tree.map(lambda *xs: np.stack(xs).reshape(len(rows), most, *xs[0].shape), *flat)


def distances_to(
    settings: Sequence[Setting], given: Mapping[str, Any], names: Sequence[str] = EQUILIBRIA
) -> list[Measure]:
    """Each player's distance to its part of the nearest equilibrium, `distance_to_nash`, ...: kinds that are known.

    **Arguments:** `settings` that one program plays; `given`: by kind None (those that the games know), equilibria, or
    a function of swept names.
    """
    return [
        Measure((f"distance_to_{name}",), functools.partial(_to_points, f"distance_to_{name}", points))
        for name in names
        if (points := points_of(settings, name, given.get(name))) is not None
    ]


def _to_points(name: str, points: Points, game: Any, trace: Trace, at: np.ndarray) -> Arrays:
    if not jax.tree.leaves(trace.strategies):
        return {}
    each = jax.tree.map(lambda x: x[points.which[at]], points.actions)
    return {name: (("rounds", "player"), distances(game, trace.strategies, each))}


def points_of(settings: Sequence[Setting], name: str, given: Any) -> Points | None:
    """The equilibria of a kind of all settings' games; None if no game knows one."""
    games: dict[Any, list[JointAction]] = {}
    each = {id(setting.game): setting.game for setting in settings}  # many settings have the same one
    bits = {} if is_maker(given) else {at: _bits(game) for at, game in each.items()}
    own: list[Any] = [bits.get(id(setting.game), i) for i, setting in enumerate(settings)]
    for which, setting in zip(own, settings, strict=True):
        if which not in games:
            points = called(given, setting.values, {"game": setting.game}) if is_maker(given) else given
            games[which] = known(setting.game, name, points)
    if not any(games.values()):
        return None
    places = {which: at for at, which in enumerate(games)}
    return Points(stacked(list(games.values())), np.asarray([places[which] for which in own]))


def _bits(game: Game) -> Any:
    """What tells games of one structure apart: their numbers, bit for bit."""
    leaves = [x for x in jax.tree.leaves(game) if eqx.is_array_like(x)]
    plain = [jax.random.key_data(x) if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key) else x for x in leaves]
    return tuple(np.asarray(x).tobytes() for x in plain)


def distances(game: Game, strategies: JointAction, points: JointAction) -> Float[np.ndarray, "runs K players"]:
    """Each player's distance to its part of the nearest equilibrium, in its own space; NaN where there is none.

    Nearest is the one with the least sum of squared distances.

    **Arguments:** `strategies`: leaves `[runs, K, ...]`; `points`: leaves `[runs, points, ...]`.
    """
    per_player = []
    for space, strategy, actions in zip(game.spaces, strategies, points, strict=True):
        target = jax.tree.map(lambda x, like: np.asarray(x).astype(like.dtype), actions, strategy)
        per_player.append(np.asarray(_distances(space, strategy, target)))
    all_ = np.stack(per_player, axis=-1)  # [runs, points, K, players]
    if all_.shape[1] == 1:
        return all_[:, 0]
    joint = np.sum(np.square(all_), axis=-1, keepdims=True)
    # NaN, a failed replicate, is equally far from all: the first one's NaN is kept.
    nearest = np.argmin(np.where(np.isnan(joint), np.inf, joint), axis=1, keepdims=True)
    return np.take_along_axis(all_, nearest, axis=1)[:, 0]


@eqx.filter_jit
def _distances(space: Space, strategies: Any, points: Any) -> Float[Array, "runs points K"]:
    return jax.vmap(jax.vmap(jax.vmap(space.distance, (0, None)), (None, 0)))(strategies, points)


def regret_against(
    settings: Sequence[Setting], benchmark: str, gammas: Sequence[Any], dims: tuple[str, ...] = ()
) -> Measure:
    """Both players' pseudo-regrets, `regret`, in Stackelberg bandits that one program plays.

    **Arguments:** `benchmark`: its name; `gammas`: with each of which they are measured, along the dimension in `dims`
    if there is one; a setting that has its own `gamma` has that.
    """
    values = values_of(settings, benchmark, gammas)

    def measured(game: Any, trace: Trace, at: np.ndarray) -> Arrays:
        each = [pseudo_regret(game, trace, values[at, i]) for i in range(values.shape[1])]
        return {"regret": ((*dims, "rounds", "player"), np.stack(each, axis=1) if dims else each[0])}

    return Measure(("regret",), measured, complete=True)


def values_of(
    settings: Sequence[Setting], benchmark: Any, gammas: Sequence[Any]
) -> Float[np.ndarray, "settings gammas 2"]:
    """The benchmarks of each setting's bandit: for the gamma that it has, if it has one, else for all of these."""
    values: dict[Any, Any] = {}
    rows = []
    for setting in settings:
        bits, game = _bits(setting.game), setting.game
        assert isinstance(game, StackelbergBandit)
        for tolerated in [setting.values["gamma"]] if "gamma" in setting.values else gammas:
            if (bits, tolerated) not in values:
                known = BENCHMARKS[benchmark](game.leader_means, game.follower_means, tolerated).values
                values[bits, tolerated] = np.asarray(known, np.float64)
            rows.append(values[bits, tolerated])
    return np.stack(rows).reshape(len(settings), -1, 2)
