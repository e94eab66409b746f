"""Theorem 1's reduction: exact and sampled payoffs, what each violated condition changes, and what is learned."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.games import IteratedMatrixGame, MarkovGame, Oracle, OracleGame, incentives
from stackjax.learners import ContextualFollower, GradientAscent

PATTERNS = np.array(list(itertools.product([0, 1], repeat=5)))


class Table(eqx.Module):
    """Policies by the pattern of answers, read as digits."""

    policies: tuple
    queries: jax.Array

    def respond(self, answers):
        digits = 2 ** np.arange(len(self.queries), dtype=np.int32)[::-1]
        return tuple(jnp.asarray(policies)[jnp.sum(answers * digits)] for policies in self.policies)


def exact_responses(game):
    """The best responses to all deterministic leaders of two actions."""
    leaders = np.array(list(itertools.product([0, 1], repeat=game.observation_counts[0])))
    respond = jax.jit(jax.vmap(lambda x: game.best_response(1, (jax.nn.one_hot(x, 2), None))))
    return Table((respond(leaders),), np.arange(leaders.shape[1], dtype=np.int32))


def dilemma():
    return MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=10)


def random_parts(episodes=None, **options):
    """A leader and two followers of 2 and 3 actions, who ask twice about one observation and once about another."""
    rng = np.random.default_rng(1)
    game = MarkovGame(
        rng.dirichlet(np.ones(3), size=(3, 2, 2, 3)),
        rng.normal(size=(3, 3, 2, 2, 3)),
        horizon=3,
        observations=(None, [0, 1, 1], None),
    )
    tables = tuple(rng.dirichlet(np.ones(n), size=(8, 3, o)).astype(np.float32) for o, n in ((2, 2), (3, 3)))
    oracle = Table(tables, np.array([0, 2, 0], np.int32))
    return game, oracle, OracleGame(game, oracle, episodes=episodes, **options)


LOGITS = np.random.default_rng(2).normal(size=(2, 3, 2)).astype(np.float32)


def by_hand(game, oracle, play, answers, query_rewards=None):
    """The payoffs with the leader's policies in play and at queries, by a sum over all answers."""
    total = 0.0
    for pattern in itertools.product([0, 1], repeat=3):
        likely = np.prod([answers[q, a] for q, a in zip(oracle.queries, pattern, strict=True)])
        value = game.payoffs(play, *oracle.respond(np.array(pattern)))[0]
        if query_rewards is not None:
            value += sum(query_rewards[q, a] for q, a in zip(oracle.queries, pattern, strict=True)) / game.horizon
        total += likely * float(value)
    return total


def test_payoffs_are_sums_over_all_answers():
    game, oracle, one = random_parts()
    rewards = np.arange(6, dtype=np.float32).reshape(3, 2)
    policy, other = (np.asarray(jax.nn.softmax(x)) for x in LOGITS)
    assert isinstance(oracle, Oracle)
    np.testing.assert_allclose(one.policy(LOGITS[0]), policy, atol=1e-7)
    np.testing.assert_allclose(one.payoffs(LOGITS[0])[0], by_hand(game, oracle, policy, policy), atol=2e-6)
    paid = OracleGame(game, oracle, query_rewards=rewards)
    np.testing.assert_allclose(paid.payoffs(LOGITS[0])[0], by_hand(game, oracle, policy, policy, rewards), atol=3e-6)
    two = OracleGame(game, oracle, recognisable=True)
    assert two.spaces[0].struct(jnp.float32).shape == (2, 3, 2)
    np.testing.assert_allclose(two.payoffs(LOGITS)[0], by_hand(game, oracle, policy, other), atol=2e-6)


def test_discounted_payoffs_are_sums_over_all_answers():
    game = MarkovGame.repeated(IteratedMatrixGame.chicken(0.8))
    logits = jnp.asarray(np.random.default_rng(3).normal(size=(5, 2)), jnp.float32)
    one = OracleGame(game, exact_responses(game))
    policy = jax.nn.softmax(logits)
    responses = jax.vmap(one.oracle.respond)(PATTERNS)[0]
    likely = np.prod(np.take_along_axis(np.asarray(policy)[None], PATTERNS[:, :, None], 2)[..., 0], 1)
    values = jax.vmap(game.payoffs, (None, 0))(policy, responses)[0]
    np.testing.assert_allclose(one.payoffs(logits)[0], likely @ values, atol=1e-5)


def test_hidden_queries_change_the_gradient_and_not_the_payoff():
    """Hidden: the gradient of play alone, the answers' probabilities held fixed."""
    game, oracle, visible = random_parts()
    hidden = OracleGame(game, oracle, visible=False)
    both = OracleGame(game, oracle, recognisable=True)
    x = LOGITS[0]
    grad = jax.jit(lambda game, x: jax.value_and_grad(lambda x: game.payoffs(x)[0])(x))
    (value, seen), (same, unseen), (_, parts) = grad(visible, x), grad(hidden, x), grad(both, np.stack([x, x]))
    assert value == same
    np.testing.assert_allclose(seen, parts.sum(0), atol=1e-6)
    np.testing.assert_allclose(unseen, parts[0], atol=1e-6)
    assert np.abs(parts[1]).max() > 0.01


def test_a_hidden_query_turns_the_gradient_around(x64):
    """Theorem 2 by hand: the payoff is 3 - p, and a gradient that doesn't see the query has the opposite sign."""
    game = incentives.dominated_promise()
    oracle = ContextualFollower.exact(game)
    ends = {}
    for visible, sign in ((True, -1), (False, 1)):
        one = OracleGame(game, oracle, visible=visible)
        for logit in (-3.0, -0.5, 0.0, 1.0, 4.0):
            p = 1 / (1 + np.exp(-logit))
            value, slope = jax.value_and_grad(lambda x, one=one: one.payoffs(x)[0])(jnp.array([[logit, 0.0]]))
            np.testing.assert_allclose(value, 3 - p, atol=1e-12)
            np.testing.assert_allclose(slope, [[sign * p * (1 - p), -sign * p * (1 - p)]], atol=1e-12)
        record = Record.final(payoffs=None)
        trace = play(
            one, GradientAscent(2.0), key=jax.random.key(0), rounds=500, start=(jnp.zeros((1, 2)),), record=record
        )
        ends[visible] = float(one.payoffs(trace.strategies[0][-1])[0])
    assert ends[True] > 2.99 and ends[False] < 2.01


@pytest.mark.parametrize("visible", [True, False])
def test_sampled_episodes_estimate_the_payoff_and_its_gradient(visible):
    """4000 rounds of 4 episodes with a fixed key; 5 standard errors, 7 numbers: 4 false alarms in a million keys."""
    rewards = np.arange(6, dtype=np.float32).reshape(3, 2)
    sampled = random_parts(4, visible=visible, query_rewards=rewards)[2]
    exact = random_parts(None, visible=visible, query_rewards=rewards)[2]
    assert (sampled.recorded_payoffs, exact.recorded_payoffs, exact.draw(jax.random.key(0))) == (
        "realised",
        "exact",
        (),
    )

    @jax.jit
    @jax.vmap
    def found(key):
        return jax.value_and_grad(lambda x: sampled.realise(sampled.draw(key), x)[0])(LOGITS[0])

    truth = jax.jit(jax.value_and_grad(lambda x: exact.payoffs(x)[0]))(LOGITS[0])
    for ours, theirs in zip(found(jax.random.split(jax.random.key(1), 4000)), truth, strict=True):
        ours = np.asarray(ours, np.float64)
        assert np.all(np.abs(ours.mean(0) - theirs) < 5 * ours.std(0) / np.sqrt(len(ours)))


def test_the_value_of_a_commitment_names_its_ties(x64):
    """The bits' optimum is no commitment's: against it the follower may do better than it is answered."""
    game = OracleGame(dilemma(), exact_responses(dilemma()))
    p = np.array([0.0, 0.5, 0.0, 0.5, 0.0])  # the golden stochastic leader, up to 1e-13
    logits = np.log(np.maximum(np.stack([p, 1 - p], -1), 1e-300))
    values = [game.commitment_value(logits, ties) for ties in ("optimistic", "pessimistic")]
    np.testing.assert_allclose(values, [-0.65, -2.0], atol=1e-9)
    best = np.array([0.0, 0.838, 0.0, 1.0, 0.0])
    logits = np.log(np.maximum(np.stack([best, 1 - best], -1), 1e-300))
    assert game.payoffs(logits)[0] == pytest.approx(-1.0697, abs=1e-4)
    assert game.payoffs(np.log(np.maximum(np.stack([p, 1 - p], -1), 1e-300)))[0] < -1.2


@pytest.fixture(scope="module")
def learned():
    """What 64 leaders reach from nearly uniform policies, with visible and with hidden queries."""
    found = {}
    for visible in (True, False):
        game = OracleGame(dilemma(), exact_responses(dilemma()), visible=visible)
        start = 0.2 * jax.random.normal(jax.random.key(0), (64, 5, 2))
        trace = play(
            game,
            GradientAscent(10.0),
            key=jax.random.key(1),
            rounds=400,
            replicates=64,
            start=(start,),
            record=Record.final(payoffs=None),
        )
        trace.raise_if_failed()
        found[visible] = np.asarray(jax.jit(jax.vmap(lambda x, g=game: g.payoffs(x)[0]))(trace.strategies[0][:, -1]))
    return found


def test_a_leader_that_sees_the_queries_learns_to_lead(learned):
    assert learned[True].min() >= -1.15 and np.median(learned[True]) >= -1.11
    assert learned[True].max() <= -1.0697 + 1e-4  # the optimum against an answer in bits


def test_a_leader_that_does_not_ends_where_nobody_leads(learned):
    assert np.median(learned[False]) <= -1.8


def test_bad_input():
    game, oracle, _ = random_parts()
    clocked = MarkovGame.repeated(IteratedMatrixGame.chicken(), horizon=2, clocked=(True, True))
    many = Table(oracle.policies, np.zeros(13, np.int32))
    discounted = MarkovGame.repeated(IteratedMatrixGame.chicken())
    for make, error, message in (
        (lambda: OracleGame(oracle, oracle), TypeError, "game: expected a MarkovGame"),
        (lambda: OracleGame(clocked, oracle), ValueError, "game: expected one leader, player 0, without a clock"),
        (lambda: OracleGame(game, "nobody"), TypeError, "oracle: expected queries and respond"),
        (
            lambda: OracleGame(game, Table(oracle.policies, np.array([0, 3], np.int32))),
            ValueError,
            "oracle.queries: player 0 has the observations 0 to 2, got",
        ),
        (
            lambda: OracleGame(game, Table(oracle.policies, np.array([0.5]))),
            TypeError,
            "oracle.queries: expected whole",
        ),
        (
            lambda: OracleGame(game, Table(oracle.policies[:1], oracle.queries)),
            ValueError,
            "oracle.respond: expected a",
        ),
        (lambda: OracleGame(game, many), ValueError, "oracle: 13 queries of 2 actions have 8192 patterns"),
        (lambda: OracleGame(game, oracle, episodes=1), ValueError, "episodes: expected at least 2"),
        (lambda: OracleGame(discounted, exact_responses(discounted), episodes=2), ValueError, "episodes: expected a g"),
        (
            lambda: OracleGame(game, oracle, query_rewards=np.zeros(3)),
            ValueError,
            "query_rewards: expected an array of",
        ),
        (lambda: OracleGame(game, oracle, visible=1), TypeError, "visible: expected"),
    ):
        with pytest.raises(error, match=message):
            make()


def test_actions_of_another_shape_are_refused_and_not_broadcast():
    _, _, one = random_parts()
    two, sampled = (random_parts(**options)[2] for options in ({"recognisable": True}, {"episodes": 2}))
    noise = sampled.draw(jax.random.key(0))
    for call, shape, wrong in (
        (one.payoffs, [3, 2], (1, 2)),
        (one.policy, [3, 2], (1, 2)),
        (one.answers, [3, 2], (6, 2)),
        (two.payoffs, [2, 3, 2], (3, 3, 2)),
        (two.policy, [2, 3, 2], (3, 2)),
        (lambda x: sampled.realise(noise, x), [3, 2], (1, 2)),
    ):
        with pytest.raises(ValueError) as error:
            call(jnp.zeros(wrong))
        assert str(error.value) == f"action of player 0: expected logits of the shape {shape}, got {list(wrong)}"
    with pytest.raises(TypeError, match="action of player 0: expected an array of numbers, got None"):
        one.payoffs(None)
    for call in (one.payoffs, lambda *x: sampled.realise(noise, *x)):
        with pytest.raises(ValueError, match="actions: expected the leader's only, got 0"):
            call()
    np.testing.assert_array_equal(one.policy([[0.0, 0.0]] * 3), np.full((3, 2), 0.5))


def test_an_oracle_responds_with_policies():
    game, oracle, _ = random_parts()
    first, second = oracle.policies
    for wrong, error, message in (
        (first * 2, ValueError, "oracle.respond: expected rows that sum to 1, got the sum 2"),
        (first - 1, ValueError, "oracle.respond: expected probabilities, got the negative number"),
        (first * np.nan, ValueError, "oracle.respond: expected finite numbers"),
        (first > 0, TypeError, "oracle.respond: expected an array of numbers"),
    ):
        with pytest.raises(error, match=message):
            OracleGame(game, Table((wrong, second), oracle.queries))
    every = np.stack([first, first])
    make = lambda x: OracleGame(game, Table((x, second), oracle.queries))  # noqa: E731  (used twice)
    assert jax.vmap(make)(every).oracle.policies[0].shape == every.shape
    expected = make(first).payoffs(LOGITS[0])[0]
    np.testing.assert_allclose(jax.jit(lambda x: make(x).payoffs(LOGITS[0])[0])(first), expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda x: make(first).payoffs(x)[0])(LOGITS[0]), expected, atol=1e-6)
