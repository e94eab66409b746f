"""What a correct implementation shows on the duopoly: the quick part of `benchmarks/papers/duopoly.py`.

Fixed keys; the thresholds are the published ones. By the standard deviations that the benchmark measures after 1e4
rounds (.025 and .025; .036 and .08) and normal tails, a correct implementation would fail with another key at a rate
below 1e-3, most of it for a third replicate of 1000 beyond .3.
"""

import jax
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import CournotDuopoly, Noisy
from stackjax.learners import GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import PowerLaw, commitment_times

pytestmark = pytest.mark.optimized

GAME = CournotDuopoly()
RECORD = Record.final(payoffs=None)


def final(game, learners, replicates):
    trace = play(game, *learners, key=jax.random.key(11), rounds=10_000, replicates=replicates, record=RECORD)
    return np.stack([np.asarray(s)[:, -1] for s in trace.raise_if_failed().strategies], -1)


@pytest.mark.parametrize("name", ["simultaneous", "two-timescale"])
def test_gradient_methods_reach_their_equilibria(name):
    learner, exponent, equilibrium = {
        "simultaneous": (GradientAscent, 1.0, GAME.nash()),
        "two-timescale": (HierarchicalAscent, 2 / 3, GAME.stackelberg()),
    }[name]
    leader = learner(PowerLaw(1.0, 1.0), noise_variance=10.0)
    strategies = final(GAME, (leader, GradientAscent(PowerLaw(1.0, exponent), noise_variance=10.0)), 1000)
    distance = np.linalg.norm(strategies - np.asarray(equilibrium), axis=1)
    assert np.abs(strategies.mean(0) - np.asarray(equilibrium)).max() < 0.01
    assert (distance < 0.15).all() if name == "simultaneous" else (distance < 0.3).sum() >= 998


@pytest.mark.parametrize("baseline", [0.9, None], ids=["baseline", "as printed"])
def test_hi_c_needs_its_baseline(baseline):
    """Medians of 400: .088 with it (limit .12), about 9 without."""
    perturbation = PowerLaw(10.0, 1 / 6)
    times = commitment_times(perturbation, rate=0.5, bound=100.0, exponent=1.0)
    leader = HiC(PowerLaw(1.5, 1.0, offset=10.0), perturbation, times, baseline=baseline)
    strategies = final(Noisy(GAME, 10.0), (leader, GradientAscent(0.25)), 400)
    median = np.median(np.abs(strategies[:, 0] - float(GAME.stackelberg()[0])))
    assert median < 0.12 if baseline else median > 2.0
