"""Commitments against published and golden values, brute force from the definitions, and the theorems about them."""

import itertools
import json
import warnings
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import nashpy
import numpy as np
import pytest

from stackjax.equilibria import commitment
from stackjax.equilibria.commitment import optimal_commitment, pure_commitment
from stackjax.games.bimatrix import Bimatrix
from tests.transcriptions.commitment import TwoRows, three_rows, worth

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "commitments.json").read_text())
RULES = ("strong", "weak")
each_rule = pytest.mark.parametrize("ties", RULES)
METHODS = (optimal_commitment, pure_commitment)


def degenerate_games(seed, games, rows=None):
    """Games of small integers, nearly all of them with ties."""
    rng = np.random.default_rng(seed)
    for _ in range(games):
        shape = (rng.integers(1, 5) if rows is None else rows, rng.integers(1, 5))
        yield rng.integers(0, rng.integers(2, 5), size=(2, *shape)).astype(float)


def check_certificate(result, U1, U2):
    """That the result is what it says, from the game's own payoffs."""
    x, j = result.leader_strategy, result.follower_action
    assert x.dtype == np.float64 and x.shape == (len(U1),) and x.min() >= 0 and abs(x.sum() - 1) < 1e-12
    scale = np.ptp(U2) or 1.0
    assert x @ U2[:, j] >= (x @ U2).max() - 1e-9 * scale
    np.testing.assert_allclose((x @ U1[:, j], x @ U2[:, j]), (result.leader_value, result.follower_value), atol=1e-12)
    if result.attained:
        yields = worth(x[None], U1, U2, result.ties, 1e-9 * scale)[0]
        assert abs(yields - result.leader_value) <= 1e-8 * (np.ptp(U1) or 1.0)


# What is known


@pytest.mark.parametrize(
    ("U1", "U2", "strategy", "value", "pure"),
    [  # Conitzer and Sandholm (2006)
        ([[2, 4], [1, 3]], [[1, 0], [0, 1]], [1 / 2, 1 / 2], 7 / 2, 3),
        ([[2, 0, 0], [1, 0, 0]], [[0, 2, 5], [0, -1, -4]], [1 / 3, 2 / 3], 4 / 3, 1),
    ],
)
def test_published_examples(U1, U2, strategy, value, pure):
    for ties in RULES:
        mixed = optimal_commitment(U1, U2, ties)
        np.testing.assert_allclose(mixed.leader_strategy, strategy, rtol=0, atol=1e-12)
        assert mixed.leader_value == pytest.approx(value, abs=1e-12)
        assert mixed.attained == (ties == "strong")  # on the boundary of a region, on whose other side the leader loses
        assert pure_commitment(U1, U2, ties).leader_value == pure


@pytest.mark.parametrize("name", GOLDEN["mixed"])
def test_golden_mixed_commitments(name):
    golden = GOLDEN["mixed"][name]
    found = optimal_commitment(golden["U1"], golden["U2"])
    assert (found.leader_value, found.follower_value, found.leader_strategy[0]) == pytest.approx(
        (golden["leader"], golden["follower"], golden["p"]), abs=1e-12
    )


@pytest.mark.parametrize("name", GOLDEN["pure"])
def test_golden_pure_commitments(name):
    golden = GOLDEN["pure"][name]
    found = pure_commitment(golden["U1"], golden["U2"], "weak")
    assert found.leader_strategy.tolist() == np.eye(len(golden["U1"]))[golden["a"]].tolist()
    assert (found.follower_action, found.leader_value, found.follower_value) == (
        golden["b"],
        golden["u1"],
        golden["u2"],
    )
    assert pure_commitment(golden["U1"], golden["U2"]).leader_value == golden["strong_u1"]


# Ties


def test_a_reply_that_is_best_on_the_boundary_only_cannot_be_induced():
    U1, U2 = [[0, 5], [1, 0]], [[1, 1], [1, 0]]  # column 1 is weakly dominated: as good as column 0 in row 0 alone
    assert optimal_commitment(U1, U2).leader_value == 5
    weak = optimal_commitment(U1, U2, "weak")
    assert (weak.leader_value, weak.follower_action, weak.attained) == (1, 0, True)


def test_among_replies_that_are_worth_the_same_the_worst_counts():
    U1 = [[0, 4], [3, 1]]
    weak = optimal_commitment(U1, np.zeros((2, 2)), "weak")  # the follower doesn't care: the leader's maximin strategy
    np.testing.assert_allclose(weak.leader_strategy, [1 / 3, 2 / 3], atol=1e-12)
    assert weak.leader_value == pytest.approx(2) and weak.attained
    assert optimal_commitment(U1, np.zeros((2, 2))).leader_value == 4
    assert pure_commitment(U1, np.zeros((2, 2)), "weak").leader_value == 1


def test_the_value_may_be_attained_inside_a_region_alone():
    U1, U2 = [[1, 0, 2], [1, 2, 0]], [[1, 1, 0], [1, 0, 1]]  # column 0 is tied in either row, and best alone in between
    weak = optimal_commitment(U1, U2, "weak")
    assert (weak.leader_value, weak.follower_action, weak.attained) == (1, 0, True)
    assert 0.01 < weak.leader_strategy[0] < 0.99
    nearly = optimal_commitment([[1, 0, 2], [1 + 1e-3, 0, 0]], U2, "weak")  # row 1 is better, and tied
    assert (nearly.leader_value, nearly.attained) == (pytest.approx(1 + 1e-3), False)
    assert "supremum, not attained" in str(nearly)


@pytest.mark.parametrize(
    ("U1", "U2", "low", "high"),
    [  # Column 0 is a reply that can be induced, and where it pays the leader 1 the others are tied.
        # Row 2 pays less. Column 1 pays enough from a half of row 0 on, where column 2 is tied too.
        ([[1, 2, 0], [1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, -1], [0, -1, -5]], [0.5, 0, 0], [0.99, 0.5, 0]),
        # Column 1 pays enough without row 2; column 2, tied there, from a half of row 0 on, where column 3 is tied.
        (
            [[1, 1, 2, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
            [[0, 0, 0, 0], [0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1]],
            [0.5, 0, 0, 0],
            [0.99, 0.5, 0, 0],
        ),
        # Columns 1 and 2, always tied, both pay enough at one point only.
        ([[1, 2, 0], [1, 0, 2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0], [0, -1, -2]], [0.5, 0.5, 0], [0.5, 0.5, 0]),
    ],
)
def test_where_ties_leave_few_strategies_that_attain_the_value(U1, U2, low, high):
    weak = optimal_commitment(U1, U2, "weak")
    assert (weak.leader_value, weak.follower_action, weak.attained) == (pytest.approx(1), 0, True)
    check_certificate(weak, np.array(U1), np.array(U2))
    assert (weak.leader_strategy >= np.array(low) - 1e-9).all() and (
        weak.leader_strategy <= np.array(high) + 1e-9
    ).all()
    U1 = [[pays if column == 0 else min(pays, 0.9) for column, pays in enumerate(row)] for row in U1]
    assert not optimal_commitment(U1, U2, "weak").attained


def test_ties_survive_rounding():
    U1 = [[0, 1, 9], [1, 2, 9]]
    for sums in (  # ties, but for the last bit, of all payoffs or of the larger ones
        [[0.1 + 0.2, 0.3], [0.3, 0.1 + 0.2]],
        [[0.1 + 0.2, 0.3, 0], [0.3, 0.1 + 0.2, 0]],
    ):
        for method in METHODS:
            U = np.array(U1)[:, : len(sums[0])]
            assert method(U, sums).leader_value == 2
            assert method(U, sums, "weak").leader_value == 1
    # all three columns meet at (1/3, 2/3) to the last bit or so, and column 2 is a best reply there alone
    U1, U2 = [[0, 0, 1], [0, 0, 1]], np.array([[2, 0, 2 / 3], [0, 1, 2 / 3]]) * 0.1
    strong, weak = (optimal_commitment(U1, U2, ties) for ties in RULES)
    assert (strong.leader_value, strong.follower_action, weak.leader_value) == (1, 2, 0)
    np.testing.assert_allclose(strong.leader_strategy, [1 / 3, 2 / 3], atol=1e-9)


@each_rule
def test_the_lowest_index_of_what_is_equally_good(ties):
    for U2 in (np.zeros((3, 4)), np.eye(3, 4)):
        for method in METHODS:
            assert method(np.ones((3, 4)), U2, ties).follower_action == 0
    assert pure_commitment(np.ones((3, 4)), np.eye(3, 4)[:, ::-1], ties).leader_strategy.tolist() == [1, 0, 0]


# Payoffs of very different sizes

FORBIDDEN = -1e10


def test_a_forbidden_reply_blurs_no_tie():
    U1, U2 = [[2, 4, -9], [1, 3, -9]], [[1, 0, FORBIDDEN], [0, 1, FORBIDDEN]]
    strong, weak = (optimal_commitment(U1, U2, ties) for ties in RULES)
    np.testing.assert_allclose(strong.leader_strategy, [1 / 2, 1 / 2], rtol=0, atol=1e-12)
    assert strong.leader_value == weak.leader_value == pytest.approx(3.5, abs=1e-12)
    assert (strong.attained, weak.attained, strong.follower_action) == (True, False, 1)
    assert [pure_commitment(U1, U2, ties).leader_value for ties in RULES] == [3, 3]


def normal_games(seed, games):
    rng = np.random.default_rng(seed)
    for _ in range(games):
        yield rng, *rng.normal(size=(2, *rng.integers(2, 5, size=2)))


def check_same(U1, U2, V1, V2, places=1.0):
    """That the second game is worth what the first is, times `places`."""
    for ties, method in itertools.product(RULES, METHODS):
        plain, found = method(U1, U2, ties), method(V1, V2, ties)
        assert found.leader_value / places == pytest.approx(plain.leader_value, abs=1e-7)
        assert found.attained == plain.attained
        x, leads = found.leader_strategy, V2[:, [found.follower_action]] - V2
        assert (x @ leads >= -1e-9 * (x @ np.abs(leads))).all()  # of the entries that it mixes


def test_forbidden_replies_change_nothing():
    """Anywhere, and whatever the leader would be paid, be it a fortune."""
    for rng, U1, U2 in normal_games(12, 60):
        at = rng.integers(U1.shape[1] + 1)
        forbidden = FORBIDDEN * rng.uniform(0.5, 2, size=len(U1)) ** rng.integers(2)
        pays = rng.normal(size=len(U1)) * 10.0 ** rng.integers(0, 11)
        check_same(U1, U2, np.insert(U1, at, pays, axis=1), np.insert(U2, at, forbidden, axis=1))


def test_forbidden_rows_of_the_leader_change_nothing():
    for rng, U1, U2 in normal_games(13, 25):
        at = rng.integers(len(U1) + 1)
        row = FORBIDDEN * np.ones(U1.shape[1]), rng.normal(size=U1.shape[1])
        check_same(U1, U2, *(np.insert(U, at, new, axis=0) for U, new in zip((U1, U2), row, strict=True)))


def test_large_and_small_units_and_large_offsets_change_nothing():
    for n, (rng, U1, U2) in enumerate(normal_games(14, 24)):
        units = 10.0 ** np.array([[-10, 10], [10, -10], [10, 10], [-10, -10]])[n % 4]
        check_same(U1, U2, units[0] * U1, units[1] * U2, units[0])
        check_same(U1, U2, U1, U2 + 1e6 * rng.normal(size=(len(U2), 1)))  # what the follower is paid whatever it does


@pytest.mark.parametrize(
    ("U1", "U2", "value"),
    [  # The follower's alternatives in row 1, of the sizes of 1, decide; in row 0 one of them is forbidden, or two are.
        ([[2, 4, 9], [1, 3, 9]], [[1, 0, FORBIDDEN], [0, 1, 0.5]], 3.5),
        ([[1, 0, 5], [0, 3, 5]], [[1, 0.5, FORBIDDEN], [0, FORBIDDEN, -1]], 1),
        ([[0, 4], [3, 0]], [[1e-10, 0], [0, 1e10]], 4),  # 1e-20 of row 1 suffices to induce column 1
        ([[0, 1], [3, 4]], [[FORBIDDEN, 0], [0.25, 0]], 4),  # 2.5e-11 of row 0 here, which costs about as much
        ([[2, 4], [1, 3], [FORBIDDEN, FORBIDDEN]], [[1, 0], [0, 1], [0, 1]], 3.5),
        ([[2, 4, 1e10], [1, 3, 1e10]], [[1, 0, 0], [0, 1, 0.4]], 3.5),
    ],
)
def test_sizes_that_differ_within_rows(U1, U2, value):
    for ties in RULES:
        found = optimal_commitment(U1, U2, ties)
        assert found.leader_value == pytest.approx(value, abs=1e-9)
        if ties == "strong":
            x, leads = found.leader_strategy, np.array(U2)[:, [found.follower_action]] - np.array(U2)
            assert (x @ leads >= -1e-9 * (x @ np.abs(leads))).all()


def test_two_rows_exactly_where_replies_are_forbidden_in_some_rows():
    """Values against exact arithmetic; small probabilities, of 1e-10, may decide which replies can be induced."""
    small = 0
    for rng, U1, U2 in normal_games(15, 100):
        U1, U2 = U1[:2], np.where(rng.random((2, U1.shape[1])) < 0.3, FORBIDDEN, U2[:2])
        exact = TwoRows(*([[Fraction(x) for x in row] for row in U.tolist()] for U in (U1, U2)))
        for ties in RULES:
            found = optimal_commitment(U1, U2, ties)
            assert found.leader_value == pytest.approx(float(exact.commitment(ties)[0]), abs=1e-9)
            small += 0 < found.leader_strategy.min() < 1e-8
    assert small > 5


def test_a_reply_that_is_not_best_is_not_returned(monkeypatch):
    """With a solver that is wrong: the second row, to which column 1 is the best reply, whatever it is asked."""
    monkeypatch.setattr(
        commitment, "_maximise", lambda *_, **__: commitment._Solution(np.array([0.0, 1.0]), np.zeros(1))
    )
    found = optimal_commitment([[2, 4], [1, 3]], [[1, 0], [0, 1]])
    assert (found.follower_action, found.leader_value) == (1, 3)
    with pytest.raises(RuntimeError, match="no strategy of the leader to which any reply is best"):
        monkeypatch.setattr(commitment._Game, "is_best", lambda *_: False)
        optimal_commitment([[2, 4], [1, 3]], [[1, 0], [0, 1]])


# Brute force


def test_two_rows_exactly():
    """Value and attainment in 100 games full of ties, scaled so that floats can't hold their payoffs exactly."""
    seen = set()
    for n, (U1, U2) in enumerate(degenerate_games(0, 100, rows=2)):
        divisor = (1, 3, 7, 10)[n % 4]
        exact = TwoRows(*([[Fraction(int(x), divisor) for x in row] for row in U] for U in (U1, U2)))
        values = {}
        for ties in RULES:
            found = optimal_commitment(U1 / divisor, U2 / divisor, ties)
            value, attained = exact.commitment(ties)
            assert found.leader_value == pytest.approx(float(value), abs=1e-9) and found.attained == attained
            check_certificate(found, U1 / divisor, U2 / divisor)
            values[ties] = value
        low, high = exact.nash_payoffs()  # von Stengel and Zamir: no lower as a set, in degenerate games too
        assert low <= values["weak"] and high <= values["strong"]
        seen.add((attained, values["weak"] < values["strong"], low < high))
    assert all(len(set(flags)) == 2 for flags in zip(*seen, strict=True))  # there were games of either kind


def test_three_rows_by_their_cells():
    seen = set()
    for U1, U2 in degenerate_games(1, 40, rows=3):
        U1, U2 = U1[:, :3], U2[:, :3]
        points = three_rows(U1, U2)
        strong, weak = (optimal_commitment(U1, U2, ties) for ties in RULES)
        assert strong.leader_value == pytest.approx(worth(points, U1, U2, "strong").max(), abs=1e-9)
        best = worth(points, U1, U2, "weak").max()
        assert best <= weak.leader_value + 1e-9 and weak.attained == (best >= weak.leader_value - 1e-9)
        near = worth((1 - 1e-6) * weak.leader_strategy + 1e-6 * points, U1, U2, "weak", 1e-12)
        assert near.max() >= weak.leader_value - 1e-5
        for found in (strong, weak):
            check_certificate(found, U1, U2)
        seen.add((weak.attained, weak.leader_value < strong.leader_value - 1e-9))
    assert all(len(set(flags)) == 2 for flags in zip(*seen, strict=True))


def test_two_rows_on_a_grid():
    """To 1e-3, with ties and without.

    The grid's step times the range of payoffs is below 1e-3, and no grid point yields more than the value. With weak
    ties a supremum is approached by the grid points inside of the region. (A region narrower than the step is missed,
    with a probability of about 1e-4 a random game; the seeds are fixed.) The step is 1 / (4 * 2520), so that the small
    integers' ties lie on the grid, up to denominators of 10.
    """
    grid = np.arange(4 * 2520 + 1) / (4 * 2520)
    strategies = np.stack([1 - grid, grid], axis=1)
    rng = np.random.default_rng(2)
    normal = [rng.normal(size=(2, 2, rng.integers(1, 7))) for _ in range(30)]
    for U1, U2 in itertools.chain(normal, degenerate_games(3, 30, rows=2)):
        assert np.ptp(U1) * grid[1] < 1e-3
        for ties in RULES:
            value = optimal_commitment(U1, U2, ties).leader_value
            assert -1e-9 <= value - worth(strategies, U1, U2, ties).max() < 1e-3


@each_rule
def test_no_strategy_that_is_tried_yields_more(ties):
    rng = np.random.default_rng(4)
    for rows, columns in [(4, 6), (7, 3), (12, 12)]:
        U1, U2 = rng.normal(size=(2, rows, columns))
        found = optimal_commitment(U1, U2, ties)
        check_certificate(found, U1, U2)
        tried = rng.dirichlet(np.full(rows, 0.3), size=5000)
        tried = np.concatenate([tried, 0.99 * found.leader_strategy + 0.01 * tried, np.eye(rows)])
        assert worth(tried, U1, U2, ties).max() <= found.leader_value + 1e-9
        assert worth(
            0.99 * found.leader_strategy + 0.01 * tried, U1, U2, ties
        ).max() >= found.leader_value - 0.01 * np.ptp(U1)


def test_pure_commitments_by_enumeration():
    for U1, U2 in degenerate_games(5, 50):
        for ties in RULES:
            found = pure_commitment(U1, U2, ties)
            rows = worth(np.eye(len(U1)), U1, U2, ties)
            assert found.leader_value == rows.max()
            assert found.leader_strategy.argmax() == rows.argmax() and found.attained
            check_certificate(found, U1, U2)


# Theorems


def nash_payoffs(U1, U2, enumeration):
    """The leader's payoffs in the equilibria that Nashpy finds, each of which is checked to be one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Nashpy's, of an even number of equilibria
        equilibria = list(getattr(nashpy.Game(U1, U2), enumeration)())
    for x, y in equilibria:
        if (U1 @ y).max() <= x @ U1 @ y + 1e-9 and (x @ U2).max() <= x @ U2 @ y + 1e-9:
            yield x @ U1 @ y


def test_commitment_pays_at_least_every_nash_equilibrium_of_random_games():
    """Without ties the weak value is the strong one (von Stengel and Zamir), so both are above every Nash payoff."""
    rng = np.random.default_rng(6)
    equilibria, gains = 0, []
    for _ in range(25):
        U1, U2 = rng.normal(size=(2, *rng.integers(2, 5, size=2)))
        payoffs = [p for how in ("support_enumeration", "vertex_enumeration") for p in nash_payoffs(U1, U2, how)]
        strong, weak = (optimal_commitment(U1, U2, ties).leader_value for ties in RULES)
        assert abs(strong - weak) < 1e-9
        assert payoffs and strong >= max(payoffs) - 1e-9
        equilibria, gains = equilibria + len(payoffs), [*gains, strong - max(payoffs)]
    assert equilibria > 50 and np.mean(np.array(gains) > 1e-6) > 0.2  # not vacuous: commitment often pays


def test_commitment_pays_at_least_every_nash_equilibrium_of_degenerate_games():
    equilibria = 0
    for U1, U2 in degenerate_games(7, 40):
        payoffs = list(nash_payoffs(U1, U2, "support_enumeration"))
        equilibria += len(payoffs)
        assert optimal_commitment(U1, U2).leader_value >= max(payoffs, default=-np.inf) - 1e-9
    assert equilibria > 80


def test_zero_sum_values():
    """The leader's value is the maximin value, ties don't matter, and committing first is no disadvantage."""
    rng = np.random.default_rng(8)
    games = [rng.normal(size=(4, 5)), rng.normal(size=(6, 2)), rng.integers(0, 3, size=(4, 4)), np.zeros((2, 3))]
    for U in games:
        found = [optimal_commitment(U, -U, ties) for ties in RULES]
        column_player = optimal_commitment(-U.T, U.T)
        for one in found:
            assert (one.leader_strategy @ U).min() == pytest.approx(one.leader_value, abs=1e-9)
            assert one.leader_value == pytest.approx(-column_player.leader_value, abs=1e-9)
            assert one.attained


def test_what_changes_nothing():
    """Scales, offsets, what the follower is paid whatever it does, the order of actions, and copies of actions."""
    rng = np.random.default_rng(9)
    for U1, U2 in degenerate_games(10, 15):
        rows, columns = U1.shape
        (s1, s2), (o1, o2) = 10.0 ** rng.integers(-6, 7, size=2) / 3, 100 * rng.normal(size=2)
        i, j = rng.permutation(rows), rng.permutation(columns)
        ii, jj = np.append(i, rng.integers(rows, size=2)), np.append(j, rng.integers(columns, size=2))
        for ties, method in itertools.product(RULES, METHODS):
            plain = method(U1, U2, ties)
            others = [
                method(s1 * (U1 + o1), s2 * (U2 + o2 + 10 * rng.normal(size=(rows, 1))), ties),
                method(U1[i][:, j], U2[i][:, j], ties),
                method(U1[ii][:, jj], U2[ii][:, jj], ties),
            ]
            values = [others[0].leader_value / s1 - o1, others[1].leader_value, others[2].leader_value]
            np.testing.assert_allclose(values, plain.leader_value, rtol=0, atol=1e-8)
            assert {other.attained for other in others} == {plain.attained}


def test_the_order_of_the_values():
    for U1, U2 in degenerate_games(11, 20):
        mixed, pure = ([method(U1, U2, ties).leader_value for ties in RULES] for method in METHODS)
        assert mixed[0] >= mixed[1] - 1e-9 and pure[0] >= pure[1]
        assert all(m >= p - 1e-9 for m, p in zip(mixed, pure, strict=True))


# Edges


@each_rule
def test_a_player_with_one_action(ties):
    for method in METHODS:
        found = method([[1, 2, 3]], [[4, 5, 5]], ties)  # one row: no choice but the follower's
        assert (found.leader_value, found.follower_value) == ((3, 5) if ties == "strong" else (2, 5))
        found = method([[1], [3], [2]], [[0], [0], [9]], ties)  # one column
        assert found.leader_value == 3 and found.leader_strategy.tolist() == [0, 1, 0]
        assert method([[7]], [[-2]], ties).follower_value == -2


@each_rule
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_sizes_of_payoffs(ties, scale):
    U1, U2 = np.array([[2, 4], [-1, 3]]) * scale, np.array([[1, -1], [-1, 1]]) * scale
    found = optimal_commitment(U1, U2, ties)
    assert found.leader_value / scale == pytest.approx(3.5)
    assert optimal_commitment(U1, np.full((2, 2), 1 / 3), ties).leader_value / scale == (4 if ties == "strong" else 2)


def test_payoffs_of_jax_and_of_a_game():
    game = Bimatrix(jnp.array([[2, 4], [1, 3]], jnp.float32), np.eye(2, dtype=np.int64))
    found = optimal_commitment(game.leader_payoffs, game.follower_payoffs)
    assert found.leader_value == 3.5 and found.leader_strategy.dtype == np.float64


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("U1", "U2", "ties", "error", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "strong", ValueError, r"U1, U2: .*same shape.*\(2, 3\) and \(3, 2\)"),
        (np.ones(3), np.ones(3), "strong", ValueError, r"U1: expected a matrix"),
        (np.ones((2, 2)), 1.0, "strong", ValueError, r"U2: expected a matrix"),
        (np.ones((0, 2)), np.ones((0, 2)), "strong", ValueError, r"U1: expected at least one action"),
        ([[1.0, np.nan]], [[1, 2]], "strong", ValueError, r"U1: expected finite"),
        ([[1, 2]], [[1.0, np.inf]], "strong", ValueError, r"U2: expected finite"),
        ([["a", "b"]], [[1, 2]], "strong", TypeError, r"U1: expected a matrix of real numbers"),
        ([[1, 2], [3]], [[1, 2], [3, 4]], "strong", TypeError, r"U1: expected a matrix of numbers"),
        ([[1, 2j]], [[1, 2]], "strong", TypeError, r"U1: expected a matrix of real numbers"),
        ([[1, 2]], [[True, False]], "strong", TypeError, r"U2: expected a matrix of real numbers"),
        ([[1, 2]], None, "strong", TypeError, r"U2: expected a matrix of real numbers"),
        ([[1, 2]], [[1, 2]], "pessimistic", ValueError, r"ties: expected 'strong' or 'weak', got 'pessimistic'"),
    ],
)
def test_bad_input_is_refused_by_the_argument_s_name(method, U1, U2, ties, error, message):
    with pytest.raises(error, match=message):
        method(U1, U2, ties)


def test_it_says_that_it_does_not_run_inside_of_a_transformation():
    with pytest.raises(TypeError, match="inside of jit"):
        jax.jit(lambda U: optimal_commitment(U, U).leader_value)(jnp.ones((2, 2)))


def test_a_solver_that_fails_is_reported(monkeypatch):
    def fails(*_, **__):
        class Failure:
            status, message = 4, "numerical difficulties"

        return Failure()

    monkeypatch.setattr(commitment.scipy.optimize, "linprog", fails)
    with pytest.raises(RuntimeError, match="numerical difficulties"):
        optimal_commitment(np.eye(2), np.eye(2))
