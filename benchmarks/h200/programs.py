"""The programs of the report: calls of `play` of every kind, at two numbers of replicates."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from stackjax.catalogue import GAMES, MARKOV_GAMES, MARKOV_LEADERS
from stackjax.catalogue.bandits import FOLLOWERS, LEADERS
from stackjax.games import (
    CournotDuopoly,
    IteratedMatrixGame,
    Noisy,
    OracleGame,
    Quadratic,
    TorusLocation,
    ZeroSumPolynomial,
    bandit_instances,
)
from stackjax.learners import (
    LOLA,
    UCB,
    ActiveArmElimination,
    ConsensusOptimization,
    ContextualFollower,
    ExploreThenUCB,
    Extragradient,
    GradientAscent,
    HiC,
    HierarchicalAscent,
    LookAhead,
    StableOpponentShaping,
)
from stackjax.protocols import Game, Learner
from stackjax.schedules import PowerLaw

ROUNDS = 10_000
REPLICATES = (1000, 100_000)

Players = tuple[Game, tuple[Learner, ...]]


def _bandit(arms: int, leader: Any, follower: Any) -> Players:
    game = bandit_instances.uniform(jax.random.key(0), arms, arms, noise="gaussian", sigma=1.0)
    tuned = (each.tuned(ROUNDS, arms, arms, role) for each, role in ((leader, "leader"), (follower, "follower")))
    return game, tuple(tuned)


def _entry(game: str, method: str) -> Players:
    """A game of the catalogue with one of its methods."""
    entry = GAMES[game]
    return entry.make(), entry.methods[method].make()


def _dilemma(leader: Learner) -> Players:
    return IteratedMatrixGame.prisoners_dilemma(0.96), (leader, GradientAscent(0.1))


def _episodes() -> Players:
    game, leader = MARKOV_GAMES["prisoners-dilemma"].make(), MARKOV_LEADERS["policy-gradient"]
    contexts = game.action_counts[0] ** game.observation_counts[0]
    follower = ContextualFollower(jnp.full((contexts, *game.policy_shape(1)), 0.5), game.action_counts[0])
    return OracleGame(game, follower, episodes=leader.episodes), (leader.make(),)  # whatever it is trained to do


#: A program's game and learners, by its name. All are played for `ROUNDS` with `play`'s other defaults.
PROGRAMS: Mapping[str, Callable[[], Players]] = {
    "ucb-2x2": lambda: _bandit(2, UCB, UCB),
    "ucb-10x10": lambda: _bandit(10, UCB, UCB),
    "elimination-10x10": lambda: _bandit(10, ExploreThenUCB, ActiveArmElimination),
    "hi-c-duopoly": lambda: _entry("duopoly", "hi-c"),
    "hierarchical-duopoly": lambda: (CournotDuopoly(), (HierarchicalAscent(0.01), GradientAscent(0.25))),
    "simultaneous-dilemma": lambda: _dilemma(GradientAscent(0.1)),
    "hierarchical-dilemma": lambda: _dilemma(HierarchicalAscent(0.1)),
    "lola-dilemma": lambda: _dilemma(LOLA(0.1, 0.5)),
    "hierarchical-quadratic": lambda: (
        Quadratic.random(jax.random.key(0), (10, 10)),
        (HierarchicalAscent(0.01), GradientAscent(0.1)),
    ),
    "simultaneous-gan": lambda: _entry("mixture-gan", "simultaneous"),
    "episodes-dilemma": _episodes,
}

_SMALL_GAMES: Mapping[str, Callable[[], Game]] = {
    "duopoly": CournotDuopoly,
    "noisy-duopoly": lambda: Noisy(CournotDuopoly(), 1.0),
    "torus": TorusLocation,
    "quadratic": lambda: Quadratic.random(jax.random.key(0), (3, 3)),
    "polynomial": ZeroSumPolynomial,
    "dilemma": lambda: IteratedMatrixGame.prisoners_dilemma(0.96),
}
_METHODS: Mapping[str, Callable[[], tuple[Learner, ...]]] = {
    "simultaneous": lambda: (GradientAscent(0.05),) * 2,
    "hi-c": lambda: (HiC(PowerLaw(1.0, 1.0, 10.0), PowerLaw(0.5, 1 / 6), 10), GradientAscent(0.1)),
    "hierarchical": lambda: (HierarchicalAscent(0.02), GradientAscent(0.1)),
    "lola": lambda: (LOLA(0.05, 0.1), GradientAscent(0.1)),
    "look-ahead": lambda: (LookAhead(0.05, 0.1),) * 2,
    "stable-shaping": lambda: (StableOpponentShaping(0.05, 0.1),) * 2,
    "consensus": lambda: (ConsensusOptimization(0.05, 0.1),) * 2,
    "extragradient": lambda: (Extragradient(0.05),) * 2,
}
_HORIZON = 1_000_000  # of what is tuned: explorations take a small part of it, also of 4 x 4 arms
_ARMED = ("ucb", "explore-then-ucb", "explore-then-commit", "active-arm-elimination", "epsilon-greedy", "exp3")


def _pair(arms: int, name: str) -> Players:
    """An algorithm against itself, or as a follower of UCB."""
    game = bandit_instances.uniform(jax.random.key(0), arms, arms, noise="gaussian", sigma=1.0)
    leader = LEADERS[name if name in LEADERS else "ucb"]
    return game, (leader(game, _HORIZON), FOLLOWERS[name](game, _HORIZON))


def _small(game: str, method: str) -> Players:
    return _SMALL_GAMES[game](), _METHODS[method]()


#: Games and learners whose rounds are played in one kernel, by their names.
KERNELS: Mapping[str, Callable[[], Players]] = {
    **{f"{game}/{method}": functools.partial(_small, game, method) for game in _SMALL_GAMES for method in _METHODS},
    **{f"{n}x{n}/{name}": functools.partial(_pair, n, name) for n in (2, 4) for name in _ARMED},
}
