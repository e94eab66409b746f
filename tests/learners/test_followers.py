"""Follower oracles of Markov games: contextual followers, Q-learning, and pure Nash equilibria among followers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, Signal, Status, UndeclaredSignalError, play
from stackjax.equilibria import induced_nash
from stackjax.games import IteratedMatrixGame, MarkovGame, OracleGame
from stackjax.learners import (
    ContextualFollower,
    EvolutionStrategies,
    Fixed,
    GradientAscent,
    HiC,
    NeuralFollower,
    PureNash,
    QLearning,
)
from stackjax.schedules import PowerLaw

KEY = jax.random.key(0)
HORIZON = 10
GAME = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=HORIZON, logits=(0,))
PATTERNS = np.array(list(itertools.product([0, 1], repeat=5)))
LEADERS = 30.0 * jax.nn.one_hot(PATTERNS, 2) - 15.0  # logits of the deterministic leaders
EXACT = ContextualFollower.exact(GAME)
FINAL = Record.final()


@jax.jit
def follower_values(policies):
    """What follower policies `[32, H, 5, 2]` get from the deterministic leaders."""
    return jax.vmap(lambda x, y: GAME.payoffs(x, y)[1])(LEADERS, policies)


BEST = follower_values(EXACT.policies[0])


def responses(follower):
    return jax.vmap(lambda answers: follower.respond(answers)[0])(PATTERNS)


def test_the_exact_table_has_a_best_response_to_every_pattern_of_answers():
    """Enumerated for a leader who copies: the follower gives in but for the last step, -1.1 for both."""
    np.testing.assert_array_equal(responses(EXACT), EXACT.policies[0])
    copies = list(map(tuple, PATTERNS)).index((1, 0, 1, 0, 1))  # defects, then copies; 0 is C
    leader, follower = GAME.payoffs(LEADERS[copies], EXACT.policies[0][copies])
    np.testing.assert_allclose([leader, follower], [-1.1, -1.1], atol=1e-4)
    # no single change of an action in one time and observation gains
    policy = EXACT.policies[0][copies]
    changed = jax.vmap(lambda t, o: policy.at[t, o].set(policy[t, o, ::-1]))
    t, o = (x.ravel() for x in jnp.meshgrid(jnp.arange(HORIZON), jnp.arange(5), indexing="ij"))
    others = jax.vmap(lambda y: GAME.payoffs(LEADERS[copies], y)[1])(changed(t, o))
    assert np.all(np.asarray(others) <= follower + 1e-5)


def test_training_across_deterministic_leaders_finds_best_responses_from_every_seed():
    """All 32 patterns, six seeds, at once."""
    keys = jax.random.split(KEY, 6)
    train = jax.jit(jax.vmap(lambda key: ContextualFollower.train(GAME, key, episodes=16_384)))
    trained = train(keys)
    np.testing.assert_array_equal(trained.environment_steps, 245_760)  # 10 steps and 5 queries each
    values = jax.vmap(follower_values)(trained.policies[0])
    np.testing.assert_allclose(values, np.broadcast_to(BEST, (6, 32)), atol=1e-5)
    one = jax.jit(lambda key: ContextualFollower.train(GAME, key, episodes=16_384))(keys[3])
    np.testing.assert_array_equal(one.policies[0], trained.policies[0][3])


@pytest.mark.slow
def test_uniform_leaders_teach_that_answers_say_little():
    """The follower answers the posterior mean: it defects where 2/3 of the threat is left."""
    copies = list(map(tuple, PATTERNS)).index((1, 0, 1, 0, 1))
    follower = ContextualFollower.train(
        GAME, KEY, episodes=65_536, leaders="uniform", step=PowerLaw(1.0, 0.7), parallel=64
    )
    leader = jnp.log(jnp.where(PATTERNS[copies][:, None] == np.arange(2), 2 / 3, 1 / 3))
    best = GAME.best_response(1, (leader, None))
    np.testing.assert_allclose(
        GAME.payoffs(leader, follower.policies[0][copies])[1], GAME.payoffs(leader, best)[1], atol=0.05
    )


def test_several_followers_learn_at_once():
    """Each has a dominant action, 1, whatever the leader does; the leader's action pays nobody."""
    rewards = np.zeros((3, 1, 2, 2, 3))
    rewards[1, ..., 1, :], rewards[2, ..., 2] = 1.0, 1.0
    game = MarkovGame(np.ones((1, 2, 2, 3, 1)), rewards, horizon=2, clocked=(False, True, False))
    follower = ContextualFollower.train(game, KEY, episodes=256)
    assert [p.shape for p in follower.policies] == [(2, 2, 1, 2), (2, 1, 3)]
    np.testing.assert_array_equal(np.argmax(follower.policies[0], -1), 1)
    np.testing.assert_array_equal(np.argmax(follower.policies[1], -1), 2)


def test_a_discounted_game_s_training_is_cut():
    game = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), discount=0.5)
    follower = ContextualFollower.train(game, KEY, episodes=4096, length=8)
    exact = ContextualFollower.exact(game)
    leaders = jax.nn.one_hot(PATTERNS, 2)
    values = [jax.vmap(lambda x, y: game.payoffs(x, y)[1])(leaders, f.policies[0]) for f in (exact, follower)]
    np.testing.assert_allclose(*values, atol=1e-3)
    with pytest.raises(ValueError, match="length: a discounted game"):
        ContextualFollower.train(game, KEY, episodes=32)


def test_a_network_learns_to_respond():
    """Its mean regret over the patterns, of -1 to -2 a step; a uniform follower's is above 0.3."""
    train = jax.jit(jax.vmap(lambda key: NeuralFollower.train(GAME, key, episodes=64_000)))
    follower = train(jax.random.split(KEY, 1))
    values = jax.vmap(lambda f: follower_values(responses(f)))(follower)
    regret = np.asarray(BEST) - np.asarray(values)
    assert np.all(regret > -1e-5) and np.all(regret.mean(1) < 0.1)
    uniform = follower_values(jnp.full((32, HORIZON, 5, 2), 0.5))
    assert np.mean(np.asarray(BEST - uniform)) > 0.3


def test_a_network_s_policies_are_those_of_its_one_hot_inputs():
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=shape), rng.normal(size=shape[1])) for shape in ((HORIZON + 5 + 10, 7), (7, 2))]
    layers = [(jnp.asarray(w, jnp.float32), jnp.asarray(b, jnp.float32)) for w, b in layers]
    likely, greedy = (NeuralFollower((layers,), 2, np.arange(5), (HORIZON,), greedy=g) for g in (False, True))
    answers = np.array([0, 1, 0, 1, 1])
    (policy,) = likely.respond(answers)
    inputs = np.concatenate([np.eye(HORIZON)[3], np.eye(5)[2], np.eye(2)[answers].ravel()])
    logits = np.tanh(inputs @ layers[0][0] + layers[0][1]) @ layers[1][0] + layers[1][1]
    np.testing.assert_allclose(policy[3, 2], np.exp(logits) / np.exp(logits).sum(), rtol=1e-4)
    assert policy.shape == (HORIZON, 5, 2)
    np.testing.assert_array_equal(greedy.respond(answers)[0], np.eye(2)[np.argmax(policy, -1)])


@pytest.mark.parametrize("pattern", [(1, 0, 1, 0, 1), (0, 0, 0, 1, 1)])
def test_a_contextual_follower_plays_what_it_was_answered_and_sees_no_more(pattern):
    leader = Fixed(LEADERS[list(map(tuple, PATTERNS)).index(pattern)])
    trace = play(GAME, leader, EXACT, key=KEY, rounds=3, record=FINAL)
    np.testing.assert_array_equal(trace.actions[1][-1], EXACT.respond(jnp.array(pattern))[0])
    np.testing.assert_array_equal(trace.strategies[1], trace.actions[1])
    assert EXACT.wants == Signal.QUERY


def test_a_leader_who_randomises_is_answered_by_its_sampled_actions():
    """Over 400 rounds about half of the answers differ; the first query's share within 4.9 sd of a half: 1e-6."""
    trace = play(GAME, Fixed(jnp.zeros((5, 2))), EXACT, key=KEY, rounds=400, record=Record.every(1))
    played = np.asarray(trace.actions[1])
    contexts = [np.flatnonzero((np.asarray(EXACT.policies[0]) == p).all((1, 2, 3))) for p in played]
    assert min(map(len, contexts)) > 0 and len({tuple(c) for c in contexts}) > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "visible"), [("prisoners_dilemma", True), ("prisoners_dilemma", False), ("chicken", True)]
)
def test_what_is_learned_against_trained_followers(name, visible):
    """64 seeds of training and leading. The ceiling is that of the bits, -1.0697, not of a commitment, -.65."""
    game = MarkovGame.repeated(getattr(IteratedMatrixGame, name)(), horizon=HORIZON)

    @jax.vmap
    def wrapped(key):
        return OracleGame(game, ContextualFollower.train(game, key, episodes=16_384), visible=visible)

    games = jax.jit(wrapped)(jax.random.split(KEY, 64))
    start = (0.1 * jax.random.normal(jax.random.key(1), (64, 5, 2)),)
    options = {"rounds": 1000, "replicates": 64, "start": start, "record": Record.final(), "in_axes": (0, None)}
    trace = play(games, GradientAscent(5.0), key=KEY, **options).raise_if_failed()
    values = np.asarray(jax.vmap(lambda g, x: g.payoffs(x)[0])(games, trace.strategies[0][:, -1]))
    if name == "chicken":
        assert np.min(values) >= 3.9
    elif visible:
        assert np.min(values) >= -1.15 and np.median(values) >= -1.11 and np.max(values) <= -1.0697
    else:
        assert np.median(values) <= -1.8


def test_hi_c_and_evolution_strategies_lead_a_contextual_follower():
    """Both see only what they are paid; from even policies, medians of 8 replicates above -1.6 (Nash: -2)."""
    even = (jnp.zeros((5, 2)), None)
    leaders = {
        "hi-c": HiC(PowerLaw(20.0, 1.0, offset=50.0), PowerLaw(0.5, 1 / 6), 1),
        "es": EvolutionStrategies(PowerLaw(60.0, 1.0, offset=30.0), 0.5, 8),
    }
    record = Record.every(400, payoffs="realised")
    for name, leader in leaders.items():
        trace = play(GAME, leader, EXACT, key=KEY, rounds=4000, replicates=8, start=even, record=record)
        assert np.median(np.asarray(trace.payoffs)[:, -1, 0]) > -1.6, name


def test_q_learning_practises_until_it_answers_best():
    """Five committed leaders, one a replicate; the practice is counted."""
    which = [0, 9, 21, 26, 31]
    leader = Fixed(LEADERS[np.array(which)])
    follower = QLearning(400, exploration=1.0, parallel=4)
    trace = play(
        GAME, leader, follower, key=KEY, rounds=2, replicates=5, in_axes=(None, 0, None), record=Record.every(1)
    )
    values = np.asarray(jax.vmap(lambda x, y: GAME.payoffs(x, y)[1])(leader.action, trace.actions[1][:, -1]))
    np.testing.assert_allclose(values, np.asarray(BEST)[which], atol=1e-4)
    np.testing.assert_array_equal(trace.calls[1].payoffs, [[4000, 8000]] * 5)
    assert follower.wants == Signal.QUERY | Signal.OWN_PAYOFF


def test_a_warm_table_needs_less_practice_a_round():
    leader = Fixed(LEADERS[21])
    runs = {
        warm: play(
            GAME, leader, QLearning(8, exploration=1.0, warm=warm), key=KEY, rounds=64, replicates=4, record=FINAL
        )
        for warm in (False, True)
    }
    values = {w: [float(GAME.payoffs(LEADERS[21], y)[1]) for y in t.actions[1][:, -1]] for w, t in runs.items()}
    np.testing.assert_allclose(values[True], BEST[21], atol=1e-4)
    assert np.mean(values[False]) < np.mean(values[True]) - 0.01


def roads(cycle=False):
    """A leader's toll (0 or 1) and two drivers on two roads, once; `cycle`: the second driver follows the first one."""
    rewards = np.zeros((3, 1, 2, 2, 2))
    for toll, a, b in itertools.product(range(2), repeat=3):
        together = a == b
        rewards[1, 0, toll, a, b] = -2.0 * together - toll * (a == 0)
        rewards[2, 0, toll, a, b] = (2.0 if cycle else -2.0) * together - (0 if cycle else toll * (b == 0))
        rewards[0, 0, toll, a, b] = toll * ((a == 0) + (b == 0)) + 0.5 * (a == 0)
    return MarkovGame(np.ones((1, 2, 2, 2, 1)), rewards, horizon=1, levels=((0,), (1, 2)))


def test_followers_play_a_pure_equilibrium_and_ties_go_by_the_rule():
    """They take different roads; who is on the first is for the leader to wish."""
    leader = jnp.array([[1.0, 0.0]])
    for ties, first in (("optimistic", 0), ("pessimistic", 1)):
        followers = (PureNash(ties), PureNash(ties))
        trace = play(roads(), Fixed(leader), *followers, key=KEY, rounds=2, record=FINAL).raise_if_failed()
        found = [int(np.argmax(np.asarray(a)[-1])) for a in trace.actions[1:]]
        assert found == [first, 1 - first]
    listed = induced_nash(roads(), leader)
    assert [np.argmax(p, -1).ravel().tolist() for p in listed.policies] == [[0, 1], [1, 0]]
    np.testing.assert_allclose(listed.payoffs, [[0.5, 0, 0], [0, 0, 0]], atol=1e-6)


def test_no_pure_equilibrium_is_a_status_in_play_and_an_error_outside():
    leader = jnp.array([[1.0, 0.0]])
    trace = play(roads(cycle=True), Fixed(leader), PureNash(), PureNash(), key=KEY, rounds=2, record=FINAL)
    assert trace.status == Status.NON_FINITE
    with pytest.raises(ValueError, match="no pure Nash equilibrium"):
        induced_nash(roads(cycle=True), leader)


def test_independent_learners_find_an_equilibrium_where_it_is_dominant():
    """Tolls of 3 on the first road for sure: both leave it. Alone they see of each other last round's policies."""
    game = roads()
    dear = MarkovGame(
        game.transitions, [game.rewards[0], *(-r for r in game.rewards[1:])], horizon=1, levels=game.levels
    )
    followers = (QLearning(32, others=True), QLearning(32, others=True))
    trace = play(dear, Fixed(jnp.array([[0.0, 1.0]])), *followers, key=KEY, rounds=4, record=FINAL).raise_if_failed()
    together = [np.argmax(np.asarray(a)[-1], -1).ravel().tolist() for a in trace.actions[1:]]
    assert together == [[0], [0]]  # paid 2 for company, and 1 more on the first road
    assert Signal.OTHERS in followers[0].wants
    with pytest.raises(ValueError, match="others: there are other followers"):
        play(dear, Fixed(jnp.array([[0.0, 1.0]])), QLearning(8), QLearning(8), key=KEY, rounds=1)


def test_what_a_query_follower_may_not_see():
    class Peeks(ContextualFollower):
        def act(self, view, state, noise, seen):
            return seen.actions[0]

    with pytest.raises(UndeclaredSignalError, match="COMMITMENT"):
        play(GAME, Fixed(LEADERS[0]), Peeks(EXACT.policies, 2), key=KEY, rounds=1)


def test_bad_input():
    tables = EXACT.policies
    by_logits = MarkovGame.repeated(IteratedMatrixGame.chicken(), horizon=2, logits=(0, 1))
    for make, error, match in (
        (lambda: ContextualFollower(tables, 0), ValueError, "actions"),
        (lambda: ContextualFollower(tables, 3), ValueError, "contexts"),
        (lambda: ContextualFollower(tables, 2, [0, 1]), ValueError, "contexts"),
        (lambda: ContextualFollower(tables, 2, [0.5] * 5), TypeError, "queries"),
        (lambda: ContextualFollower.train(GAME, KEY, episodes=32, queries=[0, 5]), ValueError, "queries.*5 that the"),
        (lambda: ContextualFollower.train(GAME, KEY, episodes=33), ValueError, "episodes: expected a multiple"),
        (lambda: ContextualFollower.train(GAME, KEY, episodes=32, leaders="all"), ValueError, "leaders"),
        (lambda: ContextualFollower.train(GAME, KEY, episodes=32, exploration=2.0), ValueError, "exploration"),
        (lambda: ContextualFollower.train(IteratedMatrixGame.chicken(), KEY, episodes=32), TypeError, "MarkovGame"),
        (lambda: ContextualFollower.train(GAME, KEY, episodes=32, length=9), ValueError, "length"),
        (lambda: ContextualFollower.exact(by_logits), ValueError, "logits"),
        (lambda: NeuralFollower.train(GAME, KEY, episodes=64, group=1), ValueError, "group"),
        (lambda: NeuralFollower((((np.ones((3, 2)), np.ones(2)),),), 2, [0], (5,)), ValueError, "networks"),
        (lambda: QLearning(0), ValueError, "episodes"),
        (lambda: QLearning(8, step=-1.0), ValueError, "step"),
        (lambda: QLearning(8, restarts=1.5), ValueError, "restarts"),
        (lambda: PureNash("hopeful"), ValueError, "ties"),
    ):
        with pytest.raises(error, match=match):
            make()


def test_bad_pairings_with_a_game():
    other = ContextualFollower(EXACT.policies, 2, [0, 1, 2, 3, 7])
    short = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=3, logits=(0,))
    many = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=4)
    for game, learners, match in (
        (GAME, (Fixed(LEADERS[0]), other), "queries: expected observations of the 5"),
        (short, (Fixed(LEADERS[0]), EXACT), "policies: expected policies of the shape"),
        (GAME, (QLearning(8), Fixed(LEADERS[0])), "nobody moves before"),
        (many, (Fixed(jnp.full((5, 2), 0.5)), PureNash()), "at most 4096 pure policies"),
    ):
        with pytest.raises(ValueError, match=match):
            play(game, *learners, key=KEY, rounds=1)
