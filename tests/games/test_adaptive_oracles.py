"""Oracles that ask one question after the other: exact and sampled gradients, what they learn, and what is refused."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import play
from stackjax.games import AdaptiveOracle, IteratedMatrixGame, MarkovGame, OracleGame
from stackjax.learners import (
    ContextualFollower,
    Fixed,
    MultiplicativeWeights,
    QLearning,
    RecurrentFollower,
    Reinforce,
)
from stackjax.learners._episodes import Steps
from stackjax.learners.multiplicative_weights import Weights
from stackjax.schedules import PowerLaw

RNG = np.random.default_rng(0)
#: A leader of 2 actions in 3 states and a follower of 3, over 2 steps.
MOVES, PAYS = RNG.dirichlet(np.ones(3), size=(3, 2, 3)), RNG.normal(size=(2, 3, 2, 3))
GAME = MarkovGame(MOVES, PAYS, horizon=2)
#: First state 0; then 1 or 2, as it answered; then by both answers. Unused columns are 0.
TREE = np.array([[0, 0, 0, 0], [1, 2, 0, 0], [2, 0, 1, 1]])
TABLES = RNG.dirichlet(np.ones(3), size=(8, 2, 3))
LOGITS = RNG.normal(size=(3, 2))
DILEMMA = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=3)


def adaptive():
    return ContextualFollower((TABLES,), 2, queries=TREE)


def by_hand(game, logits, query_rewards=None):
    """The sum over the eight sequences of answers."""
    rows = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    total = 0.0
    for answers in itertools.product([0, 1], repeat=3):
        context, likely, paid = 0, 1.0, 0.0
        for k, answer in enumerate(answers):
            asked = TREE[k, context]
            likely *= rows[asked, answer]
            paid += 0 if query_rewards is None else query_rewards[asked, answer] / 2
            context = 2 * context + answer
        total += likely * (paid + float(game.values(jnp.asarray(rows), jnp.asarray(TABLES[context]))[0]))
    return total


def test_adaptive_queries_pay_the_sum_over_all_answers_and_its_gradient(x64):
    """Against a sum by hand, and finite differences of it."""
    paid = np.arange(6.0).reshape(3, 2) / 7
    game = MarkovGame(MOVES, PAYS, horizon=2)
    for rewards in (None, paid):
        one = OracleGame(game, adaptive(), query_rewards=rewards)
        assert isinstance(one.oracle, AdaptiveOracle) and one.asked() == (3, 1)
        value, slope = jax.jit(jax.value_and_grad(lambda x, one=one: one.payoffs(x)[0]))(LOGITS)
        np.testing.assert_allclose(value, by_hand(game, LOGITS, rewards), atol=1e-12)
        for place in np.ndindex(3, 2):
            step = np.zeros((3, 2))
            step[place] = 1e-4
            difference = (by_hand(game, LOGITS + step, rewards) - by_hand(game, LOGITS - step, rewards)) / 2e-4
            np.testing.assert_allclose(slope[place], difference, atol=1e-7)


class Asks(eqx.Module):
    """Asks about one of two observations at random, and then about the other one if it heard a 1."""

    tables: jax.Array  # [first, second answer + 1, ...]
    is_random = True

    def questions(self, model):
        return 2

    def begin(self, model, key):
        return jax.random.bernoulli(key).astype(jnp.int32), jnp.int32(0), jnp.zeros(2, jnp.int32)

    def ask(self, model, memory):
        first, k, answers = memory
        return jnp.where((k == 1) & (answers[0] == 1), 1 - first, first)[None]

    def hear(self, model, memory, answers):
        first, k, before = memory
        return first, k + 1, before.at[k].set(answers[0])

    def conclude(self, model, memory):
        first, _, answers = memory
        return (self.tables[first, answers[0] * 2 + answers[1]],)


def test_sampled_gradients_of_a_random_oracle():
    """The mean of its two halves by hand. 25,000 rounds of 4 episodes; 4 standard errors, 7 numbers: 4.4e-4 of keys."""
    tables = jnp.asarray(RNG.dirichlet(np.ones(3), size=(2, 4, 2, 3)), jnp.float32)
    one = OracleGame(GAME, Asks(tables), episodes=4)
    assert one.asked() == (2, 1)

    def exact(logits):
        rows = jax.nn.softmax(logits)
        total = 0.0
        for first, a, b in itertools.product([0, 1], repeat=3):
            second = 1 - first if a else first
            value = GAME.values(rows, tables[first, 2 * a + b])[0]
            total += 0.5 * rows[first, a] * rows[second, b] * value
        return total

    logits = jnp.asarray(LOGITS, jnp.float32)
    keys = jax.random.split(jax.random.key(1), 25_000)
    sampled = jax.jit(jax.vmap(lambda key: jax.value_and_grad(lambda x: one.realise(one.draw(key), x)[0])(logits)))
    for ours, theirs in zip(sampled(keys), jax.jit(jax.value_and_grad(exact))(logits), strict=True):
        ours = np.asarray(ours, np.float64)
        assert np.all(np.abs(ours.mean(0) - theirs) < 4 * ours.std(0) / np.sqrt(len(ours)))
    some = jax.jit(lambda x: one.estimated(x, jax.random.key(2), 4000))(logits)
    assert abs(some - exact(logits)) < 0.05  # payoffs are of the size of 1: some 10 standard errors
    hidden = OracleGame(GAME, Asks(tables), episodes=4, visible=False)
    slope = jax.jit(jax.vmap(lambda key: jax.grad(lambda x: hidden.realise(hidden.draw(key), x)[0])(logits)))(keys)
    held = jax.jit(jax.grad(lambda x: exact_play(x, logits, tables)))(logits)
    slope = np.asarray(slope, np.float64)
    assert np.all(np.abs(slope.mean(0) - held) < 4 * slope.std(0) / np.sqrt(len(slope)))


def exact_play(logits, asked, tables):
    """The payoff with the answers' probabilities held at those of other logits."""
    rows, told = jax.nn.softmax(logits), jax.nn.softmax(asked)
    total = 0.0
    for first, a, b in itertools.product([0, 1], repeat=3):
        second = 1 - first if a else first
        total += 0.5 * told[first, a] * told[second, b] * GAME.values(rows, tables[first, 2 * a + b])[0]
    return total


INNER = {
    "q-learning": QLearning(600, exploration=1.0, restarts=0.3, parallel=4),
    "multiplicative weights": MultiplicativeWeights(1200, 0.5, restarts=0.3, parallel=4),
    "reinforce": Reinforce(1200, 0.3, restarts=0.3, parallel=4),
}


@pytest.mark.parametrize("name", INNER)
def test_an_inner_loop_answers_best_after_enough_practice(name):
    """Four deterministic leaders, 8 keys each, of which one may fall short (by .02): a fixed key."""
    patterns = np.array([[1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 1]])
    one = OracleGame(DILEMMA, INNER[name], episodes=2)
    leaders = jax.nn.one_hot(patterns, 2)
    keys = jax.random.split(jax.random.key(0), 8)

    @jax.jit
    def values(leader):
        best = DILEMMA.values(leader, DILEMMA.best_response(1, (leader, None)))[1]
        logits = jnp.log(jnp.maximum(leader, 1e-30))
        found = jax.vmap(lambda key: DILEMMA.values(leader, *one.respond(logits, key))[1])(keys)
        return best - found

    short = np.stack([values(leader) for leader in leaders])
    assert np.all(short > -1e-5) and np.sum(short > 0.02) <= 1, short


def test_in_play_it_is_the_oracle():
    """A round against a fixed leader: the same key, the same answers, the same policy."""
    game = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=3)
    leader = jax.nn.one_hot(jnp.array([1, 0, 1, 0, 1]), 2)  # it answers the same, whatever the key

    class Known(QLearning):
        def draw(self, view, key):
            return jnp.zeros(2, jnp.uint32)

    known = Known(4, exploration=0.5, restarts=0.3, parallel=2)
    trace = play(game, Fixed(leader), known, key=jax.random.key(0), rounds=1)
    key = jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32), impl="threefry2x32")
    one = OracleGame(game, known, episodes=2)
    answers = jnp.argmax(leader, -1).astype(jnp.int32)
    _, (policy,), _ = one._consulted(key, lambda asked, k: answers[asked])
    np.testing.assert_array_equal(trace.actions[1][-1], policy)


@pytest.mark.parametrize("kind", [MultiplicativeWeights, Reinforce])
def test_weights_learn_as_a_transcription_does(kind, x64):
    """Loops over two batches of episodes of random steps."""
    rng = np.random.default_rng(3)
    times, parallel, seen, actions, step = 4, 3, 2, 3, 0.7
    model = MarkovGame(rng.dirichlet(np.ones(2), size=(2, 2, 3)), rng.normal(size=(2, 2, 2, 3)), horizon=times).model(1)
    learner = kind(parallel, step, parallel=parallel)
    tables = learner.fresh(model, 1)
    logits, means = np.zeros((times, seen, actions)), {}
    for _ in range(2):
        o = rng.integers(0, seen, (times, parallel)).astype(np.int32)
        a = rng.integers(0, actions, (times, parallel)).astype(np.int32)
        r, jumped = rng.normal(size=(times, parallel)), rng.random((times, parallel)) < 0.3
        steps = Steps((o * 0, o), (o * 0, a), (o, o), (jnp.asarray(r),), jnp.asarray(jumped))
        tables = learner.learned(model, tables, jax.tree.map(jnp.asarray, steps), 1)
        change, new = np.zeros_like(logits), {}
        for p in range(parallel):
            ahead = 0.0
            for t in reversed(range(times)):
                ahead = r[t, p] + (0.0 if jumped[t, p] else ahead)
                entry = t, o[t, p]
                new.setdefault(entry, []).append(ahead)
                if entry not in means:
                    continue
                gained = ahead - np.mean(means[entry])
                exponential = np.exp(logits[entry])
                likely = exponential / exponential.sum()
                if kind is MultiplicativeWeights:
                    change[entry][a[t, p]] += step * gained / (0.5 * likely[a[t, p]] + 0.5 / actions)
                else:
                    change[entry] += step * gained * (np.eye(actions)[a[t, p]] - likely)
        logits += change / parallel
        for entry, values in new.items():
            means.setdefault(entry, []).extend(values)
    assert isinstance(tables, Weights) and np.abs(logits).max() > 0.1
    np.testing.assert_allclose(tables.logits, logits, atol=1e-12)
    for entry, values in means.items():
        np.testing.assert_allclose(tables.returns[entry], np.mean(values), atol=1e-12)
    (policy,) = (learner.respond_by(model, tables, 1),)
    np.testing.assert_array_equal(policy, np.eye(actions)[np.argmax(logits, -1)])


@pytest.fixture(scope="module")
def recurrent():
    """One step, in which the follower wants to do as the leader does: it has to find out by practice."""
    pays = np.array([[[[1.0, 0.0], [0.0, 1.0]]]] * 2).reshape(2, 1, 2, 2)
    game = MarkovGame(np.ones((1, 2, 2, 1)), pays, horizon=1)
    train = jax.jit(lambda key: RecurrentFollower.train(game, key, meetings=6400, hidden=8, step=0.03))
    return game, train(jax.random.key(0))


def test_a_recurrent_follower_finds_out_whom_it_meets(recurrent):
    game, follower = recurrent
    assert int(follower.environment_steps) == 6400 * 2
    one = OracleGame(game, follower, episodes=2)
    for action in (0, 1):
        logits = 30.0 * jax.nn.one_hot(jnp.array([action]), 2)
        (policy,) = one.respond(logits, jax.random.key(1))
        np.testing.assert_array_equal(policy[0, 0], np.eye(2)[action])
        leader = jax.nn.one_hot(jnp.array([action]), 2)
        trace = play(game, Fixed(leader), follower, key=jax.random.key(2), rounds=2)
        np.testing.assert_array_equal(trace.actions[1][-1], policy)
        assert int(trace.calls[1].payoffs[-1]) == 2


def test_bad_input(recurrent):
    sampled = {"episodes": 2}

    def oracle(**methods):
        return type("Other", (Asks,), methods)(jnp.full((2, 4, 2, 3, 3), 1 / 3))

    good = {"begin": lambda self, model, key: jnp.int32(0), "ask": lambda self, model, m: jnp.zeros(1, jnp.int32)}
    good |= {"hear": lambda self, model, m, a: m, "conclude": lambda self, model, m: (jnp.full((2, 3, 3), 1 / 3),)}
    assert OracleGame(GAME, oracle(**good), **sampled).asked() == (2, 1)
    wrong = {
        "oracle.questions: expected at least 1, got 0": {"questions": lambda self, model: 0},
        "oracle.ask: expected whole numbers": {"ask": lambda self, model, m: jnp.zeros(1)},
        "oracle.ask: player 0 has the observations 0 to 2": {"ask": lambda self, model, m: jnp.array([3])},
        "oracle.hear: expected a memory of the shapes": {"hear": lambda self, model, m, a: jnp.zeros(2)},
        "oracle.conclude: expected a tuple of policies": {"conclude": lambda self, model, m: (jnp.zeros((3, 3)),)},
        "oracle.conclude: expected rows that sum": {"conclude": lambda self, model, m: (jnp.ones((2, 3, 3)),)},
        "oracle.is_random: expected True or False": {"is_random": 1},
        "oracle.is_random: expected True, as": {"is_random": False, "begin": Asks.begin, "hear": Asks.hear},
    }
    for message, methods in wrong.items():
        with pytest.raises((ValueError, TypeError), match=message):
            OracleGame(GAME, oracle(**good | methods), **sampled)
    with pytest.raises(ValueError, match=r"oracle: it is random, .* give episodes="):
        OracleGame(GAME, Asks(jnp.full((2, 4, 2, 3, 3), 1 / 3)))
    with pytest.raises(ValueError, match="networks: they were trained for another game"):
        OracleGame(GAME, recurrent[1], **sampled)
    two = MarkovGame(np.ones((1, 2, 2, 2, 1)), np.zeros((3, 1, 2, 2, 2)), horizon=1)
    with pytest.raises(ValueError, match="QLearning practises alone, and there are 2 followers"):
        OracleGame(two, QLearning(4), **sampled)
    with pytest.raises(ValueError, match=r"queries: expected rows of 2\^\(Q-1\) columns"):
        ContextualFollower((TABLES,), 2, queries=TREE[:, :2])
    with pytest.raises(ValueError, match="meetings: expected a multiple of parallel=64"):
        RecurrentFollower.train(GAME, jax.random.key(0), meetings=100)
    for kind in (MultiplicativeWeights, Reinforce):
        with pytest.raises(ValueError, match="step: expected"):
            kind(4, -1.0)
        with pytest.raises(ValueError, match="episodes: expected a multiple of parallel=3"):
            kind(4, parallel=3)
        with pytest.raises(TypeError, match="greedy: expected True or False"):
            kind(4, greedy=1)


def test_an_observation_that_there_is_not_is_no_payoff():
    """What an oracle asks later is known only when it runs: NaN, which ends the replicate, and no other's answer."""

    class Strays(Asks):
        def ask(self, model, memory):
            return jnp.where(memory[1] == 1, 3, 0)[None]

    one = OracleGame(GAME, Strays(jnp.full((2, 4, 2, 3, 3), 1 / 3)), episodes=2)
    assert np.isnan(one.realise(one.draw(jax.random.key(0)), jnp.zeros((3, 2)))[0])


def test_adaptive_queries_train():
    """Best against the mean of the leaders who answer so: even where they weren't asked, as no state comes twice."""
    game = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=2)
    tree = np.array([[0, 0], [1, 3]])  # what it does first, and then after the follower was silent
    options = {"episodes": 16_384, "queries": tree, "step": PowerLaw(1.0, 1.0)}
    found = jax.jit(lambda key: ContextualFollower.train(game, key, **options))(jax.random.key(0))
    assert found.policies[0].shape == (4, 2, 5, 2) and int(found.environment_steps) == 16_384 * (2 + 2)
    for context, (first, second) in enumerate(itertools.product([0, 1], repeat=2)):
        leader = jnp.full((5, 2), 0.5).at[0].set(jnp.eye(2)[first]).at[tree[1, first]].set(jnp.eye(2)[second])
        best = game.values(leader, game.best_response(1, (leader, None)))[1]
        assert game.values(leader, found.policies[0][context])[1] >= best - 0.05
