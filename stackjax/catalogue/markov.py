"""Markov games by their names, the oracles that follow in them, and the leaders."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from stackjax.games import IteratedMatrixGame, MarkovGame, incentives
from stackjax.learners import (
    ContextualFollower,
    EvolutionStrategies,
    GradientAscent,
    HiC,
    MultiplicativeWeights,
    NeuralFollower,
    QLearning,
    RecurrentFollower,
    Reinforce,
)
from stackjax.protocols import Learner
from stackjax.schedules import PowerLaw

if TYPE_CHECKING:
    from stackjax.experiments import Leading


@dataclass(frozen=True)
class MarkovEntry:
    """A Markov game of a leader and a follower, as its leaders are compared.

    **Attributes:**

    - `make`: makes the game; keywords as in `MarkovGame`.
    - `title`, `summary`: its name, and a line about it.
    - `states`: what the leader may observe, by name; `actions`: the leader's actions.
    - `replicates`: how many seeds are compared if nothing else is asked for.
    """

    make: Callable[..., MarkovGame]
    title: str
    summary: str
    states: tuple[str, ...]
    actions: tuple[str, ...]
    replicates: int = 16

    def query_rewards(self) -> Float[np.ndarray, "O A"]:
        """What rewarded queries pay, to show what that does: the range of the leader's rewards for its first action.

        It violates the condition of the reduction that queries pay nothing.
        """
        game = self.make()
        paid = np.zeros((game.observation_counts[0], game.action_counts[0]))
        paid[:, 0] = np.ptp(np.asarray(game.rewards[0]))
        return paid


@dataclass(frozen=True)
class OracleEntry:
    """A follower oracle.

    **Attributes:** `make`: makes an oracle or learner of a game or, if `trained`, of a game and a key.
    """

    make: Callable[..., Any]
    summary: str
    trained: bool = False


@dataclass(frozen=True)
class LeaderEntry:
    """A leader.

    **Attributes:** `make`; `rounds`: how many suffice; `episodes`: of a round's gradient, None if it is exact.
    """

    make: Callable[[], Learner]
    summary: str
    rounds: int
    episodes: int | None = None


def _repeated(
    make: Callable[[], IteratedMatrixGame], title: str, summary: str, actions: tuple[str, str]
) -> MarkovEntry:
    """The game of 10 steps that Gerstgrasser & Parkes (2023) play."""

    def game(**options: Any) -> MarkovGame:
        return MarkovGame.repeated(make(), **{"horizon": 10} | options)

    return MarkovEntry(game, title, f"{summary}; 10 steps", ("start", "CC", "CD", "DC", "DD"), actions)


#: Markov games of a leader with a memoryless policy and a follower who sees the state and the time.
MARKOV_GAMES: Mapping[str, MarkovEntry] = {
    "prisoners-dilemma": _repeated(
        IteratedMatrixGame.prisoners_dilemma,
        "Repeated prisoner's dilemma",
        "silence (C) pays both; to confess (D) pays each",
        ("silence", "confession"),
    ),
    "stag-hunt": _repeated(
        IteratedMatrixGame.stag_hunt,
        "Repeated stag hunt",
        "the stag (C) needs both; the hare (D) is safe",
        ("stag", "hare"),
    ),
    "chicken": _repeated(
        IteratedMatrixGame.chicken,
        "Repeated game of chicken",
        "who swerves (C) loses to who doesn't (D)",
        ("swerve", "go on"),
    ),
    "battle-of-the-sexes": _repeated(
        IteratedMatrixGame.battle_of_the_sexes,
        "Repeated battle of the sexes",
        "together, at C (3 for the leader) or D (2)",
        ("C", "D"),
    ),
    "matching-pennies": _repeated(
        IteratedMatrixGame.matching_pennies,
        "Repeated matching pennies",
        "the leader wins if both choose the same",
        ("heads", "tails"),
    ),
    "corridor": MarkovEntry(
        incentives.corridor,
        "Corridor",
        "a leader pays a follower to walk to the far end; 5 cells, 10 steps",
        tuple(f"cell {i}" for i in range(5)),
        ("nothing", "bonus"),
    ),
}


def _contextual(game: MarkovGame, key: PRNGKeyArray) -> ContextualFollower:
    return ContextualFollower.train(game, key, episodes=16_384)


def _neural(game: MarkovGame, key: PRNGKeyArray) -> NeuralFollower:
    return NeuralFollower.train(game, key, episodes=64_000)


def _recurrent(game: MarkovGame, key: PRNGKeyArray) -> RecurrentFollower:
    return RecurrentFollower.train(game, key, meetings=128_000, episodes=2)


#: Followers of these games.
ORACLES: Mapping[str, OracleEntry] = {
    "contextual": OracleEntry(_contextual, "a table for each answer, trained once by Q-learning across leaders", True),
    "contextual-exact": OracleEntry(ContextualFollower.exact, "the ideal of that training: exact best responses"),
    "neural": OracleEntry(_neural, "a network that reads the answers, trained once by policy gradient", True),
    "q-learning": OracleEntry(
        lambda game: QLearning(128, exploration=0.7, restarts=0.3, parallel=4),
        "an inner loop: it practises anew in every round",
    ),
    "multiplicative-weights": OracleEntry(
        lambda game: MultiplicativeWeights(128, 0.5, restarts=0.3, parallel=4), "likewise, by multiplicative weights"
    ),
    "reinforce": OracleEntry(
        lambda game: Reinforce(128, 0.3, restarts=0.3, parallel=4), "likewise, by the policy gradient"
    ),
    "recurrent": OracleEntry(
        _recurrent, "a recurrent network that finds out whom it meets, trained once by policy gradient", True
    ),
}

#: Leaders of these games. Logits change the policy most near even ones.
MARKOV_LEADERS: Mapping[str, LeaderEntry] = {
    "policy-gradient": LeaderEntry(
        lambda: GradientAscent(2.0), "ascends the policy gradient of 32 sampled episodes a round", 1000, 32
    ),
    "policy-gradient-exact": LeaderEntry(lambda: GradientAscent(3.0), "ascends the exact policy gradient", 1000),
    "evolution-strategies": LeaderEntry(
        lambda: EvolutionStrategies(PowerLaw(60.0, 1.0, offset=30.0), 0.5, 8), "sees nothing but its payoffs", 8000
    ),
    "hi-c": LeaderEntry(
        lambda: HiC(PowerLaw(20.0, 1.0, offset=50.0), PowerLaw(0.5, 1 / 6), 1), "sees nothing but its payoffs", 8000
    ),
}


def leading(entry: MarkovEntry, game: MarkovGame, leader: str | LeaderEntry, oracle: str, *switches: str) -> "Leading":
    """A leader and its oracle, by their names.

    **Arguments:** `leader`: its name, or an entry of one's own; `switches`: of "hidden" (queries that are no part of
    the leader's gradient), "rewarded" (queries that pay it) and "recognisable" (queries that it can tell from play).
    """
    from stackjax.experiments import Leading  # here, as it takes long to import

    leads = leader if isinstance(leader, LeaderEntry) else MARKOV_LEADERS[leader]
    follows = ORACLES[oracle]
    follower = follows.make if follows.trained else follows.make(game)
    options: dict[str, Any] = {}
    if "hidden" in switches:
        options["visible"] = False
    if "rewarded" in switches:
        options["query_rewards"] = entry.query_rewards()
    if "recognisable" in switches:
        options["recognisable"] = True
    return Leading(leads.make(), follower, episodes=leads.episodes, **options)
