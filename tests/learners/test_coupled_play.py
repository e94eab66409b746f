"""The coupled learners in `play`, round by round against their transcriptions, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import Record, Status, experiments, play
from stackjax.games import from_payoffs
from stackjax.learners import (
    LOLA,
    CompetitiveGradient,
    ConsensusOptimization,
    Every,
    Extragradient,
    Fixed,
    FollowTheRidge,
    GradientAscent,
    LocalSymplecticSurgery,
    LookAhead,
    MirrorAscent,
    OptimisticAscent,
    StableOpponentShaping,
    SymplecticGradientAdjustment,
    Unrolled,
)
from stackjax.schedules import PowerLaw
from stackjax.spaces import Arms, Box, Euclidean, Simplex
from tests.learners.polynomial_games import THREE, TWO, actions_of, case, game_of
from tests.transcriptions import coupled

ROUNDS = 4


def law(scale, exponent):
    return PowerLaw(scale, exponent), lambda n: scale / (n + 1.0) ** exponent


_STEP, _step = law(0.1, 0.5)
_OTHER, _other = law(0.3, 0.7)

#: Two learners that meet, and what moves each of them by its transcription at counter n.
MEETINGS = {
    "LOLA and look-ahead": (
        (LOLA(_STEP, _OTHER), LookAhead(_STEP, _OTHER)),
        (
            lambda c, z, n: coupled.lola(c, z, _other(n)),
            lambda c, z, n: coupled.look_ahead(c, z, _other(n)),
        ),
    ),
    "SOS and consensus": (
        (StableOpponentShaping(_STEP, _OTHER), ConsensusOptimization(_STEP, 0.2)),
        (
            lambda c, z, n: coupled.sos(c, z, _other(n)),
            lambda c, z, n: coupled.consensus(c, z, 0.2),
        ),
    ),
    "unrolled and ridge": (
        (Unrolled(_STEP, _OTHER, 2), FollowTheRidge(_STEP, leader_step=_OTHER)),
        (
            lambda c, z, n: coupled.unrolled(c, z, _other(n), 2),
            lambda c, z, n: np.r_[np.zeros(3), coupled.follow_the_ridge(c, z, _other(n) / _step(n))],
        ),
    ),
    "symplectic and competitive": (
        (SymplecticGradientAdjustment(_STEP), CompetitiveGradient(_STEP)),
        (
            lambda c, z, n: coupled.sga(c, z),
            lambda c, z, n: coupled.competitive(c, z, _step(n)),
        ),
    ),
    "extragradient and surgery": (
        (Extragradient(_STEP), LocalSymplecticSurgery(_STEP)),
        (
            lambda c, z, n: coupled.extragradient(c, z, _step(n)),
            lambda c, z, n: coupled.surgery(c, z),
        ),
    ),
}


def played(costs, learners, start):
    """A trace, and its joint actions `[rounds, d]`."""
    trace = play(
        game_of(costs),
        *learners,
        key=jax.random.key(0),
        rounds=ROUNDS,
        start=actions_of(start, TWO),
        record=Record.every(1, payoffs=None),
    )
    assert trace.status == Status.OK
    x, y = trace.strategies
    return trace, np.concatenate([x["gain"], x["offset"][:, None], y], axis=1)


@pytest.mark.parametrize("name", MEETINGS)
def test_play_iterates_the_rules(x64, name):
    learners, rules = MEETINGS[name]
    costs, points = case(TWO)
    z, expected = points[2] * 0.5, []
    for n in range(ROUNDS):
        moves = [rule(costs, z, n) for rule in rules]
        z = np.r_[z[:3] - _step(n) * moves[0][:3], z[3:] - _step(n) * moves[1][3:]]
        expected.append(z)
    trace, ours = played(costs, learners, points[2] * 0.5)
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-8)
    for learner, calls in zip(learners, trace.calls, strict=True):
        assert calls.gradients[-1] >= ROUNDS
        # All but extragradient take second derivatives: at least a product in each round.
        assert (calls.hessian_vector_products[-1] >= ROUNDS) != isinstance(learner, Extragradient)


def test_optimistic_remembers_its_last_gradient(x64):
    costs, points = case(TWO)
    z, last, expected = points[2] * 0.5, None, []
    for n in range(ROUNDS):
        move = coupled.optimistic(costs, z, last)
        z, last = z - _step(n) * move, costs.xi(z)
        expected.append(z)
    trace, ours = played(costs, [OptimisticAscent(_STEP)] * 2, points[2] * 0.5)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10)
    # What the state remembers is what the next direction takes.
    at = actions_of(expected[-1], TWO)
    ours = OptimisticAscent(_STEP).direction(game_of(costs), 1, at, n=ROUNDS, state=trace.state[1])
    np.testing.assert_allclose(ours, -coupled.optimistic(costs, expected[-1], last)[3:], rtol=1e-10, atol=1e-10)


def test_mirror_ascent_in_closed_form(x64):
    """Rock, paper, scissors with other stakes for each: multiplicative weights."""
    rng = np.random.default_rng(2)
    A, B = rng.normal(size=(2, 3, 4))
    game = from_payoffs(
        lambda x, y: x @ jnp.asarray(A) @ y, lambda x, y: x @ jnp.asarray(B) @ y, spaces=(Simplex(3), Simplex(4))
    )
    start = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.2, 0.3, 0.4])
    actions = tuple(map(jnp.asarray, start))
    learner = MirrorAscent(PowerLaw(0.5, 0.5))
    np.testing.assert_allclose(learner.direction(game, 0, actions), A @ start[1], rtol=1e-12)
    trace = play(
        game, learner, learner, key=jax.random.key(0), rounds=3, start=actions, record=Record.every(1, payoffs=None)
    )
    x, y = start
    for n in range(3):
        step = 0.5 / (n + 1.0) ** 0.5
        x, y = coupled.mirror(x, A @ y, step), coupled.mirror(y, B.T @ x, step)
        np.testing.assert_allclose(trace.strategies[0][n], x, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(trace.strategies[1][n], y, rtol=1e-12, atol=1e-12)


COLUMNS = np.array([[0.0, 1.0], [2.0, 0.0]])


def simplices(leader=COLUMNS, **options):
    """The leader is paid by its action alone, the follower nothing."""
    weights = jnp.asarray(leader)
    return from_payoffs(
        lambda x, y: jnp.sum(weights * x), lambda x, y: 0 * jnp.sum(y), spaces=(Simplex(2, **options), Simplex(2))
    )


def test_mirror_ascent_leaves_what_is_nearly_a_corner(x64):
    """An entry is kept at the smallest normal number, however long it pays nothing, and comes back from there."""
    pays = from_payoffs(lambda x, y: x @ y, lambda x, y: 0 * y[0], spaces=(Simplex(2), Simplex(2)))
    for dtype in (jnp.float32, jnp.float64):
        tiny = jnp.finfo(dtype).tiny
        run = [
            play(
                pays, MirrorAscent(8.0), Fixed(jnp.asarray(y, dtype)), key=jax.random.key(0), rounds=200,
                start=(start, None), record=Record.every(1),
            ).raise_if_failed()
            for start, y in ((jnp.array([0.5, 0.5], dtype), [1.0, 0.0]), (jnp.array([1.0, tiny], dtype), [0.0, 1.0]))
        ]  # fmt: skip
        assert all(trace.strategies[0].dtype == dtype for trace in run)
        np.testing.assert_array_equal(run[0].strategies[0][-1], [1.0, tiny])
        np.testing.assert_array_equal(run[1].strategies[0][-1], [tiny, 1.0])
        rounds = int(np.ceil(-np.log(float(tiny)) / 8.0))  # log(1 / p) / g, in steps
        assert run[1].strategies[0][rounds + 1, 1] > 0.5 > run[1].strategies[0][rounds - 2, 1]
        resumed = play(
            pays, MirrorAscent(8.0), Fixed(jnp.array([0.0, 1.0], dtype)), key=jax.random.key(0), rounds=200,
            start=(jnp.array([0.5, 0.5], dtype), None), resume=run[0],
        )  # fmt: skip
        np.testing.assert_array_equal(resumed.strategies[0][-1], [tiny, 1.0])


def test_mirror_ascent_in_several_simplices():
    """Every row by itself."""
    start = jnp.array([[0.5, 0.5], [0.25, 0.75]])
    trace = play(
        simplices(shape=(2,)), MirrorAscent(0.1), Fixed(jnp.array([0.5, 0.5])), key=jax.random.key(0), rounds=1,
        start=(start, None),
    ).raise_if_failed()  # fmt: skip
    for found, x, g in zip(trace.strategies[0][-1], np.asarray(start), COLUMNS, strict=True):
        np.testing.assert_allclose(found, coupled.mirror(x, g, 0.1), rtol=1e-6)


# ---------------------------------------------------------------- bad input

ANY = from_payoffs(lambda x, y: -(x @ x) + x @ y, lambda x, y: -(y @ y), spaces=(Euclidean((2,)),) * 2)


@pytest.mark.parametrize("learner", [LOLA, LookAhead, StableOpponentShaping])
@pytest.mark.parametrize("other_step", [0.0, -0.1])
def test_the_others_step_is_positive(learner, other_step):
    with pytest.raises(ValueError, match="other_step"):
        play(ANY, learner(0.1, other_step), GradientAscent(0.1), key=jax.random.key(0), rounds=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConsensusOptimization(),
        lambda: SymplecticGradientAdjustment(0.1, optimizer=optax.sgd(0.1)),
        lambda: LOLA(0.1, 0.1, optimizer=optax.sgd(0.1)),
        lambda: LookAhead(None, 0.1),
    ],
)
def test_either_a_step_or_an_optimizer(make):
    with pytest.raises(ValueError, match=r"step.*optimizer"):
        make()


@pytest.mark.parametrize("depth", [0, -1, 1.5, True])
def test_unrolling_takes_at_least_one_step(depth):
    with pytest.raises((ValueError, TypeError), match="depth"):
        Unrolled(0.1, 0.1, depth)


def test_unrolling_needs_a_positive_step_of_the_others():
    with pytest.raises(ValueError, match="other_step"):
        play(ANY, Unrolled(0.1, 0.0, 2), GradientAscent(0.1), key=jax.random.key(0), rounds=1)


def test_competitive_gradients_are_for_two_players():
    costs, points = case(THREE)
    with pytest.raises(ValueError, match=r"CompetitiveGradient.*two players"):
        CompetitiveGradient(0.1).direction(game_of(costs), 1, actions_of(points[0], THREE))


def test_the_ridge_is_for_followers():
    with pytest.raises(ValueError, match=r"FollowTheRidge.*player 0"):
        play(ANY, FollowTheRidge(0.1), GradientAscent(0.1), key=jax.random.key(0), rounds=1)
    chain = from_payoffs(*[lambda *z: -(sum(z) ** 2)] * 3, spaces=(Euclidean(()),) * 3, levels=((0,), (1,), (2,)))
    with pytest.raises(ValueError, match=r"FollowTheRidge.*player 2"):
        FollowTheRidge(0.1).direction(chain, 2, (jnp.ones(()),) * 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ConsensusOptimization(0.1, weight=-1.0),
        lambda: SymplecticGradientAdjustment(0.1, weight=-1.0),
    ],
)
def test_weights_are_not_negative(make):
    with pytest.raises(ValueError, match="weight"):
        make()


@pytest.mark.parametrize("space", [Euclidean((2,)), Box(0.0, 1.0, (2,))], ids=["Euclidean", "Box"])
def test_mirror_ascent_is_for_the_simplex(space):
    game = from_payoffs(lambda x, y: x @ y, lambda x, y: -(x @ y), spaces=(space, Simplex(2)))
    with pytest.raises(ValueError, match="Simplex"):
        play(game, MirrorAscent(0.1), MirrorAscent(0.1), key=jax.random.key(0), rounds=1)


@pytest.mark.parametrize("wrapped", [MirrorAscent(0.1), Every(2, MirrorAscent(0.1))], ids=["bare", "in Every"])
def test_mirror_ascent_does_not_start_on_a_face(wrapped):
    """Its message says what to do; also for one of many starts, in a sweep, and when a run is resumed with one."""
    game, key = simplices([0.0, 1.0]), jax.random.key(0)
    corner, inside = jnp.array([1.0, 0.0]), jnp.array([0.25, 0.75])
    says = r"start: expected positive probabilities: one that is 0 stays 0 .* mix some of the uniform distribution in"

    def run(start, **options):
        return play(game, wrapped, Fixed(inside), key=key, rounds=3, start=(start, None), **options)

    for start, options in ((corner, {}), (jnp.stack([inside, corner]), {"replicates": 2})):
        with pytest.raises(ValueError, match=says):
            run(start, **options)
    with pytest.raises(ValueError, match=says):
        run(corner, resume=run(inside))
    with pytest.raises(ValueError, match=says):
        experiments.sweep(
            game, (wrapped, Fixed(inside)), {"follower.action": [inside, inside[::-1]]}, rounds=3, replicates=2,
            start=(corner, None),
        )  # fmt: skip
    run(0.99 * corner + 0.01 / 2).raise_if_failed()
    run(None, replicates=100).raise_if_failed()


@pytest.mark.parametrize(
    "learner", [LOLA(0.1, 0.1), OptimisticAscent(0.1), MirrorAscent(0.1)], ids=lambda x: type(x).__name__
)
def test_arms_have_no_gradients(learner):
    game = from_payoffs(lambda x, y: x * 1.0, lambda x, y: y * 1.0, spaces=(Arms(2), Euclidean(())))
    with pytest.raises(ValueError, match=r"Arms|tangent|gradients"):
        play(game, learner, GradientAscent(0.1), key=jax.random.key(0), rounds=1)
