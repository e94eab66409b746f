"""Hi-C and the hierarchical gradient, round by round, against NumPy transcriptions of the papers with the same noise.

The transcriptions (`tests/transcriptions`) were written from the mathematics alone. All in float64, with d1 different
from d2, non-symmetric matrices and boxes that don't start at zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, Status, play
from stackjax.games import from_payoffs
from stackjax.learners import GradientAscent, HiC, HierarchicalAscent
from stackjax.protocols import Game
from stackjax.schedules import PowerLaw, commitment_times
from stackjax.spaces import Box, Euclidean
from tests.transcriptions import gradient, hi_c

D1, D2, ROUNDS = 3, 2, 400
BOX = (np.array([-1.0, -2.0, 0.5]), np.array([2.0, 1.0, 3.0])), (np.array([-3.0, -0.2]), np.array([-0.1, 2.5]))


def round_of(key):
    """The round is a word of the key that the loop hands out."""
    return jax.random.key_data(key)[2].astype(jnp.int32)


class InjectedSigns(HiC):
    """Hi-C whose perturbations come from a table: row t for an interval that starts in round t."""

    table: jax.Array | None = None

    def init(self, view, key):
        return super().init(view, key)._replace(signs=self.table[0])

    def _bits(self, view, key):
        return self.table[round_of(key) + 1] > 0


class InjectedGradientAscent(GradientAscent):
    table: jax.Array | None = None

    def draw(self, view, key):
        return self.table[round_of(key)]


class InjectedHierarchicalAscent(HierarchicalAscent):
    table: jax.Array | None = None

    def draw(self, view, key):
        return self.table[round_of(key)]


class InjectedPayoffNoise(Game):
    """A game whose leader's payoff carries noise from a table."""

    game: Game
    table: jax.Array
    levels = ((0,), (1,))

    @property
    def spaces(self):
        return self.game.spaces

    def payoffs(self, *actions):
        return self.game.payoffs(*actions)

    def draw(self, key):
        return self.table[round_of(key)]

    def realise(self, noise, *actions):
        leader, follower = self.game.payoffs(*actions)
        return leader + noise, follower


def with_table(learner, table):
    object.__setattr__(learner, "table", jnp.asarray(table))
    return learner


def matrices():
    """Q_1, Q_2 and b_1, b_2."""
    rng = np.random.default_rng(5)
    d = D1 + D2
    q1, q2 = (rng.normal(size=(d, d)) * 0.4 for _ in range(2))
    q1[:D1, :D1] += 3 * np.eye(D1)
    q2[D1:, D1:] += 2 * np.eye(D2)
    return (q1, q2), rng.normal(size=(2, d))


@functools.cache
def quadratic(boxed):
    """The game, in matrix products (`Quadratic` spells them out, which takes longer to compile); once for all tests."""
    Q, b = matrices()

    def payoff(i):
        def function(x, y):
            z = jnp.concatenate([x, y])
            return z @ (jnp.asarray(b[i]) - 0.5 * (jnp.asarray(Q[i]) @ z))

        return function

    spaces = [Box(jnp.asarray(low), jnp.asarray(high), low.shape) for low, high in BOX]
    return from_payoffs(payoff(0), payoff(1), spaces=spaces if boxed else (Euclidean((D1,)), Euclidean((D2,))))


@pytest.mark.parametrize("boxes", [None, BOX], ids=["unbounded", "boxes"])
@pytest.mark.parametrize(
    ("measurements", "baseline", "commitment"),
    [(1, 0.9, "schedule"), (1, None, 3), (2, 0.9, "schedule"), (1, 0.5, 1)],
    ids=["baseline", "as printed", "pairs", "k = 1"],
)
@pytest.mark.filterwarnings("ignore:player 0, .*in an interval of one round")  # as one of them is
def test_hi_c_is_algorithm_1(x64, boxes, measurements, baseline, commitment):
    (q1, q2), (b1, b2) = matrices()
    rng = np.random.default_rng(7)
    signs = rng.choice([-1.0, 1.0], size=(ROUNDS + 1, D1))
    noise = 0.3 * rng.normal(size=ROUNDS)
    x0, y0 = np.array([0.3, -0.4, 1.0]), np.array([-0.7, 0.9])
    delta = PowerLaw(0.4, 1 / 6)
    times = commitment_times(delta, rate=0.3, bound=5.0, exponent=1.0) if commitment == "schedule" else commitment

    expected = hi_c.hi_c(
        gradient.quadratic_terms(q1, q2, b1, b2, D1).f1,
        gradient.quadratic_terms(q1, q2, b1, b2, D1).grad_y_f2,
        x0,
        y0,
        signs,
        noise,
        step=lambda n: 0.5 / (n + 10.0),
        perturbation=lambda n: 0.4 / (n + 1.0) ** (1 / 6),
        commitment=(lambda n: hi_c.commitment_times(n, 0.4 / (n + 1.0) ** (1 / 6), 0.3, 5.0, 1.0))
        if commitment == "schedule"
        else (lambda n: commitment),
        follower_step=0.15,
        rounds=ROUNDS,
        baseline=baseline,
        measurements=measurements,
        box=None if boxes is None else boxes[0],
        follower_box=None if boxes is None else boxes[1],
    )
    leader = with_table(
        InjectedSigns(PowerLaw(0.5, 1.0, offset=10.0), delta, times, baseline=baseline, measurements=measurements),
        signs,
    )
    game = InjectedPayoffNoise(quadratic(boxes is not None), jnp.asarray(noise))
    start = (jnp.asarray(x0), jnp.asarray(y0))
    trace = play(
        game,
        leader,
        GradientAscent(0.15),
        key=jax.random.key(0),
        rounds=ROUNDS,
        start=start,
        record=Record.every(1),
    )
    assert trace.status == Status.OK
    np.testing.assert_allclose(trace.strategies[0], expected["x"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(trace.actions[0], expected["played"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(trace.strategies[1], expected["y"], rtol=0, atol=1e-10)
    assert int(trace.state[0].n) == expected["n"][-1] > 3
    intervals = expected["n"] * measurements
    assert 0 <= int(trace.calls[0].payoffs[-1]) - intervals[-1] < measurements  # of the last pair one may be read


@pytest.mark.parametrize("boxes", [None, BOX], ids=["unbounded", "boxes"])
@pytest.mark.parametrize(("hierarchical", "damping"), [(True, 0.0), (True, 0.2), (False, 0.0)])
def test_the_two_timescale_dynamics_are_those_of_fiez_et_al(x64, boxes, hierarchical, damping):
    (q1, q2), (b1, b2) = matrices()
    rng = np.random.default_rng(8)
    noise_x, noise_y = rng.normal(size=(ROUNDS, D1)), rng.normal(size=(ROUNDS, D2))
    x0, y0 = np.array([0.3, -0.4, 1.0]), np.array([-0.7, 0.9])
    expected = gradient.two_timescale(
        gradient.quadratic_terms(q1, q2, b1, b2, D1),
        x0,
        y0,
        0.5 * noise_x,
        0.25 * noise_y,
        leader_step=lambda n: 0.4 / (n + 1.0),
        follower_step=lambda n: 0.3 / (n + 2.0) ** (2 / 3),
        rounds=ROUNDS,
        hierarchical=hierarchical,
        damping=damping,
        box_x=None if boxes is None else boxes[0],
        box_y=None if boxes is None else boxes[1],
    )
    step = PowerLaw(0.4, 1.0)
    leader = (
        InjectedHierarchicalAscent(step, damping=damping, noise_variance=0.25)
        if hierarchical
        else InjectedGradientAscent(step, noise_variance=0.25)
    )
    follower = InjectedGradientAscent(PowerLaw(0.3, 2 / 3, offset=2.0), noise_variance=0.0625)
    trace = play(
        quadratic(boxes is not None),
        with_table(leader, noise_x),
        with_table(follower, noise_y),
        key=jax.random.key(0),
        rounds=ROUNDS,
        start=(jnp.asarray(x0), jnp.asarray(y0)),
        record=Record.every(1),
    )
    np.testing.assert_allclose(trace.strategies[0], expected[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(trace.strategies[1], expected[1], rtol=0, atol=1e-10)
