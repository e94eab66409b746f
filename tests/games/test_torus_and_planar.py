"""The torus and the planar games: golden values, closed forms against first-order conditions, bad input."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import Hamiltonian, Quadratic, Tandem, TorusLocation, ZeroSumPolynomial, ZeroSumQuartic
from stackjax.learners import GradientAscent, HierarchicalAscent

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "differentiable_games.json").read_text())


def golden_points(entries, kind):
    return np.sort(np.array([[e["x"][0], e["y"][0]] for e in entries if e.get(kind)]), axis=0)


def known(points):
    return np.sort(np.array(points, np.float64), axis=0)


def test_torus_golden_values(x64):
    game, golden = TorusLocation(), GOLDEN["torus"]
    nash = golden_points(golden["critical_omega"], "differential_nash")
    stackelberg = golden_points(golden["critical_omega_S"], "differential_stackelberg")
    np.testing.assert_allclose(known(game.nash_equilibria()), nash, rtol=0, atol=1e-9)
    np.testing.assert_allclose(known(game.stackelberg_equilibria()), stackelberg, rtol=0, atol=1e-9)
    for entry in golden["critical_omega"] + golden["critical_omega_S"]:  # costs there, payoffs here
        paid = game.payoffs(jnp.asarray(entry["x"][0]), jnp.asarray(entry["y"][0]))
        np.testing.assert_allclose(paid, (-entry["f1"], -entry["f2"]), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("alpha", "phi"),
    [
        ((1.0, 1.3), 0.4),
        ((0.8, 1.1), -2.9),
        pytest.param((2.0, 1.5), 3.0, marks=pytest.mark.slow),
        ((0.3, 4.0), 0.0),
        ((5.0, 1.2), 1.0),
    ],
    ids=str,
)
def test_torus_closed_forms_are_critical_and_maximal(x64, alpha, phi):
    game = TorusLocation(alpha, (phi, phi))
    grid = jnp.linspace(-jnp.pi, jnp.pi, 20001)
    along = game.payoffs(grid, game.best_response(1, (grid, None)))[0]
    for x, y in game.stackelberg_equilibria():
        assert abs(HierarchicalAscent(1.0).direction(game, 0, (x, y))) < 1e-9
        np.testing.assert_allclose(game.spaces[1].distance(y, game.best_response(1, (x, None))), 0, atol=1e-9)
        np.testing.assert_allclose(game.payoffs(x, y)[0], along.max(), rtol=0, atol=1e-6)
    for point in game.nash_equilibria():
        if np.isfinite(point).all():
            for player in (0, 1):
                assert abs(GradientAscent(1.0).direction(game, player, point)) < 1e-9
    # The triangle with sides 1 / alpha_1, 1 / alpha_2 and 1 exists in the first three cases only.
    sides = sorted([1 / alpha[0], 1 / alpha[1], 1.0])
    assert np.isfinite(game.nash()).all() == (sides[0] + sides[1] > sides[2])


def test_torus_says_what_it_does_not_know():
    assert np.isnan(TorusLocation(phi=(0.1, 0.2)).nash()).all()
    assert np.isnan(TorusLocation(phi=(0.1, 0.2)).stackelberg()).all()
    assert np.isnan(TorusLocation(alpha=(1.0, 0.9)).stackelberg()).all()
    batched = jax.vmap(lambda a: TorusLocation((1.0, a)).stackelberg()[0])(jnp.array([1.3, 1.5]))
    np.testing.assert_allclose(batched[0], TorusLocation().stackelberg()[0], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"alpha": (1.0, 0.0)}, "alpha"),
        ({"alpha": (1.0,)}, "alpha"),
        ({"phi": (0.0, np.nan)}, "phi"),
        ({"phi": 1.0}, "phi"),
    ],
)
def test_bad_torus_arguments(options, name):
    with pytest.raises((ValueError, TypeError), match=name):
        TorusLocation(**options)


def test_zero_sum_golden_values(x64):
    for game, entry in ((ZeroSumQuartic(), "zero_sum_simple"), (ZeroSumPolynomial(), "zero_sum_fiez2020")):
        points = GOLDEN[entry]["critical"]
        for e in points:
            paid = game.payoffs(jnp.asarray(e["x"][0]), jnp.asarray(e["y"][0]))
            np.testing.assert_allclose(paid, (-e["f1"], -e["f2"]), rtol=0, atol=1e-9)
        for kind, equilibria in (
            ("differential_nash", game.nash_equilibria()),
            ("differential_stackelberg", game.stackelberg_equilibria()),
        ):
            expected = golden_points(points, kind)
            assert len(equilibria) == len(expected)
            if len(expected):
                np.testing.assert_allclose(known(equilibria), expected, rtol=0, atol=1e-9)
        leader = [game.payoffs(*e)[0] for e in game.stackelberg_equilibria()]
        assert leader == sorted(leader, reverse=True)


def test_tandem_and_hamiltonian():
    tandem, rotation = Tandem(), Hamiltonian()
    for x in (-1.0, 0.25, 3.0):
        y = tandem.best_response(1, (x, None))
        gradients = [GradientAscent(1.0).direction(tandem, i, (jnp.asarray(x), y)) for i in (0, 1)]
        np.testing.assert_allclose(gradients, 0.0, atol=1e-6)  # x + y = 1: all of them are stationary
        assert float(HierarchicalAscent(1.0).direction(tandem, 0, (jnp.asarray(x), y))) == 2.0
    assert tandem.nash_equilibria() == () and tandem.stackelberg() is None
    assert rotation.nash() is None and rotation.stackelberg() is None
    assert float(sum(rotation.payoffs(2.0, 3.0))) == 0.0
    assert np.isnan(HierarchicalAscent(1.0).direction(rotation, 0, (jnp.asarray(1.0), jnp.asarray(2.0))))


def test_random_zero_sum_games_are_what_they_say(x64):
    games = Quadratic.random_zero_sum(jax.random.key(0), (3, 4), concavity=0.5, coupling=2.0, batch=50)
    np.testing.assert_array_equal(games.Q[0], -games.Q[1])
    np.testing.assert_array_equal(games.b[0], -games.b[1])
    simultaneous, hierarchical = games.critical_points()
    for a, b in zip(simultaneous, hierarchical, strict=True):  # one and the same point in a zero-sum game
        np.testing.assert_allclose(a, b, atol=1e-9)
    q = np.asarray(games.Q[0])
    reduced = q[:, :3, :3] - q[:, :3, 3:] @ np.linalg.inv(q[:, 3:, 3:]) @ q[:, 3:, :3]
    assert np.linalg.eigvalsh(-q[:, 3:, 3:]).min() > 0.5 - 1e-9
    assert np.linalg.eigvalsh(reduced).min() > 0.5 - 1e-9
    own = np.linalg.eigvalsh(q[:, :3, :3]).min(axis=1)
    assert (own < 0).any()  # Stackelberg, but no Nash equilibria, are among them: these have none
    np.testing.assert_array_equal(np.isnan(games.nash()[0]).any(axis=1), own < 0)
    assert np.isfinite(games.stackelberg()[0]).all()
