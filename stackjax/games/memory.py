"""Players who remember: a Markov game whose states hold the last joint actions, too."""

from typing import Any, NamedTuple

import numpy as np

from stackjax.checks import concrete, whole
from stackjax.games.markov import MarkovGame

#: The most entries of a table of transitions.
MOST_ENTRIES = 2**24

#: The joint actions that are remembered, the oldest first.
History = tuple[tuple[int, ...], ...]


class Remembered(NamedTuple):
    """A `game` with memory, and what its `states` are: of each the state of the game without, and the history."""

    game: MarkovGame
    states: tuple[tuple[int, History], ...]


def with_memory(game: MarkovGame, steps: int) -> Remembered:
    """The same game between players who remember the joint actions of the last `steps` steps.

    A memoryless policy of this game is one of the other that depends on what happened in so many steps: the leader with
    a finite memory of Gerstgrasser & Parkes, Oracles & Followers (2023). A state is a state of the game and the joint
    actions before it, as few as there were at the beginning; only those are kept that can come about. Every player
    observes its observation of the state, and the history. Everything that a `MarkovGame` has works for it: exact
    values, best responses, oracles.

    **Arguments:** `game`: with known numbers; `steps`: a whole number of at least 1.

    **Returns:** `Remembered`. In a repeated game `with_memory(game, 1)` is the game itself, as its states are what
    happened last, and `with_memory(game, 2)` has 21 states for two actions each.

    **Raises:** `ValueError` or `TypeError` that names the argument: for a game that is mapped or traced, and where the
    table of transitions would have more than 2^24 entries.

    >>> from stackjax.games import IteratedMatrixGame, MarkovGame, with_memory
    >>> dilemma = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=10)
    >>> two = with_memory(dilemma, 2)
    >>> two.game.observation_counts, two.states[6]
    ((21, 21), (2, ((0, 0), (0, 1))))
    """
    if not isinstance(game, MarkovGame):
        raise TypeError(f"game: expected a MarkovGame, got {game!r}")
    steps = whole("steps", steps)
    if not concrete((game.transitions, game.initial, game.rewards)):
        raise ValueError("game: expected known numbers: which states can come about depends on them")
    moves, first = np.asarray(game.transitions), np.asarray(game.initial)
    actions = moves.shape[1:-1]
    states = _reachable(moves, first, actions, steps)
    places = {state: i for i, state in enumerate(states)}
    transitions = np.zeros((len(states), *actions, len(states)), moves.dtype)
    for (state, history), i in places.items():
        for joint in np.ndindex(*actions):
            later = (*history, joint)[-steps:]
            for after in np.flatnonzero(moves[(state, *joint)]):
                transitions[(i, *joint, places[int(after), later])] = moves[(state, *joint, after)]
    old = np.array([state for state, _ in states])
    initial = np.array([first[state] if not history else 0 for state, history in states], first.dtype)
    made = MarkovGame(
        transitions,
        tuple(np.asarray(r)[old] for r in game.rewards),
        initial,
        horizon=game.horizon,
        discount=game.discount if game.horizon is None else None,
        observations=[None if e is None else _observed(np.asarray(e), states) for e in game.observations],
        clocked=game.clocked,
        logits=game.logits,
        ties=game.ties,
        sampled=game.sampled,
        levels=game.levels,
    )
    return Remembered(made, tuple(states))


def _reachable(moves: np.ndarray, first: np.ndarray, actions: Any, steps: int) -> list[tuple[int, History]]:
    """The states that can come about, those of the beginning first."""
    found: list[tuple[int, History]] = [(int(state), ()) for state in np.flatnonzero(first)]
    known = set(found)
    joints = list(np.ndindex(*actions))
    for state, history in found:  # it grows while it is read
        for joint in joints:
            later = (*history, joint)[-steps:]
            for after in np.flatnonzero(moves[(state, *joint)]):
                new = int(after), later
                if new not in known:
                    known.add(new)
                    found.append(new)
        if len(found) ** 2 * len(joints) > MOST_ENTRIES:
            raise ValueError(
                f"steps: a memory of {steps} leads to more than {len(found) - 1} states, whose table of transitions "
                f"for {len(joints)} joint actions would have more than {MOST_ENTRIES} entries"
            )
    return found


def _observed(seen: np.ndarray, states: list[tuple[int, History]]) -> np.ndarray:
    """The distribution of what a player observes in each state: its observation, and the history."""
    places: dict[tuple[int, History], int] = {}
    for state, history in states:
        for o in np.flatnonzero(seen[state]):
            places.setdefault((int(o), history), len(places))
    rows = np.zeros((len(states), len(places)), seen.dtype)
    for i, (state, history) in enumerate(states):
        for o in np.flatnonzero(seen[state]):
            rows[i, places[int(o), history]] = seen[state, o]
    return rows
