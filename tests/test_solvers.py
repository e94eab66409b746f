"""How implicit gradients are solved for: against NumPy, their derivatives, and iterations within their tolerance.

The references are dense: `coupled` and `equilibria` transcribe the formulas, and know nothing of stackjax.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax._calculus.linear import Past, System
from stackjax.equilibria import implicit_gradient
from stackjax.games import Quadratic, from_payoffs
from stackjax.learners import GradientAscent, HierarchicalAscent
from stackjax.solvers import CG, BiCGStab, Dense
from stackjax.spaces import Euclidean
from tests.learners.polynomial_games import actions_of, game_of
from tests.transcriptions import coupled, gradient
from tests.transcriptions import equilibria as reference

CHAIN = ((0,), (1,), (2,))
SOLVERS = [Dense(), CG(), BiCGStab(), None]
#: As one program: operation by operation it would be a hundred.
total = eqx.filter_jit(implicit_gradient)


def quadratic(dims, levels=None, seed=0, curvature=3.0):
    """Q_i with normal entries, not symmetric, its transcription, and a point."""
    rng, d = np.random.default_rng(seed), sum(dims)
    Q = [rng.normal(size=(d, d)) / d**0.5 + curvature * np.eye(d) for _ in dims]
    b = [rng.normal(size=d) for _ in dims]
    return Quadratic(Q, b, dims, levels), reference.quadratics(Q, b, dims, levels), rng.normal(size=d)


def split(z, dims):
    return tuple(np.split(z, np.cumsum(dims)[:-1]))


def close(ours, expected, tolerance=1e-8):
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- the direction


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
def test_quadratic_games(x64, solver):
    game, terms, z = quadratic((3, 80))
    x, y = split(z, game.dims)
    two = gradient.quadratic_terms(*terms.Q, *terms.b, 3)
    for damping in (0.0, 0.3):
        expected = gradient.hierarchical_direction(two, x, y, damping)
        close(total(game, x, y, solver=solver, damping=jnp.asarray(damping)), expected)
    assert np.abs(expected - two.grad_x_f1(x, y)).max() > 0.1  # of what isn't the partial gradient


@functools.cache
def polynomial(dims):
    """A general-sum game of degree four, and a point."""
    rng = np.random.default_rng(3)
    return coupled.random_costs(rng, dims, bowl=40.0), 0.1 * rng.normal(size=sum(dims))


@pytest.mark.parametrize(
    ("dims", "solver"),
    [
        ((3, 80), None),
        ((3, 40, 30), None),
        *(pytest.param((3, 80), s, marks=pytest.mark.slow) for s in (Dense(), BiCGStab())),
        *(pytest.param((3, 40, 30), s, marks=pytest.mark.slow) for s in (Dense(), BiCGStab())),
    ],
    ids=str,
)
def test_polynomial_games_with_one_follower_or_two(x64, dims, solver):
    costs, z = polynomial(dims)
    close(total(game_of(costs), *actions_of(z, dims), solver=solver), coupled.ascent(coupled.total_gradient, costs, z))
    joint = costs.H(z)[3:, 3:]
    assert (np.abs(joint - joint.T).max() > 0.1) == (len(dims) == 3)  # not symmetric


def test_it_is_the_derivative_along_the_response(x64):
    """Against central differences of x -> f1(x, r(x)), r by Newton's method in NumPy."""
    dims, own = (3, 80), np.s_[3:]
    costs, z = polynomial(dims)

    def answered(x):
        z_ = np.r_[x, z[own]]
        for _ in range(20):
            z_[own] -= np.linalg.solve(costs.H(z_)[own, own], costs.xi(z_)[own])
        assert np.abs(costs.xi(z_)[own]).max() < 1e-10
        return z_

    h = 1e-4
    slopes = [(costs.value(0, answered(z[:3] + h * e)) - costs.value(0, answered(z[:3] - h * e))) for e in np.eye(3)]
    at = actions_of(answered(z[:3]), dims)
    close(total(game_of(costs), *at, solver=None), -np.array(slopes) / (2 * h), 1e-6)


@pytest.mark.parametrize("solver", [Dense(), None], ids=str)
def test_two_followers_with_damping(x64, solver):
    """(F_y - damping I)^-T, F the stacked gradients, as its rows are those of J."""
    game, terms, z = quadratic((3, 40, 30))
    F, slope = terms.J()[3:], terms.b[0] - terms.Q[0] @ z
    expected = slope[:3] - F[:, :3].T @ np.linalg.solve(F[:, 3:].T - 0.3 * np.eye(70), slope[3:])
    close(total(game, *split(z, game.dims), solver=solver, damping=jnp.asarray(0.3)), expected)


@pytest.mark.parametrize("solver", [None, pytest.param(Dense(), marks=pytest.mark.slow)], ids=str)
def test_chains(x64, solver):
    """68 unknowns below the leader, and 2 below the player in the middle."""
    game, terms, z = quadratic((2, 66, 2), CHAIN)
    for player in (0, 1):
        close(total(game, *split(z, game.dims), player=player, solver=solver), terms.total_gradients(z)[player])


@pytest.mark.parametrize("solver", [None, pytest.param(Dense(), marks=pytest.mark.slow)], ids=str)
def test_followers_who_act_with_a_pytree(x64, solver):
    flat, terms, z = quadratic((3, 70))

    def payoff(i):
        return lambda x, y: flat.payoffs(x, jnp.concatenate([y["bias"], jnp.ravel(y["weights"])]))[i]

    tree = from_payoffs(payoff(0), payoff(1), spaces=(Euclidean((3,)), Euclidean({"weights": (20, 3), "bias": (10,)})))
    x, y = split(z, flat.dims)
    ours = total(tree, x, {"weights": y[10:].reshape(20, 3), "bias": y[:10]}, solver=solver)
    close(ours, terms.total_gradients(z)[0])


# ---------------------------------------------------------------- its derivatives


@pytest.mark.parametrize(
    ("dims", "solver"),
    [
        pytest.param((2, 9), CG(), marks=pytest.mark.slow),
        ((2, 5, 4), BiCGStab()),
        pytest.param((2, 9), BiCGStab(), marks=pytest.mark.slow),
        pytest.param((2, 5, 4), Dense(), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_derivatives_forward_and_reverse_in_a_batch(x64, dims, solver):
    """Against the complex step of the formula in NumPy, whose derivative has third derivatives of payoffs in it."""
    costs, z = polynomial(dims)
    points = z + 0.05 * np.random.default_rng(0).normal(size=(3, sum(dims)))
    game, h = game_of(costs), 1e-30

    def direction(z):
        return implicit_gradient(game, *jnp.split(z, np.cumsum(dims)[:-1].tolist()), solver=solver)

    steps = [[coupled.total_gradient(costs, z + 1j * h * e).imag / h for e in np.eye(len(z))] for z in points]
    for jacobian in (jax.jacfwd, jax.jacrev):
        close(jax.jit(jax.vmap(jacobian(direction)))(points), -np.swapaxes(np.array(steps), 1, 2))


@pytest.mark.parametrize("solver", [CG(), pytest.param(BiCGStab(), marks=pytest.mark.slow)], ids=str)
def test_derivatives_of_compiled_programs(x64, solver):
    """Also those through `play`, which is one."""
    game, terms, z = quadratic((2, 9))
    x, y = split(z, (2, 9))
    compiled = jax.jit(lambda x: implicit_gradient(game, x, y, solver=solver))
    close(jax.jacrev(compiled)(x), terms.J_S()[:2, :2])
    by_step = [gradient_through_play(game, (x, y), s) for s in (solver, Dense())]
    close(*by_step)


def gradient_through_play(game, start, solver):
    def last(step):
        learners = HierarchicalAscent(step, solver=solver), GradientAscent(0.1)
        return play(
            game, *learners, key=jax.random.key(0), rounds=3, start=start, record=Record.final(payoffs=None)
        ).strategies[0][-1]

    return jax.jacfwd(last)(0.1)


# ---------------------------------------------------------------- iterations

N = 80


def matrices(solver, condition=30.0):
    """Negative definite, of that condition number; or of eigenvalues on a circle in the left half plane."""
    rng = np.random.default_rng(5)
    if solver is CG:
        basis = np.linalg.qr(rng.normal(size=(N, N)))[0]
        return -(basis * np.geomspace(1, condition, N)) @ basis.T
    return -3 * np.eye(N) + 1.5 * rng.normal(size=(N, N)) / N**0.5


@eqx.filter_jit
def solved(solver, A, b, past):
    return solver.solve(System(lambda u: A @ u, b, lambda _: A), past)


def solve(solver, A, b, *past, before=None, tolerance=1e-8, max_steps=500):
    """In one program for all values: the solution, and its relative residual by NumPy. The past is that of A, or of the
    matrix `before`.
    """
    past = np.stack([*past, *[0 * b] * (3 - len(past))])
    past = Past(past, past @ (A if before is None else before).T)
    found = solved(solver(jnp.asarray(tolerance, b.dtype), jnp.asarray(max_steps)), A, b, past)
    found = jax.tree.map(np.asarray, found)
    left = np.float64(b) - np.float64(A) @ np.float64(found.x)
    return found, np.linalg.norm(left) / max(np.linalg.norm(np.float64(b)), 1e-300)


@pytest.mark.parametrize("solver", [CG, BiCGStab])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_relative_tolerance_is_met(x64, solver, dtype):
    A, b = matrices(solver).astype(dtype), np.random.default_rng(6).normal(size=N).astype(dtype)
    steps = []
    for tolerance in (1e-1, 1e-3, 1e-5) if dtype == np.float32 else (1e-1, 1e-5, 1e-11):
        for scale in (1e-6, 1.0, 1e6):  # it is relative
            found, left = solve(solver, A, (scale * b).astype(dtype), tolerance=tolerance)
            assert found.x.dtype == found.residual.dtype == dtype
            assert 0 < left <= tolerance * 1.05 and abs(found.residual - left) <= 0.05 * left
        steps.append(int(found.iterations))
    assert 0 < steps[0] < steps[1] < steps[2] < 60
    assert solved(solver(), A, b, None).residual <= np.finfo(dtype).eps ** 0.75  # the default


@pytest.mark.parametrize("solver", [CG, BiCGStab])
def test_nothing_to_solve(x64, solver):
    """b = 0: no step, and no 0 / 0; whatever came before."""
    for past in (), (np.ones(N),):
        found, _ = solve(solver, matrices(solver), np.zeros(N), *past)
        np.testing.assert_array_equal(found.x, 0.0)
        assert found.iterations == 0 and found.residual == 0


@pytest.mark.parametrize("solver", [CG, BiCGStab])
def test_past_solutions_help_or_do_no_harm(x64, solver):
    rng = np.random.default_rng(6)
    A, b, *others = matrices(solver), *rng.normal(size=(4, N))
    cold, _ = solve(solver, A, b)
    x = np.linalg.solve(A, b)
    near, left = solve(solver, A, b, x * (1 + 1e-4 * others[0]))
    assert 0 < near.iterations < 0.75 * cold.iterations and left <= 1e-8
    # What lies in their span takes no iteration: the same again, twice it, the next of a parabola.
    parabola = [np.linalg.solve(A, b - k * others[0] + k**2 * others[1]) for k in (1, 2, 3)]
    for past in (x,), (-2 * x,), (x, x, x), (others[0], x), parabola:
        found, left = solve(solver, A, b, *past)
        assert found.iterations == 0 and left <= 1e-8 and abs(found.residual - left) < 1e-9
    # What has nothing to do with it, or too much with itself.
    other = rng.normal(size=(N, N))
    for past in others[:3], [1e9 * z for z in others[:3]], [others[0], others[0] * (1 + 1e-15), 0 * b]:
        for before in A, other:
            found, left = solve(solver, A, b, *past, before=before)
            assert found.iterations <= cold.iterations + 2 and left <= 1.05e-8


def test_a_moving_system_is_foreseen(x64):
    """The matrix moves along a line, the right-hand side along a parabola: the start errs by the cube of a step."""
    rng, A = np.random.default_rng(6), matrices(CG)
    b, velocity, acceleration, drift = rng.normal(size=(4, N))

    def left(step):
        def system(t):
            return A - step * t * np.diag(drift**2), b + step * t * (velocity + step * t * acceleration)

        past = [np.linalg.solve(*system(-k)) for k in (1, 2, 3)]
        images = np.stack([system(-k)[1] for k in (1, 2, 3)])
        solver = CG(jnp.asarray(1e30), jnp.asarray(500))  # no iteration
        return float(solved(solver, A, b, Past(np.stack(past), images)).residual)

    errors = np.array([left(step) for step in (0.02, 0.01, 0.005)])
    assert errors[0] < 1e-2 and (errors[:-1] / errors[1:] > 6).all()


def test_past_solutions_are_no_argument(x64):
    """A derivative in them is 0, and other derivatives don't depend on them."""
    A, b, past = matrices(BiCGStab), *np.random.default_rng(6).normal(size=(2, N))

    def solution(b, past):
        return BiCGStab().solve(System(lambda u: A @ u, b, None), past).x[:2]

    by_b, by_past = jax.jit(jax.jacrev(solution, (0, 1)))(b, Past(past[None], past[None] @ A.T))
    for each in by_past:
        np.testing.assert_array_equal(each, 0.0)
    close(by_b, np.linalg.inv(A)[:2])


@pytest.mark.parametrize("solver", [CG, BiCGStab])
def test_a_cap_that_is_reached_is_reported(x64, solver):
    A, b = matrices(solver), np.random.default_rng(6).normal(size=N)
    for cap in (1, 4):
        found, left = solve(solver, A, b, max_steps=cap)
        assert found.iterations == cap and left > 1e-4
        close(found.residual, left)


@pytest.mark.parametrize("solver", [CG, BiCGStab])
def test_a_breakdown_is_not_silent(x64, solver):
    """No matrix, and one without a symmetric part: two followers of a zero-sum game who have no curvature of their own.

    Where CG meets an indefinite matrix it may solve it; then that is true.
    """
    b, skew = np.random.default_rng(6).normal(size=N), np.kron(np.eye(N // 2), [[0.0, 1.0], [-1.0, 0.0]])
    for A in (np.zeros((N, N)), skew):
        found, _ = solve(solver, A, b)
        assert np.isnan(found.x).all() and np.isnan(found.residual)
    indefinite = matrices(CG) + 10 * np.eye(N)
    found, left = solve(solver, indefinite, b)
    assert found.residual <= 1e-8 and left <= 1e-7


@pytest.mark.parametrize("solver", [CG, BiCGStab])
def test_products_are_counted(x64, solver):
    """One an iteration, or two, and one for the start from a past; by a counter outside of the program."""
    A, b, count = matrices(solver), np.random.default_rng(6).normal(size=N), []

    def product(u):
        count.append(1)
        return A @ np.asarray(u)

    @jax.jit
    def counted(past):
        kind = jax.ShapeDtypeStruct((N,), b.dtype)
        system = System(lambda u: jax.pure_callback(product, kind, u, vmap_method="sequential"), b, None)
        return solver().solve(system, past)

    found = jax.block_until_ready(counted(Past(np.eye(3, N), np.eye(3, N))))
    assert len(count) == solver.products * int(found.iterations) + 1 > 10
