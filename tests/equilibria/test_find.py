"""The search finds all equilibria that are known, each once, and nothing that isn't one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import equilibria
from stackjax.games import CournotDuopoly, Quadratic, TorusLocation
from stackjax.spaces import Box, Euclidean, Simplex
from tests.equilibria import examples
from tests.equilibria.examples import GOLDEN, pair
from tests.transcriptions import equilibria as reference

KEY = jax.random.key(0)


def find(game, *arguments, replies=0, **options):
    """Without a search for other best responses, which is a program of its own to compile, unless it is asked for."""
    return equilibria.find(game, *arguments, replies=replies, **options)


def rows(joint_actions):
    """As vectors in lexicographic order (to 6 digits)."""
    vectors = np.array([np.concatenate([np.ravel(a) for a in actions]) for actions in joint_actions])
    return vectors[np.lexsort(np.round(vectors, 6).T[::-1])] if len(vectors) else vectors


def points(certificates):
    return rows([c.actions for c in certificates])


def golden_points(entries):
    return rows([(e["x"], e["y"]) for e in entries])


def check(found, simultaneous, hierarchical, atol=1e-9):
    """The critical points of both fields, and which of them are equilibria."""
    for ours, entries, name in (
        (found.critical_simultaneous, simultaneous, "nash"),
        (found.critical_hierarchical, hierarchical, "stackelberg"),
    ):
        assert len(ours) == len(entries)
        np.testing.assert_allclose(points(ours), golden_points(entries), rtol=0, atol=atol)
        equilibria = [e for e in entries if e[f"differential_{name}"]]
        assert len(getattr(found, name)) == len(equilibria)
        np.testing.assert_allclose(points(getattr(found, name)), golden_points(equilibria), rtol=0, atol=atol)


@pytest.fixture(scope="module")
def torus():
    with jax.enable_x64(True):
        return find(TorusLocation(), KEY, replies=32)


def test_the_torus_has_two_and_two_equilibria_among_six_and_six_critical_points(torus):
    entries = [GOLDEN["torus"][f"critical_{field}"] for field in ("omega", "omega_S")]
    check(torus, *entries)
    assert len(torus.critical) == 8  # four are zeros of both fields
    assert len(torus.equilibria) == 4 and all(c.is_nash or c.is_stackelberg for c in torus.equilibria)
    assert all(c.simultaneous.stable for c in torus.nash) and all(c.hierarchical.stable for c in torus.stackelberg)
    assert torus.starts == 256 and all(0 < n <= 256 for n in torus.converged)


def test_a_key_gives_the_same_bits_and_another_key_the_same_points(torus, x64):
    again, other = (find(TorusLocation(), key, replies=32) for key in (KEY, jax.random.key(1)))
    assert again.converged == torus.converged and again.notes == torus.notes
    for a, b in zip(again.critical, torus.critical, strict=True):
        np.testing.assert_array_equal(a.actions, b.actions)
    np.testing.assert_allclose(points(other.critical), points(torus.critical), rtol=0, atol=1e-9)


def test_the_angles_pi_and_minus_pi_are_one(torus, x64):
    """Turned by 7 pi / 8, four critical points of each field have an angle at the seam."""
    turned = find(TorusLocation(phi=(np.pi, np.pi)), KEY)
    assert [len(c) for c in (turned.critical_simultaneous, turned.critical_hierarchical, turned.critical)] == [6, 6, 8]
    assert len(turned.nash) == len(turned.stackelberg) == 2
    ours = np.exp(1j * (points(turned.critical) - 7 * np.pi / 8))
    for theirs in np.exp(1j * points(torus.critical)):
        assert np.min(np.abs(ours - theirs).max(axis=1)) < 1e-8
    # A tighter notion of "the same" still wraps.
    assert len(find(TorusLocation(phi=(np.pi, np.pi)), KEY, separation=1e-6).critical) == 8


def test_the_printout_is_a_table(torus):
    text = str(torus)
    assert "Nash" in text and "Stackelberg" in text
    assert len(text.splitlines()) > len(torus.critical)


def test_a_zero_sum_game(x64):
    """Inside of the square; two more equilibria are held by its upper and its lower side."""
    entries = GOLDEN["zero_sum_fiez2020"]["critical"]
    found = find(examples.zero_sum_fiez2020(), KEY, 512)
    check(dataclasses.replace(found, critical=tuple(c for c in found.critical if not c.active)), entries, entries)
    held = [c for c in found.equilibria if c.active]
    assert [c.kind for c in held] == ["Nash and Stackelberg"] * 2
    assert sorted(float(c.actions[1]) for c in held) == [-15.0, 15.0]


def random_quadratic(dims, levels=None):
    rng = np.random.default_rng(0)
    Q = [rng.normal(size=(sum(dims),) * 2) + 3 * np.eye(sum(dims)) for _ in dims]
    b = [rng.normal(size=sum(dims)) for _ in dims]
    return Quadratic(Q, b, dims, levels), reference.quadratics(Q, b, dims, levels)


@pytest.mark.parametrize(
    "levels",
    [((0,), (1,)), pytest.param(((0,), (1, 2)), marks=pytest.mark.slow)],
    ids=["follower", "followers"],
)
def test_quadratic_games_have_one_of_each(x64, levels):
    game, terms = random_quadratic((1,) * (levels[-1][-1] + 1), levels)
    found = find(game, KEY, 64)
    assert len(found.critical) == len(found.equilibria) == 2 and found.converged == (64, 64)
    np.testing.assert_allclose(points(found.nash), [terms.nash()], rtol=0, atol=1e-9)
    np.testing.assert_allclose(points(found.stackelberg), [terms.stackelberg()], rtol=0, atol=1e-9)


def test_duopoly_in_float32_too():
    found = find(CournotDuopoly(), KEY, 16)
    np.testing.assert_allclose(points(found.nash), [[92 / 3, 101 / 3]], rtol=0, atol=1e-9)
    np.testing.assert_allclose(points(found.stackelberg), [[46.0, 26.0]], rtol=0, atol=1e-9)
    assert found.stackelberg[0].actions[0].dtype == np.float64
    assert not found.notes


def test_a_continuum_of_equilibria_is_said(x64):
    found = find(examples.tandem(), KEY, 64)
    assert not found.stackelberg and not found.critical_hierarchical
    assert found.nash and all(c.kind == "Nash" for c in found.nash)
    np.testing.assert_allclose(points(found.nash).sum(axis=1), 1.0, rtol=0, atol=1e-6)
    assert any("continuum" in note for note in found.notes)
    assert all(note in str(found) for note in found.notes)


def test_games_without_equilibria(x64):
    found = find(examples.hamiltonian(), KEY, 64)
    assert found.equilibria == found.nash == found.stackelberg == ()
    np.testing.assert_allclose(points(found.critical_simultaneous), [[0.0, 0.0]], rtol=0, atol=1e-9)  # the centre
    assert not found.critical_hierarchical
    never = find(Quadratic((np.zeros((2, 2)),) * 2, (np.ones(2), np.ones(2)), (1, 1)), KEY, 64)
    assert never.critical == never.equilibria == () and never.converged == (0, 0)
    assert never.notes and str(never)


BOXES = (Box(0.0, 4.0), Box(0.0, 4.0))


def leader(x, y):
    """Maxima at -1 and 3, a minimum at 1."""
    return -(((x - 1) ** 2 - 4) ** 2) / 16


def follower(x, y):
    return -((y - x / 2) ** 2)


def test_only_what_lies_in_the_space_is_found():
    """And 0, where the leader's bound holds it on its way to -1."""
    found = find(pair(leader, follower, BOXES), KEY, 64)
    np.testing.assert_allclose(points(found.critical), [[0.0, 0.0], [1.0, 0.5], [3.0, 1.5]], rtol=0, atol=1e-6)
    assert [c.kind for c in found.equilibria] == ["Nash and Stackelberg"] * 2
    assert [bool(c.active) for c in found.equilibria] == [False, True]


def test_starts_may_be_given():
    """Newton from close by finds the critical point that is close by."""
    x = np.linspace(0.9, 1.1, 64)
    found = find(pair(leader, follower, BOXES), KEY, (x, x / 2))
    assert found.starts == 64 and found.converged == (64, 64)
    np.testing.assert_allclose(points(found.critical), [[1.0, 0.5]], rtol=0, atol=1e-6)
    assert found.equilibria == ()


@pytest.mark.slow
def test_pytrees_and_simplices():
    space = Euclidean({"w": (1,), "b": ()})
    game = pair(
        lambda x, y: -jnp.sum((x - 0.5) ** 2) + x[0] * y["b"],
        lambda x, y: -((y["w"][0] - x[0]) ** 2) - (y["b"] - x[1]) ** 2,
        (Simplex(2), space),
    )
    found = find(game, KEY, 16)
    # x = (1/2 + u, 1/2 - u): own gradient in u is -4u + b, with b = 1/2 - u; in total -4u + b - (1/2 + u).
    for certificates, u in ((found.nash, 0.1), (found.stackelberg, 0.0)):
        assert len(certificates) == 1
        x, y = certificates[0].actions
        np.testing.assert_allclose(x, [0.5 + u, 0.5 - u], rtol=0, atol=1e-9)
        np.testing.assert_allclose(y["w"], x[:1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(y["b"], 0.5 - u, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((0,), {}, "starts"),
        ((-3,), {}, "starts"),
        ((2.5,), {}, "starts"),
        (((np.zeros(3),),), {}, "starts"),
        (((np.zeros(3), np.zeros(4)),), {}, "starts"),
        (((np.zeros((3, 2)), np.zeros(3)),), {}, "starts"),
        (((np.full(3, np.nan), np.zeros(3)),), {}, "starts"),
        ((8,), {"tolerance": -1.0}, "tolerance"),
        ((8,), {"separation": -1.0}, "separation"),
        ((8,), {"timescale": 0.0}, "timescale"),
        ((8,), {"curvature": -1.0}, "curvature"),
    ],
)
def test_bad_input_is_refused_by_the_arguments_name(arguments, options, name):
    with pytest.raises((ValueError, TypeError), match=name):
        find(CournotDuopoly(), KEY, *arguments, **options)
