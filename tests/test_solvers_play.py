"""Iterative solvers in `play`: what the reports and the oracle calls say, warm starts, batches, failures, bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import Game, Record, Status, play
from stackjax._calculus.linear import DENSE, DENSE_GENERAL
from stackjax.equilibria import implicit_gradient
from stackjax.games import Quadratic
from stackjax.learners import GradientAscent, HierarchicalAscent
from stackjax.solvers import CG, BiCGStab, Dense, chosen
from stackjax.spaces import Euclidean
from tests.transcriptions import equilibria as reference

KEY = jax.random.key(0)
LEADER, FOLLOWER = 3, 12
D = LEADER + FOLLOWER
Y = slice(LEADER, D)
CHAIN = ((0,), (1,), (2,))


def terms(hessian=None, seed=0):
    """A quadratic game without linear terms, whose follower has the given Hessian."""
    rng = np.random.default_rng(seed)
    Q = [rng.normal(size=(D, D)) / D**0.5 + 3 * np.eye(D) for _ in range(2)]
    found = reference.quadratics(Q, [np.zeros(D)] * 2, (LEADER, FOLLOWER))
    if hessian is not None:
        found.Q[1][Y, Y] = -hessian
    return found


def game_of(*several):
    """As a game; of several a batch."""
    games = [Quadratic(each.Q, each.b, each.dims) for each in several]
    return games[0] if len(games) == 1 else jax.tree.map(lambda *xs: jnp.stack(xs), *games)


START = np.random.default_rng(1).normal(size=(4, D))


def run(solver, *, game=None, start=START, rounds=8, step=0.02, **options):
    """Four replicates; the records are after the rounds 1, 3 and 8 (so that they aren't equally spaced)."""
    leader = HierarchicalAscent(step, solver=solver, **options.pop("leader", {}))
    options = {"replicates": 4, "record": Record.log_spaced(3, payoffs=None)} | options
    start = start[:, :LEADER], start[:, LEADER:]
    return play(game or game_of(terms()), leader, GradientAscent(0.02), key=KEY, rounds=rounds, start=start, **options)


def left(trace, *games):
    """The true relative residuals of the last round's solutions, from a trace of every round."""
    found = []
    for i, game in enumerate(games):
        z = np.concatenate([np.asarray(x)[i, -2] for x in trace.strategies])  # before that round
        b = -game.Q[0][Y] @ z
        found.append(
            np.linalg.norm(b + game.Q[1][Y, Y] @ trace.state[0].memory.effort.past.solutions[i, 0]) / np.linalg.norm(b)
        )
    return np.array(found)


# ---------------------------------------------------------------- reports, calls, warm starts


@pytest.mark.parametrize("unknowns", [DENSE, DENSE + 1])
def test_the_default_changes_with_the_number_of_unknowns(x64, unknowns):
    """A product for each column of the matrix; or one an iteration, one for the start, and one for H_yx."""
    game = Quadratic([np.eye(2 + unknowns)] * 2, [np.ones(2 + unknowns)] * 2, (2, unknowns))
    trace = play(game, HierarchicalAscent(0.1), GradientAscent(0.1), key=KEY, rounds=1, record=Record.final())
    products = trace.calls[0].hessian_vector_products[-1]
    if unknowns == DENSE:
        assert trace.reports[0] == {} and products == DENSE + 1
    else:
        assert trace.reports[0].keys() == {"iterations", "residual"}
        assert trace.reports[0]["iterations"][-1] == 1 and products == 1 + 1 + 1


def test_the_default_is_for_the_kind_of_system():
    symmetric = [chosen(None, n, True) for n in (DENSE, DENSE + 1)]
    general = [chosen(None, n, False) for n in (DENSE_GENERAL, DENSE_GENERAL + 1)]
    assert symmetric[0] == general[0] == Dense()
    assert isinstance(symmetric[1], CG) and isinstance(general[1], BiCGStab)
    given = CG(1e-3)
    assert chosen(given, 2, True) is given and chosen(given, 10**6, True) is given


class Counted(Game):
    """Payoffs sum(y) - x'x and x'By - y'Ay/2; `products` grows with each with the follower's Hessian."""

    A: jax.Array
    B: jax.Array
    products: list = eqx.field(static=True)
    spaces = (Euclidean((LEADER,)), Euclidean((FOLLOWER,)))
    levels = ((0,), (1,))

    def payoffs(self, x, y):
        A, B = self.A, self.B

        @jax.custom_vjp
        def slope(x, y):
            return x @ B - A @ y

        def transposed(_, u):
            jax.debug.callback(lambda: self.products.append(1))
            return B @ u, -A @ u

        @jax.custom_vjp
        def payoff(x, y):
            return x @ B @ y - y @ A @ y / 2

        slope.defvjp(lambda x, y: (slope(x, y), None), transposed)
        payoff.defvjp(lambda x, y: (payoff(x, y), (x, y)), lambda at, g: (g * (B @ at[1]), g * slope(*at)))
        return jnp.sum(y) - x @ x, payoff(x, y)


@pytest.mark.parametrize(
    "solver", [CG(), *(pytest.param(s, marks=pytest.mark.slow) for s in (BiCGStab(history=1), CG(history=0)))], ids=str
)
def test_calls_are_what_was_called(x64, solver):
    rng, products = np.random.default_rng(2), []
    game = Counted(jnp.diag(jnp.linspace(1.0, 3.0, FOLLOWER)), rng.normal(size=(LEADER, FOLLOWER)), products)
    trace = play(
        game, HierarchicalAscent(0.05, solver=solver), GradientAscent(0.1), key=KEY, rounds=3, record=Record.every(1)
    )
    jax.effects_barrier()
    iterations, counts = trace.reports[0]["iterations"], trace.calls[0]
    assert len(products) == counts.hessian_vector_products[-1]
    assert len(products) == solver.products * iterations.sum() + 3 * (1 + min(solver.history, 1)) and iterations[0] > 3
    np.testing.assert_array_equal(counts.gradients, [1, 2, 3])
    np.testing.assert_array_equal(counts.solves, [1, 2, 3])
    np.testing.assert_array_equal(iterations[1:], 0 if solver.history else iterations[0])  # the system stays the same


@pytest.fixture(scope="module")
def warm():
    with jax.enable_x64(True):
        return run(CG(1e-8, 50))


@pytest.mark.parametrize("history", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_past_solutions_save_iterations_and_change_nothing_else(x64, warm, history):
    cold = run(CG(1e-8, 50, history))
    for ours, theirs in zip(warm.strategies, cold.strategies, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    few, many = warm.reports[0]["iterations"], cold.reports[0]["iterations"]
    np.testing.assert_array_equal(few[:, 0], many[:, 0])  # nothing to start from
    assert (few[:, 1:] < many[:, 1:]).all() and (few > 0).all()
    assert (warm.reports[0]["residual"] <= 1e-8).all()


def test_past_solutions_are_state_and_do_no_harm_after_a_leap(x64, warm):
    before = run(CG(1e-8, 50), rounds=4)
    four_more = {"rounds": 4, "record": Record.log_spaced(10, payoffs=None)}  # 5, 6, 8
    resumed = run(CG(1e-8, 50), resume=before, **four_more)
    for ours, theirs in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(warm.state), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(resumed.reports[0]["iterations"][:, -1], warm.reports[0]["iterations"][:, -1])
    forgotten = eqx.tree_at(lambda t: list(t.state[0].memory.effort.past), before, replace_fn=np.zeros_like)
    forgotten = run(CG(1e-8, 50), resume=forgotten, **four_more)
    assert (forgotten.reports[0]["iterations"][:, 0] > resumed.reports[0]["iterations"][:, 0]).all()
    # A replicate elsewhere: it costs at most about what it costs from 0, and nothing to the others.
    there = np.random.default_rng(4).normal(size=D)
    leap = eqx.tree_at(
        lambda t: [s.action for s in t.state],
        before,
        [s.action.at[1].set(z) for s, z in zip(before.state, np.split(there, [LEADER]), strict=True)],
    )
    leapt = run(CG(1e-8, 50), resume=leap, **four_more)
    fresh = run(CG(1e-8, 50), start=np.tile(there, (4, 1)))
    assert leapt.reports[0]["iterations"][1, 0] <= fresh.reports[0]["iterations"][1, 0] + 1
    np.testing.assert_allclose(leapt.strategies[0][1, 0], fresh.strategies[0][1, 0], rtol=1e-6)
    for ours, theirs in zip(leapt.strategies, resumed.strategies, strict=True):
        np.testing.assert_array_equal(np.delete(ours, 1, 0), np.delete(theirs, 1, 0))


# ---------------------------------------------------------------- caps, batches, failures


def test_tolerances_and_caps_are_leaves(x64, warm):
    """Other numbers compile nothing; and one a replicate gives what it gives to all."""
    from stackjax.play import _run

    compiled = _run._cache_size()
    others = {(tolerance, cap): run(CG(tolerance, cap)) for tolerance, cap in ((1e-2, 50), (1e-13, 5), (1e-13, 7))}
    assert _run._cache_size() == compiled
    cases = [(1e-8, 50), *others]
    together = run(CG(*map(jnp.asarray, zip(*cases, strict=True))), in_axes=(None, 0, None))
    for i, trace in enumerate([warm, *others.values()]):
        np.testing.assert_array_equal(together.reports[0]["iterations"][i], trace.reports[0]["iterations"][i])
        np.testing.assert_allclose(together.strategies[0][i], trace.strategies[0][i], rtol=1e-9)
    assert (others[1e-2, 50].reports[0]["iterations"] < warm.reports[0]["iterations"]).all()
    assert (others[1e-13, 5].reports[0]["iterations"] == 5).all()


def hessian(*eigenvalues):
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(FOLLOWER, FOLLOWER)))[0]
    return (basis * np.resize(eigenvalues, FOLLOWER)) @ basis.T


GOOD = terms()
#: Follower's Hessians that are 0, singular, and indefinite.
BAD = [terms(h) for h in (hessian(0.0), hessian(0.0, *-np.arange(1.0, 12)), hessian(*-np.arange(1.0, 12), 1e-3))]


ALIKE = {"in_axes": (0, None, None), "rounds": 3, "record": Record.every(1, payoffs=None)}


@pytest.fixture(scope="module")
def among_bad():
    with jax.enable_x64(True):
        return run(CG(1e-8, 60), game=game_of(GOOD, *BAD), **ALIKE)


def test_a_reached_cap_is_reported_and_ends_nothing(x64):
    trace = run(CG(1e-8, 2), game=game_of(*[GOOD] * 4), **ALIKE)
    assert (trace.reports[0]["iterations"][:, 0] == 2).all() and (trace.status == Status.OK).all()
    true = left(trace, *[GOOD] * 4)
    assert (true > 1e-6).all()
    np.testing.assert_allclose(trace.reports[0]["residual"][:, -1], true, rtol=1e-6)


def test_a_bad_follower_ends_its_replicate_alone(x64, among_bad):
    """The good replicate's bits are those that it has among good ones."""
    alone = run(CG(1e-8, 60), game=game_of(*[GOOD] * 4), **ALIKE)
    assert (alone.status == Status.OK).all()
    for ours, theirs in zip(jax.tree.leaves(among_bad.state), jax.tree.leaves(alone.state), strict=True):
        np.testing.assert_array_equal(np.asarray(ours)[0], np.asarray(theirs)[0])
    assert among_bad.status[0] == Status.OK and among_bad.status[1] == Status.NON_FINITE


def test_where_there_is_no_solution_the_status_says_so(x64, among_bad):
    """The indefinite system has one, which CG finds here; the report is its true residual."""
    assert np.asarray(among_bad.status).tolist() == [Status.OK, Status.NON_FINITE, Status.NON_FINITE, Status.OK]
    ours, true = among_bad.reports[0]["residual"][:, -1], left(among_bad, GOOD, *BAD)
    played = np.asarray(among_bad.status == Status.OK)
    np.testing.assert_allclose(ours[played], true[played], rtol=0.5)
    assert (true[played] < 1e-6).all()


def test_an_optimiser_keeps_its_own_memory(x64):
    """Adam's moments beside the solution: the same run as with a dense solve."""
    with jax.numpy_dtype_promotion("standard"):  # Optax multiplies floats by integers
        runs = [run(s, step=None, leader={"optimizer": optax.adam(0.05)}) for s in (CG(1e-10), Dense())]
    for ours, theirs in zip(*[r.strategies for r in runs], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    few = runs[0].reports[0]["iterations"]
    assert runs[1].reports[0] == {} and (few[:, 1:] < few[:, :1]).all()  # warm


# ---------------------------------------------------------------- bad input

THREE = {levels: Quadratic([np.eye(3)] * 3, [np.ones(3)] * 3, (1, 1, 1), levels) for levels in (((0,), (1, 2)), CHAIN)}


@pytest.mark.parametrize("game", THREE.values(), ids=map(str, THREE))
def test_cg_is_for_one_follower(game):
    learners = HierarchicalAscent(0.1, solver=CG()), *[GradientAscent(0.1)] * 2
    with pytest.raises(ValueError, match=r"solver: CG is for symmetric.*expected BiCGStab\(...\) or Dense\(\)"):
        play(game, *learners, key=KEY, rounds=1)
    with pytest.raises(ValueError, match=r"solver: CG is for symmetric"):
        implicit_gradient(game, *np.ones((3, 1)), solver=CG())


def test_in_a_chain_cg_is_for_the_last_but_one(x64):
    Q = np.eye(3) + 0.1 * np.arange(9.0).reshape(3, 3)
    game, z = Quadratic([Q] * 3, [np.ones(3)] * 3, (1, 1, 1), CHAIN), np.arange(3.0)
    expected = reference.quadratics([Q] * 3, [np.ones(3)] * 3, (1, 1, 1), CHAIN).total_gradients(z)
    for player in (1, 2):  # the last has nothing to solve
        ours = implicit_gradient(game, *z[:, None], player=player, solver=CG())
        np.testing.assert_allclose(ours, expected[player], rtol=1e-10)


@pytest.mark.parametrize(
    "solver", ["cg", CG, 1e-6, HierarchicalAscent(0.1)], ids=["name", "class", "number", "learner"]
)
def test_solvers_are_solvers(solver):
    with pytest.raises(TypeError, match=r"solver: expected Dense\(\), CG\(...\), BiCGStab\(...\) or None, got"):
        HierarchicalAscent(0.1, solver=solver)
    with pytest.raises(TypeError, match="solver: expected"):
        implicit_gradient(THREE[CHAIN], *np.ones((3, 1)), solver=solver)


@pytest.mark.parametrize("solver", [CG, BiCGStab])
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("tolerance", 0.0, ValueError),
        ("tolerance", -1.0, ValueError),
        ("tolerance", np.nan, ValueError),
        ("tolerance", np.array([1e-3, 0.0]), ValueError),
        ("tolerance", "small", TypeError),
        ("max_steps", 0, ValueError),
        ("max_steps", 2.5, TypeError),
        ("max_steps", True, TypeError),
        ("history", -1, ValueError),
        ("history", 1.5, TypeError),
        ("history", "all", TypeError),
    ],
)
def test_bad_options_are_refused_by_name(solver, name, value, error):
    with pytest.raises(error, match=f"{name}: expected"):
        solver(**{name: value})


@pytest.mark.parametrize("damping", [-1.0, np.nan])
def test_damping_is_not_negative(damping):
    with pytest.raises(ValueError, match="damping: expected"):
        implicit_gradient(THREE[CHAIN], *np.ones((3, 1)), damping=damping)
