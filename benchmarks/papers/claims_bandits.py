"""Donahue et al. (2024), bandits that learn from each other: the claims of talk and summary with their evidence."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks.papers.bandit_runs import Measured, Pair, always, elimination, measured, tuned, waits_for_elimination
from benchmarks.papers.claims import (
    CORRECTED,
    HOLDS,
    UNMEASURABLE,
    Claim,
    Figure,
    Finding,
    Script,
    exact,
    mean,
    median,
    no_violation,
)
from stackjax import Record, play
from stackjax.equilibria import (
    alignment_constant,
    anytime_regret,
    instantaneous_regret,
    self_tolerant_benchmarks,
    stackelberg_benchmarks,
    tolerant_benchmarks,
)
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.learners import (
    EXP3,
    UCB,
    BestResponse,
    ExploreThenCommit,
    ExploreThenCommitThrowOut,
    ExploreThenUCB,
    Fixed,
    LipschitzUCB,
    PerArm,
)
from stackjax.protocols import Signal

SOURCE = "Donahue et al. (2024), decentralised bandits: talk and summary"


def worst(what: str, found: Measured, scale: Callable[[np.ndarray], np.ndarray], at: int = -1) -> Figure:
    """The largest mean regret of a horizon over a scale, with the interval of the instance and the player it is of."""
    regret, error = found.regret[at], found.error[at]
    where = np.unravel_index(regret.argmax(), regret.shape)
    unit = float(scale(found.horizons)[at])
    value, half = float(regret[where]) / unit, 1.96 * float(error[where]) / unit
    return Figure(what, value, value - half, value + half)


def same(horizons: np.ndarray) -> np.ndarray:
    """R / T."""
    return horizons


def who_knows_what(quick: bool) -> Finding:
    """What bandits declare to see: the leader its payoff, the follower its payoff and the leader's arm.

    Control: a best response asks for its payoff function.
    """
    pair = tuned(UCB, UCB)(1000)
    right = [pair[0].wants == Signal.PAYOFF, pair[1].wants == Signal.PAYOFF | Signal.COMMITMENT]
    ours = [exact("players that see just this", sum(right))]
    return Finding(ours, all(right), bool(BestResponse().wants & Signal.OWN_PAYOFF))


def values_of_the_talk(quick: bool) -> Finding:
    """The benchmarks that the slides print beside their instances; control: the other member's values differ."""
    d, gamma = 0.01, 0.05
    lower = {m: bandit_instances.lower_bound(m, d) for m in ("I", "J")}
    impossible = {m: bandit_instances.impossibility(m, d) for m in ("I", "J")}
    table: list[tuple[str, Any, Any, tuple[float, float]]] = [
        ("impossibility I, Stackelberg", impossible["I"], stackelberg_benchmarks, (0.6, d)),
        ("impossibility J, Stackelberg", impossible["J"], stackelberg_benchmarks, (0.5, 0.6)),
        ("ETC fails, tolerant", bandit_instances.etc_failure(), tolerant_benchmarks, (0.6, 0.4)),
        ("lower bound I, tolerant", lower["I"], tolerant_benchmarks, (0.5 + d, d)),
        ("lower bound J, tolerant", lower["J"], tolerant_benchmarks, (0.5, 3 * d)),
    ]
    ours, error = [], []
    for name, game, benchmark, printed in table:
        args = (gamma,) if benchmark is tolerant_benchmarks else ()
        values = np.asarray(benchmark(game.leader_means, game.follower_means, *args).values, np.float64)
        ours += [exact(f"{name}: leader", values[0]), exact("follower", values[1])]
        error.append(float(np.abs(values - printed).max()))
    return Finding(ours, max(error) < 1e-6, abs(ours[0].value - ours[2].value) > 0.05)


def tolerance_lowers(quick: bool) -> Finding:
    """Self-tolerant <= tolerant <= Stackelberg values on random instances; control: for most they differ."""
    rng = np.random.default_rng(0)
    u = rng.uniform(size=(2, 200 if quick else 2000, 4, 4))
    own, tolerant, base = (
        np.asarray(b.values)
        for b in (self_tolerant_benchmarks(*u, 0.2), tolerant_benchmarks(*u, 0.2), stackelberg_benchmarks(*u))
    )
    against = int(((own > tolerant + 1e-6) | (tolerant > base + 1e-6)).sum())
    lower = float((tolerant < base - 1e-6).any(-1).mean())
    ours = [*no_violation("values", own.size, against), exact("instances in which tolerance lowers one", lower)]
    return Finding(ours, against == 0, lower > 0.5)


def sign_of_regret(quick: bool) -> Finding:
    """The printed E[sum u] - alpha T of a fixed wrong arm, a2 of the failing instance, after 1000 rounds: negative.

    Control: the other sign is positive and T times the gap.
    """
    game = always(bandit_instances.etc_failure())
    pair: Pair = lambda T: (Fixed(1), BestResponse())  # noqa: E731  (of one expression)
    ours = float(measured(game, pair, (1000,), stackelberg_benchmarks, 2).regret[0, 0, 0])
    return Finding(
        [exact("leader's regret", ours), exact("as printed", -ours)], -ours > 0, abs(ours - 100) < 1e-3, ours > 0
    )


def explored_means(quick: bool) -> Finding:
    """The leader's mean rewards while the follower explores uniformly, .4 and .45, against .6 and .5 when it answers.

    Control: against best answers a1 is better.
    """
    game = bandit_instances.etc_failure()
    u1, u2 = (np.asarray(u, np.float64) for u in (game.leader_means, game.follower_means))
    explored, answered = u1.mean(1), u1[[0, 1], u2.argmax(1)]
    ours = [exact("a1 explored", explored[0]), exact("a2 explored", explored[1])]
    return Finding(ours, bool(np.allclose(explored, [0.4, 0.45], atol=1e-6)), answered[0] > answered[1])


def stackelberg_is_out_of_reach(quick: bool) -> Finding:
    """Theorem 1: on the pair I and J, d = .25 / sqrt(T), the worst R / T of four pairs of learners doesn't fall.

    Against the Stackelberg values. Control: a follower that knows its payoffs escapes.
    """
    horizons = (3000, 30_000)

    def games(T: int) -> list[StackelbergBandit]:
        return [bandit_instances.impossibility(m, 0.25 / math.sqrt(T)) for m in ("I", "J")]

    pairs: dict[str, Pair] = {
        "ThrowOut/ETC": tuned(ExploreThenCommitThrowOut, ExploreThenCommit, "gaussian"),
        "ExploreThenUCB/AAE": waits_for_elimination(1.0),
        "UCB/UCB": tuned(UCB, UCB, "gaussian"),
        "EXP3/EXP3": tuned(EXP3, EXP3, "gaussian"),
        "UCB/best response": lambda T: (tuned(UCB, UCB, "gaussian")(T)[0], BestResponse()),
    }
    found = {
        name: measured(games, pair, horizons, stackelberg_benchmarks, 40 if quick else 100)
        for name, pair in pairs.items()
    }
    ours = [worst(f"{name}: R / T at {horizons[-1]}", run, same) for name, run in found.items()]
    falls = [run.worst[-1] / run.horizons[-1] for run in found.values()]
    control = found["UCB/best response"]
    sublinear = falls[-1] < 0.5 * control.worst[0] / control.horizons[0]
    return Finding(ours, min(f.least for f in ours[:-1]) > 0.03, bool(sublinear))


def the_arm_that_tells(quick: bool) -> Finding:
    """The lower bound's members differ in the follower's payoff of (a1, b2) alone, where the leader loses .5 + d.

    Control: all other entries are equal.
    """
    d, (i, j) = 0.01, (bandit_instances.lower_bound(m, 0.01) for m in ("I", "J"))
    differ = np.argwhere(np.asarray(i.follower_means) != np.asarray(j.follower_means))
    loss = float(i.leader_means[0, 0] - i.leader_means[0, 1])
    alike = bool(np.all(np.asarray(i.leader_means) == np.asarray(j.leader_means)))
    return Finding([exact("entries that differ", len(differ)), exact("the leader's loss there", loss)],
                   differ.tolist() == [[0, 1]] and abs(loss - 0.5 - d) < 1e-6, alike)  # fmt: skip


def lower_bound_in_arms(quick: bool) -> Finding:
    """The worst R / (T^(2/3) B^(1/3)) of members I and J_2, ..., J_B, d = (B / T)^(1/3), for B = 2, 4, 8.

    J_j pays the follower 2 d at (a1, b_j). Of two pairs the better one counts. Control: a follower that knows its
    payoffs pays less than a fifth.
    """
    T = 30_000
    n, ours, known = (20 if quick else 50), [], []
    for arms in (2, 4, 8):
        d = (arms / T) ** (1 / 3)
        u1 = np.full((2, arms), 0.5)
        u1[0] = [0.5 + d] + [0.0] * (arms - 1)
        games = []
        for better in range(arms):
            u2 = np.full((2, arms), 3 * d)
            u2[0] = [d] + [0.0] * (arms - 1)
            if better:
                u2[0, better] = 2 * d
            games.append(StackelbergBandit(u1, u2, "gaussian", 0.5))

        def of(kind: Any, role: str, arms: int = arms) -> Any:
            return kind.tuned(T, 2, arms, role, noise="gaussian", sigma=0.5)

        pairs: dict[str, Pair] = {
            "ThrowOut/ETC": lambda T: (of(ExploreThenCommitThrowOut, "leader"), of(ExploreThenCommit, "follower")),
            "UCB/UCB": lambda T: (of(UCB, "leader"), of(UCB, "follower")),
            "UCB/best response": lambda T: (of(UCB, "leader"), BestResponse()),
        }
        tolerant = lambda a, b: tolerant_benchmarks(a, b, 0.05)  # noqa: E731  (of one expression)
        scale = lambda t, arms=arms: t ** (2 / 3) * arms ** (1 / 3)  # noqa: E731  (of one expression)
        runs = [measured(lambda T: games, p, (T,), tolerant, n) for p in pairs.values()]  # noqa: B023  (called at once)
        paid = [worst(f"B = {arms}", run, scale) for run in runs]
        ours.append(min(paid[:2], key=lambda f: f.value))
        known.append(paid[2].value)
    return Finding(ours, min(f.least for f in ours) > 0.2, max(known) < 0.2 * min(f.value for f in ours))


def upper_bound_in_arms(quick: bool) -> Finding:
    """ExploreThenUCB/ETC on random instances of A x B arms: mean worst R / (T^(2/3) (A B ln T)^(1/3)) stays below 1.

    Control: UCB/UCB falls below it where nothing misleads, and doesn't in its trap (the row below); here R / T of a
    fixed arm is linear, above 1.
    """
    T, n, ours, fixed = 30_000, 20, [], []
    for a, b in ((2, 2), (4, 4), (8, 2), (2, 8)):
        batch = bandit_instances.uniform(jax.random.key(0), a, b, batch=10)
        games = [StackelbergBandit(*u, "bernoulli") for u in zip(batch.leader_means, batch.follower_means, strict=True)]
        pair: Pair = lambda T, a=a, b=b: (  # noqa: E731  (of one expression)
            ExploreThenUCB.tuned(T, a, b, "leader", noise="bernoulli"),
            ExploreThenCommit.tuned(T, a, b, "follower", noise="bernoulli"),
        )
        tolerant = lambda u, v: tolerant_benchmarks(u, v, 0.05)  # noqa: E731  (of one expression)
        scale = lambda t, a=a, b=b: t ** (2 / 3) * (a * b * np.log(t)) ** (1 / 3)  # noqa: E731  (of one expression)
        ours.append(worst(f"{a} x {b}", measured(lambda T: games, pair, (T,), tolerant, n), scale))  # noqa: B023  (called at once)
        wrong: Pair = lambda T: (Fixed(0), BestResponse())  # noqa: E731  (of one expression)
        fixed.append(worst("", measured(lambda T: games, wrong, (T,), tolerant, 2), scale).value)  # noqa: B023  (called at once)
    return Finding(ours, max(f.most for f in ours) < 1, max(fixed) > 1)


def alignment_definition(quick: bool) -> Finding:
    """The largest of the printed signed ratios where the players are opposed, u2 = 1 - u1, against absolute values.

    Control: where they agree both are the same.
    """

    def signed(u1: np.ndarray, u2: np.ndarray) -> float:
        d1, d2 = (np.subtract.outer(u.ravel(), u.ravel()) for u in (u1, u2))
        keep = ~np.eye(u1.size, dtype=bool)
        return float(max((d1[keep] / d2[keep]).max(), (d2[keep] / d1[keep]).max()))

    u1 = np.random.default_rng(0).uniform(size=(2, 2))
    ours = [signed(u1, v) for v in (1 - u1, u1)]
    absolute = [float(alignment_constant(u1, v)) for v in (1 - u1, u1)]
    figures = [exact("opposed, as printed", ours[0]), exact("absolute", absolute[0])]
    return Finding(
        figures, abs(ours[0] - absolute[0]) < 1e-6, abs(ours[1] - absolute[1]) < 1e-5, abs(absolute[0] - 1) < 1e-5
    )


def too_small_a_constant(quick: bool) -> Finding:
    """R / T of LipschitzUCB/AAE on an instance of constant 8, with L = 8 and, as control, L = 1: falls, and doesn't."""
    u1 = np.array([[0.9, 0.1], [0.6, 0.6]])
    games, horizons = always(StackelbergBandit(u1, 0.4 + u1 / 8, "bernoulli")), (10_000, 1_000_000)
    run = {
        L: measured(games, lambda T, L=L: (LipschitzUCB(L, T, 1.0, 2, 1.0), elimination(T)), horizons,
                    stackelberg_benchmarks, 8 if quick else 40)
        for L in (8.0, 1.0)
    }  # fmt: skip
    ours = [worst(f"L = {L:g}, T = 1e6", r, same) for L, r in run.items()]
    return Finding(ours, ours[0].value < 0.06, ours[1].value > 0.25)


def misalignment_distorts(quick: bool) -> Finding:
    """UCB/UCB, 3 x 3 random instances u2 = (1 - w) u1 + w v, v independent, T = 1e4: leader's mean R / T by w.

    Against the Stackelberg value. It grows from w = 0 to 1/2; at 1 the follower's errors are to the leader's gain as
    well as to its loss. Control: against a best-responding follower it doesn't grow as much.
    """
    rng, n, T = np.random.default_rng(0), (20 if quick else 100), 10_000
    u, v = rng.uniform(size=(2, n, 3, 3))

    def leader(pair: Pair, w: float) -> np.ndarray:
        games = [StackelbergBandit(a, (1 - w) * a + w * b, "bernoulli") for a, b in zip(u, v, strict=True)]
        return measured(lambda T: games, pair, (T,), stackelberg_benchmarks, 10).regret[0, :, 0] / T

    def ucb(T: int, role: str) -> UCB:
        return UCB.tuned(T, 3, 3, role, noise="bernoulli")

    ours = [mean(f"w = {w:g}", leader(lambda T: (ucb(T, "leader"), ucb(T, "follower")), w)) for w in (0.0, 0.5, 1.0)]
    other = [float(leader(lambda T: (ucb(T, "leader"), BestResponse()), w).mean()) for w in (0.0, 0.5)]
    return Finding(ours, ours[1].least > ours[0].most, other[1] - other[0] < 0.5 * (ours[1].value - ours[0].value))


def follower_regrets(kind: str, quick: bool) -> dict[str, np.ndarray]:
    """Each replicate's largest instantaneous or anytime regret against a leader who always plays a1, gap .4."""
    horizon, n, found = (10_000 if quick else 30_000), 20 if quick else 50, {}
    followers = {"AAE": elimination(horizon), "UCB": PerArm(UCB(1.0, horizon))}
    followers["ETC"] = ExploreThenCommit.tuned(horizon, 2, 2, "follower", noise="bernoulli")
    followers["round robin"] = PerArm(ExploreThenCommit(horizon))
    game, measure = bandit_instances.etc_failure2(), anytime_regret if kind == "anytime" else instantaneous_regret
    for name, follower in followers.items():
        record = Record.every(1, strategies=False, payoffs=None)
        trace = play(game, Fixed(0), follower, key=jax.random.key(0), rounds=horizon, replicates=n, record=record)
        found[name] = measure(game, trace, horizon).max((1, 2))
    return found


def graceful_followers(quick: bool) -> Finding:
    """The largest gap * sqrt(n / (B ln T)) of AAE and ETC is a few units; control: UCB's grows like sqrt(T)."""
    found = follower_regrets("instantaneous", quick)
    ours = [median(f"{name}, largest of a run", values) for name, values in found.items()]
    largest = {name: float(values.max()) for name, values in found.items()}
    return Finding(ours, max(largest["AAE"], largest["ETC"]) < 6, largest["UCB"] > 1.3 * largest["AAE"])


def anytime_bounds(quick: bool) -> Finding:
    """The largest regret over sqrt(B n ln T): AAE's and UCB's is a constant; control: round robin's isn't."""
    found = follower_regrets("anytime", quick)
    ours = [median(f"{name}, largest of a run", values) for name, values in found.items()]
    largest = {name: float(values.max()) for name, values in found.items()}
    return Finding(ours, max(largest["AAE"], largest["UCB"]) < 3, largest["round robin"] > 4)


BENCHMARKS = "tests/equilibria/test_benchmarks.py::"
STATISTICS = "tests/test_bandit_statistics.py::"
TRANSCRIPTIONS = "tests/test_bandit_transcriptions.py::"

CLAIMS = (
    Claim(
        "Talk, model",
        "Sequential and decentralised: each sees its own rewards, the follower the leader's arm, too.",
        HOLDS,
        who_knows_what,
        (TRANSCRIPTIONS + "test_per_arm_learners_have_their_own_clocks",),
    ),
    Claim(
        "Talk, static game",
        "b*(a) and a*, the Stackelberg values.",
        HOLDS,
        None,
        (BENCHMARKS + "test_golden_values", BENCHMARKS + "test_the_equilibrium_is_the_weak_pure_commitment"),
    ),
    Claim(
        "Talk, regret",
        "E[sum u_i] - alpha_i T.",
        CORRECTED,
        sign_of_regret,
        (),
        "the negative of it: what is printed is negative for what loses",
    ),
    Claim(
        "Talk, slides of instances",
        "The benchmarks' values beside the instances.",
        HOLDS,
        values_of_the_talk,
        ("tests/games/test_bandit_instances.py::test_tolerant_benchmarks_of_the_named_instances",),
    ),
    Claim(
        "Talk, Theorem (Stackelberg benchmark); summary, Thm. 1",
        "Some player's regret is linear, whatever both run.",
        HOLDS,
        stackelberg_is_out_of_reach,
    ),
    Claim("Talk, main finding", "Misalignment distorts what is learned.", HOLDS, misalignment_distorts),
    Claim(
        "Talk, definition",
        "Approximate best responses and the error-tolerant benchmarks.",
        HOLDS,
        None,
        (
            BENCHMARKS + "test_random_instances_against_the_definitions_in_rationals",
            BENCHMARKS + "test_a_grid_of_epsilons_errs_upward_by_less_than_its_step",
        ),
    ),
    Claim(
        "Summary, contributions 1 and 3; Def. 4",
        "Tolerant benchmarks are weaker, self-tolerant ones weaker still.",
        HOLDS,
        tolerance_lowers,
        (BENCHMARKS + "test_order_and_monotonicity_in_gamma",),
    ),
    Claim(
        "Summary, Def. 4, its formula",
        "The self-tolerant benchmark.",
        UNMEASURABLE,
        None,
        (),
        "the sources don't print it: ours is a reconstruction, and says so",
    ),
    Claim(
        "Talk, Proposition (ETC)",
        "Two players who explore and then commit: linear for both.",
        HOLDS,
        Script("bandits", ("ETC/ETC, etc_failure",)),
        (STATISTICS + "test_both_exploring_then_committing_is_linear",),
    ),
    Claim("Talk, its reason", "While the follower explores the leader's means are .4 and .45.", HOLDS, explored_means),
    Claim(
        "Talk, algorithmic results",
        "Standard algorithms can be linear against tolerant benchmarks.",
        HOLDS,
        Script("bandits", ("UCB/UCB, ucb_trap2", "EXP3/EXP3, ucb_trap2")),
        (STATISTICS + "test_leaders_that_trust_a_learning_follower_are_linear",),
    ),
    Claim(
        "Talk, Proposition (modified ETC)",
        "Throwing out the follower's exploration: T^(2/3) for both.",
        HOLDS,
        Script("bandits", ("ThrowOut/ETC, etc_failure2 with", "ETC/ETC, etc_failure2 with")),
        (TRANSCRIPTIONS + "test_throwing_out_the_followers_exploration_repairs_it",),
    ),
    Claim(
        "Talk, Theorem (ExploreThenUCB); summary, Alg. 2",
        "T^(2/3) against a follower that explores and commits.",
        HOLDS,
        Script("bandits", ("ExploreThenUCB/ETC",)),
        (STATISTICS + "test_leaders_that_wait_are_sublinear",),
    ),
    Claim(
        "Talk, Theorem (ExploreThenUCB)",
        "And against one that eliminates.",
        CORRECTED,
        Script("bandits", ("ExploreThenUCB/AAE", "the same with c 1")),
        (STATISTICS + "test_a_follower_that_eliminates_must_do_so_while_the_leader_waits",),
        "once it has eliminated while the leader waits: with the width 1 that takes more than 3e4 rounds",
    ),
    Claim("Talk, Theorem (ExploreThenUCB), constants", "(A B ln T)^(1/3).", HOLDS, upper_bound_in_arms),
    Claim(
        "Summary, question 4",
        "Without waiting the regret is linear.",
        HOLDS,
        Script("bandits", ("ETC/ETC, etc_failure: slopes", "UCB/UCB, ucb_trap2")),
    ),
    Claim(
        "Talk, Theorem (lower bound)",
        "Some player pays the order of T^(2/3).",
        HOLDS,
        Script(
            "bandits",
            tuple(
                f"{pair}, lower_bound"
                for pair in ("ThrowOut/ETC", "ExploreThenUCB/AAE", "UCB/UCB", "EXP3/EXP3", "UCB/best response")
            ),
        ),
        (STATISTICS + "test_a_pair_whose_follower_learns_pays_the_lower_bound",),
    ),
    Claim("Talk, Theorem (lower bound), arms", "And B^(1/3).", HOLDS, lower_bound_in_arms),
    Claim(
        "Talk, its reason; summary, question 3",
        "The members differ where the leader loses most.",
        HOLDS,
        the_arm_that_tells,
    ),
    Claim(
        "Talk, L",
        "The largest ratio of differences in payoffs.",
        CORRECTED,
        alignment_definition,
        (BENCHMARKS + "test_alignment_constant",),
        "of absolute values: opposed players have -1 as printed, and agree on what differs",
    ),
    Claim(
        "Talk, Theorem (alignment); summary, Sec. 5.1",
        "Where L is bounded, L^2 sqrt(A B T) against the Stackelberg values.",
        HOLDS,
        Script("bandits", ("LipschitzUCB/AAE, worst of 5 gaps", "fixed wrong arm/AAE, worst")),
    ),
    Claim(
        "Talk, Theorem (alignment), L",
        "The constant has to be the instance's.",
        HOLDS,
        too_small_a_constant,
        (STATISTICS + "test_a_radius_for_too_small_an_alignment_constant_is_linear_for_ever",),
    ),
    Claim(
        "Talk, takeaway",
        "Partial alignment makes learning faster: 1/2 against 2/3.",
        HOLDS,
        Script(
            "bandits", ("LipschitzUCB/AAE, worst of 5 gaps", "PhasedUCB/AAE, worst of 5 gaps", "ExploreThenUCB/ETC")
        ),
    ),
    Claim(
        "Summary, contribution 3 (ii); Alg. 3",
        "PhasedUCB: sqrt(T) against self-tolerant benchmarks.",
        HOLDS,
        Script("bandits", ("PhasedUCB/AAE, self_trap2", "phase means/AAE")),
        (
            TRANSCRIPTIONS + "test_phased_ucb_waits_for_whole_phases_and_takes_the_best_slot",
            STATISTICS + "test_a_leader_that_believes_in_phase_means_ruins_its_follower",
        ),
    ),
    Claim(
        "Summary, question 6",
        "Which it isn't against the tolerant ones.",
        HOLDS,
        Script("bandits", ("PhasedUCB/AAE, lower_bound",)),
    ),
    Claim(
        "Summary, Alg. 3, its form",
        "How the index uses the phases.",
        UNMEASURABLE,
        None,
        (),
        "not printed: ours takes the best slot of a phase, and the mean of a phase is the control above",
    ),
    Claim(
        "Talk, Theorem (ExploreThenUCB), followers",
        "Low instantaneous regret: AAE and ETC have it.",
        HOLDS,
        graceful_followers,
        ("tests/equilibria/test_theory.py::test_followers_regrets",),
    ),
    Claim(
        "Summary, key terms",
        "Low anytime regret, which aligned leaders need.",
        HOLDS,
        anytime_bounds,
        ("tests/equilibria/test_theory.py::test_followers_regrets",),
    ),
    Claim(
        "Talk, followers",
        "AAE: active arm elimination.",
        HOLDS,
        None,
        (
            TRANSCRIPTIONS + "test_active_arms_are_those_of_a_replay_and_phases_end_by_pulls_alone",
            TRANSCRIPTIONS + "test_slots_of_eliminated_arms_go_to_the_next_active_arm",
        ),
    ),
    Claim(
        "Summary, question 8",
        "Prop. 2's proof uses a symmetry of empirical means.",
        UNMEASURABLE,
        None,
        (),
        "neither the proposition nor its proof is in the sources",
    ),
    Claim(
        "Talk, future directions",
        "Equilibria of the meta-game between algorithms.",
        UNMEASURABLE,
        None,
        (),
        "nothing is claimed; what we find is in benchmarks/results/metagame.json",
    ),
    Claim(
        "Talk, examples",
        "Chats between users and AI agents.",
        UNMEASURABLE,
        None,
        (),
        "motivation: no data, no experiment",
    ),
)
