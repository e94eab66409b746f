"""Markov games: golden values, dynamic programming against enumeration, sampled episodes, queries, batches."""

import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, Signal, UndeclaredSignalError, View, play
from stackjax.games import CournotDuopoly, IteratedMatrixGame, MarkovGame, Noisy
from stackjax.learners import BestResponse, Fixed, GradientAscent

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "iterated_matrix_games.json").read_text())["games"]
LEADERS = np.array(list(itertools.product([1.0, 0.0], repeat=5)))
TIES = ("optimistic", "pessimistic")
HORIZONS = (10, None)
KEYS = {
    10: ("H10_det_table", "H10_det_{}", "H10_sto_lower_bound"),
    None: ("disc96_det_table", "disc96_det_{}", "disc96_sto"),
}
SHORT = {"optimistic": "opt", "pessimistic": "pess"}
GOLDEN_P = {horizon: np.array([game[KEYS[horizon][2]]["p"] for game in GOLDEN.values()]) for horizon in HORIZONS}


def repeated(payoffs, horizon, ties="optimistic"):
    return MarkovGame.repeated(IteratedMatrixGame(*payoffs, 0.96), horizon=horizon, ties=ties)


@pytest.fixture(scope="module")
def golden_values():
    """Values [game, leader, player] of the 32 deterministic leaders, the golden one, and that one lowered by 1e-6.

    The five games go through as one batch, by a vmapped constructor.
    """
    found = {}
    with jax.enable_x64(True):
        payoffs = [jnp.array([game[key] for game in GOLDEN.values()]) for key in ("RL", "RF")]
        for horizon, ties in itertools.product(HORIZONS, TIES):
            golden = GOLDEN_P[horizon][:, None]
            deterministic = np.tile(LEADERS, (len(GOLDEN), 1, 1))
            leaders = np.concatenate([deterministic, golden, np.maximum(golden - 1e-6, 0)], axis=1)
            games = jax.vmap(lambda *payoffs, h=horizon, t=ties: repeated(payoffs, h, t))(*payoffs)

            @jax.jit
            @jax.vmap
            def values(game, p):
                def one(p):
                    leader = jnp.stack([p, 1 - p], axis=-1)
                    return jnp.stack(game.payoffs(leader, game.best_response(1, (leader, None))))

                return jax.vmap(one)(p)

            found[horizon, ties] = np.asarray(values(games, jnp.asarray(leaders)))
    return found


@pytest.mark.parametrize("horizon", HORIZONS)
def test_all_deterministic_leaders_have_their_golden_values(golden_values, horizon):
    table, optimum, _ = KEYS[horizon]
    for name, ours in zip(GOLDEN, golden_values[horizon, "optimistic"], strict=True):
        np.testing.assert_allclose(ours[:32], GOLDEN[name][table], rtol=0, atol=1e-9, err_msg=name)
    for ties in TIES:
        for (name, game), ours in zip(GOLDEN.items(), golden_values[horizon, ties], strict=True):
            golden, best = game[optimum.format(SHORT[ties])], ours[:32, 0].max()
            assert best == pytest.approx(golden["leader"], abs=1e-9), name
            assert np.sum(ours[:32, 0] > best - 1e-9) == golden["n_optimal"], name


def test_the_optimum_of_the_prisoner_s_dilemma_is_to_defect_first_and_then_copy(golden_values):
    for ties in TIES:
        ours = golden_values[10, ties][0, :32, 0]
        assert LEADERS[ours.argmax()].tolist() == [0, 1, 0, 1, 0] and ours.max() == pytest.approx(-1.1, abs=1e-9)


def test_stochastic_leaders_have_their_golden_values_with_ties_for_the_leader(golden_values):
    stochastic = {10: (-0.65, 4, 4, 3, 0), None: (-0.5, 4, 4, 3, 0)}
    for horizon in HORIZONS:
        ours = golden_values[horizon, "optimistic"][:, 32, 0]
        golden = [game[KEYS[horizon][2]]["leader"] for game in GOLDEN.values()]
        np.testing.assert_allclose(ours, golden, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours, stochastic[horizon], rtol=0, atol=1e-9)


def test_the_stochastic_optimum_of_the_prisoner_s_dilemma_is_on_a_knife_s_edge(golden_values):
    for horizon in HORIZONS:
        assert golden_values[horizon, "pessimistic"][0, 32, 0] == pytest.approx(-2, abs=1e-9)
        for ties in TIES:
            assert golden_values[horizon, ties][0, 33, 0] == pytest.approx(-2, abs=1e-9)
    # In the other games ties don't matter, and the value changes as little as the policy.
    for horizon in HORIZONS:
        ours = golden_values[horizon, "pessimistic"][1:]
        np.testing.assert_allclose(ours[:, 32, 0], [4, 4, 3, 0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours[:, 33, 0], [4, 4, 3, 0], rtol=0, atol=2e-5)


def test_no_follower_is_held_below_what_it_can_secure(golden_values):
    """The certified bounds: the follower gets its security value, and the leader what is feasible above it."""
    secured = [-2.0, 2.0, 1.0, 6 / 5, 0.0]  # of the stage game, against every leader
    bounds = {10: [-0.65, 4, 4, 3, 0], None: [-0.5, 4, 4, 3, 0]}
    for (horizon, _), ours in golden_values.items():
        assert np.all(ours[:, :, 1] >= np.array(secured)[:, None] - 1e-9)
        assert np.all(ours[:, :, 0] <= np.array(bounds[horizon])[:, None] + 1e-9)


def random_game(seed=0, horizon=3, **options):
    """Three players, four states; player 0 can't tell states 1 and 2 apart, player 2 sees them with noise."""
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.ones(4), size=(4, 2, 3, 2))
    rewards = rng.integers(-3, 4, size=(3, 4, 2, 3, 2))
    noisy = rng.dirichlet(np.ones(2), size=4)
    time = {"horizon": horizon} if horizon else {"discount": 0.7}
    observations = ([0, 1, 1, 2], None, noisy)
    initial = rng.dirichlet(np.ones(4))
    return MarkovGame(transitions, rewards, initial, observations=observations, **time, **options)


def policies(game, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(game.spaces))
    return tuple(space.sample(key) for space, key in zip(game.spaces, keys, strict=True))


def by_hand(game, actions):
    """Payoffs and visits, by sums over everything that can happen."""
    tables = [np.asarray(r, np.float64) for r in game.rewards]
    moves, now = np.asarray(game.transitions, np.float64), np.asarray(game.initial, np.float64)
    seen = [np.eye(len(now)) if e is None else np.asarray(e, np.float64) for e in game.observations]
    steps = game.horizon or 200
    weights = np.full(steps, 1 / steps) if game.horizon else 0.3 * 0.7 ** np.arange(steps)
    paid, visits = np.zeros(3), np.zeros(len(now))
    for t, weight in enumerate(weights):
        acting = [e @ np.asarray(a[t] if np.ndim(a) == 3 else a) for e, a in zip(seen, actions, strict=True)]
        joint = np.einsum("s,sa,sb,sc->sabc", now, *acting)
        paid += weight * np.array([np.sum(joint * r) for r in tables])
        visits += weight * now
        now = np.einsum("sabc,sabcz->z", joint, moves)
    return paid, visits


@pytest.mark.parametrize("options", [{}, {"clocked": (True, False, True)}, {"horizon": None}])
def test_values_with_partial_observations_are_sums_over_what_can_happen(options):
    game = random_game(**options)
    assert (game.observation_counts, game.action_counts) == ((3, 4, 2), (2, 3, 2))
    assert game.levels == ((0,), (1, 2))
    actions = policies(game)
    paid, visits = by_hand(game, actions)
    np.testing.assert_allclose(game.payoffs(*actions), paid, atol=2e-6)
    np.testing.assert_allclose(game.states(*actions), visits, atol=1e-6)


def test_a_repeated_game_is_the_iterated_one_with_its_gradient(x64):
    stage = IteratedMatrixGame.chicken(0.9)
    game = MarkovGame.repeated(stage, logits=(0, 1))
    x, y = np.random.default_rng(3).normal(size=(2, 5))

    def logits(z):
        return jnp.stack([z, jnp.zeros_like(z)], -1)

    ours = jax.jacrev(lambda x, y: jnp.stack(game.payoffs(logits(x), logits(y))), (0, 1))(x, y)
    theirs = jax.jacrev(lambda x, y: jnp.stack(stage.payoffs(x, y)), (0, 1))(x, y)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(game.payoffs(logits(x), logits(y)), stage.payoffs(x, y), atol=1e-12)
    outcomes = stage.outcomes(x, y)  # the state is the last outcome
    np.testing.assert_allclose(game.states(logits(x), logits(y))[1:], 0.9 * outcomes.ravel(), atol=1e-12)


def small(ties, horizon=None, dtype=np.float64):
    """Rewards of few values, so that there are ties; 3 states, 2 actions each."""
    rng = np.random.default_rng(4)
    moves = np.zeros((3, 2, 2, 3))
    for s, a, b in np.ndindex(3, 2, 2):
        moves[s, a, b, rng.integers(3)] = 1
    rewards = rng.integers(0, 2, size=(2, 3, 2, 2)).astype(dtype)
    time = {"discount": 0.5} if horizon is None else {"horizon": horizon}
    return MarkovGame(moves.astype(dtype), rewards, ties=ties, **time)


@pytest.mark.parametrize("horizon", [None, 2])
def test_a_best_response_is_the_best_of_all_deterministic_policies(horizon):
    """Both for the player, and among its best ones for the leader or against it."""
    games = [small(ties, horizon, np.float32) for ties in TIES]
    shape = (3, 2) if horizon is None else (2, 3, 2)
    choices = np.array(list(itertools.product([0, 1], repeat=int(np.prod(shape[:-1])))))
    every = jnp.asarray(np.eye(2, dtype=np.float32)[choices].reshape(-1, *shape))
    leaders = jnp.asarray(np.eye(2, dtype=np.float32)[np.array(list(itertools.product([0, 1], repeat=3)))])
    values = jax.jit(jax.vmap(jax.vmap(games[0].payoffs, (None, 0)), (0, None)))(leaders, every)
    leader, follower = (np.asarray(v) for v in values)
    tied = follower > follower.max(1, keepdims=True) - 1e-5
    assert np.mean(tied.sum(1) > 1) > 0.5  # the test would show nothing otherwise
    expected = [np.where(tied, leader, -np.inf).max(1), np.where(tied, leader, np.inf).min(1)]
    assert np.any(expected[0] > expected[1] + 0.1)
    for game, bound in zip(games, expected, strict=True):
        found = jax.jit(jax.vmap(lambda x, g=game: g.payoffs(x, g.best_response(1, (x, None)))))(leaders)
        np.testing.assert_allclose(found, [bound, follower.max(1)], atol=1e-5)
    other = games[0].best_response(1, (leaders[3], None), "pessimistic")
    np.testing.assert_array_equal(other, games[1].best_response(1, (leaders[3], None)))


def test_a_best_response_to_what_is_not_finite_is_not_finite():
    for horizon in (None, 2):
        response = small("optimistic", horizon, np.float32).best_response(1, (jnp.full((3, 2), jnp.nan), None))
        assert np.isnan(response).any()


def test_payoffs_and_their_gradients_are_the_means_of_sampled_episodes():
    """20000 episodes with a fixed key; 5 standard errors of 9 numbers: 5 false alarms in a million keys."""
    game = random_game(sampled=True)
    actions = policies(game, 1)

    def paid(key, leader):
        return jnp.stack(game.realise(game.draw(key), leader, *actions[1:]))

    keys = jax.random.split(jax.random.key(5), 20000)
    value, gradient = jax.jit(
        jax.vmap(lambda key, x: (paid(key, x), jax.grad(lambda x: paid(key, x)[0])(x)), (0, None))
    )(keys, actions[0])
    exact = random_game()
    truth = jnp.stack(exact.payoffs(*actions)), jax.grad(lambda x: exact.payoffs(x, *actions[1:])[0])(actions[0])
    for found, expected in zip((value, gradient), truth, strict=True):
        found = np.asarray(found, np.float64)
        assert np.all(np.abs(found.mean(0) - expected) < 5 * found.std(0) / np.sqrt(len(found)))
    assert game.recorded_payoffs == "realised" and exact.recorded_payoffs == "exact"


def test_answers_are_drawn_from_the_policy_and_outside_of_a_round_the_likeliest():
    """10000 answers in each of three observations: 5 standard errors, less than a false alarm in a million keys."""
    game = random_game()
    leader = jnp.array([[0.3, 0.7], [1.0, 0.0], [0.0, 1.0]])
    noise = game.draw(jax.random.key(6))
    where = jnp.tile(jnp.arange(3, dtype=jnp.int32), 10000)
    answers = game.answer(noise, 0, leader, where)
    assert answers.dtype == jnp.int32 and answers.shape == where.shape
    shares = np.asarray(answers).reshape(-1, 3).mean(0)
    assert abs(shares[0] - 0.7) < 5 * np.sqrt(0.21 / 10000) and shares[1:].tolist() == [0, 1]
    np.testing.assert_array_equal(answers, game.answer(noise, 0, leader, (where, 0)))
    again = game.answer(noise, 0, leader, (where, jnp.int32(1)))
    assert 0.3 < np.mean(np.asarray(answers[::3]) != again[::3]) < 0.54  # independent: 2 * .3 * .7 = .42
    assert game.answer((), 0, leader, [0, 1, 2]).tolist() == [1, 0, 1]


def test_a_clocked_player_is_asked_by_time_and_observation():
    game = random_game(clocked=(True, True, True))
    leader = jax.nn.one_hot(jnp.array([[0, 0, 1], [1, 0, 1], [0, 1, 0]]), 2)
    assert game.answer((), 0, leader, np.arange(9)).tolist() == [0, 0, 1, 1, 0, 1, 0, 1, 0]


def test_what_a_player_may_simulate_and_who_may_ask():
    game = random_game()
    for same in (game, Noisy(game, 1.0)):
        dynamics = same.model(2)
        assert dynamics.horizon == 3 and dynamics.discount is None and dynamics.observations[1] is None
        np.testing.assert_array_equal(dynamics.rewards, game.rewards[2])
    view = View(Fixed(None), game, 0, None, jnp.float32)
    with pytest.raises(UndeclaredSignalError, match=r"view\.dynamics, which needs Signal\.OWN_PAYOFF"):
        view.dynamics  # noqa: B018  (it raises)
    assert View(BestResponse(), game, 1, None, jnp.float32).dynamics.horizon == 3
    assert Signal.OWN_PAYOFF in BestResponse().wants
    with pytest.raises(NotImplementedError, match="CournotDuopoly has no model"):
        CournotDuopoly().model(0)


def test_play_against_a_best_response(x64):
    """A gradient ascent on probabilities, and a follower who knows the time."""
    game = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=10)
    p = jnp.array([0.0, 1.0, 0.0, 1.0, 0.0])
    leader = jnp.stack([p, 1 - p], -1)
    trace = play(game, Fixed(leader), BestResponse(), key=jax.random.key(0), rounds=2, record=Record.final())
    np.testing.assert_allclose(trace.payoffs[0], [-1.1, -1.1], atol=1e-9)
    trace.raise_if_failed()
    assert trace.strategies[1].shape == (1, 10, 5, 2)


@pytest.mark.slow
def test_a_gradient_of_probabilities_stays_in_the_simplex():
    game = MarkovGame.repeated(IteratedMatrixGame.chicken(), horizon=4)
    trace = play(game, GradientAscent(5.0), GradientAscent(5.0), key=jax.random.key(0), rounds=50, replicates=3)
    trace.raise_if_failed()
    assert np.all(np.asarray(trace.strategies[1]) >= 0)


UNIFORM = np.full((2, 2, 2, 2), 0.5)
REWARDS = np.zeros((2, 2, 2, 2))
BAD = {
    "transition rows": (lambda: MarkovGame(UNIFORM + 0.1, REWARDS, horizon=2), "transitions: expected rows that sum"),
    "negative": (lambda: MarkovGame(UNIFORM * [-1, 3], REWARDS, horizon=2), "transitions: .* negative number -0.5"),
    "transition shape": (lambda: MarkovGame(UNIFORM[:1], REWARDS, horizon=2), r"transitions: expected the shape \[S"),
    "rewards shape": (lambda: MarkovGame(UNIFORM, REWARDS[:, :1], horizon=2), r"rewards\[0\]: .* the shape \[2, 2, 2"),
    "rewards number": (lambda: MarkovGame(UNIFORM, REWARDS[:1], horizon=2), "rewards: expected one array a player"),
    "not finite": (lambda: MarkovGame(UNIFORM, REWARDS + np.inf, horizon=2), r"rewards\[0\]: expected finite"),
    "initial": (lambda: MarkovGame(UNIFORM, REWARDS, [0.5, 0.6], horizon=2), "initial: expected rows that sum to 1"),
    "horizon 0": (lambda: MarkovGame(UNIFORM, REWARDS, horizon=0), "horizon: expected at least 1, got 0"),
    "no time": (lambda: MarkovGame(UNIFORM, REWARDS), "horizon, discount: expected exactly one"),
    "both times": (lambda: MarkovGame(UNIFORM, REWARDS, horizon=2, discount=0.5), "horizon, discount: expected exa"),
    "discount": (lambda: MarkovGame(UNIFORM, REWARDS, discount=1.0), r"discount: expected values in \[0, 1\)"),
    "observations": (
        lambda: MarkovGame(UNIFORM, REWARDS, horizon=2, observations=(UNIFORM[0, 0] + 1, None)),
        r"observations\[0\]: expected rows that sum to 1",
    ),
    "clocked": (lambda: MarkovGame(UNIFORM, REWARDS, discount=0.5, clocked=(False, True)), "clocked: expected no clo"),
    "ties": (lambda: MarkovGame(UNIFORM, REWARDS, horizon=2, ties="hopeful"), "ties: expected one of"),
    "sampled": (lambda: MarkovGame(UNIFORM, REWARDS, discount=0.5, sampled=True), "sampled: expected a horizon"),
    "logits": (lambda: MarkovGame(UNIFORM, REWARDS, horizon=2, logits=(2,)), "logits: expected players among"),
    "levels": (lambda: MarkovGame(UNIFORM, REWARDS, horizon=2, levels=((1,), (0,))), "levels: expected the players"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_types():
    with pytest.raises(TypeError, match="transitions: expected an array of numbers"):
        MarkovGame("a game", REWARDS, horizon=2)
    with pytest.raises(TypeError, match="horizon: expected a whole number"):
        MarkovGame(UNIFORM, REWARDS, horizon=2.5)
    with pytest.raises(TypeError, match="stage: expected an IteratedMatrixGame"):
        MarkovGame.repeated(REWARDS)


def test_bad_policies_and_questions():
    game = MarkovGame(UNIFORM, REWARDS, horizon=2)
    right, follower = np.full((2, 2), 0.5), np.full((2, 2, 2), 0.5)
    for wrong, message in (
        (right + 0.2, "action of player 0: expected rows that sum to 1"),
        (right[:1], r"action of player 0: expected a policy of the shape \[2, 2\]"),
        ([[1.5, -0.5], [0.5, 0.5]], "action of player 0: expected probabilities"),
    ):
        with pytest.raises(ValueError, match=message):
            game.payoffs(wrong, follower)
    with pytest.raises(ValueError, match="player 0 has the observations 0 to 1, got 2"):
        game.answer((), 0, right, 2)
    with pytest.raises(TypeError, match="observations: expected whole numbers"):
        game.answer((), 0, right, 0.5)
    with pytest.raises(ValueError, match=r"actions: expected those of players \[1\]"):
        game.payoffs(right, None)


def test_why_there_is_no_best_response():
    for options, player, message in (
        ({}, 0, "player 0 isn't alone in the last level"),
        ({"observations": (None, [0, 0])}, 1, "player 1 doesn't see the state"),
        ({"clocked": (False, False)}, 1, "player 1 has no clock"),
        ({"logits": (1,)}, 1, "player 1 acts by logits"),
    ):
        game = MarkovGame(UNIFORM, REWARDS, horizon=2, **options)
        with pytest.raises(ValueError, match=message):
            game.best_response(player, (np.full((2, 2), 0.5), None))
