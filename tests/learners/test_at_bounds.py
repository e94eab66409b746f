"""Followers at bounds and under constraints: what leaders learn, best responses, directions, and what is said.

References: closed forms, `golden/constrained_games.json` (searches with exact responses), finite differences of the
exact response, nested solves. Everything has fixed keys; nothing is random beyond the problems.
"""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from stackjax import Record, Status, play
from stackjax.equilibria import implicit_gradient
from stackjax.games import CournotDuopoly, CournotOligopoly, Penalized, from_payoffs
from stackjax.learners import (
    LOLA,
    BestResponse,
    CompetitiveGradient,
    Fixed,
    FollowTheRidge,
    GradientAscent,
    HiC,
    HierarchicalAscent,
    LocalSymplecticSurgery,
    LookAhead,
    Unrolled,
)
from stackjax.schedules import PowerLaw
from stackjax.solvers import CG, BiCGStab, Dense
from stackjax.spaces import Box, Euclidean, Polytope, Simplex

KEY = jax.random.key(0)
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "constrained_games.json").read_text())
R = Euclidean(())
total = eqx.filter_jit(implicit_gradient)
#: Programmes are padded to 20 unknowns and 30 constraints: as one batch they are one program.
D, M = 20, 30


def run(game, *learners, rounds=400, replicates=4, **options):
    options = {"record": Record.final()} | options
    return play(game, *learners, key=KEY, rounds=rounds, replicates=replicates, **options)


def ended(trace, player=0):
    return np.asarray(trace.raise_if_failed().strategies[player][:, -1])


def on_the_simplex():
    return from_payoffs(
        lambda x, y: -((x - 0.2) ** 2) - 4 * (y[0] - 0.7) ** 2,
        lambda x, y: -jnp.sum((y - jnp.stack([x, 0.3, 0.1])) ** 2),
        spaces=(R, Simplex(3)),
    )


def up_to_one():
    return from_payoffs(
        lambda x, y: -((x - 1) ** 2) - (y - 3) ** 2, lambda x, y: -((y - 2 * x) ** 2), spaces=(R, Box(0.0, 1.0))
    )


# ---------------------------------------------------------------- what leaders learn


@pytest.mark.parametrize(
    ("leader", "follower"),
    [(HierarchicalAscent(0.05), BestResponse()), (Unrolled(0.05, 0.3, 30), GradientAscent(0.3))],
    ids=["hierarchical", "unrolled"],
)
def test_a_response_along_the_simplex(x64, leader, follower):
    """The unconstrained Newton step would leave it: leaders ended at .6 instead of .552."""
    np.testing.assert_allclose(ended(run(on_the_simplex(), leader, follower)), 0.552, atol=1e-6)


@pytest.mark.parametrize(("costs", "quantity", "profit"), [((5.0, 60.0), 47.5, 2256.25), ((5.0, 40.0), 60.0, 2100.0)])
@pytest.mark.parametrize("kind", ["hierarchical", "unrolled"])
def test_firms_that_stay_out_or_are_kept_out(x64, costs, quantity, profit, kind):
    """The second is entry deterrence, a kink: 1e4 rounds of decreasing steps, within .1."""
    step = PowerLaw(2.0, 1.0, 10.0)
    if kind == "hierarchical":
        learners = HierarchicalAscent(step), BestResponse()
    else:
        learners = Unrolled(step, 0.3, 5), GradientAscent(0.3)
    trace = run(CournotDuopoly(100.0, costs), *learners, rounds=10_000)
    np.testing.assert_allclose(ended(trace), quantity, atol=0.1)
    paid = np.asarray(CournotDuopoly(100.0, costs).payoffs(*(ended(trace, i) for i in (0, 1)))[0])
    np.testing.assert_allclose(paid, profit, rtol=5e-3)


def test_a_follower_at_its_upper_bound(x64):
    trace = run(up_to_one(), HierarchicalAscent(0.05), GradientAscent(0.2))
    np.testing.assert_allclose([ended(trace, i) for i in (0, 1)], 1.0, atol=1e-6)
    assert abs(float(implicit_gradient(up_to_one(), 1.0, 1.0))) < 1e-12


@pytest.mark.parametrize("leader", [LOLA(0.02, 0.2), LookAhead(0.02, 0.2)], ids=["lola", "look-ahead"])
def test_anticipated_steps_end_at_bounds(x64, leader):
    """At the bound the follower's next step changes nothing: what remains is the leader's own gradient."""
    game = up_to_one()
    assert abs(float(leader.direction(game, 0, (1.0, 1.0)))) < 1e-12
    inside = float(leader.direction(game, 0, (0.3, 0.5)))
    free = from_payoffs(*game.functions, spaces=(R, R))
    np.testing.assert_allclose(inside, float(leader.direction(free, 0, (0.3, 0.5))), rtol=1e-12)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_competitive_gradient_surgery_and_ridge_on_free_directions(x64, seed):
    """As in the game without the held coordinates."""
    rng = np.random.default_rng(seed)
    q = [rng.normal(size=(5, 5)) + 3 * np.eye(5) for _ in range(2)]
    b = [rng.normal(size=5) for _ in range(2)]
    x, y = rng.normal(size=2), np.array([0.4, 1.0, -0.3])

    def payoff(i):
        return lambda x, y: (lambda z: -z @ q[i] @ z / 2 + b[i] @ z)(jnp.concatenate([x, y]))

    def without(i):  # y_1 is 1 for ever
        return lambda x, y: payoff(i)(x, jnp.stack([y[0], jnp.ones(()), y[1]]))

    push = jnp.array([0.0, 100.0, 0.0])  # against the upper bound of y_1
    boxed = from_payoffs(
        payoff(0),
        lambda x, y: payoff(1)(x, y) + push @ y,
        spaces=(Euclidean((2,)), Box(-2.0, jnp.array([2.0, 1.0, 2.0]), (3,))),
    )
    smaller = from_payoffs(without(0), without(1), spaces=(Euclidean((2,)), Euclidean((2,))))
    for learner, player in ((CompetitiveGradient(0.1), 0), (LocalSymplecticSurgery(0.1), 0), (FollowTheRidge(0.1), 1)):
        direction = eqx.filter_jit(learner.direction)
        ours = np.asarray(direction(boxed, player, (x, y)))
        reference = np.asarray(direction(smaller, player, (x, y[[0, 2]])))
        np.testing.assert_allclose(ours if player == 0 else ours[[0, 2]], reference, rtol=1e-9, atol=1e-9)


def test_weakly_active_bounds_are_counted(x64):
    game = from_payoffs(lambda x, y: -jnp.sum(y), lambda x, y: -jnp.sum((y - x) ** 2), spaces=(R, Box(0.0, 1.0, (3,))))
    direction, report = implicit_gradient(game, 0.0, jnp.zeros(3), report=True)
    assert int(report["weakly_active"]) == 3
    np.testing.assert_allclose(direction, -3.0)  # of the inner side
    trace = run(game, HierarchicalAscent(0.1), BestResponse(), rounds=1, start=(0.0, None))
    assert np.asarray(trace.reports[0]["weakly_active"]).tolist() == [[3]] * 4


# ---------------------------------------------------------------- systems without a solution, and with several


@pytest.mark.parametrize("f2", [lambda x, y: -jnp.abs(y - x), lambda x, y: -jnp.maximum(y - x, 0)], ids=["abs", "max"])
def test_a_follower_without_curvature_is_said(f2):
    """Its Hessian and H_yx are symbolic zeros, with which a NaN would be multiplied away."""
    game = from_payoffs(lambda x, y: -((x - 1) ** 2) - (y - 3) ** 2, f2, spaces=(R, R))
    trace = run(game, HierarchicalAscent(0.05), GradientAscent(0.05), rounds=5)
    assert set(np.asarray(trace.status)) == {Status.NON_FINITE}
    assert np.isnan(implicit_gradient(game, 1.0, 2.0))


@pytest.mark.parametrize("d", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_a_singular_system_has_the_same_answer_at_every_size_and_solver(x64, d):
    rng = np.random.default_rng(d)
    null = rng.normal(size=d)
    null /= np.linalg.norm(null)
    away = np.eye(d) - np.outer(null, null)
    q = rng.normal(size=(d, d))
    hessian, cross, c = away @ (q @ q.T + np.eye(d)) @ away, away @ rng.normal(size=(d, 2)), away @ rng.normal(size=d)

    def game(slope):
        return from_payoffs(
            lambda x, y: -x @ x + slope @ y,
            lambda x, y: -y @ hessian @ y / 2 + y @ cross @ x,
            spaces=(Euclidean((2,)), Euclidean((d,))),
        )

    at = jnp.ones(2), jnp.zeros(d)
    expected = -2 * np.ones(2) + cross.T @ np.linalg.pinv(hessian) @ c
    for solver in (None, Dense(), CG(), BiCGStab()):
        np.testing.assert_allclose(total(game(c), *at, solver=solver), expected, rtol=1e-7, atol=1e-8)
    assert np.isnan(total(game(c + null), *at, solver=Dense())).all()
    fixed = run(game(c), HierarchicalAscent(0.01, solver=Dense()), GradientAscent(1e-3), rounds=3, replicates=2)
    assert (np.asarray(fixed.status) == Status.OK).all()
    fixed = run(game(c + null), HierarchicalAscent(0.01, solver=Dense()), GradientAscent(1e-3), rounds=3, replicates=2)
    assert (np.asarray(fixed.status) == Status.NON_FINITE).all()


def test_the_default_for_many_unknowns_of_several_followers_solves_what_is_not_definite(x64):
    rng = np.random.default_rng(0)
    dims, d = (2, 30, 30), 62
    from stackjax.games import Quadratic

    game = Quadratic(
        [rng.normal(size=(d, d)) / d**0.5 + 0.3 * np.eye(d) for _ in dims], [rng.normal(size=d) for _ in dims], dims
    )
    at = tuple(np.split(rng.normal(size=d), np.cumsum(dims)[:-1]))
    np.testing.assert_allclose(total(game, *at), total(game, *at, solver=Dense()), rtol=1e-9)


# ---------------------------------------------------------------- programmes


def programme(q):
    C, B, c, A, b, E, x0, y0 = (jnp.asarray(q[k]) for k in ("C", "B", "c", "A", "b", "E", "x0", "y0"))
    return from_payoffs(
        lambda x, y: -jnp.sum((x - x0) ** 2) / 2 - jnp.sum((y - y0) ** 2) / 2,
        lambda x, y: -y @ C @ y / 2 + y @ (B @ x + c),
        spaces=(Euclidean((x0.size,)), Euclidean((y0.size,))),
        inequalities=(None, lambda x, y: A @ y - b - E @ x),
    )


def padded(q, x=None):
    """With idle unknowns and constraints, so that all of them are one batch."""
    shapes = {"C": (D, D), "B": (D, 3), "c": (D,), "A": (M, D), "b": (M,), "E": (M, 3), "x0": (3,), "y0": (D,)}
    found = {k: np.eye(D) if k == "C" else np.ones(M) if k == "b" else np.zeros(shape) for k, shape in shapes.items()}
    for k in shapes:
        given = np.asarray(q[k])
        found[k][tuple(slice(n) for n in given.shape)] = given
    x, y = np.zeros(3), np.zeros(D)
    x[: len(q["x"])], y[: len(q["response"])] = q["x"], q["response"]
    return found, x, y


@pytest.mark.parametrize(
    ("solver", "tolerance"), [(Dense(), 1e-8), (CG(tolerance=1e-10), 1e-6)], ids=["dense", "iterative"]
)
def test_total_gradients_of_quadratic_programmes(x64, solver, tolerance):
    batch = jax.tree.map(lambda *each: np.stack(each), *map(padded, GOLDEN["qp"]))
    found = jax.jit(jax.vmap(lambda q, x, y: implicit_gradient(programme(q), x, y, solver=solver)))(*batch)
    for ours, q in zip(np.asarray(found), GOLDEN["qp"], strict=True):
        expected = np.asarray(q["total_gradient"])
        np.testing.assert_allclose(ours[: expected.size], expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("wide", "tolerance"), [(True, 1e-6), (False, 1e-3)], ids=["float64", "float32"])
def test_best_responses_of_quadratic_programmes(wide, tolerance):
    with jax.enable_x64(wide):
        q = GOLDEN["qp"][0]
        trace = run(programme(q), Fixed(jnp.asarray(q["x"])), BestResponse(), rounds=2, replicates=2)
        np.testing.assert_allclose(ended(trace, 1), [q["response"]] * 2, atol=tolerance)
        assert float(np.max(trace.reports[1]["residual"])) < tolerance
        assert float(np.max(trace.reports[1]["violation"])) < tolerance


def random_programmes(number, seed):
    """Matrices of `max -y'Cy/2 + y'(Bx + c)` with `A y <= b + E x`; what is beyond a draw's unknowns is idle."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        d, m = int(rng.integers(1, D + 1)), int(rng.integers(1, M + 1))
        q = rng.normal(size=(d, d))
        C, B, c, A, E = np.eye(D), np.zeros((D, 2)), np.zeros(D), np.zeros((M, D)), np.zeros((M, 2))
        C[:d, :d] = q @ q.T / d + 0.5 * np.eye(d)
        B[:d], c[:d], A[:m, :d], E[:m] = (
            rng.normal(size=(d, 2)),
            rng.normal(size=d),
            rng.normal(size=(m, d)),
            0.3 * rng.normal(size=(m, 2)),
        )
        x = rng.normal(size=2)
        inside = 0.5 * rng.normal(size=d)
        b = np.ones(M)
        b[:m] = A[:m, :d] @ inside - E[:m] @ x + rng.exponential(1.0, m)
        found.append((C, B, c, A, b, E, x, rng.normal(size=D)))
    return [np.stack(each) for each in zip(*found, strict=True)]


def test_total_gradients_against_differences_of_exact_responses(x64):
    """Worst relative error 1e-5 over 200 programmes; degenerate draws are left out, and are few.

    Degenerate is a draw with an inactive constraint nearer than 1e-3 or a positive multiplier below 1e-3, next to which
    differences of 1e-5 in x would cross a kink.
    """
    from stackjax._calculus.programme import minimise
    from stackjax._constraints import Constraints

    def response(C, B, c, A, b, E, x):
        return minimise(
            lambda y: y @ C @ y / 2 - y @ (B @ x + c),
            lambda y: Constraints(A @ y - b - E @ x, jnp.zeros(0)),
            jnp.zeros(D),
        )

    problems = random_programmes(200, 1)
    solve = jax.jit(jax.vmap(response))
    *terms, x, slope = problems
    at = solve(*terms, x)
    assert bool(np.all(at.converged))
    slack = terms[4] + np.einsum("nij,nj->ni", terms[5], x) - np.einsum("nij,nj->ni", terms[3], at.x)
    active = np.asarray(at.nu) > 1e-9
    degenerate = np.any((~active & (slack < 1e-3)) | (active & (np.asarray(at.nu) < 1e-3)), axis=1)
    assert degenerate.sum() <= 30 and active.any(1).mean() > 0.2
    assert active.sum(1).max() >= 5

    def gradient(C, B, c, A, b, E, x, y, slope):
        game = from_payoffs(
            lambda x, y: jnp.sum(x) + slope @ y,
            lambda x, y: -y @ C @ y / 2 + y @ (B @ x + c),
            spaces=(Euclidean((2,)), Euclidean((D,))),
            inequalities=(None, lambda x, y: A @ y - b - E @ x),
        )
        return implicit_gradient(game, x, y, solver=Dense())

    ours = np.asarray(jax.jit(jax.vmap(gradient))(*terms, x, at.x, slope))
    differences = np.empty_like(ours)
    for k in range(2):
        step = np.zeros(2)
        step[k] = 1e-5
        ends = [np.einsum("nd,nd->n", slope, solve(*terms, x + sign * step).x) for sign in (1, -1)]
        differences[:, k] = 1 + (ends[0] - ends[1]) / 2e-5
    error = np.abs(ours - differences).max(1) / np.maximum(1, np.abs(differences).max(1))
    assert error[~degenerate].max() < 1e-5, np.sort(error[~degenerate])[-5:]


def test_a_curved_constraint(x64):
    """On the unit disc, f2 = y . x: the answer is x / |x|."""
    game = from_payoffs(
        lambda x, y: jnp.array([1.0, 2.0]) @ y,
        lambda x, y: y @ x,
        spaces=(Euclidean((2,)), Euclidean((2,))),
        inequalities=(None, lambda x, y: y @ y - 1),
    )
    x = jnp.array([0.6, -1.1])
    expected = jax.jacfwd(lambda x: jnp.array([1.0, 2.0]) @ (x / jnp.linalg.norm(x)))(x)
    answer = x / jnp.linalg.norm(x)
    for solver in (Dense(), CG(tolerance=1e-12)):
        np.testing.assert_allclose(total(game, x, answer, solver=solver), expected, rtol=1e-8, atol=1e-9)


def test_equalities(x64):
    """A budget that must be spent: y_0 + y_1 = x, split by f2 = -(y_0^2 + 2 y_1^2): (2/3, 1/3) x."""
    game = from_payoffs(
        lambda x, y: -((y[1] - 1) ** 2),
        lambda x, y: -(y[0] ** 2) - 2 * y[1] ** 2,
        spaces=(R, Euclidean((2,))),
        equalities=(None, lambda x, y: y[0] + y[1] - x),
    )
    np.testing.assert_allclose(total(game, 1.5, jnp.array([1.0, 0.5])), 2 * 0.5 / 3, rtol=1e-9)
    trace = run(game, HierarchicalAscent(0.5), BestResponse(), rounds=200, replicates=2)
    np.testing.assert_allclose(ended(trace), 3.0, atol=1e-5)
    np.testing.assert_allclose(ended(trace, 1), [[2.0, 1.0]] * 2, atol=1e-5)


def test_a_polytope_is_its_constraints(x64):
    """One of 3 unknowns, against the same bounds as inequalities."""
    A, b = jnp.array([[1.0, 1.0, 0.0], [0.0, -1.0, 2.0]]), jnp.array([1.0, 0.5])

    def f1(x, y):
        return -jnp.sum((y - jnp.array([2.0, -1.0, 1.0])) ** 2) - x**2 / 10

    def f2(x, y):
        return -jnp.sum((y - x) ** 2)

    inside = from_payoffs(f1, f2, spaces=(R, Polytope(A, b)))
    told = from_payoffs(f1, f2, spaces=(R, Euclidean((3,))), inequalities=(None, lambda x, y: A @ y - b))
    x = jnp.array([0.2, 0.6, 3.0])
    y = jax.jit(jax.vmap(lambda x: inside.spaces[1].project(jnp.full(3, x))))(x)
    ours, reference = (jax.jit(jax.vmap(lambda x, y, g=g: implicit_gradient(g, x, y)))(x, y) for g in (inside, told))
    np.testing.assert_allclose(ours, reference, rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- hierarchies, and followers together


def test_a_chain_whose_middle_is_at_its_bound(x64):
    """Against nested solves: y in [0, .8] above z, which is free; and with z at its bound below a free y."""

    def chain(box_y, box_z):
        return from_payoffs(
            lambda x, y, z: -((x - 1) ** 2) - (y + z - 2) ** 2,
            lambda x, y, z: -((y - 2 * x) ** 2) - 0.5 * (y - z) ** 2,
            lambda x, y, z: -((z - y - 0.5 * x) ** 2),
            spaces=(R, box_y, box_z),
            levels=((0,), (1,), (2,)),
        )

    def nested(x, high_y, high_z):
        def z(y):
            return min(max(y + 0.5 * x, -high_z), high_z)

        found = minimize(
            lambda y: (y[0] - 2 * x) ** 2 + 0.5 * (y[0] - z(y[0])) ** 2,
            [0.5],
            bounds=[(-high_y, high_y)],
            options={"ftol": 1e-15, "gtol": 1e-12},
        )
        y = found.x[0]
        return -((x - 1) ** 2) - (y + z(y) - 2) ** 2, y, z(y)

    for high_y, high_z in ((0.8, 9.0), (9.0, 0.7)):
        x = 0.9
        _, y, z = nested(x, high_y, high_z)
        game = chain(Box(-high_y, high_y), Box(-high_z, high_z))
        difference = (nested(x + 1e-4, high_y, high_z)[0] - nested(x - 1e-4, high_y, high_z)[0]) / 2e-4
        np.testing.assert_allclose(total(game, x, y, z), difference, rtol=1e-4)


def together():
    return from_payoffs(
        lambda x, y, z: -((x - 1) ** 2) + x * (y + z),
        lambda x, y, z: -((y - x + 0.5 * z) ** 2),
        lambda x, y, z: -((z - 0.5 * x - 0.3 * y) ** 2),
        spaces=(R, Box(0.4, 3.0), Box(0.0, 3.0)),
    )


def test_two_followers_together_of_which_one_is_at_its_bound(x64):
    """At x = .5 the first wants .33 and may not go below .4; the second answers .25 + .12 = .37."""
    game = together()
    trace = run(game, Fixed(jnp.asarray(0.5)), *[BestResponse(joint=True)] * 2, rounds=1, replicates=2)
    np.testing.assert_allclose(ended(trace, 1), 0.4, atol=1e-9)
    np.testing.assert_allclose(ended(trace, 2), 0.37, atol=1e-9)
    expected = -2 * (0.5 - 1) + (0.4 + 0.37) + 0.5 * 0.5  # of z alone: dz/dx = .5
    for solver in (Dense(), BiCGStab()):
        np.testing.assert_allclose(total(game, 0.5, 0.4, 0.37, solver=solver), expected, rtol=1e-8)


def test_followers_together_are_an_equilibrium_of_cournot(x64):
    """Two followers, of which the dear one stays out."""
    game = CournotOligopoly(costs=(5.0, 2.0, 60.0))
    trace = run(game, Fixed(jnp.asarray(40.0)), *[BestResponse(joint=True)] * 2, rounds=1, replicates=2)
    found = [ended(trace, i)[0] for i in range(3)]
    assert found[2] == 0
    for i in (1, 2):
        np.testing.assert_allclose(found[i], game.best_response(i, tuple(found)), atol=1e-6)


def test_followers_at_a_minimum_of_their_own_payoff_are_not_taken_for_an_equilibrium(x64):
    game = from_payoffs(
        lambda x, y, z: -(x**2), lambda x, y, z: y**2 - 1e-3 * z, lambda x, y, z: -(z**2), spaces=(R, R, R)
    )
    trace = run(game, Fixed(jnp.asarray(0.0)), *[BestResponse(joint=True)] * 2, rounds=1, replicates=2)
    assert (np.asarray(trace.status) == Status.NON_FINITE).all()


# ---------------------------------------------------------------- the leader's own constraints


@pytest.mark.parametrize("coupling", [True, False])
def test_a_leaders_constraints_are_met_in_the_limit(x64, coupling):
    """x + r(x) <= 1 with r(x) = x, or 2 x <= 1: x = 1/2 instead of 2."""
    bound = (lambda x, y: x + y - 1) if coupling else (lambda x, y: 2 * x - 1)
    game = from_payoffs(
        lambda x, y: -((x - 2) ** 2), lambda x, y: -((y - x) ** 2), spaces=(R, R), inequalities=(bound, None)
    )
    trace = run(game, HierarchicalAscent(0.05), GradientAscent(0.2), rounds=1000)
    np.testing.assert_allclose(ended(trace), 0.5, atol=1e-6)
    assert np.max(trace.reports[0]["violation"]) < 1e-6
    with pytest.warns(UserWarning, match=r"^player 0, GradientAscent: it doesn't keep to the game's constraints"):
        free = run(game, GradientAscent(0.05), GradientAscent(0.2), rounds=1000)
    np.testing.assert_allclose(free.reports[0]["violation"], 3.0, atol=1e-6)  # it doesn't know, and is reported


def test_penalties_are_felt_by_who_is_only_paid(x64):
    game = from_payoffs(
        lambda x, y: -((x - 2) ** 2),
        lambda x, y: -((y - x) ** 2),
        spaces=(Box(-3.0, 3.0), R),
        inequalities=(lambda x, y: x + y - 1, None),
    )
    leader = HiC(PowerLaw(0.1, 1.0, 10.0), PowerLaw(0.3, 1 / 6), 15)
    trace = run(Penalized(game, 5.0), leader, GradientAscent(0.4), rounds=20_000, replicates=16)
    np.testing.assert_allclose(np.median(ended(trace)), 0.5, atol=0.1)  # the kink's neighbourhood; without it 2


# ---------------------------------------------------------------- bad input


def test_an_infeasible_follower_ends_its_replicate_alone(x64):
    """x^2 - 2 <= y <= x can be met at x = 1.5, not at 2.5."""
    game = from_payoffs(
        lambda x, y: -(x**2),
        lambda x, y: -((y - 1) ** 2),
        spaces=(R, R),
        inequalities=(None, lambda x, y: (y - x, x**2 - 2 - y)),
    )
    learners = Fixed(jnp.array([1.5, 2.5, 0.5])), BestResponse()
    three = run(game, *learners, rounds=3, replicates=3, in_axes=(None, 0, None))
    assert np.asarray(three.status).tolist() == [Status.OK, Status.NON_FINITE, Status.OK]
    np.testing.assert_allclose(np.asarray(three.strategies[1])[[0, 2], -1], [1.0, 0.5], atol=1e-7)


@pytest.mark.parametrize("equalities", [lambda x, y: (y - x, y - x - 1), None], ids=["contradictory", "none"])
@pytest.mark.slow  # `test_programme` has it, and what happens then in play is tested above
def test_equalities_that_contradict(x64, equalities):
    game = from_payoffs(lambda x, y: -(x**2), lambda x, y: -(y**2), spaces=(R, R), equalities=(None, equalities))
    trace = run(game, Fixed(jnp.asarray(1.0)), BestResponse(), rounds=2, replicates=2)
    assert (np.asarray(trace.status) == (Status.OK if equalities is None else Status.NON_FINITE)).all()


def test_more_active_constraints_than_unknowns(x64):
    """Four through one point: the multipliers are some of them, and the response is to the vertex."""
    rows = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 2.0]])
    game = from_payoffs(
        lambda x, y: jnp.sum(y),
        lambda x, y: jnp.array([1.0, 3.0]) @ y,
        spaces=(R, Euclidean((2,))),
        inequalities=(None, lambda x, y: rows @ (y - x)),
    )
    np.testing.assert_allclose(total(game, 0.7, jnp.full(2, 0.7)), 2.0, rtol=1e-9)  # the vertex is (x, x)


def bad(**constraints):
    return lambda: run(
        from_payoffs(
            lambda x, y, z: -(x**2), lambda x, y, z: -(y**2), lambda x, y, z: -(z**2), spaces=(R, R, R), **constraints
        ),
        *[GradientAscent(0.1)] * 3,
        rounds=1,
    )


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (ValueError, r"inequalities: expected one entry a player \(3\)", bad(inequalities=(None, None))),
        (TypeError, "equalities: player 1: expected None or a function", bad(equalities=(None, 3.0, None))),
        (
            TypeError,
            "inequalities: player 2: expected a number, an array or a tuple of them, got None",
            bad(inequalities=(None, None, lambda x, y, z: None)),
        ),
        (
            TypeError,
            "player 1: expected numbers, such as y - x for y <= x, got truth values",
            bad(inequalities=(None, lambda x, y, z: y <= x, None)),
        ),
        (
            ValueError,
            r"player 1: expected floating-point scalars or vectors, got float32\[2, 2\]",
            bad(inequalities=(None, lambda x, y, z: y * jnp.ones((2, 2)), None)),
        ),
        (
            ValueError,
            "player 1: expected functions of its own action .* player 2's",
            bad(equalities=(None, lambda x, y, z: y - z, None)),
        ),
    ],
)
def test_constraints_are_checked(error, words, call):
    with pytest.raises(error, match=words):
        call()


def test_starts_players_and_learners_are_checked():
    constrained = from_payoffs(
        lambda x, y: -(x**2), lambda x, y: -(y**2), spaces=(R, R), inequalities=(lambda x, y: x - 1, lambda x, y: y - x)
    )
    with pytest.raises(ValueError, match="start: player 0: the action doesn't keep the player's own constraints"):
        run(constrained, HierarchicalAscent(0.1), BestResponse(), start=(2.0, 0.0))
    with pytest.raises(ValueError, match=r"LOLA doesn't know of the constraints of players \[0, 1\]"):
        run(constrained, LOLA(0.1, 0.1), GradientAscent(0.1))
    with pytest.raises(ValueError, match=r"BestResponse\(joint=True\) for all in it"):
        run(together(), Fixed(jnp.asarray(1.0)), BestResponse(), BestResponse())
    with pytest.raises(ValueError, match="joint: expected the last of several levels"):
        run(together(), BestResponse(joint=True), GradientAscent(0.1), GradientAscent(0.1))
    for make, error, words in (
        (lambda: BestResponse(joint=1), TypeError, "joint: expected True or False"),
        (lambda: BestResponse(starts=0), ValueError, "starts: expected at least 1"),
        (lambda: HierarchicalAscent(0.1, penalty=0.0), ValueError, "penalty"),
        (lambda: Penalized(constrained, -1.0), ValueError, "weight"),
        (lambda: Penalized("game", 1.0), TypeError, "game: expected a stackjax Game"),
    ):
        with pytest.raises(error, match=words):
            make()


def test_several_starts_find_the_better_answer(x64):
    """f2 has maxima near -1 and 1, of which the first is better; from .9 a single search ends at the second."""
    game = from_payoffs(lambda x, y: -(x**2), lambda x, y: -((y**2 - 1) ** 2) - 0.2 * y, spaces=(R, Box(-2.0, 2.0)))
    start = (0.0, 0.9)
    one = run(game, Fixed(jnp.asarray(0.0)), BestResponse(), rounds=2, start=start)
    many = run(game, Fixed(jnp.asarray(0.0)), BestResponse(starts=8), rounds=2, start=start)
    assert (ended(one, 1) > 0).all() and (ended(many, 1) < 0).all()
