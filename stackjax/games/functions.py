"""Games from plain functions: `from_payoffs`, `from_costs`."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Scalar

from stackjax.games.quadratic import one_leader
from stackjax.protocols import Action, Game
from stackjax.spaces import Space


class FunctionGame(Game):
    """A game whose payoffs are given functions; made by `from_payoffs` and `from_costs`."""

    functions: tuple[Callable[..., Scalar], ...]
    spaces: tuple[Space, ...]
    levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """What the functions return."""
        paid = []
        for i, function in enumerate(self.functions):
            try:
                paid.append(function(*actions))
            except Exception as error:  # whatever it is, it is the user's function that raised it
                error.add_note(f"(in the payoff function of player {i})")
                raise
        return tuple(paid)


class _Negated(eqx.Module):
    function: Callable[..., Scalar]

    def __call__(self, *actions: Action) -> Scalar:
        cost = self.function(*actions)
        return cost if cost is None else -cost  # a forgotten return is reported as such


def from_payoffs(
    *payoffs: Callable[..., Any], spaces: Sequence[Space], levels: Sequence[Sequence[int]] | None = None
) -> FunctionGame:
    """A game from one payoff function a player, to be maximised.

    **Arguments:**

    - `payoffs`: functions of all the actions, in order of play, that return a scalar. An Equinox module with numbers in
      it works too, and its numbers batch and sweep; a new lambda compiles a new program.
    - `spaces`: one space a player, in order of play.
    - `levels`: who moves together; default: player 0 leads, and all the others follow together.

    **Raises:** `TypeError` or `ValueError` that names the argument.

    >>> from stackjax.games import from_payoffs
    >>> from stackjax.spaces import Euclidean
    >>> game = from_payoffs(
    ...     lambda x, y: -(x - 1) ** 2 + x * y, lambda x, y: -(y - x) ** 2, spaces=(Euclidean(()), Euclidean(()))
    ... )
    >>> [float(payoff) for payoff in game.payoffs(2.0, 3.0)]
    [5.0, -1.0]
    """
    for i, function in enumerate(payoffs):
        if not callable(function):
            raise TypeError(f"payoffs: expected one function a player, got {function!r} for player {i}")
    spaces = (spaces,) if isinstance(spaces, Space) else tuple(spaces)
    if len(spaces) != len(payoffs):
        raise ValueError(f"spaces: expected one a player ({len(payoffs)} payoffs), got {len(spaces)}")
    for space in spaces:
        if not isinstance(space, Space):
            raise TypeError(f"spaces: expected stackjax spaces, got {space!r}")
    who = one_leader(len(payoffs)) if levels is None else tuple(tuple(level) for level in levels)
    return FunctionGame(tuple(payoffs), spaces, who)


def from_costs(
    *costs: Callable[..., Any], spaces: Sequence[Space], levels: Sequence[Sequence[int]] | None = None
) -> FunctionGame:
    """A game from one cost function a player, to be minimised: its payoffs are the negated costs.

    Arguments and errors as in `from_payoffs`. Everything downstream speaks of payoffs.
    """
    for i, function in enumerate(costs):
        if not callable(function):
            raise TypeError(f"costs: expected one function a player, got {function!r} for player {i}")
    return from_payoffs(*map(_Negated, costs), spaces=spaces, levels=levels)
