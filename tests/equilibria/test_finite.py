"""Equilibria and dominated actions of finite games: known games, ties, nashpy, and the definitions."""

import itertools
import warnings

import jax
import nashpy
import numpy as np
import pytest

from stackjax.equilibria import finite

DILEMMA = ([[3, 0], [4, 1]], [[3, 4], [0, 1]])
SEXES = ([[2, 0], [0, 1]], [[1, 0], [0, 2]])
PENNIES = ([[1, -1], [-1, 1]], [[-1, 1], [1, -1]])
TIED = ([[0, 0, 0], [0, 0, 0]],) * 2
CORNERS = {(*np.eye(2)[i], *np.eye(3)[j]) for i in range(2) for j in range(3)}
THIRDS = round(2 / 3, 9), round(1 / 3, 9)
# The third row is worse than a mixture of the others, and than neither of them.
MIXTURE = ([[3, 0], [0, 3], [1, 1]], [[1, 0], [0, 1], [0, 0]])


def mixed(game):
    """The pairs of strategies, rounded."""
    return {
        tuple(np.round(np.concatenate(pair), 9).tolist()) for pair in zip(*finite.nash_equilibria(*game), strict=True)
    }


@pytest.mark.parametrize(
    ("game", "pure", "equilibria"),
    [
        (DILEMMA, [(1, 1)], {(0, 1, 0, 1)}),
        (SEXES, [(0, 0), (1, 1)], {(1, 0, 1, 0), (0, 1, 0, 1), (*THIRDS, *THIRDS[::-1])}),
        (PENNIES, [], {(0.5, 0.5, 0.5, 0.5)}),
        (TIED, list(itertools.product(range(2), range(3))), CORNERS),
        (([[2]], [[3]]), [(0, 0)], {(1, 1)}),
    ],
)
def test_known_games(game, pure, equilibria):
    assert [tuple(cell) for cell in np.argwhere(finite.pure_nash(*game)).tolist()] == pure
    assert mixed(game) == equilibria


def test_pure_equilibria_come_first():
    leader, follower = finite.nash_equilibria(*SEXES)
    np.testing.assert_allclose(leader, [[1, 0], [0, 1], [2 / 3, 1 / 3]])
    np.testing.assert_allclose(follower, [[1, 0], [0, 1], [1 / 3, 2 / 3]])


def losses(U1, U2, x, y):
    """What each player could gain by another action."""
    paid = np.asarray(U1, float) @ y, x @ np.asarray(U2, float)
    return paid[0].max() - x @ paid[0], paid[1].max() - paid[1] @ y


def test_random_games_have_the_equilibria_that_nashpy_finds():
    """With its enumeration of vertices (Qhull); its enumeration of supports compares rounded numbers for equality.

    Fixed random numbers: a nondegenerate game with probability one, whose equilibria are odd in number.
    """
    rng = np.random.default_rng(0)
    for shape in [(2, 2), (3, 2), (2, 4), (4, 4), (5, 3), (5, 5)] * 4:
        game = rng.normal(size=(2, *shape))
        found = mixed(game)
        assert len(found) % 2 == 1
        expected = nashpy.Game(*game).vertex_enumeration()
        assert found == {tuple(np.round(np.concatenate(pair), 9).tolist()) for pair in expected}


def test_degenerate_games_have_their_extreme_equilibria():
    """Payoffs 0, 1 or 2: what is found are equilibria, the pure ones among them, and all that nashpy finds."""
    rng = np.random.default_rng(1)
    for _ in range(60):
        game = rng.integers(0, 3, size=(2, 3, 3)).astype(float)
        leader, follower = finite.nash_equilibria(*game)
        for x, y in zip(leader, follower, strict=True):
            assert max(losses(*game, x, y)) < 1e-9
            assert x.min() >= 0 and y.min() >= 0 and x.sum() == pytest.approx(1) and y.sum() == pytest.approx(1)
        points = mixed(game)
        assert len(points) == len(leader)
        pure = finite.pure_nash(*game)
        corners = {(*np.eye(3)[i], *np.eye(3)[j]) for i, j in np.argwhere(pure)}
        assert corners == {point for point in points if set(point) == {0.0, 1.0}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of degenerate games
            others = list(nashpy.Game(*game).vertex_enumeration())
        for x, y in others:
            if np.isfinite(x).all() and np.isfinite(y).all() and max(losses(*game, x, y)) < 1e-9:
                assert tuple(np.round(np.concatenate([x, y]), 9).tolist()) in points


def test_a_textbook_game_with_infinitely_many_equilibria():
    """Row 3 is a best reply only if column 2 is played at least 2/3; row 1 keeps column 1 and 2 tied."""
    found = finite.nash_equilibria([[3, 3], [2, 5], [0, 6]], [[3, 3], [2, 6], [3, 1]])
    np.testing.assert_allclose(found.leader, [[1, 0, 0], [1, 0, 0], [0, 1 / 3, 2 / 3]], atol=1e-12)
    np.testing.assert_allclose(found.follower, [[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3]], atol=1e-12)


def test_what_is_dominated():
    strictly, weakly, mixtures = (
        [[each.tolist() for each in found(*game)] for game in (DILEMMA, SEXES, TIED, MIXTURE)]
        for found in (
            finite.dominated,
            lambda *game: finite.dominated(*game, weakly=True),
            finite.dominated_by_mixtures,
        )
    )
    none = [[False] * 2, [False] * 2]
    assert strictly == [[[True, False]] * 2, none, [[False] * 2, [False] * 3], [[False] * 3, [False] * 2]]
    assert weakly == strictly
    assert mixtures == [[[True, False]] * 2, none, [[False] * 2, [False] * 3], [[False, False, True], [False] * 2]]
    # The second row is weakly dominated, the third is equal to it; the first column dominates the second, weakly.
    game = [[2, 1], [1, 1], [1, 1]], [[1, 0], [1, 1], [1, 1]]
    assert [x.tolist() for x in finite.dominated(*game)] == [[False] * 3, [False] * 2]
    assert [x.tolist() for x in finite.dominated(*game, weakly=True)] == [[False, True, True], [False, True]]


def test_an_action_is_dominated_by_mixtures_if_it_is_never_a_best_reply():
    """Against two columns: a row that is ever best is best where two rows' payoffs cross, or at an end."""
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(20):
        u = rng.normal(size=(5, 2))
        slopes, ends = u[:, 1] - u[:, 0], u[:, 0]
        pairs = list(itertools.combinations(range(5), 2))
        crossings = [-(ends[i] - ends[j]) / (slopes[i] - slopes[j]) for i, j in pairs]
        at = np.array([0.0, 1.0, *(c for c in crossings if 0 < c < 1)])
        paid = ends[:, None] + slopes[:, None] * at
        never = ~np.any(paid >= paid.max(0) - 1e-12, axis=1)
        np.testing.assert_array_equal(finite.dominated_by_mixtures(u, -u).leader, never)
        np.testing.assert_array_equal(finite.dominated_by_mixtures(-u.T, u.T).follower, never)
        found += int(np.sum(never & ~finite.dominated(u, u).leader))
    assert found > 0


def test_several_games_at_once_and_payoffs_in_other_units():
    rng = np.random.default_rng(3)
    games = rng.integers(0, 4, size=(2, 20, 3, 4)).astype(float)
    together = finite.pure_nash(*games), *finite.dominated(*games, weakly=True), *finite.dominated(*games)
    for i in range(20):
        one = games[0, i] * 1e6 + 1e3, games[1, i] * 1e-6 - 5
        alone = finite.pure_nash(*one), *finite.dominated(*one, weakly=True), *finite.dominated(*one)
        for several, single in zip(together, alone, strict=True):
            np.testing.assert_array_equal(several[i], single)


def test_what_counts_as_a_tie():
    """1e-9 of the most that the player can lose by its own choice."""
    for gap, ties in ((1e-11, True), (1e-7, False)):
        u1 = np.array([[1.0, 0.0], [1.0 - gap, 1.0]])
        assert bool(finite.pure_nash(u1, np.array([[1.0, 0.0], [1.0, 0.0]]))[1, 0]) == ties
    # That is: not of payoffs that it can't choose between.
    assert finite.pure_nash([[1e12, 0], [1e12, 1]], [[0, 1], [0, 1]]).tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize(
    "call", [finite.pure_nash, finite.nash_equilibria, finite.dominated, finite.dominated_by_mixtures]
)
def test_bad_input(call):
    with pytest.raises(ValueError, match=r"^U1, U2: expected matrices of the same shape"):
        call([[1, 2]], [[1], [2]])
    with pytest.raises(ValueError, match=r"^U2: expected finite numbers"):
        call([[1.0]], [[np.nan]])
    with pytest.raises(TypeError, match=r"^U1, U2: expected known numbers"):
        jax.jit(lambda u: call(u, u) is None)(np.ones((2, 2)))


def test_games_that_are_too_large_or_too_many():
    for call in (finite.nash_equilibria, finite.dominated_by_mixtures):
        with pytest.raises(ValueError, match=r"^U1, U2: expected the matrices \[A, B\] of one game, got the shape"):
            call(np.ones((2, 2, 2)), np.ones((2, 2, 2)))
    with pytest.raises(
        ValueError, match=r"^U1, U2: expected few actions \(9 x 9: 50000 systems at most\), got \(10, 9\)"
    ):
        finite.nash_equilibria(np.ones((10, 9)), np.ones((10, 9)))
