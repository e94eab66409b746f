"""Certificates against golden values and closed forms, and against taking stability for optimality."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.games import CournotDuopoly, Noisy, Quadratic, TorusLocation, from_payoffs
from stackjax.spaces import Euclidean, Simplex
from tests.equilibria import examples
from tests.equilibria.examples import (
    GOLDEN,
    certify,
    golden_quadratic,
    implicit_gradient,
    pair,
    players,
    quadratic_at_rest,
)
from tests.transcriptions import equilibria as reference

ORIGIN = np.zeros(3), np.zeros(4)
ALPHA, PHI = (1.0, 1.3), (np.pi / 8, np.pi / 8)
TORUS = {field: GOLDEN["torus"][f"critical_{field}"] for field in ("omega", "omega_S")}


def close(got, expected, tolerance=1e-9, what=""):
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=what)


def by_real_part(eigenvalues):
    """Complex numbers in an order that rounding doesn't change."""
    values = np.ravel(eigenvalues).astype(complex)
    return values[np.lexsort((values.imag, np.round(values.real, 6)))]


def spectrum(hessian):
    return np.linalg.eigvalsh(np.atleast_2d(hessian))


def check_golden(certificate, entry, tolerance=1e-9, sign=1.0):
    """Everything in `entry`, where Jacobians and Hessians are of costs; `sign` -1 if its f1 and f2 are costs too."""
    close(certificate.payoffs, [sign * entry["f1"], sign * entry["f2"]], tolerance, "payoffs")
    for dynamics, name in ((certificate.simultaneous, "J"), (certificate.hierarchical, "J_S")):
        close(dynamics.jacobian, -np.array(entry[name]), tolerance, name)
        eigenvalues = np.array(entry[f"eig_{name}"]) @ [1, 1j]
        close(by_real_part(dynamics.eigenvalues), by_real_part(-eigenvalues), tolerance, f"eig {name}")
        assert dynamics.stable == entry[f"stable_{name}"]
    close(certificate.own_spectra[0], spectrum(-np.array(entry["own_hess_leader"])), tolerance)
    for spectra in (certificate.own_spectra, certificate.total_spectra):  # a last level has nobody below it
        close(spectra[1], spectrum(-np.array(entry["own_hess_follower"])), tolerance)
    close(certificate.total_spectra[0], spectrum(-np.array(entry["total_hess_leader"])), tolerance, "total Hessian")
    close(np.linalg.norm(certificate.nash_residuals), entry["norm_omega"], tolerance)
    close(np.linalg.norm(certificate.stackelberg_residuals), entry["norm_omegaS"], tolerance)
    assert certificate.simultaneous.at_rest == (entry["norm_omega"] < 1e-6)
    assert certificate.hierarchical.at_rest == (entry["norm_omegaS"] < 1e-6)
    for name, verdict in (("nash", certificate.is_nash), ("stackelberg", certificate.is_stackelberg)):
        if f"differential_{name}" in entry:
            assert verdict == entry[f"differential_{name}"]


def check_transcription(certificate, terms, z, timescale=1.0, tolerance=1e-9):
    """A certificate of a quadratic game against its closed form."""
    close(certificate.payoffs, terms.payoffs(z), tolerance)
    for ours, theirs in (
        (certificate.nash_residuals, terms.own_gradients(z)),
        (certificate.stackelberg_residuals, terms.total_gradients(z)),
    ):
        close(ours, [np.linalg.norm(g) for g in theirs], tolerance)
    for ours, theirs in (
        (certificate.own_spectra, terms.own_hessians()),
        (certificate.total_spectra, terms.total_hessians()),
    ):
        assert len(ours) == len(theirs)
        for i, (spectrum_i, hessian) in enumerate(zip(ours, theirs, strict=True)):
            close(spectrum_i, spectrum(hessian), tolerance, f"player {i}")
    close(certificate.simultaneous.jacobian, terms.J(timescale), tolerance)
    close(certificate.hierarchical.jacobian, terms.J_S(timescale), tolerance)
    assert certificate.simultaneous.stable == reference.is_stable(terms.J(timescale))
    assert certificate.hierarchical.stable == reference.is_stable(terms.J_S(timescale))
    assert certificate.is_nash == terms.is_nash(z)
    assert certificate.is_stackelberg == terms.is_stackelberg(z)


def test_the_transcription_has_the_golden_values():
    def check(terms, entry):
        close(-terms.J(), entry["J"])
        close(-terms.J_S(), entry["J_S"])
        close(-terms.total_hessian, entry["total_hess_leader"])
        close(np.linalg.norm([terms.f1_x, terms.f2_y]), entry["norm_omega"])
        close(np.linalg.norm([terms.D, terms.f2_y]), entry["norm_omegaS"])
        assert terms.is_nash() == entry.get("differential_nash", terms.is_nash())
        assert terms.is_stackelberg() == entry.get("differential_stackelberg", terms.is_stackelberg())

    for entry in TORUS["omega"] + TORUS["omega_S"]:
        check(reference.torus(entry["x"][0], entry["y"][0], ALPHA, PHI), entry)
    check(reference.zero_sum_simple(0.0, 0.0), GOLDEN["zero_sum_simple"]["critical"][0])

    for entry in GOLDEN["quadratic"]["games"]:
        terms = golden_quadratic(entry)[1]
        for name, z in (("nash", terms.nash()), ("stackelberg", terms.stackelberg())):
            known = entry[name]
            close(z, known["x"] + known["y"])
            close(terms.payoffs(z), [known["f1"], known["f2"]])
            close(-terms.J(), known["J"])
            close(-terms.J_S(), known["J_S"])
            close(-terms.total_hessians()[0], known["total_hess_leader"])
        close(terms.total_gradients(np.array(entry["point"]["x"] + entry["point"]["y"]))[0], entry["point"]["D"])
    three, two = (golden_quadratic(GOLDEN[name])[1] for name in ("three_level", "two_nash_followers"))
    close(three.stackelberg(), GOLDEN["three_level"]["z"])
    close(three.total_hessians()[0], GOLDEN["three_level"]["leader_hess"])
    close(three.total_hessians()[1], GOLDEN["three_level"]["mid_hess"])
    close(two.stackelberg(), GOLDEN["two_nash_followers"]["z"])
    close(two.total_hessians()[0], GOLDEN["two_nash_followers"]["leader_hess"])
    close(
        by_real_part(np.linalg.eigvals(-two.J()[2:, 2:])),
        by_real_part(np.array(GOLDEN["two_nash_followers"]["follower_game_jac_eigs"]) @ [1, 1j]),
    )


def test_duopoly(x64):
    game = CournotDuopoly()
    nash, stackelberg = (certify(game, *known, replies=32) for known in (game.nash(), game.stackelberg()))
    check_golden(nash, GOLDEN["duopoly"]["nash"])
    check_golden(stackelberg, GOLDEN["duopoly"]["stackelberg"])
    assert (nash.kind, stackelberg.kind) == ("Nash", "Stackelberg")
    assert nash.is_nash and not nash.why_not_nash and nash.why_not_stackelberg
    assert stackelberg.is_stackelberg and not stackelberg.why_not_stackelberg and stackelberg.why_not_nash
    assert not nash.notes and not stackelberg.notes
    close(nash.advantage, 0.0)
    close(stackelberg.advantage, 1058.0 - GOLDEN["duopoly"]["nash"]["f1"])
    neither = certify(game, 10.0, 10.0)
    assert neither.kind == "neither" and neither.why_not_nash and neither.why_not_stackelberg
    # Noise of payoffs has mean zero: the exact payoffs are certified.
    close(certify(Noisy(game, 10.0), 46.0, 26.0).payoffs, stackelberg.payoffs)


@pytest.mark.parametrize("field", TORUS)
def test_torus(x64, field):
    certificates = [certify(TorusLocation(), e["x"][0], e["y"][0], replies=32) for e in TORUS[field]]
    for certificate, entry in zip(certificates, TORUS[field], strict=True):
        check_golden(certificate, entry, sign=-1.0)
        assert not any("best response" in note for note in certificate.notes)  # it is unique, as alpha_2 > 1
    assert sum(c.is_nash for c in certificates) == 2 * (field == "omega")
    assert sum(c.is_stackelberg for c in certificates) == 2 * (field == "omega_S")


def test_a_follower_at_its_minimum_is_in_no_equilibrium(x64):
    """Def. 4 of Fiez et al. asks for D f1 = 0, D2 f2 = 0 and the leader's total Hessian alone; all three hold here."""
    entry = next(e for e in TORUS["omega_S"] if abs(e["own_hess_follower"][0][0] + 0.3) < 1e-9 and e["x"][0] > 0)
    certificate = certify(TorusLocation(), entry["x"][0], entry["y"][0])
    assert np.all(certificate.stackelberg_residuals < 1e-9) and np.all(certificate.total_spectra[0] < 0)
    assert np.all(certificate.own_spectra[1] > 0) and not certificate.is_stackelberg
    assert len(certificate.why_not_stackelberg) == 1
    assert "follower" in certificate.why_not_stackelberg[0] or "player 1" in certificate.why_not_stackelberg[0]


def test_torus_away_from_critical_points(x64):
    """Third derivatives enter J_S and the total Hessian. Turning by 2 pi changes nothing."""
    for x, y in np.random.default_rng(0).uniform(-np.pi, np.pi, (5, 2)):
        terms = reference.torus(x, y, ALPHA, PHI)
        for turn in (0.0, 2 * np.pi):
            certificate = certify(TorusLocation(), x + turn, y, timescale=3.0)
            scale = 1e-9 * max(1.0, np.max(np.abs(terms.J_S(3.0))))
            close(certificate.simultaneous.jacobian, terms.J(3.0))
            close(certificate.hierarchical.jacobian, terms.J_S(3.0), scale)
            close(certificate.total_spectra[0], terms.total_hessian[0], scale)
            close(certificate.stackelberg_residuals, [abs(terms.D[0]), abs(terms.f2_y[0])], scale)


@pytest.mark.parametrize("index", range(2))
def test_quadratic(x64, index):
    entry = GOLDEN["quadratic"]["games"][index]
    game, terms = golden_quadratic(entry)
    for name in ("nash", "stackelberg"):
        actions = (np.array(entry[name]["x"]), np.array(entry[name]["y"]))
        certificate = certify(game, *actions)
        check_golden(certificate, entry[name])
        check_transcription(certificate, terms, np.concatenate(actions))
        assert not certificate.notes
    close(certificate.total_spectra[0], spectrum(entry["leader_total_hess"]))
    close(certificate.advantage, entry["stackelberg"]["f1"] - entry["nash"]["f1"])
    point = tuple(np.array(entry["point"][axis]) for axis in "xy")
    close(implicit_gradient(game, *point), entry["point"]["D"])
    check_transcription(certify(game, *point, timescale=2.5), terms, np.concatenate(point), timescale=2.5)


def test_a_stackelberg_attractor_that_is_no_nash_equilibrium(x64):
    certificate = certify(examples.zero_sum_simple(), 0.0, 0.0)
    check_golden(certificate, GOLDEN["zero_sum_simple"]["critical"][0], sign=-1.0)
    assert certificate.kind == "Stackelberg"
    assert certificate.simultaneous.at_rest and certificate.simultaneous.stable and not certificate.is_nash
    terms = reference.zero_sum_simple(0.4, -0.7)
    elsewhere = certify(examples.zero_sum_simple(), 0.4, -0.7)
    close(elsewhere.hierarchical.jacobian, terms.J_S())
    close(elsewhere.total_spectra[0], terms.total_hessian[0])


def test_zero_sum_of_fiez_2020(x64):
    game = examples.zero_sum_fiez2020()
    for entry in GOLDEN["zero_sum_fiez2020"]["critical"]:
        check_golden(certify(game, entry["x"][0], entry["y"][0]), entry, sign=-1.0)


@pytest.mark.parametrize("name", ["ipd", "imp"])
def test_iterated_games_have_indefinite_follower_hessians(x64, name):
    entry = GOLDEN[name]
    game, actions = examples.iterated(entry), (np.array(entry["x"]), np.array(entry["y"]))
    certificate = certify(game, *actions)
    close(certificate.payoffs, [entry["f1"], entry["f2"]])
    close(certificate.own_spectra[1], entry["eig_hess_yy_f2"])
    close(certificate.nash_residuals, [np.linalg.norm(entry["grad_x_f1"]), np.linalg.norm(entry["grad_y_f2"])])
    close(certificate.stackelberg_residuals[0], np.linalg.norm(entry["D"]))
    close(implicit_gradient(game, *actions), entry["D"])
    assert certificate.kind == "neither"
    assert "indefinite" in " ".join(certificate.notes + certificate.why_not_stackelberg)


def test_three_levels(x64):
    entry = GOLDEN["three_level"]
    game, terms = golden_quadratic(entry)
    certificate = certify(game, *players(entry["z"], entry["dims"]))
    assert certificate.kind == "Stackelberg" and np.all(certificate.stackelberg_residuals < 1e-9)
    close(certificate.payoffs, entry["f"])
    close(certificate.total_spectra[0], spectrum(entry["leader_hess"]))
    close(certificate.total_spectra[1], spectrum(entry["mid_hess"]))
    close(certificate.total_spectra[2], certificate.own_spectra[2])
    close(implicit_gradient(game, *players(entry["z"], entry["dims"])), 0.0)
    z = np.random.default_rng(1).normal(size=7)  # off every response
    for timescale in (1.0, 3.0):
        away = certify(game, *players(z, entry["dims"]), timescale=timescale)
        check_transcription(away, terms, z, timescale)


def test_two_followers_who_play_nash(x64):
    entry = GOLDEN["two_nash_followers"]
    game, terms = golden_quadratic(entry)
    certificate = certify(game, *players(entry["z"], entry["dims"]))
    assert certificate.kind == "Stackelberg" and np.all(certificate.stackelberg_residuals < 1e-9)
    close(certificate.payoffs, entry["f"])
    close(certificate.total_spectra[0], spectrum(entry["leader_hess"]))
    z = np.random.default_rng(2).normal(size=6)
    check_transcription(certify(game, *players(z, entry["dims"]), timescale=2.0), terms, z, timescale=2.0)
    check_transcription(certify(game, *players(terms.nash(), entry["dims"])), terms, terms.nash())


def random_quadratics(n, dims, seed=0):
    """Q_i of normal entries, the own blocks shifted by up to 5: many critical points are no equilibria."""
    rng, d = np.random.default_rng(seed), sum(dims)
    for _ in range(n):
        Q = []
        for first, size in zip((0, dims[0]), dims, strict=True):
            q, own = rng.normal(size=(d, d)), slice(first, first + size)
            q = (q + q.T) / 2
            q[own, own] += rng.uniform(0.0, 5.0) * np.eye(size)
            Q.append(q)
        b = [rng.normal(size=d) for _ in dims]
        yield Quadratic(Q, b, dims), reference.quadratics(Q, b, dims)


def test_random_games_agree_with_the_closed_form(x64):
    """And how often stability and equilibrium disagree: what is stable at rest needn't be optimal, nor the reverse.

    Half of the games are certified where ascent rests, half where hierarchical ascent does.
    """
    ours, theirs = Counter(), Counter()
    for index, (game, terms) in enumerate(random_quadratics(400, (3, 4), seed=3)):
        if index % 2:
            z, name = terms.stackelberg(), "Stackelberg"
            verdict, stable = terms.is_stackelberg(z), reference.is_stable(terms.J_S())
        else:
            z, name = terms.nash(), "Nash"
            verdict, stable = terms.is_nash(z), reference.is_stable(terms.J())
        certificate = certify(game, *players(z, (3, 4)))
        scale = max(1.0, np.max(np.abs(terms.J_S())), np.max(np.abs(z))) ** 2
        check_transcription(certificate, terms, z, tolerance=1e-10 * scale)
        theirs[name, verdict, stable] += 1
        if index % 2:
            ours[name, certificate.is_stackelberg, certificate.hierarchical.stable] += 1
        else:
            ours[name, certificate.is_nash, certificate.simultaneous.stable] += 1
    assert ours == theirs
    assert len(ours) == 8  # every combination occurs


def test_stable_at_rest_but_both_would_move():
    """The follower is at a minimum and the leader's total Hessian is +1; J_S has the double eigenvalue -1."""
    game, terms = quadratic_at_rest([[-3, 0], [0, 1]], [[0, 2], [2, 1]])
    certificate = certify(game, *ORIGIN)
    check_transcription(certificate, terms, np.zeros(7))
    close(certificate.total_spectra[0], [-1.0, -1.0, 1.0])
    assert certificate.hierarchical.at_rest and certificate.hierarchical.stable
    assert certificate.kind == "neither" and len(certificate.why_not_stackelberg) == 2


def test_stable_at_rest_but_the_leader_is_at_its_minimum():
    """The follower is at its maximum, the total Hessian is diag(1, 2), and det(s - J_S) = (s + 2)(s^2 + s + 1)."""
    game, terms = quadratic_at_rest(
        [[19, -5, -9], [-5, -26, 14], [-9, 14, 0]], [[0, 0, 1], [0, 0, 1], [1, 1, -1]], d1=2
    )
    certificate = certify(game, *ORIGIN)
    check_transcription(certificate, terms, np.zeros(7))
    close(certificate.total_spectra[0], [-1.0, 1.0, 2.0])
    root = -0.5 + 0.75**0.5 * 1j
    close(by_real_part(certificate.hierarchical.eigenvalues), [-2.0, -1, -1, -1, -1, root.conjugate(), root])
    assert certificate.hierarchical.at_rest and certificate.hierarchical.stable and not certificate.is_stackelberg


def test_an_equilibrium_may_be_unstable_and_a_faster_follower_stabilises_it():
    game, terms = quadratic_at_rest([[0, 2], [2, -5]], [[0, 1], [1, -1]])  # total Hessian -1, trace of J_S 2 - tau
    for timescale, stable in ((1.0, False), (1.9, False), (2.1, True), (4.0, True)):
        certificate = certify(game, *ORIGIN, timescale=timescale)
        check_transcription(certificate, terms, np.zeros(7), timescale)
        close(certificate.total_spectra[0], -1.0)
        assert certificate.is_stackelberg and certificate.hierarchical.stable == stable


def test_nash_equilibrium_and_stability_of_simultaneous_ascent_are_different_things():
    saddle, terms = quadratic_at_rest([[-1, 2], [2, 0]], [[0, 2], [2, -1]])  # eigenvalues 1, -3
    certificate = certify(saddle, *ORIGIN)
    check_transcription(certificate, terms, np.zeros(7))
    assert certificate.is_nash and not certificate.simultaneous.stable

    spiral, terms = quadratic_at_rest([[1, -2], [-2, 0]], [[0, 2], [2, -2]])
    certificate = certify(spiral, *ORIGIN)
    check_transcription(certificate, terms, np.zeros(7))
    assert certificate.simultaneous.at_rest and certificate.simultaneous.stable and not certificate.is_nash


def test_a_stable_point_of_a_zero_sum_game_whose_leader_is_at_a_minimum_need_be_no_equilibrium(x64):
    """Proposition 2 of Fiez et al. (2019) as printed is false: it asks for the curvature of either player.

    f = x^2 + 2 x y + y^2 / 2 is the leader's cost and the follower's payoff. Simultaneous play rests at 0 and is stable
    (trace 1, determinant 2), the leader's block is 2; but the follower is at a minimum of its payoff.
    """
    cost = np.array([[2.0, 2.0], [2.0, 1.0]])
    certificate = certify(Quadratic((cost, -cost), np.zeros((2, 2)), (1, 1)), np.zeros(1), np.zeros(1))
    assert certificate.simultaneous.at_rest and certificate.simultaneous.stable
    assert certificate.kind == "neither" and not certificate.hierarchical.stable


def test_actions_on_simplices(x64):
    """Derivatives along the simplex: two degrees of freedom for three weights, in any orthonormal basis of them."""
    rng = np.random.default_rng(3)
    full = [a + a.T for a in rng.normal(size=(2, 6, 6)) / 4]
    full[0][:3, :3] += 4 * np.eye(3)
    full[1][3:, 3:] += 4 * np.eye(3)
    b = [q @ np.full(6, 1 / 3) + 0.1 * rng.normal(size=6) for q in full]
    basis = np.linalg.svd(np.ones((1, 3)))[2][1:].T  # [3, 2]
    W = np.kron(np.eye(2), basis)
    terms = reference.quadratics(
        [W.T @ q @ W for q in full], [W.T @ (v - q @ np.full(6, 1 / 3)) for q, v in zip(full, b, strict=True)], (2, 2)
    )

    def payoff(i):
        def function(x, y):
            z = jnp.concatenate([x, y])
            return z @ (jnp.asarray(b[i]) - jnp.asarray(full[i]) @ z / 2)

        return function

    game = pair(payoff(0), payoff(1), (Simplex(3), Simplex(3)))
    for u, kind in ((terms.nash(), "Nash"), (terms.stackelberg(), "Stackelberg")):
        z = np.full(6, 1 / 3) + W @ u
        assert np.all(z > 0.05)
        certificate = certify(game, z[:3], z[3:])
        assert certificate.kind == kind and not certificate.notes
        for ours, theirs in (
            (certificate.own_spectra, terms.own_hessians()),
            (certificate.total_spectra, terms.total_hessians()),
        ):
            for i in range(2):
                close(ours[i], spectrum(theirs[i]))
        for ours, theirs in ((certificate.simultaneous, terms.J()), (certificate.hierarchical, terms.J_S())):
            assert ours.jacobian.shape == (4, 4)
            close(by_real_part(ours.eigenvalues), by_real_part(np.linalg.eigvals(theirs)))
        close(certificate.stackelberg_residuals, [np.linalg.norm(g) for g in terms.total_gradients(u)])


def test_actions_that_are_pytrees(x64):
    game, terms = next(random_quadratics(1, (2, 2), seed=5))

    def payoff(i):
        return lambda x, y: game.payoffs(x, jnp.concatenate([y["b"][None], y["w"]]))[i]

    tree = from_payoffs(payoff(0), payoff(1), spaces=(Euclidean((2,)), Euclidean({"w": (1,), "b": ()})))
    for z in (terms.stackelberg(), np.arange(4.0)):
        certificate = certify(tree, z[:2], {"w": z[3:], "b": z[2]})
        check_transcription(certificate, terms, z)
        assert isinstance(certificate.actions[1]["w"], np.ndarray)


def test_float32_is_only_the_games_storage():
    """All is computed in float64 whatever JAX's default; only numbers that a game stores in float32 are rounded."""
    entry = GOLDEN["quadratic"]["games"][0]
    game, terms = golden_quadratic(entry)
    assert game.Q[0].dtype == np.float32
    z = terms.stackelberg()
    stored = [[np.float32(v).astype(float) for v in part] for part in (terms.Q, terms.b)]
    plain = certify(game, *players(z, (3, 4)))
    check_transcription(plain, reference.quadratics(*stored, (3, 4)), z)
    duopoly = certify(CournotDuopoly(), 46.0, 26.0)
    with jax.enable_x64(True):
        again = certify(CournotDuopoly(), 46.0, 26.0)
    check_golden(duopoly, GOLDEN["duopoly"]["stackelberg"])
    for name in ("payoffs", "nash_residuals", "stackelberg_residuals"):
        assert getattr(duopoly, name).dtype == np.float64
        np.testing.assert_array_equal(getattr(duopoly, name), getattr(again, name))
    np.testing.assert_array_equal(duopoly.hierarchical.jacobian, again.hierarchical.jacobian)
    close(duopoly.advantage, again.advantage)
