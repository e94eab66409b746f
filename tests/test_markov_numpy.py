"""Markov games against an independent NumPy transcription and the golden tables: exact values, ties, optima, bounds."""

import functools
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import IteratedMatrixGame, MarkovGame
from stackjax.learners import ContextualFollower
from tests.transcriptions import markov

GOLDEN = json.loads((Path(__file__).parent / "golden" / "iterated_matrix_games.json").read_text())
GAMES = GOLDEN["games"]
TIMES = {"H10": {"horizon": 10}, "disc96": {"discount": 0.96}}
STOCHASTIC = {"H10": "H10_sto_lower_bound", "disc96": "disc96_sto"}
SIGNS = {"optimistic": 1, "pessimistic": -1}
RANDOM = np.random.default_rng(0).uniform(size=(31, 5))


@pytest.fixture(autouse=True)
def _x64(x64):
    """All of it in float64."""


def matrices(name):
    return tuple(np.array(GAMES[name][k]) for k in ("RL", "RF"))


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def values(game, leader):
    """Both values, and the best response."""
    reply = game.best_response(1, (leader, None))
    return jnp.stack(game.payoffs(leader, reply)), reply


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, None, 0))
def bits(game, table, leader):
    """What a leader gets whose sampled actions are answered by the policies `[32, ...]` of a table."""
    patterns = np.array(list(itertools.product([0, 1], repeat=5)))
    chances = jnp.prod(leader[np.arange(5), patterns], -1)
    return chances @ jax.vmap(lambda policy: game.payoffs(leader, policy)[0])(table)


def ours(name, p, time, ties):
    """Both values of leaders `[N, 5]`, probabilities of C, against exact best responses, and these.

    In blocks of 64, so that it is compiled once for a kind of time and a tie rule.
    """
    game = MarkovGame.repeated(IteratedMatrixGame(*matrices(name)), ties=ties, **TIMES[time])
    full = np.resize(p, (-(-len(p) // 64) * 64, 5))
    blocks = [values(game, jnp.stack([b, 1 - b], -1)) for b in full.reshape(-1, 64, 5)]
    return [np.concatenate(x)[: len(p)] for x in zip(*jax.tree.map(np.asarray, blocks), strict=True)]


@pytest.mark.parametrize(
    ("time", "name"),
    [
        pytest.param(
            time, name, marks=[pytest.mark.slow] * (time != "H10" and name in ("prisoners_dilemma", "chicken"))
        )
        for time in TIMES
        for name in GAMES
    ],
)
def test_deterministic_leaders_have_the_golden_values_under_both_tie_rules(name, time):
    leaders = np.concatenate([markov.LEADERS, RANDOM, [GAMES[name][STOCHASTIC[time]]["p"]]])
    for ties, sign in SIGNS.items():
        found, reply = ours(name, leaders, time, ties)
        policies, expected = markov.best_response(leaders, *matrices(name), sign=sign, **TIMES[time])
        np.testing.assert_allclose(found, expected, atol=1e-9)
        random = slice(32, 63)  # no ties, where the golden leaders have many
        np.testing.assert_array_equal(np.argmax(reply[random], -1), policies[random])
        best = GAMES[name][f"{time}_det_{ties[:3] if sign == 1 else 'pess'}"]
        np.testing.assert_allclose(found[:32, 0].max(), best["leader"], atol=1e-9)
        if ties == "optimistic":
            np.testing.assert_allclose(found[:32], GAMES[name][f"{time}_det_table"], atol=1e-9)
            np.testing.assert_allclose(found[63, 0], GAMES[name][STOCHASTIC[time]]["leader"], atol=1e-9)


@pytest.mark.parametrize(("time", "value"), [("H10", -0.65), ("disc96", -0.5)])
def test_the_stochastic_optimum_of_the_prisoners_dilemma_hangs_on_the_tie_rule(time, value):
    """Against the leader, or with p lowered by 1e-6, it is -2: mutual defection."""
    p = np.array(GAMES["prisoners_dilemma"][STOCHASTIC[time]]["p"])
    leaders = np.stack([p, np.maximum(p - 1e-6, 0)])
    for_it, against_it = (ours("prisoners_dilemma", leaders, time, ties)[0][:, 0] for ties in SIGNS)
    np.testing.assert_allclose([*for_it, *against_it], [value, -2.0, -2.0, -2.0], atol=1e-9)


def test_a_search_over_follower_policies_finds_the_stochastic_optima():
    """Discounted: the best leader for each of the 32; in ten steps, all best responses to a grid of leaders."""
    name = "prisoners_dilemma"
    found, p, _ = markov.constrained_optimum(*matrices(name), discount=0.96, starts=3)
    assert abs(found - GAMES[name]["disc96_sto"]["leader"]) < 1e-3
    assert abs(ours(name, np.array([p + 1e-4 * (p > 1e-3)]), "disc96", "pessimistic")[0][0, 0] - found) < 2e-3
    grid = np.array(list(itertools.product(np.linspace(0, 1, 9), repeat=5)))
    values = ours(name, grid, "H10", "optimistic")[0][:, 0]
    np.testing.assert_allclose(values.max(), GAMES[name]["H10_grid9_best"], atol=1e-9)
    np.testing.assert_allclose(grid[values.argmax()], [0, 0.5, 0, 0.5, 0])


@pytest.mark.parametrize("time", TIMES)
def test_certified_bounds(time):
    """No leader gets more than what is feasible where the follower gets what it can secure: reached by the golden ones.

    In the prisoner's dilemma it secures -2 by D for ever, and the leader's best with that is -0.5; in ten steps its
    last action is D, which leaves (9 x -0.5 - 2) / 10 = -0.65.
    """
    for name, entry in GAMES.items():
        RL, RF = matrices(name)
        if name == "prisoners_dilemma":
            bound = {"disc96": -0.5, "H10": -0.65}[time]
        elif name == "matching_pennies":
            bound = 0.0
        else:
            bound = RL.max()
        values = ours(name, RANDOM, time, "optimistic")[0]
        assert np.all(values[:, 0] <= bound + 1e-9)
        assert np.all(values[:, 1] >= np.min(RF, 0).max() - 1e-9)  # what a pure action secures
        assert abs(entry[STOCHASTIC[time]]["leader"] - bound) < 1e-9


@pytest.mark.parametrize("name", GAMES)
def test_against_the_bits_a_leader_gets_what_the_transcription_says(name):
    """The contextual follower answers what it was answered: the golden grid optimum, and two random leaders."""
    game = MarkovGame.repeated(IteratedMatrixGame(*matrices(name)), horizon=10)
    table = ContextualFollower.exact(game).policies[0]
    entry = GOLDEN["stackelberg_pomdp_bits"][name]
    p = np.stack([entry["grid_p"], *RANDOM[:2]])
    found = bits(game, table, jnp.stack([p, 1 - p], -1))
    np.testing.assert_allclose(found, [markov.bits_value(x, *matrices(name), horizon=10) for x in p], atol=1e-9)
    np.testing.assert_allclose(found[0], entry["grid_max"], atol=1e-9)
