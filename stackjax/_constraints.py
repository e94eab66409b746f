"""A player's constraints at a joint action: those of its space and those of the game, as flat vectors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Scalar

from stackjax._core.dependence import Traced
from stackjax._core.wrapped import WrappedGame
from stackjax.protocols import Action, Game, level_of


class Constraints(NamedTuple):
    """`inequalities` `[m]`, at most 0, and `equalities` `[p]`, 0, where a player keeps to its constraints."""

    inequalities: Float[Array, " m"]
    equalities: Float[Array, " p"]

    @property
    def all(self) -> Float[Array, " n"]:
        """Both in a row."""
        return jnp.concatenate(self)

    @property
    def signed(self) -> Bool[np.ndarray, " n"]:
        """Which of `all` are equalities, whose multipliers may have either sign."""
        return np.arange(self.inequalities.size + self.equalities.size) >= self.inequalities.size

    @property
    def violation(self) -> Scalar:
        """The largest violation, in the constraints' units; 0 if there is none."""
        over = jnp.concatenate([jnp.maximum(self.inequalities, 0), jnp.abs(self.equalities)])
        return jnp.max(over, initial=0.0)


def is_constrained(game: Game, player: int, actions: tuple[Any, ...]) -> bool:
    """Whether the game itself, beside the player's space, constrains the player."""
    return any(f(player, actions) is not None for f in (game.inequalities, game.equalities))


def of_game(game: Game, player: int, actions: tuple[Any, ...], dtype: Any) -> Constraints:
    """Those of the game alone."""
    return Constraints(*(flat(f(player, actions), dtype) for f in (game.inequalities, game.equalities)))


def of_player(game: Game, player: int, actions: tuple[Any, ...]) -> Constraints:
    """Those of the player's space, and then those of the game."""
    space, own = game.spaces[player], actions[player]
    dtype = jnp.result_type(*jax.tree.leaves(own))
    from_game = of_game(game, player, actions, dtype)
    from_space = space.inequalities(own), space.equalities(own)
    return Constraints(*(jnp.concatenate(pair) for pair in zip(from_space, from_game, strict=True)))


def flat(values: Any, dtype: Any) -> Float[Array, " n"]:
    """Scalars and arrays, as a game returns them, in a row."""
    leaves = [jnp.ravel(jnp.asarray(x)).astype(dtype) for x in jax.tree.leaves(values)]
    return jnp.concatenate(leaves) if leaves else jnp.zeros((0,), dtype)


def _has_none(game: Game) -> bool:
    """Whether the game's class tells that it constrains nobody; to trace it takes longer than a short play."""
    methods = type(game).inequalities, type(game).equalities
    if isinstance(game, WrappedGame) and methods == (WrappedGame.inequalities, WrappedGame.equalities):
        return _has_none(game.game)
    return methods == (Game.inequalities, Game.equalities)


def check_constraints(game: Game, dtype: Any) -> None:
    """Errors that name the argument and the player if the game's constraints aren't what they may be."""
    if _has_none(game):
        return
    actions = tuple(space.struct(dtype) for space in game.spaces)
    for player in range(len(game.spaces)):
        for name in ("inequalities", "equalities"):
            _check(game, player, name, actions)


def _check(game: Game, player: int, name: str, actions: tuple[Any, ...]) -> None:
    where = f"{name}: player {player}"
    traced = Traced(lambda *z: getattr(game, name)(player, z), *actions)
    for leaf in jax.tree.leaves(traced.shapes):
        if jnp.issubdtype(leaf.dtype, jnp.bool_):
            raise TypeError(f"{where}: expected numbers, such as y - x for y <= x, got truth values")
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or len(leaf.shape) > 1:
            raise ValueError(f"{where}: expected floating-point scalars or vectors, got {leaf.dtype}{list(leaf.shape)}")
    if level_of(game, player) == 0:
        return
    mine = level_of(game, player)
    for other in range(len(actions)):
        later = other != player and level_of(game, other) >= mine
        if later and any(traced.depends(*(j == other for j in range(len(actions))))):
            raise ValueError(
                f"{where}: expected functions of its own action and those of earlier levels, got one that depends on "
                f"player {other}'s; only players of the first level may be bound by what others do"
            )


def has_constraints(game: Game, dtype: Any = jnp.float32) -> bool:
    """Whether the game constrains any player beside its space."""
    return bool(constrained_players(game, dtype))


def constrained_players(game: Game, dtype: Any = jnp.float32) -> list[int]:
    """The players that the game constrains beside their spaces."""
    if _has_none(game):
        return []
    found: list[int] = []

    def of_everybody(*actions: Action) -> None:
        found.extend(i for i in range(len(actions)) if is_constrained(game, i, actions))

    jax.eval_shape(of_everybody, *(space.struct(dtype) for space in game.spaces))
    return found


def violations(game: Game, actions: tuple[Action, ...], dtype: Any) -> Float[Array, " players"]:
    """How far every player is beyond the game's constraints."""
    return jnp.stack([of_game(game, i, actions, dtype).violation for i in range(len(game.spaces))])
