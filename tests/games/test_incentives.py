"""Games of incentives: the enumerated optimum, the myopic leader, and which tolls leave a pure equilibrium."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import incentives

CELLS = 5
LEADERS = np.array(list(itertools.product([0, 1], repeat=CELLS)))  # where a deterministic leader pays


@jax.jit
def against_best_response(game, leaders):
    def one(pays):
        leader = jax.nn.one_hot(pays, 2)
        response = game.best_response(1, (leader, None))
        return jnp.stack(game.payoffs(leader, response)), game.states(leader, response)

    return jax.vmap(one)(leaders)


def by_hand(pays, *, horizon=10, bonus=1.0, home=0.75, goal=0.1, harvest=3.0):
    """The leader's payoffs at the follower's best walks: all walks are tried."""
    best, found = -np.inf, None
    for walk in itertools.product([-1, 0, 1], repeat=horizon):
        cell, own, leader = 0, 0.0, 0.0
        for move in walk:
            last = cell == CELLS - 1
            own += bonus * pays[cell] + home * (cell == 0) + goal * last
            leader += harvest * last - bonus * pays[cell]
            cell = min(max(cell + move, 0), CELLS - 1)
        if own > best + 1e-9:
            best, found = own, leader
        elif own > best - 1e-9:
            found = max(found, leader)
    return found / horizon, best / horizon


@pytest.mark.parametrize("ties", ["optimistic", "pessimistic"])
def test_the_corridor_s_optimum_is_to_pay_in_the_last_two_cells(ties):
    values, states = against_best_response(incentives.corridor(ties=ties), LEADERS)
    best = np.argsort(-np.asarray(values[:, 0]))
    assert LEADERS[best[0]].tolist() == [0, 0, 0, 1, 1]
    assert values[best[0], 0] == pytest.approx(1.1, abs=1e-6)  # 6 harvests of 3, 7 bonuses, 10 steps
    assert values[best[1], 0] < values[best[0], 0] - 0.05
    np.testing.assert_allclose(states[best[0]], [0.1, 0.1, 0.1, 0.1, 0.6], atol=1e-6)


def test_the_corridor_s_myopic_and_exploited_leaders():
    values, _ = against_best_response(incentives.corridor(), LEADERS)
    value = {tuple(pays): float(v) for pays, v in zip(LEADERS.tolist(), values[:, 0], strict=True)}
    assert value[0, 0, 0, 0, 0] == 0  # who never pays
    assert value[0, 0, 0, 0, 1] == 0  # too little
    assert value[0, 0, 1, 0, 1] < 0  # too early: the follower stays there
    assert value[1, 1, 1, 1, 1] == -1  # the follower stays at home


def test_the_corridor_against_all_walks():
    pays = [(0, 0, 0, 1, 1), (0, 0, 1, 0, 1), (0, 1, 0, 0, 1)]
    values, _ = against_best_response(incentives.corridor(), np.array(pays))
    np.testing.assert_allclose(values, [by_hand(p) for p in pays], atol=1e-6)


def costs_of(game):
    """Each driver's payoffs, `[toll, road of driver 1, road of driver 2]`, and the leader's."""
    eye = np.eye(3), np.eye(2), np.eye(2)
    table = np.empty((3, 3, 2, 2))
    for at in np.ndindex(3, 2, 2):
        table[(slice(None), *at)] = game.payoffs(*(jnp.asarray(e[i])[None] for e, i in zip(eye, at, strict=True)))
    return table


def pure_equilibria(table, toll):
    """The pairs of roads that neither driver leaves."""
    _, one, two = table[:, toll]
    return [(a, b) for a, b in np.ndindex(2, 2) if one[a, b] >= one[:, b].max() and two[a, b] >= two[a].max()]


def test_a_toll_parts_the_drivers():
    table = costs_of(incentives.toll_roads())
    assert [pure_equilibria(table, toll) for toll in range(3)] == [[(0, 0)], [(0, 1), (1, 0)], [(0, 0)]]
    assert [table[0, 0, 0, 0], table[0, 1, 0, 1]] == [-4.0, -3.5]


def test_without_a_toll_the_pursued_and_the_pursuer_have_no_pure_equilibrium():
    table = costs_of(incentives.toll_roads(3.0, costs=(1.0, 1.5), crowding=(2.0, -2.0)))
    assert [pure_equilibria(table, toll) for toll in range(3)] == [[], [(1, 1)], [(0, 0)]]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: incentives.corridor(1), ValueError, "cells: expected at least 2"),
        (lambda: incentives.corridor(horizon=0), ValueError, "horizon: expected at least 1"),
        (lambda: incentives.corridor(bonus="much"), TypeError, "bonus: expected a number"),
        (lambda: incentives.corridor(bonus=np.array([1, 2])), ValueError, "bonus: expected a number, got an array"),
        (lambda: incentives.toll_roads(np.ones(1)), ValueError, "toll: expected a number, got an array"),
        (lambda: incentives.toll_roads(costs=(1.0, 2.0, 3.0)), ValueError, r"costs: .* the shape \[2\]"),
        (lambda: incentives.toll_roads(float("nan")), ValueError, "toll: expected values"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
