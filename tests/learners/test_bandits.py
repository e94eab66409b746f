"""The bandit learners, round by round, against plain NumPy transcriptions of their specification with the same noise.

The transcriptions (`tests/transcriptions/bandits.py`) were written from the specification alone. Everything is in
float64 with the noise that `play` itself draws. Runs are paired: in each, one algorithm leads and another one follows,
so that a compiled run tests two.
"""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax._core.noise import round_key, stream_words
from stackjax.games import StackelbergBandit, from_payoffs
from stackjax.learners import (
    EXP3,
    UCB,
    ActiveArmElimination,
    EpsilonGreedy,
    Every,
    ExploreThenCommit,
    ExploreThenCommitThrowOut,
    ExploreThenUCB,
    Fixed,
    GradientAscent,
    HierarchicalAscent,
    LipschitzUCB,
    PerArm,
    PhasedUCB,
    ThompsonSampling,
    explore_fraction,
)
from stackjax.schedules import PowerLaw
from stackjax.spaces import Box
from tests.transcriptions import bandit_play
from tests.transcriptions import bandits as plain

KEY = jax.random.key(11)
ROUNDS, INSTANCES, SIGMA = 500, 20, 0.5
SIZES = (3, 4), (6, 5)  # tables that are read and written by selects, and by gathers
PHASES, WIDTH = (2, 3, 5, 8), 0.3

# Of each algorithm: the learner, and its transcription for a number of arms. The follower has B = 4 or 5 arms; what
# `slots` is for a learner that follows has no meaning, but must agree all the same.
ALGORITHMS = {
    "ExploreThenCommit": (lambda: ExploreThenCommit(7), lambda n: plain.ExploreThenCommit(n, 7)),
    "ThrowOut": (lambda: ExploreThenCommitThrowOut(3, 5), lambda n: plain.ExploreThenCommitThrowOut(n, 3, 5)),
    "UCB": (lambda: UCB(WIDTH, ROUNDS), lambda n: plain.UCB(n, WIDTH, ROUNDS)),
    "ExploreThenUCB": (lambda: ExploreThenUCB(4, WIDTH, ROUNDS), lambda n: plain.ExploreThenUCB(n, 4, WIDTH, ROUNDS)),
    "LipschitzUCB": (
        lambda: LipschitzUCB(WIDTH, ROUNDS, 0.5, 4, 0.3),
        lambda n: plain.LipschitzUCB(n, WIDTH, 0.5, 4, ROUNDS, 0.3),
    ),
    "PhasedUCB": (
        lambda: PhasedUCB(PHASES, 3, WIDTH, ROUNDS),
        lambda n: plain.PhasedUCB(n, 3, PHASES, WIDTH, ROUNDS),
    ),
    "ActiveArmElimination": (
        lambda: ActiveArmElimination(PHASES, WIDTH, ROUNDS),
        lambda n: plain.ActiveArmElimination(n, PHASES, WIDTH, ROUNDS),
    ),
    "EpsilonGreedy": (
        lambda: EpsilonGreedy(PowerLaw(0.9, 0.4)),
        lambda n: plain.EpsilonGreedy(n, lambda t: 0.9 / (t + 1.0) ** 0.4),
    ),
    "EXP3": (lambda: EXP3(0.07), lambda n: plain.EXP3(n, 0.07)),
    "ThompsonGaussian": (
        lambda: ThompsonSampling("gaussian", SIGMA),
        lambda n: plain.ThompsonGaussian(n, SIGMA),
    ),
}
NAMES = list(ALGORITHMS)
ALGORITHMS["ThompsonBeta"] = lambda: ThompsonSampling("bernoulli"), plain.ThompsonBeta
# Every algorithm leads once and follows once, with small tables in one of the two and large ones in the other.
PAIRS = [(leader, NAMES[(i + 3) % len(NAMES)], SIZES[i % 2], "gaussian") for i, leader in enumerate(NAMES)]
PAIRS.append(("ThompsonBeta", "ThompsonBeta", (2, 3), "bernoulli"))


def instances(A, B, noise="gaussian", n=INSTANCES):
    """One random game a replicate."""
    rng = np.random.default_rng(100 * A + B)
    U1, U2 = rng.uniform(size=(2, n, A, B))
    return StackelbergBandit(U1, U2, noise, SIGMA), U1, U2


@functools.cache
def noise(stream, law, n):
    """What `play` draws in float64 for the game (stream 0) or a player: arrays `[replicates, rounds, n]`."""
    ids, times = jnp.arange(INSTANCES, dtype=jnp.uint32), jnp.arange(ROUNDS, dtype=jnp.int32)
    words = stream_words(KEY, stream + 1)[stream]
    draw = {"gaussian": jax.random.normal, "uniform": jax.random.uniform}[law]
    shape = () if n is None else (n,)
    return np.asarray(
        jax.jit(jax.vmap(lambda r: jax.vmap(lambda t: draw(round_key(words, t, r), shape, jnp.float64))(times)))(ids)
    )


def noise_of(stream, name, arms):
    """The noise of an algorithm, one entry a replicate."""
    laws = {
        "EpsilonGreedy": ("uniform", 2),
        "EXP3": ("uniform", None),
        "ThompsonGaussian": ("gaussian", arms),
        "ThompsonBeta": ("uniform", arms),
    }
    return noise(stream, *laws[name]) if name in laws else [None] * INSTANCES


@pytest.mark.parametrize(("leader", "follower", "size", "law"), PAIRS, ids=[f"{pair[0]}-{pair[1]}" for pair in PAIRS])
def test_actions_are_those_of_the_transcriptions(x64, leader, follower, size, law):
    A, B = size
    game, U1, U2 = instances(A, B, law)
    players = ALGORITHMS[leader][0](), PerArm(ALGORITHMS[follower][0]())
    trace = play(
        game,
        *players,
        key=KEY,
        rounds=ROUNDS,
        replicates=INSTANCES,
        in_axes=(0, None, None),
        record=Record.every(1, payoffs="realised", strategies=False),
    ).raise_if_failed()
    assert trace.payoffs.dtype == np.float64
    visits = np.diff(trace.visits, axis=1, prepend=0)
    assert np.all(visits.sum((2, 3)) == 1)
    actions = np.stack(np.unravel_index(visits.reshape(INSTANCES, ROUNDS, -1).argmax(-1), (A, B)), -1)
    rewards = noise(0, "uniform" if law == "bernoulli" else "gaussian", 2)
    leader_noise, follower_noise = noise_of(1, leader, A), noise_of(2, follower, B)
    compared = 0
    for k in range(INSTANCES):
        expected = bandit_play.play(
            ALGORITHMS[leader][1](A),
            plain.PerArm(A, lambda: ALGORITHMS[follower][1](B)),
            U1[k],
            U2[k],
            rewards[k],
            leader_noise[k],
            follower_noise[k],
            sigma=SIGMA,
            bernoulli=law == "bernoulli",
        )
        if expected.margin < 1e-9:
            continue
        compared += 1
        same = np.all(actions[k] == expected.actions, axis=1)
        t = int(np.argmin(same))
        assert same.all(), f"instance {k}, round {t}: {actions[k, t]}, expected {expected.actions[t]}"
        np.testing.assert_array_equal(trace.visits[k, -1], expected.visits(A, B))
        np.testing.assert_allclose(trace.payoffs[k], expected.rewards, rtol=0, atol=1e-12)
    assert compared >= INSTANCES - 2


# ---------------------------------------------------------------- parameters


PROBLEMS = [(1, 2, 2), (7, 3, 4), (1_000, 2, 2), (31_623, 3, 5), (1_000_000, 10, 7)]


@pytest.mark.parametrize("noise", ["gaussian", "bernoulli"])
@pytest.mark.parametrize(("T", "A", "B"), PROBLEMS)
def test_tuned_parameters_are_those_of_the_table(T, A, B, noise):
    expected = bandit_play.tuned(T, A, B, noise, 0.7)
    explored = {
        (ExploreThenCommit, "leader"): expected.explore_leader * A,
        (ExploreThenCommit, "follower"): expected.explore_follower * A * B,
        (ExploreThenCommitThrowOut, "leader"): (expected.discard + expected.keep) * A,
        (ExploreThenUCB, "leader"): expected.explore_ucb * A,
        (ExploreThenUCB, "follower"): expected.explore_ucb * A * B,
        (ActiveArmElimination, "leader"): expected.phases[0] * A,
        (ActiveArmElimination, "follower"): expected.phases[0] * A * B,
        (PhasedUCB, "leader"): expected.phases[0] * B * A,  # B slots
        (PhasedUCB, "follower"): expected.phases[0] * B * A * B,
    }

    def tuned(cls, role="leader", **own):
        share = min(1.0, explored.get((cls, role), 0) / T)
        warns = pytest.warns(UserWarning, match=rf"^horizon: {cls.__name__} \({role}\) .* {100 * share:.0f} % of {T} ")
        with warns if share > 0.5 else contextlib.nullcontext():
            learner = cls.tuned(T, A, B, role, noise=noise, sigma=0.7, **own)
        players = (A, 1) if role == "leader" else (B, A)
        assert explore_fraction(learner, *players, T) == pytest.approx(share, rel=1e-12)
        assert isinstance(learner, PerArm if role == "follower" else cls)
        return learner.learner if role == "follower" else learner

    assert tuned(ExploreThenCommit).keep == expected.explore_leader
    assert tuned(ExploreThenCommit, "follower").keep == expected.explore_follower
    throws = tuned(ExploreThenCommitThrowOut)
    assert (throws.discard, throws.keep) == (expected.discard, expected.keep)
    assert tuned(ExploreThenUCB).explore == expected.explore_ucb
    for role in ("leader", "follower"):
        for cls in (UCB, ExploreThenUCB, LipschitzUCB, PhasedUCB, ActiveArmElimination):
            learner = tuned(cls, role, **({"lipschitz": 3.0} if cls is LipschitzUCB else {}))
            assert (learner.width, learner.horizon) == (expected.width, T), cls
        for cls in (PhasedUCB, ActiveArmElimination):
            phases = tuple(tuned(cls, role).phases.tolist())
            assert phases == expected.phases + expected.phases[-1:] * (28 - len(expected.phases))
        rate = expected.rate_leader if role == "leader" else expected.rate_follower
        assert tuned(EXP3, role).rate == pytest.approx(rate, rel=1e-12)
        sampling = tuned(ThompsonSampling, role)
        assert (sampling.noise, sampling.sigma) == (noise, 0.7)
    assert tuned(PhasedUCB).slots == B
    lipschitz = tuned(LipschitzUCB, lipschitz=3.0)
    assert (lipschitz.lipschitz, lipschitz.slots, lipschitz.constant) == (3.0, B, 1.0)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"horizon": 0}, "^horizon: "),
        ({"horizon": 10.0}, "^horizon: "),
        ({"horizon": True}, "^horizon: "),
        ({"leader_arms": 0}, "^leader_arms: "),
        ({"follower_arms": -1}, "^follower_arms: "),
        ({"role": "boss"}, "^role: "),
        ({"noise": "cauchy"}, "^noise: "),
        ({"lipschitz": 0.0}, "^lipschitz: "),
        ({"lipschitz": np.inf}, "^lipschitz: "),
    ],
)
def test_tuned_names_the_wrong_argument(wrong, match):
    right = {"horizon": 100, "leader_arms": 2, "follower_arms": 2, "role": "leader"}
    with pytest.raises(ValueError, match=match):
        UCB.tuned(**{**right, **wrong})


def test_without_the_alignment_there_is_no_radius():
    with pytest.raises(ValueError, match=r"^lipschitz: LipschitzUCB has no radius without it"):
        LipschitzUCB.tuned(100, 2, 2, "leader")


def test_epsilon_greedy_has_no_tuned_parameters():
    with pytest.raises(NotImplementedError, match="EpsilonGreedy has no tuned parameters"):
        EpsilonGreedy.tuned(100, 2, 2, "leader")


def test_the_share_of_scheduled_exploration():
    throws = ExploreThenCommitThrowOut(2**30, jnp.array([1, 2**30]))
    np.testing.assert_array_equal(explore_fraction(throws, 2, 1, 2**32), [(2**30 + 1) / 2**31, 1.0])
    assert explore_fraction(PerArm(Fixed(0)), 2, 2, 10) == explore_fraction(Fixed(0), 2, 1, 10) == 0.0
    assert explore_fraction(PerArm(ExploreThenUCB(3, 1.0, 10)), 2, 5, 100) == 0.3
    right = {"arms": 2, "contexts": 1, "horizon": np.int64(10)}
    assert explore_fraction(ExploreThenCommit(2), **right) == 0.4
    for name in right:
        with pytest.raises(ValueError, match=f"^{name}: expected a positive whole number, got 0"):
            explore_fraction(ExploreThenCommit(2), **{**right, name: 0})


# ---------------------------------------------------------------- errors


GAME = StackelbergBandit([[0.6, 0.2], [0.5, 0.4]], [[0.4, 0.2], [0.3, 0.1]])


def one_round(leader, follower, game=GAME):
    return play(game, leader, follower, key=KEY, rounds=1, record=Record.final())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_bare_bandit_does_not_follow(name):
    bandit = ALGORITHMS[name][0]()
    with pytest.raises(ValueError, match=rf"player 1 follows.*expected PerArm\({type(bandit).__name__}"):
        one_round(Fixed(0), bandit)


def test_a_leader_has_nobody_to_be_per_arm_of():
    with pytest.raises(ValueError, match="player 0: PerArm is for a follower"):
        one_round(PerArm(UCB(1.0, 10)), Fixed(0))


@pytest.mark.parametrize("given", [UCB, "ucb", None], ids=str)
def test_per_arm_is_of_a_learner(given):
    hint = "; UCB is a class" if given is UCB else ""
    with pytest.raises(TypeError, match=rf"^learner: expected an instance of a stackjax Learner, got .*{hint}$"):
        PerArm(given)


@pytest.mark.parametrize("follower", [UCB(1.0, 10), PerArm(UCB(1.0, 10))], ids=["bare", "PerArm"])
def test_bandits_need_arms(follower):
    game = from_payoffs(lambda x, y: x, lambda x, y: y, spaces=(Box(0.0, 1.0), Box(0.0, 1.0)))
    with pytest.raises(ValueError, match=r"player 1: .*arms"):
        one_round(Fixed(0.5), follower, game)
    with pytest.raises(ValueError, match=r"player 0: UCB is a learner of arms"):
        one_round(UCB(1.0, 10), Fixed(0.5), game)


@pytest.mark.parametrize("learner", [GradientAscent(0.1), HierarchicalAscent(0.1)], ids=["own", "total"])
def test_arms_have_no_gradients(learner):
    with pytest.raises(ValueError, match=r"player 0: .*Ascent.* follows gradients.*, and there are none in Arms"):
        one_round(learner, Fixed(0))


def test_what_is_wrapped_must_fit_the_game():
    with pytest.raises(ValueError, match="player 1, PerArm: action: it lies outside the space"):
        one_round(Fixed(0), PerArm(Fixed(7)))
    for wrapped in (PerArm(UCB(1.0, 10)), Every(2, UCB(1.0, 10))):
        with pytest.raises(ValueError, match="player 1: PerArm: expected a learner of arms inside of it"):
            one_round(Fixed(0), PerArm(wrapped))
    with pytest.raises(ValueError, match="player 1 follows"):
        one_round(Fixed(0), Every(2, UCB(1.0, 10)))


def test_arms_that_were_never_pulled_come_first_whatever_the_width():
    game = StackelbergBandit([[1e6], [1e6], [1e6]], [[0.0], [0.0], [0.0]], sigma=0.0)
    for width in (1e-12, 1e6):
        learners = UCB(width, 100), PerArm(UCB(width, 100))
        trace = play(game, *learners, key=KEY, rounds=3, record=Record.final(payoffs=None)).raise_if_failed()
        np.testing.assert_array_equal(trace.visits[-1], 1)


BAD = [
    (lambda: UCB(0.0, 10), "width: "),
    (lambda: UCB(1.0, 0), "horizon: "),
    (lambda: ExploreThenUCB(-1, 1.0, 10), "explore: "),
    (lambda: ExploreThenUCB(3, -1.0, 10), "width: "),
    (lambda: LipschitzUCB(1.0, 10, -1.0, 2), "lipschitz: "),
    (lambda: LipschitzUCB(1.0, 10, 1.0, 0), "slots: "),
    (lambda: LipschitzUCB(1.0, 10, 1.0, 2, -1.0), "constant: "),
    (lambda: ExploreThenCommit(0), "explore: "),
    (lambda: ExploreThenCommit(2.5), "explore: "),
    (lambda: ExploreThenCommitThrowOut(-1, 3), "discard: "),
    (lambda: ExploreThenCommitThrowOut(1, 0), "keep: "),
    (lambda: PhasedUCB([2, 0], 2, 1.0, 10), "phases: "),
    (lambda: PhasedUCB([2, 2], 0, 1.0, 10), "slots: "),
    (lambda: PhasedUCB([2, 2], 1.5, 1.0, 10), "slots: "),
    (lambda: ExploreThenUCB(1.5, 1.0, 10), "explore: "),
    (lambda: ActiveArmElimination([0], 1.0, 10), "phases: "),
    (lambda: ActiveArmElimination([3], -1.0, 10), "width: "),
    (lambda: ActiveArmElimination([3], 1.0, 0), "horizon: "),
    (lambda: EpsilonGreedy(-0.1), "epsilon: "),
    (lambda: EpsilonGreedy(1.5), "epsilon: "),
    (lambda: EXP3(0.0), "rate: "),
    (lambda: ThompsonSampling(sigma=0.0), "sigma: "),
]


@pytest.mark.parametrize(("make", "match"), BAD)
def test_bad_hyper_parameters_are_named(make, match):
    with pytest.raises((ValueError, TypeError), match=f"player 0.*{match}"):
        one_round(make(), Fixed(0))
    with pytest.raises((ValueError, TypeError), match=f"player 1, PerArm: {match}"):
        one_round(Fixed(0), PerArm(make()))


def test_an_exploration_longer_than_any_counter_goes_on_for_ever():
    """Nor does one that is longer than the game end; products of pulls and arms would overflow."""
    with pytest.warns(UserWarning, match=r"^horizon: .* 100 % of 8 rounds") as warned:
        tuned = [
            cls.tuned(8, 2, 2, role)
            for cls, role in ((ExploreThenCommitThrowOut, "leader"), (ExploreThenUCB, "follower"))
        ]
    assert len(warned) == 2 and {each.filename for each in warned} == {__file__}
    for leader, follower in (tuned, (ExploreThenCommitThrowOut(2**30, 2**30), PerArm(ExploreThenUCB(2**30, 1.0, 10)))):
        trace = play(GAME, leader, follower, key=KEY, rounds=8, record=Record.every(1, payoffs=None))
        np.testing.assert_array_equal(trace.actions, [[0, 1] * 4, [0, 0, 1, 1] * 2])


def test_bad_hyper_parameters_of_a_batch_are_named_with_the_replicates():
    with pytest.raises(ValueError, match=r"width: .*\(replicates \[1\]"):
        learners = UCB(jnp.array([1.0, 0.0]), 10), Fixed(0)
        play(GAME, *learners, key=KEY, rounds=1, replicates=2, in_axes=(None, 0, None))


@pytest.mark.parametrize("phases", [[], 3, [1.5], [[]]], ids=str)
def test_phases_are_whole_numbers(phases):
    for make in (lambda: ActiveArmElimination(phases, 1.0, 10), lambda: PhasedUCB(phases, 2, 1.0, 10)):
        with pytest.raises(ValueError, match=r"^phases: "):
            make()


def test_thompson_sampling_knows_two_laws():
    with pytest.raises(ValueError, match=r"^noise: "):
        ThompsonSampling("cauchy")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([[0.1]], [[0.1, 0.2]]), ValueError, "leader_means, follower_means: "),
        (([[np.nan]], [[0.1]]), ValueError, "leader_means: "),
        (([[0.1]], [[np.inf]]), ValueError, "follower_means: "),
        (([0.1], [0.1]), ValueError, "leader_means: "),
        ((np.ones((2, 3, 4)), np.ones((3, 3, 4))), ValueError, "leader_means, follower_means: "),
        ((np.ones((2, 3, 4)), np.ones((3, 4))), ValueError, "leader_means, follower_means: "),
        ((np.ones((2, 2, 3, 4)), np.ones((2, 2, 3, 4))), ValueError, r"leader_means: .* or several \[N, A, B\]"),
        (([[[0.1]], [[np.nan]]], [[[0.1]], [[0.1]]]), ValueError, "leader_means: expected finite"),
        (([[[0.1]], [[0.1]]], [[[0.1]], [[1.5]]], "bernoulli"), ValueError, "follower_means: .* got 1.5"),
        (([["a"]], [[0.1]]), TypeError, "leader_means: "),
        (([[0.1]], [[0.1]], "cauchy"), ValueError, "noise: "),
        (([[0.1]], [[0.1]], "gaussian", -1.0), ValueError, "sigma: "),
        (([[1.1]], [[0.1]], "bernoulli"), ValueError, "leader_means: "),
        (([[0.1]], [[-0.1]], "bernoulli"), ValueError, "follower_means: "),
    ],
)
def test_a_games_means_are_checked(arguments, error, match):
    with pytest.raises(error, match=f"^{match}"):
        StackelbergBandit(*arguments)
