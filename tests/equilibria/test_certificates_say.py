"""What a certificate says beside its numbers: notes, reasons, the printout; and what it refuses."""

import html

import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.equilibria import optimal_commitment
from stackjax.games import CournotDuopoly, from_payoffs
from stackjax.spaces import Box, Euclidean, Simplex
from tests.equilibria import examples
from tests.equilibria.examples import LINE, certify, pair, polynomial

WHO = ("the leader's", "the follower's")
LEADER = {(2, 0): -1.0, (1, 1): 1.0}  # -x^2 + xy
AT_1 = {(2, 0): -1.0, (1, 0): 2.0, (0, 1): 1.0}  # -(x - 1)^2 + y, but for a constant
TWO_REPLIES = {(0, 4): -1.0, (0, 2): 2.0}  # -(y^2 - 1)^2, but for a constant


def notes(game, *actions, **options):
    return " ".join(certify(game, *actions, **options).notes)


# --- the follower's Hessian and its best responses


def test_a_singular_follower_hessian_is_said():
    for follower in ({(1, 1): 1.0}, {(0, 4): -1.0, (1, 1): 1.0}):
        certificate = certify(polynomial(LEADER, follower), 0.0, 0.0)
        assert "singular" in " ".join(certificate.notes)
        assert not certificate.is_stackelberg and not certificate.is_nash
        assert certificate.why_not_stackelberg and certificate.why_not_nash
    two = from_payoffs(
        lambda x, y: -(x**2) + jnp.sum(y), lambda x, y: -((y[0] + y[1] - x) ** 2), spaces=(LINE, Euclidean((2,)))
    )
    certificate = certify(two, 0.0, np.array([0.5, -0.5]))
    assert "singular" in " ".join(certificate.notes) and not certificate.is_stackelberg


def test_singular_joint_responses_are_said():
    """Each follower's own Hessian is -2, but together they answer x nowhere: the tandem game below a leader."""
    game = from_payoffs(
        lambda x, y, z: -(x**2),
        lambda x, y, z: -((y + z) ** 2) + x * y,
        lambda x, y, z: -((y + z) ** 2) - x * z,
        spaces=(LINE, LINE, LINE),
    )
    certificate = certify(game, 0.0, 0.3, -0.3)
    assert certificate.is_nash and not certificate.is_stackelberg
    assert "singular" in " ".join(certificate.notes)


def test_an_indefinite_follower_hessian_is_said():
    game = from_payoffs(
        lambda x, y: -(x**2), lambda x, y: y[0] ** 2 - y[1] ** 2 + x * y[0], spaces=(LINE, Euclidean((2,)))
    )
    certificate = certify(game, 0.0, np.zeros(2))
    np.testing.assert_allclose(certificate.own_spectra[1], [-2.0, 2.0], atol=1e-12)
    assert certificate.kind == "neither"
    assert "indefinite" in " ".join(certificate.notes + certificate.why_not_stackelberg)


def test_several_best_responses_are_said():
    game = polynomial(AT_1, TWO_REPLIES)
    certificate = certify(game, 1.0, 1.0, replies=32)
    assert certificate.kind == "Nash and Stackelberg"  # locally it is one; which reply is played, is another question
    assert "best response" in " ".join(certificate.notes)
    assert "best response" not in notes(game, 1.0, 1.0)


def test_a_better_reply_elsewhere_is_said():
    """f2 = -(y^2 - 1)^2 + y / 4: its local maximum on the left pays less than that on the right."""
    left, _, right = np.sort(np.roots([-4.0, 0.0, 4.0, 0.25]).real)
    game = polynomial(AT_1, TWO_REPLIES | {(0, 1): 0.25})
    said = notes(game, 1.0, left, replies=32)
    assert "response" in said or "reply" in said
    assert not notes(game, 1.0, right, replies=32)


# --- smoothness: a note names the player whose payoff it is, and the coordinate

KINKS = {
    "|y|": jnp.abs,
    "y|y|": lambda y: y * jnp.abs(y) / 2,
    "relu": lambda y: jnp.maximum(y, 0.0),
    "relu^2": lambda y: jnp.maximum(y, 0.0) ** 2,
    "relu^1.5": lambda y: jnp.maximum(y, 0.0) ** 1.5,
    "|y|^1.5": lambda y: jnp.abs(y) ** 1.5,
    "sqrt|y|": lambda y: jnp.sqrt(jnp.abs(y)),
}
SMOOTH = (
    lambda y: jnp.tanh(30 * (y - 0.02)) / 900,
    lambda y: -1e4 * y**2,
    lambda y: -(jnp.abs(y) ** 3),
    lambda y: -100 * y**4,
    lambda y: jnp.cos(20 * y) / 400,
    lambda y: jnp.log1p(y + 0.5),
    lambda y: jnp.exp(3 * y),
)
NOT_SMOOTH = "differentiable"


def kinky():
    """The leader's payoff has the k-th kink in x_k at 1/2 and one in y_0 at 2, the follower's one in y_1 at 1/2."""

    def payoff(x, y):
        return -2 * jnp.sum(x**2) - sum(kink(0.5 - x[k]) for k, kink in enumerate(KINKS.values())) + jnp.abs(y[0] - 2.0)

    def follower(x, y):
        return -jnp.sum(y**2) + x[0] * y[1] - jnp.abs(y[1] - 0.5)

    return from_payoffs(payoff, follower, spaces=(Euclidean((7,)), Euclidean((2,))))


def not_smooth(game, x, y):
    return [n for n in certify(game, x, y).notes if NOT_SMOOTH in n]


def test_payoffs_that_are_not_twice_differentiable_are_located():
    game, x, y = kinky(), np.linspace(-0.3, 0.3, 7), np.zeros(2)
    assert not not_smooth(game, x, y)
    for k, kink in enumerate(KINKS):
        said = not_smooth(game, np.where(np.arange(7) == k, 0.5, x), y)
        assert len(said) == 1, (kink, said)
        assert "the leader's payoff" in said[0] and f"coordinate {k} of the leader's action" in said[0], (kink, said)
    for player, coordinate, at in (("leader", 0, np.array([2.0, 0.0])), ("follower", 1, np.array([0.0, 0.5]))):
        said = not_smooth(game, x, at)
        assert len(said) == 1, said
        assert f"the {player}'s payoff" in said[0] and f"coordinate {coordinate} of the follower's action" in said[0]


def test_smooth_payoffs_raise_no_alarm():
    game = from_payoffs(
        lambda x, y: -jnp.sum(x**2) + x[0] * y + sum(f(x[k]) for k, f in enumerate(SMOOTH)),
        lambda x, y: -((y - 1e5) ** 2) + y * jnp.sin(x[0]),
        spaces=(Euclidean((7,)), LINE),
    )
    for y in (0.0, 1e5):
        for x in (0.0, 0.02, 0.3):
            assert not not_smooth(game, np.full(7, x), y)


# --- spaces


def test_actions_outside_of_their_space_and_at_its_boundary_are_said():
    box = Box(jnp.zeros(2), jnp.array([1.0, 2.0]), (2,))
    game = from_payoffs(lambda x, y: -jnp.sum(x**2), lambda x, y: -jnp.sum((y - 1) ** 2), spaces=(box, box))
    inside, edge, outside = np.array([0.5, 1.5]), np.array([0.5, 2.0]), np.array([0.5, 2.5])
    assert not notes(game, inside, inside)
    for player in (0, 1):
        actions = [inside, inside]
        actions[player] = edge
        said = certify(game, *actions).notes
        assert any("boundary" in n and WHO[player] in n for n in said)
        actions[player] = outside
        said = certify(game, *actions).notes
        assert any("outside" in n and WHO[player] in n for n in said)


def test_the_boundary_of_a_simplex_and_what_lies_outside():
    target = (0.2, 0.3, 0.5)
    game = pair(
        lambda x, y: -sum((x[k] - t) ** 2 for k, t in enumerate(target)),
        lambda x, y: -jnp.sum((y - x) ** 2),
        (Simplex(3), Simplex(3)),
    )
    inside = np.array(target)
    certificate = certify(game, inside, inside, replies=32)
    assert certificate.kind == "Nash and Stackelberg" and not certificate.notes
    assert "boundary" in notes(game, np.array([0.0, 0.4, 0.6]), inside)
    for bad in (np.array([-0.1, 0.5, 0.6]), np.array([0.3, 0.3, 0.3])):
        assert "outside" in notes(game, inside, bad)


# --- verdicts in words


def test_known_nash_equilibria_give_the_advantage():
    game = polynomial(LEADER, {(0, 2): -1.0, (0, 1): 2.0})
    assert certify(game, 0.5, 1.0).advantage is None


def test_tolerances_are_what_they_say():
    game = polynomial({(2, 0): -0.5}, {(0, 2): -1e-3, (1, 1): 2e-3, (2, 0): -1e-3})
    assert certify(game, 1e-4, 1e-4).kind == "neither"  # the leader's gradient is 1e-4
    assert certify(game, 1e-4, 1e-4, tolerance=2e-4).kind == "Nash and Stackelberg"
    assert certify(game, 0.0, 0.0, curvature=1e-3).kind == "Nash and Stackelberg"  # H_yy = -2e-3
    assert certify(game, 0.0, 0.0, curvature=4e-3).kind == "neither"


def test_the_printout_has_the_verdicts_the_reasons_and_the_notes():
    game = CournotDuopoly()
    for actions in (game.nash(), game.stackelberg(), (100.0, 3.0)):
        certificate = certify(game, *actions)
        text = str(certificate)
        assert "Nash" in text and "Stackelberg" in text and "stable" in text
        assert certificate.kind in text
        flat = " ".join(text.split())
        for sentence in certificate.why_not_nash + certificate.why_not_stackelberg + certificate.notes:
            assert " ".join(sentence.split()) in flat
    assert "1058" in str(certify(game, 46.0, 26.0))


def test_sentences_name_players():
    certificate = certify(CournotDuopoly(), 10.0, 10.0)
    for reasons in (certificate.why_not_nash, certificate.why_not_stackelberg):
        assert len(reasons) == 2  # no gradient vanishes, and both Hessians are negative
        for i, sentence in enumerate(reasons):
            assert WHO[i] in sentence


# --- what is refused


@pytest.mark.parametrize(
    ("actions", "options", "name"),
    [
        ((1.0,), {}, "actions"),
        ((1.0, 2.0, 3.0), {}, "actions"),
        ((1.0, np.zeros(2)), {}, "actions"),
        ((np.zeros((1, 1)), 1.0), {}, "actions"),
        (({"q": 1.0}, 1.0), {}, "actions"),
        ((1.0, "much"), {}, "actions"),
        ((1.0, None), {}, "actions"),
        ((np.nan, 1.0), {}, "actions"),
        ((1.0, np.inf), {}, "actions"),
        ((1.0, 2.0), {"tolerance": -1e-6}, "tolerance"),
        ((1.0, 2.0), {"tolerance": np.nan}, "tolerance"),
        ((1.0, 2.0), {"tolerance": "small"}, "tolerance"),
        ((1.0, 2.0), {"curvature": -1.0}, "curvature"),
        ((1.0, 2.0), {"timescale": 0.0}, "timescale"),
        ((1.0, 2.0), {"timescale": -2.0}, "timescale"),
        ((1.0, 2.0), {"timescale": np.inf}, "timescale"),
        ((1.0, 2.0), {"replies": -1}, "replies"),
        ((1.0, 2.0), {"replies": 2.5}, "replies"),
    ],
)
def test_bad_input_is_refused_by_the_arguments_name(actions, options, name):
    with pytest.raises((ValueError, TypeError), match=name):
        certify(CournotDuopoly(), *actions, **options)


def test_whole_numbers_and_lists_are_actions():
    assert certify(CournotDuopoly(), 46, 26).kind == "Stackelberg"
    game = from_payoffs(lambda x: -((x[0] - 1) ** 2) - (x[1] - 2) ** 2, spaces=(Euclidean((2,)),))
    alone = certify(game, np.array([1, 2]))
    assert alone.kind == "Nash and Stackelberg"  # one player: a maximum is both


def test_a_payoff_that_is_not_finite_is_said():
    game = pair(lambda x, y: -(x**2) + x * y, lambda x, y: jnp.log(y) - y + x * 0)
    assert certify(game, 0.5, 1.0).own_spectra[1][0] == pytest.approx(-1.0)
    certificate = certify(game, 0.5, -1.0)
    assert certificate.kind == "neither" and certificate.why_not_nash and certificate.why_not_stackelberg


def test_singular_games_of_the_catalogue_are_certified_without_a_failure():
    certificate = certify(examples.hamiltonian(), np.zeros(1), np.zeros(1))
    assert certificate.kind == "neither" and certificate.simultaneous.at_rest
    assert not certificate.simultaneous.stable  # a centre
    tandem = certify(examples.tandem(), np.array([0.25]), np.array([0.75]))
    assert tandem.kind == "Nash" and not tandem.hierarchical.at_rest
    np.testing.assert_allclose(tandem.stackelberg_residuals, [2.0, 0.0], atol=1e-12)


def test_a_notebook_shows_what_is_printed():
    found = optimal_commitment([[2, 4], [1, 3]], [[1, 0], [0, 1]])
    assert html.unescape(found._repr_html_()) == f"<pre>{found}</pre>"
    point = certify(CournotDuopoly(), 46.0, 26.0)
    assert html.unescape(point._repr_html_()) == f"<pre>{point}</pre>"
