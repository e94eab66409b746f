"""The programs of the report: calls of `play` of every kind, at two numbers of replicates."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from stackjax.catalogue import GAMES, MARKOV_GAMES, MARKOV_LEADERS
from stackjax.games import CournotDuopoly, IteratedMatrixGame, OracleGame, Quadratic, bandit_instances
from stackjax.learners import (
    LOLA,
    UCB,
    ActiveArmElimination,
    ContextualFollower,
    ExploreThenUCB,
    GradientAscent,
    HierarchicalAscent,
)
from stackjax.protocols import Game, Learner

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
