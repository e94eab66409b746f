"""What the catalogue names can be made and played."""

import dataclasses
import re

import jax
import numpy as np
import pytest

import stackjax as sj
from stackjax import Record, Status, catalogue, learners

_FINAL = Record.final()
# One worker for all of them: the iterated games, for one, share their compiled programs.
pytestmark = pytest.mark.xdist_group("catalogue")


def test_every_learner_is_listed():
    exported = {x for x in vars(learners).values() if isinstance(x, type) and issubclass(x, sj.Learner)}
    assert set(catalogue.LEARNERS.values()) == exported
    assert len(catalogue.LEARNERS) == len(exported)


def test_names_are_typeable():
    names = [*catalogue.GAMES, *catalogue.LEARNERS]
    names += [name for entry in catalogue.GAMES.values() for name in entry.methods]
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


_QUICK = ("duopoly", "torus", "zero-sum-quartic")  # those that compile quickly


@pytest.mark.parametrize(
    "game", [pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in catalogue.GAMES]
)
def test_every_method_plays_and_every_player_has_its_labels(game):
    entry = catalogue.GAMES[game]
    made = entry.make()
    assert len(entry.actions) == len(entry.payoffs) == len(made.spaces)
    for name, method in entry.methods.items():
        trace = sj.play(
            made,
            *method(),
            key=jax.random.key(0),
            rounds=20,
            replicates=2,
            start=entry.start,
            record=_FINAL,
        )
        assert np.all(np.asarray(trace.status) == Status.OK), name


def test_the_duopoly_has_the_papers_schedules():
    entry = catalogue.GAMES["duopoly"]
    assert entry.default == ("simultaneous", "two-timescale", "hi-c")
    assert float(entry.make().payoff_variance) == 10.0
    np.testing.assert_allclose(entry.make().stackelberg(), (46.0, 26.0))
    leader, follower = entry.methods["two-timescale"]()
    assert (float(leader.noise_variance), float(follower.noise_variance)) == (10.0, 10.0)
    np.testing.assert_allclose([leader.step(7), follower.step(7)], [1 / 8, 1 / 4], rtol=1e-6)
    leader, follower = entry.methods["hi-c"]()
    np.testing.assert_allclose([leader.step(5), leader.perturbation(63), follower.step(9)], [0.1, 5.0, 0.25])
    # Eq. 28 at n = 63: 2 (ln 5 - ln 100 - ln 64) / ln(1/2) = 20.6...
    assert int(leader.commitment(63, leader.perturbation)) == 21
    assert entry.methods["hi-c-no-baseline"]()[0].baseline is None
    assert entry.methods["hi-c-pairs"]()[0].measurements == 2


def test_the_torus_has_the_papers_schedules():
    entry = catalogue.GAMES["torus"]
    for learner in entry.methods["simultaneous"]():
        np.testing.assert_allclose([learner.step(3), learner.noise_variance], [0.5, 0.01], rtol=1e-6)
    leader, follower = entry.methods["two-timescale"]()
    np.testing.assert_allclose([leader.step(3), follower.step(3)], [0.25, 0.5], rtol=1e-6)
    np.testing.assert_allclose([leader.noise_variance, follower.noise_variance], 0.01)


def test_the_quadratic_zero_sum_games_equilibrium_is_no_nash_equilibrium_and_attracts():
    """Both dynamics: their Jacobians' eigenvalues have negative real parts."""
    game = catalogue.GAMES["zero-sum-quadratic"].make().game
    q = np.asarray(game.Q[0], np.float64)
    q = (q + q.T) / 2
    own, cross, other = q[:3, :3], q[:3, 3:], -q[3:, 3:]
    total = own + cross @ np.linalg.solve(other, cross.T)
    assert np.linalg.eigvalsh(own)[0] < -0.1 and np.linalg.eigvalsh(other)[0] > 0.9
    assert np.linalg.eigvalsh(total)[0] > 0.9
    follower = np.concatenate([cross.T, -other], axis=1)
    hierarchical = np.concatenate(
        [total, np.zeros((3, 4))], axis=1
    )  # D of a quadratic zero-sum game is that of x alone
    for leader in (q[:3], hierarchical):
        jacobian = np.concatenate([-leader, follower])
        assert np.linalg.eigvals(jacobian).real.max() < -0.5


def test_the_hamiltonian_game_turns_outwards_nowhere_or_inwards():
    """Ratios of the last to the first distance from the origin, which the learners turn around."""
    entry = catalogue.GAMES["hamiltonian"]
    ratios = {}
    for name, method in entry.methods.items():
        trace = sj.play(entry.make(), *method(), key=jax.random.key(0), rounds=1000, start=(1.0, 0.0), record=_FINAL)
        ratios[name] = np.hypot(*(float(x[-1]) for x in trace.strategies))
    np.testing.assert_allclose(ratios["simultaneous"], (1 + 0.05**2) ** 500, rtol=1e-3)
    bound = np.prod(np.sqrt(1 + 0.25 / np.arange(1, 1001) ** 2))
    np.testing.assert_allclose(ratios["decreasing-steps"], bound, rtol=1e-3)
    assert ratios["optimistic"] < 0.5


def test_a_default_that_is_no_method_is_refused():
    with pytest.raises(ValueError, match=r"default: \['nothing'\]"):
        dataclasses.replace(catalogue.GAMES["duopoly"], default=("nothing",))
