"""Games from plain functions: `from_payoffs`, `from_costs`."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
from jaxtyping import Scalar

from stackjax.protocols import Action, Game, one_leader
from stackjax.spaces import Space

#: A function of the joint action that returns a scalar, an array, or a tuple of them.
Constraint = Callable[..., Any]


class FunctionGame(Game):
    """A game whose payoffs are given functions; made by `from_payoffs` and `from_costs`."""

    functions: tuple[Callable[..., Scalar], ...]
    spaces: tuple[Space, ...]
    levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """What the functions return."""
        return tuple(_called(f, actions, f"payoff function of player {i}") for i, f in enumerate(self.functions))


class ConstrainedFunctionGame(FunctionGame):
    """One whose players are bound by functions of the actions, too: a class of its own, by which others are told."""

    at_most_zero: tuple[Constraint | None, ...]
    zero: tuple[Constraint | None, ...]

    def inequalities(self, player: int, actions: tuple[Action, ...]) -> Any:
        """What the player's function of them returns."""
        return _constraint(self.at_most_zero, player, actions, "inequalities")

    def equalities(self, player: int, actions: tuple[Action, ...]) -> Any:
        """What the player's function of them returns."""
        return _constraint(self.zero, player, actions, "equalities")


def _constraint(functions: tuple[Constraint | None, ...], player: int, actions: tuple[Action, ...], name: str) -> Any:
    function = functions[player] if functions else None
    if function is None:
        return None
    found = _called(function, actions, f"{name} of player {player}")
    if found is None:
        raise TypeError(f"{name}: player {player}: expected a number, an array or a tuple of them, got None")
    return found


def _called(function: Callable[..., Any], actions: tuple[Action, ...], name: str) -> Any:
    try:
        return function(*actions)
    except Exception as error:  # whatever it is, it is the user's function that raised it
        error.add_note(f"(in the {name})")
        raise


class _Negated(eqx.Module):
    function: Callable[..., Scalar]

    def __call__(self, *actions: Action) -> Scalar:
        cost = self.function(*actions)
        return cost if cost is None else -cost  # a forgotten return is reported as such


def from_payoffs(
    *payoffs: Callable[..., Any],
    spaces: Sequence[Space],
    levels: Sequence[Sequence[int]] | None = None,
    inequalities: Sequence[Constraint | None] | None = None,
    equalities: Sequence[Constraint | None] | None = None,
) -> FunctionGame:
    """A game from one payoff function a player, to be maximised.

    **Arguments:**

    - `payoffs`: functions of all the actions, in order of play, that return a scalar. An Equinox module with numbers in
      it works too, and its numbers batch and sweep; a new lambda compiles a new program.
    - `spaces`: one space a player, in order of play.
    - `levels`: who moves together; default: player 0 leads, and all the others follow together.
    - `inequalities`, `equalities`: one entry a player: None, or a function of all the actions that returns a scalar, an
      array or a tuple of them, at most 0, or 0, where the player keeps to its constraints. It depends on the player's
      own action and those of earlier levels; in the first level on any (see `Game.inequalities`).

    **Raises:** `TypeError` or `ValueError` that names the argument.

    >>> from stackjax.games import from_payoffs
    >>> from stackjax.spaces import Euclidean
    >>> game = from_payoffs(
    ...     lambda x, y: -(x - 1) ** 2 + x * y, lambda x, y: -(y - x) ** 2, spaces=(Euclidean(()), Euclidean(()))
    ... )
    >>> [float(payoff) for payoff in game.payoffs(2.0, 3.0)]
    [5.0, -1.0]

    A follower who may use no more than the leader leaves over:

    >>> game = from_payoffs(
    ...     lambda x, y: x * (4 - x - y), lambda x, y: y * (4 - x - y), spaces=(Euclidean(()), Euclidean(())),
    ...     inequalities=(None, lambda x, y: x + y - 2),
    ... )
    >>> game.inequalities(1, (1.5, 1.0))
    0.5
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
    constraints = []
    for name, given in (("inequalities", inequalities), ("equalities", equalities)):
        each = () if given is None else tuple(given) if isinstance(given, tuple | list) else (given,)
        if each and len(each) != len(payoffs):
            raise ValueError(f"{name}: expected one entry a player ({len(payoffs)}), None or a function, got {given!r}")
        for i, function in enumerate(each):
            if not (function is None or callable(function)):
                raise TypeError(f"{name}: player {i}: expected None or a function of the actions, got {function!r}")
        constraints.append(each if any(function is not None for function in each) else ())
    if any(constraints):
        return ConstrainedFunctionGame(tuple(payoffs), spaces, who, *constraints)
    return FunctionGame(tuple(payoffs), spaces, who)


def from_costs(
    *costs: Callable[..., Any],
    spaces: Sequence[Space],
    levels: Sequence[Sequence[int]] | None = None,
    inequalities: Sequence[Constraint | None] | None = None,
    equalities: Sequence[Constraint | None] | None = None,
) -> FunctionGame:
    """A game from one cost function a player, to be minimised: its payoffs are the negated costs.

    Arguments and errors as in `from_payoffs`. Everything downstream speaks of payoffs.
    """
    for i, function in enumerate(costs):
        if not callable(function):
            raise TypeError(f"costs: expected one function a player, got {function!r} for player {i}")
    negated = map(_Negated, costs)
    return from_payoffs(*negated, spaces=spaces, levels=levels, inequalities=inequalities, equalities=equalities)
