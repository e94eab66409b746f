"""The whole vocabulary on one page: what a player may see, what a game is, what a learner is.

A game and its learners meet in `stackjax.play`, round after round, in order of play: every learner acts, the game pays,
every learner is shown exactly the signals that it declared in `wants`, and updates. Games and learners are written for
one replicate and in pure functions; the loop owns the batch axis, the random keys and the clock.
"""

import enum
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree, Scalar

from stackjax.spaces import Arms, Space

Action: TypeAlias = PyTree[Array]
Noise: TypeAlias = PyTree[Array]
State: TypeAlias = PyTree[Array]


class Signal(enum.Flag):
    """What a learner asks to be shown. A learner that wants no `GAME` and no `OWN_PAYOFF` is *uncoupled*."""

    PAYOFF = enum.auto()  #: its own realised payoff
    OTHERS = enum.auto()  #: the others' actions, after the round
    COMMITMENT = enum.auto()  #: the actions of strictly earlier levels, before it acts (and in `update`)
    GRADIENT = enum.auto()  #: its own partial gradient of this round's realised payoff, the others held fixed
    OWN_PAYOFF = enum.auto()  #: its own payoff function (what a best response needs)
    QUERY = enum.auto()  #: ask(observations) -> an earlier player's actions there; its policy stays hidden
    GAME = enum.auto()  #: every payoff function: "coupled"


class UndeclaredSignalError(ValueError):
    """A learner asked for something that its `wants` doesn't declare."""

    def __init__(self, learner: str, signal: Signal, wants: Signal, what: str):
        super().__init__(
            f"{learner} asked for {what}, which needs Signal.{signal.name}, but {learner}.wants is {wants}: "
            f"declare it there, e.g. `wants = {wants} | Signal.{signal.name}`"
        )


class Calls(NamedTuple):
    """Oracle calls of one player: what its learning costs whoever must answer.

    **Attributes:** `payoffs` readings of a realised payoff; `gradients` evaluations of a payoff's gradient;
    `hessian_vector_products`; `solves` of a linear system or of a best response. Integers, or integer arrays.
    """

    payoffs: Any = 0
    gradients: Any = 0
    hessian_vector_products: Any = 0
    solves: Any = 0


class Dynamics(NamedTuple):
    """What a player of a Markov game may simulate by itself.

    `initial [S]`, `transitions [S, A_0, ..., A_{N-1}, S]`, its own `rewards [S, A_0, ..., A_{N-1}]`, `horizon` or
    `discount`, and each player's `observations` (`[S, O_i]`, None for the state) and whether it is `clocked`.
    """

    initial: Array
    transitions: Array
    rewards: Array
    horizon: int | None
    discount: Any
    observations: tuple[Array | None, ...]
    clocked: tuple[bool, ...]


def one_leader(players: int) -> tuple[tuple[int, ...], ...]:
    """One leader, and all the others together in the level below."""
    return ((0,), tuple(range(1, players))) if players > 1 else ((0,),)


class Game(eqx.Module):
    """Payoffs, to be maximised, of players who move in levels.

    Give `spaces`, one a player, in order of play, as a class attribute, a field or a property, and `payoffs`; likewise
    `levels`, who moves together, where it isn't one leader and all others in the level below: `((0,), (1,))` is a
    leader and a follower, `((0,), (1, 2))` a leader with two followers who move together, `((0,), (1,), (2,))` a chain.
    A game that samples its payoffs also gives `draw` and `realise`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        said = [kind for kind in cls.__mro__ if "levels" in {*vars(kind), *inspect.get_annotations(kind)}]
        if said in ([], [Game]):
            cls.levels = property(lambda game: one_leader(len(game.spaces)))  # type: ignore[assignment]  # a property here

    if TYPE_CHECKING:  # type checkers take an abstract variable for a field, which a property can't stand for

        @property
        def spaces(self) -> tuple[Space, ...]: ...  # noqa: D102

        @property
        def levels(self) -> tuple[tuple[int, ...], ...]: ...  # noqa: D102

    else:
        spaces: eqx.AbstractVar[tuple[Space, ...]]
        levels: eqx.AbstractVar[tuple[tuple[int, ...], ...]]

    #: What a `Record` shows when it isn't told: "exact" payoffs, or the "realised" ones of a game without exact
    # payoffs.
    recorded_payoffs = "exact"

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """Exact payoffs, one scalar a player, maximised. Pure; a sampled game may have none."""
        raise NotImplementedError(f"{type(self).__name__} has no exact payoffs; record payoffs='realised'")

    def inequalities(self, player: int, actions: tuple[Action, ...]) -> PyTree[Array] | None:
        """What is at most 0 where the player keeps to its constraints, as scalars or arrays; None without any.

        A function of its own action and those of earlier levels; in the first level, whose players have to see to it
        that others let them keep to it, also of those of later levels. Payoffs don't know of it: a player who is only
        paid isn't told (`games.Penalized` makes it pay).
        """
        return None

    def equalities(self, player: int, actions: tuple[Action, ...]) -> PyTree[Array] | None:
        """What is 0 where the player keeps to its constraints; otherwise as `inequalities`."""
        return None

    def draw(self, key: PRNGKeyArray) -> Noise:
        """This round's randomness, one draw for all players; `()` if there is none."""
        return ()

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """What is paid this round. Payoff, gradient and game signals all come from it, so that a draw is shared."""
        return self.payoffs(*actions)

    def nash(self) -> tuple[Action, ...] | None:
        """A known differential Nash equilibrium as a joint action, or None."""
        return None

    def stackelberg(self) -> tuple[Action, ...] | None:
        """A known differential Stackelberg equilibrium as a joint action, or None."""
        return None

    def nash_equilibria(self) -> tuple[tuple[Action, ...], ...]:
        """All known differential Nash equilibria; a game that knows several overrides it."""
        return () if (one := self.nash()) is None else (one,)

    def stackelberg_equilibria(self) -> tuple[tuple[Action, ...], ...]:
        """All known differential Stackelberg equilibria; a game that knows several overrides it."""
        return () if (one := self.stackelberg()) is None else (one,)

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Action | None:
        """The player's best response to the others' `actions` in closed form, or None where there is no such form."""
        return None

    def answer(self, noise: Noise, player: int, action: Action, observations: PyTree) -> PyTree:
        """What `player`, whose policy is `action`, does in `observations` (for `Signal.QUERY`).

        `noise` is the round's, and `()` when strategies are reported outside of a round.
        """
        raise NotImplementedError(f"{type(self).__name__} answers no queries")

    def model(self, player: int) -> Dynamics:
        """What `player` may simulate by itself; only Markov games have it."""
        raise NotImplementedError(f"{type(self).__name__} has no model to simulate: it isn't a Markov game")

    def requires(self) -> dict[str, Any]:
        """What the game's numbers must satisfy, as for a learner's `requires`; a constructor under `vmap` sees none."""
        return {}

    def total(self, key: PRNGKeyArray, counts: Array) -> tuple[Array, ...]:
        """A draw of what is paid in all, by a player, for so many plays `[arms of player 0, ...]` of each joint arm.

        Only what `play(..., skip_phases=True)` needs of a game of arms.
        """
        raise NotImplementedError(f"{type(self).__name__} doesn't define total")


def arms_of(space: Space) -> int:
    """The number of a space's arms; a `ValueError` if it has none."""
    if not isinstance(space, Arms):
        raise ValueError(f"expected a space of arms, got {space}")
    return space.n


def level_of(game: Game, player: int) -> int:
    """The index of the level at which `player` moves."""
    return next(i for i, level in enumerate(game.levels) if player in level)


class View(eqx.Module):
    """What a learner may know of the game that it is in; the loop passes it to every method.

    **Attributes:** `player`, its index; `space`, its own; `earlier`, the spaces of all players of earlier levels;
    `start`, the action that it was told to start from, or None; `dtype`, the run's floating-point type.
    `game`, `payoff_function`, `best_response` and `dynamics` need a signal, else raise `UndeclaredSignalError`.
    """

    player: int = eqx.field(static=True)
    space: Space
    earlier: tuple[Space, ...]
    start: Action | None
    dtype: Any = eqx.field(static=True)
    _game: Game
    _learner: str = eqx.field(static=True)
    _wants: Signal = eqx.field(static=True)

    def __init__(self, learner: "Learner", game: Game, player: int, start: Action | None, dtype: Any):
        self.player, self.start, self.dtype = player, start, dtype
        self.space = game.spaces[player]
        first = min(game.levels[level_of(game, player)])
        self.earlier = game.spaces[:first]
        self._game, self._learner, self._wants = game, type(learner).__name__, learner.wants

    def _need(self, signal: Signal, what: str) -> None:
        if signal not in self._wants:
            raise UndeclaredSignalError(self._learner, signal, self._wants, what)

    @property
    def arms(self) -> int:
        """The number of its arms, if that is what it chooses from."""
        return arms_of(self.space)

    @property
    def game(self) -> Game:
        """The whole game (`Signal.GAME`); in `update`, at this round's noise."""
        self._need(Signal.GAME, "view.game")
        return self._game

    def payoff_function(self, *actions: Action) -> Scalar:
        """Its own payoff at a joint action (`Signal.OWN_PAYOFF`); in `update`, at this round's noise."""
        self._need(Signal.OWN_PAYOFF, "view.payoff_function")
        return self._game.payoffs(*actions)[self.player]

    def best_response(self, actions: tuple[Action | None, ...]) -> Action | None:
        """Its best response in closed form, or None where the game has none (`Signal.OWN_PAYOFF`)."""
        self._need(Signal.OWN_PAYOFF, "view.best_response")
        return self._game.best_response(self.player, actions)

    def constraints(self, actions: tuple[Action | None, ...]) -> tuple[PyTree[Array] | None, PyTree[Array] | None]:
        """What is at most 0, and what is 0, where it keeps to its constraints (`Signal.OWN_PAYOFF`).

        None without any. In the last level they don't depend on what it hasn't seen.
        """
        self._need(Signal.OWN_PAYOFF, "view.constraints")
        return self._game.inequalities(self.player, actions), self._game.equalities(self.player, actions)

    @property
    def is_constrained(self) -> bool:
        """Whether the game constrains it beside its space (`Signal.OWN_PAYOFF`)."""
        actions = tuple(space.struct(self.dtype) for space in self._game.spaces)
        found: list[bool] = []

        def both(*actions: Action) -> None:
            found.append(any(values is not None for values in self.constraints(actions)))

        jax.eval_shape(both, *actions)
        return found[0]

    @property
    def dynamics(self) -> Dynamics:
        """What it may simulate by itself of a Markov game (`Signal.OWN_PAYOFF`)."""
        self._need(Signal.OWN_PAYOFF, "view.dynamics")
        return self._game.model(self.player)

    def first_action(self, key: PRNGKeyArray) -> Action:
        """The start that was given, else a sample of its space."""
        return self.space.sample(key, self.dtype) if self.start is None else self.start


class Seen:
    """What a learner sees before it acts.

    **Attributes:** `actions` (`Signal.COMMITMENT`): one entry a player, None for those that it doesn't see.
    """

    def __init__(self, view: View, actions: tuple[Action | None, ...], ask: Callable[[PyTree, int], PyTree]):
        self._view, self._actions, self._ask = view, actions, ask

    @property
    def actions(self) -> tuple[Action | None, ...]:
        """The actions of strictly earlier levels, None elsewhere."""
        self._view._need(Signal.COMMITMENT, "seen.actions")
        return self._actions

    def ask(self, observations: PyTree, player: int = 0) -> PyTree:
        """What an earlier `player` does in `observations` (`Signal.QUERY`)."""
        self._view._need(Signal.QUERY, "seen.ask")
        return self._ask(observations, player)


class Signals:
    """What a learner is shown after a round. Undeclared signals raise `UndeclaredSignalError` when they are read.

    **Attributes:** `own` action; `payoff`, realised; `actions`, one entry a player, None for those that it doesn't see;
    `gradient` of its realised payoff in its own action, a pytree like the action.
    """

    def __init__(self, view: View, actions: tuple[Action, ...], payoffs: tuple[Scalar, ...], ask: Any = None):
        self._view, self._actions, self._payoffs, self._ask = view, actions, payoffs, ask
        self.own = actions[view.player]

    @property
    def payoff(self) -> Scalar:
        """Its own realised payoff."""
        self._view._need(Signal.PAYOFF, "signals.payoff")
        return self._payoffs[self._view.player]

    @property
    def actions(self) -> tuple[Action | None, ...]:
        """All actions with `OTHERS`; those of earlier levels and its own with `COMMITMENT`."""
        view = self._view
        if Signal.OTHERS in view._wants:
            return self._actions
        view._need(Signal.COMMITMENT, "signals.actions")
        shown = (*range(len(view.earlier)), view.player)
        return tuple(a if j in shown else None for j, a in enumerate(self._actions))

    def ask(self, observations: PyTree, player: int = 0) -> PyTree:
        """What an earlier `player` did in `observations` this round: the answers of `Seen.ask` (`Signal.QUERY`)."""
        self._view._need(Signal.QUERY, "signals.ask")
        return self._ask(observations, player)

    @property
    def gradient(self) -> Action:
        """Its own partial gradient of this round's realised payoff."""
        self._view._need(Signal.GRADIENT, "signals.gradient")
        return partial_gradient(self._view._game, self._view.player, self._actions)


class Learner(eqx.Module):
    """A player's way to learn, written for one replicate. `learners/_template.py` is a commented start for a new one.

    Only `init` and `draw` take keys; everything else is deterministic, given the noise. The fields are the
    hyper-parameters: numbers are leaves, which batch through `play`'s `in_axes`; only what changes the program is
    static.
    """

    if TYPE_CHECKING:  # as in Game

        @property
        def wants(self) -> Signal: ...  # noqa: D102

    else:
        wants: eqx.AbstractVar[Signal]

    #: Whether it keeps to constraints that a game has beside its spaces (`Game.inequalities`, `equalities`).
    keeps_constraints: ClassVar[bool] = False

    def requires(self, view: View) -> dict[str, Any]:
        """What the hyper-parameters must satisfy in this game: messages that name the argument, each with a condition.

        `play` evaluates it before it compiles anything, where values are concrete, and raises a `ValueError` with the
        message of a condition that doesn't hold in every replicate.
        """
        return {}

    def advice(self, player: int, game: Game, learners: Sequence["Learner"]) -> list[str]:
        """What speaks against playing as `player` beside these learners, although it can be done.

        `play` warns of it (`UserWarning`). Whatever isn't concrete can't be judged.
        """
        return []

    def init(self, view: View, key: PRNGKeyArray) -> State:
        """The state before the first round: finite, as numbers that aren't end a replicate."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define init")

    def draw(self, view: View, key: PRNGKeyArray) -> Noise:
        """This round's randomness; `()` if the learner is deterministic."""
        return ()

    def act(self, view: View, state: State, noise: Noise, seen: Seen) -> Action:
        """The action of this round."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define act")

    def update(self, view: View, state: State, noise: Noise, signals: Signals) -> State:
        """The state after this round; whatever it will play is already projected to its space."""
        return state

    def strategy(self, view: View, state: State, seen: Seen) -> Action:
        """What it would report as its strategy (Hi-C: the centre, not the perturbed action)."""
        return self.act(view, state, (), seen)

    def report(self, view: View, state: State) -> dict[str, Any]:
        """Diagnostics that are read at record points, as a dictionary of scalars."""
        return {}

    def calls(self, view: View, before: State, after: State) -> Calls:
        """What this round used; by default one call for each signal that it wants.

        That is a payoff for PAYOFF, a gradient for GRADIENT and for GAME, a solve for OWN_PAYOFF. A learner that uses
        more or less says so here.
        """
        wants = self.wants
        return Calls(
            payoffs=int(Signal.PAYOFF in wants),
            gradients=int(Signal.GRADIENT in wants) + int(Signal.GAME in wants),
            solves=int(Signal.OWN_PAYOFF in wants),
        )


def partial_gradient(game: Game, player: int, actions: tuple[Action, ...]) -> Action:
    """The gradient of `player`'s payoff in its own action, the others' held fixed: a pytree like the action."""

    def own(action: Action) -> Scalar:
        return game.payoffs(*actions[:player], action, *actions[player + 1 :])[player]

    return jax.grad(own)(actions[player])


def same_structure(a: PyTree, b: PyTree) -> bool:
    """Whether two pytrees have their leaves in the same places."""
    structure: Any = jax.tree.structure(a)
    return bool(structure == jax.tree.structure(b))


def tree_where(condition: Any, new: PyTree, old: PyTree) -> PyTree:
    """`jnp.where`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
