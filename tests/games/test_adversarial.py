"""Adversarial games: known equilibria, closed forms, transcriptions of the payoffs, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, Status, play
from stackjax.equilibria import certify, implicit_gradient
from stackjax.games import CovarianceGAN, DiracGAN, MixtureGAN
from stackjax.learners import GradientAscent, HierarchicalAscent

KEY = jax.random.key(0)
COVARIANCE = np.array([[2.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 0.5]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_dirac_gans_payoffs(x64):
    game = DiracGAN(0.3)
    loss = np.log(sigmoid(0.7 * -1.2)) + np.log(sigmoid(0.0))
    np.testing.assert_allclose(game.payoffs(0.7, -1.2), (-loss, loss - 0.3 * 1.2**2 / 2), rtol=1e-12)


def test_the_dirac_gans_equilibrium(x64):
    origin = jnp.zeros(()), jnp.zeros(())
    regular, bare = (certify(DiracGAN(gamma), *origin) for gamma in (0.5, 0.0))
    assert regular.is_stackelberg and not regular.is_nash and regular.simultaneous.stable
    assert not bare.is_stackelberg and not bare.is_nash
    np.testing.assert_allclose(np.sort_complex(bare.simultaneous.eigenvalues), [-0.5j, 0.5j], atol=1e-12)
    assert [float(z) for z in DiracGAN(0.5).stackelberg()] == [0.0, 0.0]
    assert np.isnan(DiracGAN().stackelberg()).all() and DiracGAN(0.5).nash() is None


@pytest.mark.parametrize("leader", [GradientAscent, HierarchicalAscent])
def test_the_dirac_gan_needs_its_regulariser(leader):
    """Without it simultaneous ascent goes further out in every lap. Both in one program: the regulariser is a leaf."""
    trace = play(
        DiracGAN(jnp.array([0.0, 0.5])),
        leader(0.05),
        GradientAscent(0.05),
        key=KEY,
        rounds=2000,
        replicates=2,
        in_axes=(0, None, None),
        start=(1.0, 1.0),
        record=Record.every(500, payoffs=None),
    )
    radius = np.hypot(*trace.strategies)
    assert trace.status[1] == Status.OK and radius[1, -1] < 1e-6
    if leader is GradientAscent:
        assert trace.status[0] == Status.OK and np.all(radius[0] > 1.4) and np.all(np.diff(radius[0]) > 0)
    else:  # near x = 0 the follower has no curvature and the direction no bound: it leaps over, or fails
        assert radius[0, -1] > 1


def test_the_covariance_gans_closed_forms(x64):
    game = CovarianceGAN(COVARIANCE, 0.7)
    V = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)))
    W = game.best_response(1, (V, None))
    assert game.best_response(0, (None, W)) is None
    np.testing.assert_allclose(GradientAscent(1.0).direction(game, 1, (V, W)), 0, atol=1e-12)
    off = COVARIANCE - np.asarray(V) @ np.asarray(V).T
    # Along the response the leader is paid -|C - V V'|^2 / regularisation.
    np.testing.assert_allclose(game.payoffs(V, W)[0], -np.sum(off**2) / 0.7, rtol=1e-12)
    np.testing.assert_allclose(implicit_gradient(game, V, W), 4 * off @ np.asarray(V) / 0.7, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(game.distance(V), np.linalg.norm(off) / np.linalg.norm(COVARIANCE), rtol=1e-12)


def test_the_covariance_gans_equilibria(x64):
    game = CovarianceGAN(COVARIANCE)
    V, W = game.stackelberg()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    for generator in (V, V @ jnp.asarray(turn)):
        assert float(game.distance(generator)) < 1e-12
        for player in (0, 1):
            np.testing.assert_allclose(GradientAscent(1.0).direction(game, player, (generator, W)), 0, atol=1e-12)
        np.testing.assert_allclose(implicit_gradient(game, generator, W), 0, atol=1e-12)
    assert game.nash_equilibria() == () == game.stackelberg_equilibria()  # none of them is isolated


def test_the_covariance_gans_samples(x64):
    """Realised payoffs are those of samples; their mean over 4000 rounds is right to 5 standard errors (6e-7 each)."""
    game = CovarianceGAN(COVARIANCE, batch=16)
    rng = np.random.default_rng(0)
    V, W = (jnp.asarray(rng.normal(size=(3, 3))) for _ in range(2))
    first, z = (rng.normal(size=(16, 3)) for _ in range(2))
    data, fake = first @ np.linalg.cholesky(COVARIANCE).T, z @ np.asarray(V).T
    told = np.mean([s @ np.asarray(W) @ s for s in data]) - np.mean([s @ np.asarray(W) @ s for s in fake])
    paid = game.realise((jnp.asarray(first.T @ first / 16), jnp.asarray(z.T @ z / 16)), V, W)
    np.testing.assert_allclose(paid, (-told, told - np.sum(np.asarray(W) ** 2) / 2), rtol=1e-10)
    draws = jax.vmap(game.draw)(jax.random.split(KEY, 4000))
    found = np.stack(jax.vmap(lambda noise: game.realise(noise, V, W))(draws))
    assert np.all(np.abs(found.mean(1) - np.stack(game.payoffs(V, W))) < 5 * found.std(1) / 4000**0.5)
    assert CovarianceGAN(COVARIANCE).draw(KEY) == ()


def test_a_hierarchical_generator_learns_the_covariance():
    game = CovarianceGAN(COVARIANCE)
    trace = play(
        game,
        HierarchicalAscent(0.02),
        GradientAscent(0.5),
        key=KEY,
        rounds=1000,
        start=(jnp.eye(3), jnp.zeros((3, 3))),
        record=Record.final(payoffs=None),
    )
    assert float(game.distance(trace.strategies[0][-1])) < 1e-3


def forward(network, points):
    for i, layer in enumerate(network):
        weight, bias = np.asarray(layer["weight"]), np.asarray(layer["bias"])
        points = (np.tanh(points) if i else points) @ weight.T / weight.shape[1] ** 0.5 + bias
    return points


def test_the_mixture_gans_payoffs(x64):
    game = MixtureGAN(3, generator=(5, 4), discriminator=(6,), latent=3, batch=7, weight_decay=0.1)
    assert [space.size for space in game.spaces] == [3 * 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2, 2 * 6 + 6 + 6 + 1]
    x, y = (space.sample(jax.random.key(i)) for i, space in enumerate(game.spaces))
    data, z = game.draw(KEY)
    assert data.shape == (7, 2) and z.shape == (7, 3)
    fake, real = forward(y, forward(x, np.asarray(z))), forward(y, np.asarray(data))
    size = sum(np.sum(np.asarray(leaf) ** 2) for leaf in jax.tree.leaves(y))
    expected = (
        np.mean(np.log(sigmoid(fake))),
        np.mean(np.log(sigmoid(real))) + np.mean(np.log(1 - sigmoid(fake))) - 0.1 * size / 2,
    )
    np.testing.assert_allclose(jax.jit(game.realise)((data, z), x, y), expected, rtol=1e-10)
    assert game.recorded_payoffs == "realised"
    with pytest.raises(NotImplementedError, match="realised"):
        game.payoffs(x, y)


def test_the_mixture_gans_data():
    """32 batches of 256: each mode's share, centre and sd to 5 standard errors, 20 of them: false alarms 1.2e-5."""
    game = MixtureGAN(4, radius=2.0, sd=0.1, batch=256)
    data = np.asarray(jax.vmap(game.draw)(jax.random.split(KEY, 32))[0]).reshape(-1, 2)
    np.testing.assert_allclose(game.centres, [[2, 0], [0, 2], [-2, 0], [0, -2]], atol=1e-6)
    for centre in np.asarray(game.centres):
        own = data[np.linalg.norm(data - centre, axis=1) < 1]
        n = len(own)
        assert abs(n / len(data) - 0.25) < 5 * (0.25 * 0.75 / len(data)) ** 0.5
        assert np.all(np.abs(own.mean(0) - centre) < 5 * 0.1 / n**0.5)
        assert np.all(np.abs(own.std(0) - 0.1) < 5 * 0.1 / (2 * n) ** 0.5)


def test_coverage_counts_samples_near_modes_and_modes_with_their_due():
    game = MixtureGAN(4, generator=(2,))
    still = jax.tree.map(jnp.zeros_like, game.spaces[0].sample(KEY))
    near, modes = game.coverage(still, KEY)
    assert (float(near), int(modes)) == (0.0, 0)  # all in the middle
    at_one = (*still[:-1], still[-1] | {"bias": jnp.array([0.0, 1.0])})
    near, modes = game.coverage(at_one, KEY)
    assert (float(near), int(modes)) == (1.0, 1)
    # tanh of a large multiple of z_1: half of the samples at either side.
    sides = (
        {"bias": jnp.zeros(2), "weight": jnp.array([[1e6, 0.0], [0.0, 0.0]])},
        {"bias": jnp.zeros(2), "weight": jnp.array([[2**0.5, 0.0], [0.0, 0.0]])},
    )
    near, modes = game.coverage(sides, KEY)
    assert (float(near), int(modes)) == (1.0, 2)


def test_networks_are_strategies():
    """A discriminator alone gains on a generator that stands still."""
    trace = play(
        MixtureGAN(4, generator=(4,), discriminator=(8,)),
        GradientAscent(1e-6),
        GradientAscent(0.3),
        key=KEY,
        rounds=500,
        replicates=2,
        record=Record.every(50),
    )
    assert np.all(np.asarray(trace.status) == Status.OK)
    told_apart = np.asarray(trace.payoffs)[:, :, 1]
    assert np.all(told_apart[:, -1] > told_apart[:, 0] + 0.1)
    assert trace.strategies[1][0]["weight"].shape == (2, 10, 8, 2)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: DiracGAN(-0.1), "regularisation"),
        (lambda: DiracGAN("none"), "regularisation"),
        (lambda: CovarianceGAN(np.ones(3)), "covariance"),
        (lambda: CovarianceGAN(np.ones((2, 3))), "covariance"),
        (lambda: CovarianceGAN(np.ones((2, 2))), "covariance"),
        (lambda: CovarianceGAN(np.array([[1.0, 0.5], [0.0, 1.0]])), "covariance"),
        (lambda: CovarianceGAN(np.eye(2) * np.nan), "covariance"),
        (lambda: CovarianceGAN(np.eye(2), 0.0), "regularisation"),
        (lambda: CovarianceGAN(np.eye(2), batch=0), "batch"),
        (lambda: MixtureGAN(0), "modes"),
        (lambda: MixtureGAN(2.0), "modes"),
        (lambda: MixtureGAN(radius=0.0), "radius"),
        (lambda: MixtureGAN(sd=-1.0), "sd"),
        (lambda: MixtureGAN(latent=0), "latent"),
        (lambda: MixtureGAN(batch=0), "batch"),
        (lambda: MixtureGAN(generator=16), "generator"),
        (lambda: MixtureGAN(discriminator=(16, 0)), "discriminator"),
        (lambda: MixtureGAN(weight_decay=-1.0), "weight_decay"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
        make()
