"""Small experiments of every kind, played here and in other processes: `survival_example.py KIND OUT [HOW]`."""

import json
import sys

import jax.numpy as jnp

from stackjax import experiments
from stackjax.experiments import Leading, store
from stackjax.games import CournotDuopoly, IteratedMatrixGame, MarkovGame, Noisy
from stackjax.games.bandit_instances import aligned, etc_failure
from stackjax.learners import ExploreThenCommit, Fixed, GradientAscent, PerArm, QLearning

GAME = Noisy(CournotDuopoly(), payoff_variance=1.0)
STEPS = {f"step {step}": (GradientAscent(step), GradientAscent(0.2)) for step in (0.05, 0.1, 0.2)}
LEADERS = {"short": ExploreThenCommit(1), "long": ExploreThenCommit(3)}
FOLLOWERS = {"short": PerArm(ExploreThenCommit(1)), "long": PerArm(ExploreThenCommit(2))}
PAIRS = {f"{a}/{b}": (LEADERS[a], FOLLOWERS[b]) for a in LEADERS for b in FOLLOWERS}
DILEMMA = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=2)
ORACLES = {f"logit {x}": Leading(Fixed(jnp.full((5, 2), x).at[:, 1].set(0.0)), QLearning(4)) for x in (0.0, 1.0)}

#: Of each kind, what it takes but for `How`: 6 chunks of 4 replicates, or more.
KINDS = {
    "compare": lambda **how: experiments.compare(GAME, STEPS, rounds=300, replicates=8, seed=5, **how),
    "regret": lambda **how: experiments.regret(etc_failure(), PAIRS, horizons=[40, 90], replicates=8, seed=5, **how),
    "metagame": lambda **how: experiments.metagame(
        LEADERS, FOLLOWERS, {"a": etc_failure(), "b": aligned()}, 90, replicates=4, seed=5, resamples=5, **how
    ),
    "lead": lambda **how: experiments.lead(
        DILEMMA, ORACLES, rounds=6, replicates=12, points=4, seed=5, truths=False, **how
    ),
}
TIMES = ["seconds", "compile_seconds", "training_seconds"]


def played(kind, **how):
    """An experiment, without what it took."""
    found = KINDS[kind](**({"chunk": 4, "progress": False} | how))
    return found.drop_vars(TIMES, errors="ignore").drop_attrs(deep=False)


if __name__ == "__main__":
    import survival_example  # functions are known by their module

    kind, out, *how = sys.argv[1:]
    store.EVERY = 0.0  # every chunk by itself
    survival_example.played(kind, out=out, **(json.loads(how[0]) if how else {}))
