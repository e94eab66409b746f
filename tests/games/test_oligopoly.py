"""Cournot with one leader and N followers who move together, against its formulas in NumPy."""

import jax
import numpy as np
import pytest

from stackjax import Record, equilibria, play
from stackjax.games import CournotDuopoly, CournotOligopoly, Quadratic
from stackjax.learners import GradientAscent, HierarchicalAscent
from tests.transcriptions import equilibria as reference

DEMAND, SLOPE = 90.0, 0.5
KEY = jax.random.key(0)


def costs(followers):
    return np.array([2.2, *np.linspace(2.0, 2.1, followers)])


def game(followers):
    return CournotOligopoly(tuple(costs(followers)), DEMAND, SLOPE)


def slopes(q):
    """d f_i / d q_j, [firms, firms], of f_i = (A - b sum_j q_j - c_i) q_i."""
    margins = DEMAND - SLOPE * q.sum() - costs(len(q) - 1)
    return np.diag(margins) - SLOPE * q[:, None]


def leaders(q, jacobian):
    """Its total derivative, if that is the Jacobian of the followers' conditions in their own quantities."""
    f = slopes(q)[0]
    return f[0] - np.full(len(q) - 1, -SLOPE) @ np.linalg.solve(jacobian.T, f[1:])


def followers_jacobian(n):
    """Of A - b (q_1 + sum_j q_j) - c_i - b q_i in (q_2, ..., q_n+1)."""
    return -SLOPE * (np.eye(n) + np.ones((n, n)))


def test_equilibria_in_closed_form(x64):
    for n in (*range(1, 7), 13, 50):
        c, joint = costs(n), followers_jacobian(n)
        nash, stackelberg = (np.array(z) for z in (game(n).nash(), game(n).stackelberg()))
        np.testing.assert_allclose(nash, np.linalg.solve(-followers_jacobian(n + 1), DEMAND - c), rtol=1e-10)
        np.testing.assert_allclose(np.diag(slopes(nash)), 0.0, atol=1e-8)
        np.testing.assert_allclose(np.diag(slopes(stackelberg))[1:], 0.0, atol=1e-8)
        assert abs(leaders(stackelberg, joint)) < 1e-8
        # Not with partial derivatives, nor at the other equilibrium, nor with each follower's answer by itself.
        assert abs(slopes(stackelberg)[0, 0]) > 20 and abs(leaders(nash, joint)) > 1
        assert n == 1 or abs(leaders(stackelberg, np.diag(np.diag(joint)))) > 1
        # Leading pays, and sells more.
        paid = [(DEMAND - SLOPE * q.sum() - c[0]) * q[0] for q in (stackelberg, nash)]
        assert paid[0] > paid[1] > 0 and stackelberg[0] > nash[0]


@pytest.mark.parametrize("n", [1, 4, 13, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 20, 50))])
def test_the_direction_is_the_total_derivative(x64, n):
    """Dense and, for many followers, by iterations."""
    q, one = np.random.default_rng(n).uniform(1.0, 5.0, n + 1), game(n)
    direction = jax.jit(lambda z: HierarchicalAscent(1.0).direction(one, 0, z))
    np.testing.assert_allclose(direction(tuple(q)), leaders(q, followers_jacobian(n)), rtol=1e-8)
    np.testing.assert_allclose(direction(one.stackelberg()), 0.0, atol=1e-8)


@pytest.mark.parametrize("n", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_they_are_found_and_certified(x64, n):
    found = equilibria.find(game(n), KEY, 16, replies=0)
    assert found.converged == (16, 16) and [c.kind for c in found.critical] == ["Stackelberg", "Nash"]
    for certificate, known in zip(found.critical, (game(n).stackelberg(), game(n).nash()), strict=True):
        np.testing.assert_allclose(certificate.actions, known, rtol=1e-9)
        # Along the followers' response q' = -1 / (n + 1) each, f_1 has the second derivative -2 b / (n + 1).
        np.testing.assert_allclose(certificate.total_spectra[0], -2 * SLOPE / (n + 1), rtol=1e-9)
        np.testing.assert_allclose(certificate.own_spectra, -2 * SLOPE, rtol=1e-9)
        assert not certificate.notes and certificate.hierarchical.stable and certificate.simultaneous.stable
    stackelberg = found.stackelberg[0]
    np.testing.assert_allclose(stackelberg.advantage, stackelberg.payoffs[0] - found.nash[0].payoffs[0])
    again = equilibria.certify(game(n), *game(n).stackelberg(), replies=0)
    assert again.kind == "Stackelberg" and len(again.why_not_nash) == 1 and "player 0" in again.why_not_nash[0]


@pytest.mark.slow
def test_a_chain_is_found_and_certified(x64):
    rng = np.random.default_rng(0)
    Q, b = [rng.normal(size=(3, 3)) + 3 * np.eye(3) for _ in range(3)], list(rng.normal(size=(3, 3)))
    levels = ((0,), (1,), (2,))
    terms = reference.quadratics(Q, b, (1, 1, 1), levels)
    found = equilibria.find(Quadratic(Q, b, (1, 1, 1), levels), KEY, 16, replies=0)
    for certificates, known in ((found.nash, terms.nash()), (found.stackelberg, terms.stackelberg())):
        assert len(certificates) == 1
        np.testing.assert_allclose(np.concatenate(certificates[0].actions), known, rtol=0, atol=1e-9)
        for ours, theirs in zip(certificates[0].total_spectra, terms.total_hessians(), strict=True):
            np.testing.assert_allclose(ours, theirs[0], rtol=1e-9)


def test_learners_reach_it(x64):
    """From away, without noise: the leader's step is small beside its followers'."""
    learners = HierarchicalAscent(0.2), *[GradientAscent(0.3)] * 3
    run = play(game(3), *learners, key=KEY, rounds=1000, start=(30.0, 50.0, 10.0, 20.0), record=Record.final())
    np.testing.assert_allclose(np.concatenate(run.raise_if_failed().strategies), game(3).stackelberg(), rtol=1e-8)


def test_costs_may_be_an_array():
    for given in (costs(3), jax.numpy.asarray(costs(3)), costs(3).tolist()):
        found = CournotOligopoly(given, DEMAND, SLOPE)
        assert len(found.costs) == len(found.spaces) == 4
        np.testing.assert_allclose(found.costs, costs(3), rtol=1e-6)
    np.testing.assert_allclose(CournotDuopoly(costs=np.array([5, 2])).stackelberg(), (46.0, 26.0))
    for wrong, kind in ((np.ones((2, 2)), CournotOligopoly), (np.ones(3), CournotDuopoly), ("ab", CournotDuopoly)):
        with pytest.raises(ValueError, match="costs: expected one unit cost for each of"):
            kind(costs=wrong)


# Firms that stay out


def random_markets(games):
    """Markets of two to four firms, of whose costs some are close to demand, and some equal."""
    rng = np.random.default_rng(0)
    for n in range(games):
        demand, slope = rng.uniform(20, 120), rng.uniform(0.2, 3.0)
        c = rng.uniform(0, 1, 2 + n % 3) ** (0.5 + n % 2) * demand * 0.99
        if n % 5 == 0:
            c[-1] = c[-2]
        yield demand, slope, c


def quantities(demand, slope, c):
    """In the equilibrium of firms that move together, `[..., n]`: the price by bisection, not by its formula."""
    low, high = np.zeros_like(demand), demand
    for _ in range(60):
        price = (low + high) / 2
        above = demand - np.maximum(price[..., None] - c, 0).sum(-1) < price
        low, high = np.where(above, low, price), np.where(above, price, high)
    return np.maximum(low[..., None] - c, 0) / slope


def test_random_markets_on_a_grid(x64):
    """To a step of the grid, which can't do better; and everybody's reply to the others is what it sells."""

    @jax.jit
    def facts(demand, slope, costs):
        one = CournotOligopoly(costs, demand, slope)
        nash, z = one.nash(), one.stackelberg()
        replies = [one.best_response(i, nash) for i in range(len(costs))]
        return nash, z, one.payoffs(*z)[0], replies, [one.best_response(i, z) for i in range(1, len(costs))]

    kinds = set()
    for demand, slope, c in random_markets(200):
        nash, z, profit, *replies = map(np.array, facts(demand, slope, tuple(c)))
        grid = np.append(np.linspace(0, demand / slope, 2001), z[0])
        others = quantities(demand - slope * grid, slope, c[1:])
        value = (demand - slope * (grid + others.sum(-1)) - c[0]) * grid
        best = np.argmax(value[:-1])
        assert value[-1] >= value[best] - 1e-9 and abs(z[0] - grid[best]) <= grid[1]
        np.testing.assert_allclose(z[1:], others[-1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(profit, value[-1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(nash, quantities(np.array(demand), slope, c), rtol=0, atol=1e-9)
        np.testing.assert_allclose(replies[0], nash, rtol=0, atol=1e-9)
        np.testing.assert_allclose(replies[1], z[1:], rtol=0, atol=1e-9)
        sell = int((z[1:] > 0).sum())
        more = int((quantities(np.array(demand - slope * (z[0] - 1e-6)), slope, c[1:]) > 0).sum())
        kinds.add(
            (len(c), z[0] > 0, sell, z[0] > 0 and more > sell)
        )  # it deters: with a bit less of it more would sell
    firms, leads, sellers, deters = zip(*kinds, strict=True)
    assert set(firms) == {2, 3, 4} and set(leads) == set(deters) == {True, False} and set(sellers) == {0, 1, 2, 3}
    assert any(sell and deters for _, _, sell, deters in kinds)  # one of several is deterred


def test_equilibria_in_float32_in_batches_and_under_jit(x64):
    markets = [m for m in random_markets(60) if len(m[2]) == 2]
    demand, slope, c = (np.array(x) for x in zip(*markets, strict=True))

    def both(demand, slope, first, second):
        one = CournotDuopoly(demand, (first, second), slope)
        return *one.nash(), *one.stackelberg(), one.best_response(1, (one.stackelberg()[0], None))

    exact = np.array([both(*m[:2], *m[2]) for m in markets]).T
    single = [jax.numpy.asarray(x, jax.numpy.float32) for x in (demand, slope, *c.T)]
    for found in (jax.jit(jax.vmap(both))(*single), jax.vmap(both, (0, 0, 0, 0))(*single)):
        assert all(q.dtype == jax.numpy.float32 for q in found)
        np.testing.assert_allclose(found, exact, rtol=0, atol=3e-5 * np.max(demand / slope))
    batch = CournotDuopoly(single[0], tuple(single[2:]), single[1])  # a leading axis of all numbers, or of one
    np.testing.assert_array_equal(np.array([*batch.nash(), *batch.stackelberg()]) == 0, exact[:4] == 0)
    np.testing.assert_allclose([*batch.nash(), *batch.stackelberg()], found[:4], rtol=1e-6, atol=1e-5)
    some = CournotDuopoly(costs=(5.0, np.array([2.0, 40.0, 60.0])))
    np.testing.assert_allclose(some.stackelberg(), [[46, 60, 47.5], [26, 0, 0]])
    np.testing.assert_allclose(some.nash(), [[92 / 3, 130 / 3, 47.5], [101 / 3, 25 / 3, 0]])
