"""The normal numbers of bandits' rewards: their law, their independence, their bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from stackjax._calculus.normal import normal_pair
from stackjax._core.noise import round_key

pytestmark = pytest.mark.optimized

WORDS = jnp.array([3, 5], jnp.uint32)


def draws(rounds, replicates):
    """`[2, rounds, replicates]`."""
    ids = jnp.arange(replicates)
    each = jax.vmap(lambda t, r: normal_pair(round_key(WORDS, t, r)), (None, 0))
    return np.stack(jax.jit(lambda: jax.lax.map(lambda t: each(t, ids), jnp.arange(rounds)))())


def test_law_and_independence():
    """Tests of 4e5 pairs: 2 Kolmogorov-Smirnov, 4 chi-square (tails, joint), 5 correlations, each at 1e-4: 1 of 900."""
    pairs = draws(400, 1000)
    a, b = pairs.reshape(2, -1).astype(np.float64)
    for x in (a, b):
        assert scipy.stats.kstest(x, "norm").pvalue > 1e-4
        beyond = np.array([np.sum(np.abs(x) <= 3), np.sum((np.abs(x) > 3) & (np.abs(x) <= 4)), np.sum(np.abs(x) > 4)])
        chances = np.diff([0, *(1 - 2 * scipy.stats.norm.sf([3, 4])), 1])
        assert scipy.stats.chisquare(beyond, chances * x.size).pvalue > 1e-4
    uniform = scipy.stats.norm.cdf(np.stack([a, b]))
    cells = np.histogram2d(*uniform, bins=16, range=[[0, 1], [0, 1]])[0]
    assert scipy.stats.chisquare(cells.ravel()).pvalue > 1e-4
    radius, angle = np.hypot(a, b), np.arctan2(b, a)
    cells = np.histogram2d(radius, angle, bins=[np.sqrt(-2 * np.log(np.linspace(1, 1e-12, 9))), 32])[0]
    assert scipy.stats.chi2_contingency(cells).pvalue > 1e-4
    later = pairs[:, 1:].reshape(2, -1), pairs[:, :-1].reshape(2, -1)  # of neighbouring rounds, then replicates
    beside = pairs[:, :, 1:].reshape(2, -1), pairs[:, :, :-1].reshape(2, -1)
    for x, y in ((a, b), (later[0][0], later[1][0]), (later[0][0], later[1][1]), *zip(*beside, strict=True)):
        assert abs(np.corrcoef(x, y)[0, 1]) * np.sqrt(x.size) < 3.9


def test_the_formula(monkeypatch):
    """In float64 from the same words, the smallest and the largest among them."""
    words = np.array([[0, 0], [2**32 - 1, 2**32 - 1], [2**31, 2**30], [1, 2**31 - 1]], np.uint32)
    words = np.concatenate([words, np.random.default_rng(0).integers(2**32, size=(1000, 2), dtype=np.uint32)])
    monkeypatch.setattr(jax.random, "bits", lambda key, shape, dtype: key)
    found = np.stack(jax.vmap(normal_pair)(jnp.asarray(words)), -1)
    u = ((words[:, 0] >> 8) * 2.0**-24 + 2.0**-25).astype(np.float32).astype(np.float64)
    radius = np.sqrt(-2 * np.log(u))
    rest = (words[:, 1].astype(np.int64) & (2**30 - 1)) >> 6
    angle = np.where(rest < 2**23, rest, rest - 2**24) * (np.pi / 4 * 2.0**-23)
    point = np.stack([np.cos(angle), np.sin(angle)], -1)
    turned, negative = words[:, 1] >> 30 & 1, words[:, 1] >> 31
    point = np.where(turned[:, None] == 1, point[:, ::-1], point) * np.where(negative[:, None] == 1, -1, 1)
    np.testing.assert_allclose(found, radius[:, None] * point, rtol=2e-6, atol=2e-6)
    assert np.abs(found).max() < 5.9


def test_bits_do_not_depend_on_company():
    many = draws(300, 9)
    np.testing.assert_array_equal(many[:, :, :1], draws(300, 1))
    np.testing.assert_array_equal(many[:, :, :4], draws(300, 4))
