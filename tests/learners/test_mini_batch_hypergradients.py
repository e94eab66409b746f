"""SOBA and F2SA: closed forms in quadratic games, NumPy transcriptions round by round, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import Record, Status, play
from stackjax.games import DataCleaning, Quadratic, from_payoffs
from stackjax.learners import F2SA, SOBA, Every, GradientAscent
from stackjax.learners._ascent import AscentState
from stackjax.learners.f2sa import PenaltyMemory
from stackjax.learners.soba import SystemMemory
from stackjax.protocols import partial_gradient
from stackjax.schedules import PowerLaw
from stackjax.spaces import Arms, Box, Euclidean, Simplex
from tests.learners.polynomial_games import THREE, TWO, actions_of, case, flat, game_of

KEY = jax.random.key(0)
FINAL = Record.final(payoffs=None)


def drawn(dims, seed=0):
    """A quadratic game with strongly concave followers, its arrays in NumPy, and a start."""
    rng, d = np.random.default_rng(seed), sum(dims)
    b = rng.normal(size=(len(dims), d))
    Q = rng.normal(size=(len(dims), d, d)) / d**0.5
    Q = (Q + Q.transpose(0, 2, 1)) / 2 + 3 * np.eye(d)
    return Q, b, rng.normal(size=d)


def parts(z, dims):
    return tuple(map(jnp.asarray, np.split(z, np.cumsum(dims)[:-1])))


def near(x64):
    return {"rtol": 1e-11, "atol": 1e-11} if x64 else {"rtol": 2e-5, "atol": 2e-5}


# ---------------------------------------------------------------- SOBA


def soba(Q, b, z, dims, rounds, steps):
    """Joint actions, v, and what v lacked in the rounds, by hand; `steps(n)` of leader, followers and v."""
    d1, own = dims[0], np.repeat(np.arange(len(dims)), dims)
    v, found = np.zeros(sum(dims) - d1), []
    # The followers' first-order conditions F = c - A z.
    A, c = (np.stack([array[i, k] for k, i in enumerate(own)])[d1:] for array in (Q, b))
    for n in range(rounds):
        mine, theirs, of_system = steps(n)
        slope = b[0] - Q[0] @ z
        up = slope[:d1] + A[:, :d1].T @ v
        lacks = slope[d1:] + A[:, d1:].T @ v
        z = z + np.r_[mine * up, theirs * (c - A @ z)]
        v = v - of_system * lacks
        found.append((z, v, np.linalg.norm(lacks) / np.linalg.norm(slope[d1:])))
    return [np.stack(each) for each in zip(*found, strict=True)]


@pytest.mark.parametrize(("dims", "x64"), [((2, 3), False), ((2, 1, 2), True)], ids=["one", "two"])
def test_soba_round_by_round(dims, x64):
    with jax.enable_x64(x64):
        Q, b, start = drawn(dims)
        leader = SOBA(PowerLaw(0.2, 0.5), PowerLaw(0.25, 0.25))
        learners = leader, *[GradientAscent(0.15)] * (len(dims) - 1)
        trace = play(
            Quadratic(Q, b, dims),
            *learners,
            key=KEY,
            rounds=6,
            start=parts(start, dims),
            record=Record.every(1, payoffs=None),
        )
        z, v, residual = soba(Q, b, start, dims, 6, lambda n: (0.2 / (n + 1) ** 0.5, 0.15, 0.25 / (n + 1) ** 0.25))
        np.testing.assert_allclose(np.concatenate(trace.strategies, axis=1), z, **near(x64))
        np.testing.assert_allclose(trace.state[0].memory.solution, v[-1], **near(x64))
        np.testing.assert_allclose(trace.reports[0]["residual"], residual, **near(x64))
        assert residual[0] == 1  # v was 0
        assert trace.state[0].memory.solution.dtype == (jnp.float64 if x64 else jnp.float32)
        assert (trace.calls[0].gradients[-1], trace.calls[0].hessian_vector_products[-1]) == (6, 12)


@pytest.mark.parametrize("dims", [(2, 3), (2, 1, 2)], ids=["one", "two"])
def test_soba_comes_to_rest_at_the_stackelberg_equilibrium(x64, dims):
    """The transcription does."""
    Q, b, start = drawn(dims)
    z, _, residual = soba(Q, b, start, dims, 1500, lambda n: (0.05, 0.2, 0.2))
    game = Quadratic(Q, b, dims)
    np.testing.assert_allclose(z[-1], np.concatenate(game.stackelberg()), atol=1e-9)
    assert residual[-1] < 1e-9 and np.abs(np.concatenate(game.nash()) - z[-1]).max() > 1e-3


@pytest.mark.parametrize("dims", [TWO, THREE], ids=["one", "two"])
def test_sobas_direction_in_polynomial_games(x64, dims):
    """With some v, of a leader who acts with a pytree; and without a memory, where v is 0."""
    costs, points = case(dims)
    z, d1, learner = points[1], dims[0], SOBA(0.1, 0.1)
    game, v = game_of(costs), np.random.default_rng(1).normal(size=sum(dims[1:]))

    @jax.jit
    def both(actions, v):
        state = AscentState(None, jnp.int32(0), SystemMemory((), v, jnp.zeros(())))
        return [flat(learner.direction(game, 0, actions, state=each)) for each in (state, None)]

    ours, alone = both(actions_of(z, dims), jnp.asarray(v))
    # Costs are minimised there: every derivative has the other sign.
    np.testing.assert_allclose(alone, -costs.gradient(0, z)[:d1], rtol=1e-9)
    np.testing.assert_allclose(ours, alone + costs.H(z)[d1:, :d1].T @ v, rtol=1e-9)


def test_a_system_step_that_is_too_long_ends_its_replicate_alone():
    """2 / L is about .4 here. The other replicate comes to the equilibrium."""
    dims = 2, 3
    Q, b, start = drawn(dims)
    game = Quadratic(Q, b, dims)
    trace = play(
        game,
        SOBA(0.05, jnp.array([0.2, 2.5])),
        GradientAscent(0.2),
        key=KEY,
        rounds=500,
        replicates=2,
        in_axes=(None, 0, None),
        start=parts(start, dims),
        record=FINAL,
    )
    assert trace.status[0] == Status.OK and trace.status[1] in (Status.NON_FINITE, Status.DIVERGED)
    np.testing.assert_allclose(trace.strategies[0][0, -1], game.stackelberg()[0], atol=1e-4)
    np.testing.assert_allclose(trace.reports[0]["residual"][0, -1], 0, atol=1e-4)


# ---------------------------------------------------------------- F2SA


def f2sa(Q, b, z, dims, rounds, steps, inner_steps=1, bound=np.inf):
    """Joint actions, y', and how far it was apart in the rounds, by hand.

    `steps(n)` of the leader, the follower and y', and lambda; coordinates stay between +-`bound`.
    """
    d1, found = dims[0], []
    other = z[d1:]
    for n in range(rounds):
        mine, theirs, inner, penalty = steps(n)
        leaning = np.r_[z[:d1], other]
        slopes = [(b[i] - Q[i] @ at)[:d1] for i, at in ((0, leaning), (1, leaning), (1, z))]
        up = slopes[0] + penalty * (slopes[1] - slopes[2])
        apart = np.linalg.norm(other - z[d1:])
        for _ in range(inner_steps):
            at = np.r_[z[:d1], other]
            other = np.clip(other + inner * (b[1] - Q[1] @ at + (b[0] - Q[0] @ at) / penalty)[d1:], -bound, bound)
        z = np.clip(z + np.r_[mine * up, theirs * (b[1] - Q[1] @ z)[d1:]], -bound, bound)
        found.append((z, other, apart))
    return [np.stack(each) for each in zip(*found, strict=True)]


@pytest.mark.parametrize(("inner_steps", "bound", "x64"), [(1, 100.0, False), (3, 0.3, True)])
def test_f2sa_round_by_round(inner_steps, bound, x64):
    dims = 2, 3
    with jax.enable_x64(x64):
        Q, b, start = drawn(dims)
        start = np.clip(start, -bound, bound)
        quadratic = Quadratic(Q, b, dims)
        boxes = tuple(Box(-bound, bound, (d,)) for d in dims)
        game = from_payoffs(*[lambda *z, i=i: quadratic.payoffs(*z)[i] for i in range(2)], spaces=boxes)
        leader = F2SA(0.2, PowerLaw(0.1, 0.5), PowerLaw(2.0, -0.5), inner_steps=inner_steps)
        trace = play(
            game,
            leader,
            GradientAscent(0.15),
            key=KEY,
            rounds=6,
            start=parts(start, dims),
            record=Record.every(1, payoffs=None),
        )
        steps = lambda n: (0.2, 0.15, 0.1 / (n + 1) ** 0.5, 2 * (n + 1) ** 0.5)  # noqa: E731
        z, other, apart = f2sa(Q, b, start, dims, 6, steps, inner_steps, bound)
        assert (np.abs(other) == bound).any() == (np.abs(z) == bound).any() == (bound < 1)
        np.testing.assert_allclose(np.concatenate(trace.strategies, axis=1), z, **near(x64))
        np.testing.assert_allclose(trace.state[0].memory.answer, other[-1], **near(x64))
        np.testing.assert_allclose(trace.reports[0]["apart"], apart, **near(x64))
        assert apart[0] == 0 and apart[-1] > 0.01
        assert (trace.calls[0].gradients[-1], trace.calls[0].hessian_vector_products[-1]) == (
            6 * (3 + 2 * inner_steps),
            0,
        )


def scalar():
    """A scalar quadratic game; its leader's value is `-A (x - x*)^2 / 2`, and grad_y f1 there `s + sigma (x - x*)`."""
    Q = np.array([[[2.0, -0.7], [-0.7, 1.5]], [[0.3, -0.8], [-0.8, 2.0]]])
    b = np.array([[0.5, 1.2], [0.2, -0.4]])
    p = -Q[1, 0, 1] / Q[1, 1, 1]  # the answer's slope
    A = Q[0, 0, 0] + 2 * p * Q[0, 0, 1] + p**2 * Q[0, 1, 1]
    x, y = (float(z[0]) for z in Quadratic(Q, b, (1, 1)).stackelberg())
    s = b[0, 1] - Q[0, 1] @ [x, y]
    return Q, b, A, s, -(Q[0, 1] @ [1, p]), x


def test_f2sas_bias_is_that_of_the_closed_form(x64):
    """From `L(x) = V(x) + s(x)^2 / (2 (m1 + lambda m2))`, m the players' curvatures in y."""
    Q, b, A, s, sigma, x = scalar()
    penalties = np.array([10.0, 100.0, 1000.0])
    curvatures = Q[0, 1, 1] + penalties * Q[1, 1, 1]
    expected = sigma * s / (A * curvatures - sigma**2)
    trace = play(
        Quadratic(Q, b, (1, 1)),
        F2SA(0.02, 0.2, jnp.asarray(penalties)),
        GradientAscent(0.2),
        key=KEY,
        rounds=3000,
        replicates=3,
        in_axes=(None, 0, None),
        start=(jnp.ones(1), jnp.ones(1)),
        record=FINAL,
    )
    bias = trace.raise_if_failed().strategies[0][:, -1, 0] - x
    np.testing.assert_allclose(bias, expected, rtol=1e-6)
    np.testing.assert_allclose(bias[1:] / bias[:-1], penalties[:-1] / penalties[1:], rtol=0.1)  # of order 1 / lambda
    np.testing.assert_allclose(trace.reports[0]["apart"][:, -1], np.abs(s + sigma * bias) / curvatures, rtol=1e-6)


def test_a_growing_penalty_leads_to_the_equilibrium(x64):
    """The transcription's, which ends nearer than it would with the penalty that it starts with."""
    Q, b, *_, x = scalar()
    found, _, apart = f2sa(Q, b, np.ones(2), (1, 1), 10_000, lambda n: (0.02, 0.2, 0.2, 10 * (n + 1) ** 0.5))
    assert abs(found[-1, 0] - x) < 1e-4 and apart[-1] < 1e-3


def test_f2sas_direction_is_the_gradient_of_what_it_says(x64):
    """At both exact answers, in several dimensions, against the docstring's formula for quadratic payoffs."""
    dims, penalty = (2, 3), 7.0
    Q, b, start = drawn(dims)
    game, learner = Quadratic(Q, b, dims), F2SA(0.1, 0.1, penalty)
    x, _ = parts(start, dims)

    def excess(x):
        y = game.best_response(1, (x, None))
        s = jax.grad(lambda y: game.payoffs(x, y)[0])(y)
        return game.payoffs(x, y)[0] + s @ jnp.linalg.solve(jnp.asarray(Q[0, 2:, 2:] + penalty * Q[1, 2:, 2:]), s) / 2

    y = game.best_response(1, (x, None))
    both, right = Q[0] + penalty * Q[1], b[0] + penalty * b[1]
    leaning = np.linalg.solve(both[2:, 2:], right[2:] - both[2:, :2] @ np.asarray(x))

    @jax.jit
    def directions(x, y, leaning):
        state = AscentState(None, jnp.int32(1), PenaltyMemory((), leaning, jnp.zeros(())))
        both = (learner.direction(game, 0, (x, y), state=each) for each in (state, None))
        return *both, jax.grad(excess)(x), partial_gradient(game, 0, (x, y))

    ours, alone, expected, partial = directions(x, y, jnp.asarray(leaning))
    np.testing.assert_allclose(ours, expected, rtol=1e-10)
    np.testing.assert_allclose(alone, partial, rtol=1e-12)  # without a memory y' is y


def test_f2sa_of_a_large_penalty_is_soba():
    """With one inner step, the follower's own, `lambda (y - y')` is SOBA's v, also while the leader moves."""
    dims = 2, 3
    Q, b, start = drawn(dims)
    z, v, _ = soba(Q, b, start, dims, 12, lambda n: (0.1, 0.2, 0.2))
    ours, leaning, _ = f2sa(Q, b, start, dims, 12, lambda n: (0.1, 0.2, 0.2, 1e6))
    np.testing.assert_allclose(ours, z, atol=1e-5)
    np.testing.assert_allclose(1e6 * (ours[:, 2:] - leaning), v, atol=1e-4)
    assert np.abs(np.diff(z, axis=0)).max() > 0.01


# ---------------------------------------------------------------- both

BOTH = pytest.mark.parametrize(
    "make",
    [lambda **options: SOBA(options.pop("step", None), 0.3, **options),
     lambda **options: F2SA(options.pop("step", None), 0.3, 20.0, **options)],
    ids=["SOBA", "F2SA"],
)  # fmt: skip


@pytest.mark.slow
@BOTH
def test_hyper_cleaning_of_three_classes_by_mini_batches(make):
    """Rows with wrong labels end with lower weights."""
    game = _cleaning(jax.random.key(3))
    learners = make(optimizer=optax.adam(0.02)), GradientAscent(0.3)
    start = jnp.zeros(60), jnp.zeros((4, 3))
    trace = play(game, *learners, key=KEY, rounds=1000, start=start, record=FINAL).raise_if_failed()
    logits = np.asarray(trace.strategies[0][-1])
    wrong = np.asarray(game.corrupted)
    assert logits[~wrong].mean() - logits[wrong].mean() > 1.0


@jax.jit  # in one program, which compiles faster
def _cleaning(key):
    return DataCleaning.synthetic(key, rows=(60, 200), features=4, classes=3, batch=16)


@pytest.mark.slow
def test_f2sa_every_other_round_with_noise():
    dims = 2, 3
    Q, b, start = drawn(dims)
    trace = play(
        Quadratic(Q, b, dims),
        Every(2, F2SA(PowerLaw(0.3, 0.7), 0.3, 100.0, inner_steps=2, noise_variance=0.01)),
        GradientAscent(0.3),
        key=KEY,
        rounds=2000,
        replicates=20,
        start=parts(start, dims),
        record=FINAL,
    )
    means = trace.raise_if_failed().strategies[0][:, -1].mean(0)
    np.testing.assert_allclose(means, Quadratic(Q, b, dims).stackelberg()[0], atol=0.03)


@BOTH
def test_a_follower_who_answers_at_a_bound(x64, make):
    """Beyond x = 1/2 the answer stays: the leader's optimum is 1. Within, it would be 2."""
    game = from_payoffs(
        lambda x, y: -((x - 1) ** 2) / 2 + y,
        lambda x, y: -((y - x) ** 2) / 2,
        spaces=(Box(0.0, 4.0), Box(0.0, 0.5)),
    )
    trace = play(game, make(step=0.02), GradientAscent(0.3), key=KEY, rounds=2000, start=(0.1, 0.1), record=FINAL)
    np.testing.assert_allclose([z[-1] for z in trace.strategies], [1.0, 0.5], atol=1e-9)


def test_soba_with_a_follower_on_a_simplex(x64):
    """Its answer `y = 1/3 + B x - mean(B x)` moves along the simplex: the leader's value is `c y - x x / 2`."""
    B, c = np.random.default_rng(4).normal(size=(3, 2)) / 8, np.array([1.0, -0.5, 0.2])
    game = from_payoffs(
        lambda x, y: jnp.asarray(c) @ y - x @ x / 2,
        lambda x, y: jnp.asarray(B) @ x @ y - y @ y / 2,
        spaces=(Euclidean((2,)), Simplex(3)),
    )
    trace = play(game, SOBA(0.05, 0.3), GradientAscent(0.3), key=KEY, rounds=1000, record=FINAL)
    best = B.T @ (c - c.mean())
    np.testing.assert_allclose(trace.strategies[0][-1], best, atol=1e-9)
    assert np.abs(B.T @ c - best).max() > 0.01 and trace.strategies[1][-1].min() > 0.1


# ---------------------------------------------------------------- bad input

ANY = from_payoffs(lambda x, y: -(x @ x) + x @ y, lambda x, y: -(y @ y), spaces=(Euclidean((2,)),) * 2)
ONE = GradientAscent(0.1)


def line(*levels):
    return from_payoffs(*[lambda *z: -(sum(z) ** 2)] * 3, spaces=(Euclidean(()),) * 3, levels=levels)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: SOBA(0.1, 0.0), "system_step"),
        (lambda: SOBA(0.1, -1.0), "system_step"),
        (lambda: SOBA(0.1, "fast"), "system_step"),
        (lambda: SOBA(None, 0.1), "step"),
        (lambda: SOBA(0.1, 0.1, optimizer=optax.sgd(0.1)), "step"),
        (lambda: SOBA(0.1, 0.1, noise_variance=-1.0), "noise_variance"),
        (lambda: F2SA(0.1, 0.0, 1.0), "inner_step"),
        (lambda: F2SA(0.1, None, 1.0), "inner_step"),
        (lambda: F2SA(0.1, 0.1, 0.0), "penalty"),
        (lambda: F2SA(0.1, 0.1, np.array([1.0, -1.0])), "penalty"),
        (lambda: F2SA(0.1, 0.1, 1.0, inner_steps=0), "inner_steps"),
        (lambda: F2SA(0.1, 0.1, 1.0, inner_steps=2.0), "inner_steps"),
        (lambda: F2SA(None, 0.1, 1.0), "step"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}[,:]"):
        make()


@pytest.mark.parametrize(
    ("game", "learners", "match"),
    [
        (line((0,), (1,), (2,)), (SOBA(0.1, 0.1), ONE, ONE), r"levels: SOBA.*player 0"),
        (line((0,), (1,), (2,)), (F2SA(0.1, 0.1, 1.0), ONE, ONE), r"levels: F2SA.*player 0"),
        (line((0,), (1, 2)), (F2SA(0.1, 0.1, 1.0), ONE, ONE), r"levels: F2SA.*one follower"),
        (ANY, (ONE, SOBA(0.1, 0.1)), r"levels: SOBA.*player 1"),
        (ANY, (ONE, F2SA(0.1, 0.1, 1.0)), r"levels: F2SA.*player 1"),
        (ANY, (SOBA(0.1, PowerLaw(-1.0, 1.0)), ONE), "system_step: expected"),
        (ANY, (F2SA(0.1, PowerLaw(-1.0, 1.0), 1.0), ONE), "inner_step: expected"),
        (ANY, (F2SA(0.1, 0.1, PowerLaw(-1.0, 1.0)), ONE), "penalty: expected"),
        (ANY, (SOBA(PowerLaw(0.0, 1.0), 0.1), ONE), "step: expected"),
    ],
)
def test_what_play_refuses(game, learners, match):
    with pytest.raises(ValueError, match=match):
        play(game, *learners, key=KEY, rounds=1)


@pytest.mark.parametrize("learner", [SOBA(0.1, 0.1), F2SA(0.1, 0.1, 1.0)], ids=["SOBA", "F2SA"])
def test_arms_have_no_gradients(learner):
    game = from_payoffs(lambda x, y: x * 1.0, lambda x, y: y * 1.0, spaces=(Euclidean(()), Arms(2)))
    with pytest.raises(ValueError, match="gradients"):
        play(game, learner, ONE, key=KEY, rounds=1)
