"""The quantiles of Beta(a, b) by which Thompson sampling draws: against SciPy's, closed forms, and as samples."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from stackjax.learners.thompson_sampling import _beta_log_odds

# From 1 to 1e5, not only whole numbers, very unequal ones too; a little below 1, as a rounded count of failures may be.
PARAMETERS = np.array([0.95, 1.0, 1.3, 2.0, 3.7, 17.5, 120.25, 3000.0, 1e5])


@functools.cache
def log_odds(dtype):
    """Of arrays that broadcast, rounded to a type; and what they were rounded to, in float64."""
    found = jax.jit(jnp.vectorize(_beta_log_odds))

    def quantiles(*arguments):
        given = np.broadcast_arrays(*[np.asarray(x, dtype) for x in arguments])
        result = found(*given)
        assert result.dtype == dtype
        return np.asarray(result, np.float64), *[x.astype(np.float64) for x in given]

    return quantiles


def probabilities(w, a, b):
    """Below and above the log odds w, both without cancellation."""
    return special.betainc(a, b, special.expit(w)), special.betainc(b, a, special.expit(-w))


def uniform_numbers(dtype):
    """Multiples of the spacing, as `jax.random.uniform` has them: the first ones, the last ones, and some between."""
    spacing = float(jnp.finfo(dtype).eps)
    few = np.unique(np.rint(np.geomspace(1, 0.1 / spacing, 60))) * spacing
    return np.concatenate([few, np.linspace(0.125, 0.875, 25), 1 - few])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantiles_have_their_probabilities(x64, dtype):
    w, a, b, u = log_odds(dtype)(PARAMETERS[:, None, None], PARAMETERS[:, None], uniform_numbers(dtype))
    below, above = probabilities(w, a, b)
    error = np.where(u < 0.5, np.abs(below - u), np.abs(above - (1 - u)))
    relative = error / np.minimum(u, 1 - u)
    scale, eps = np.sqrt(np.maximum(np.minimum(a, b), 1)), float(jnp.finfo(dtype).eps)
    if dtype == np.float32:
        assert np.all(error <= 4 * eps * scale)
        assert np.all(relative <= 200 * eps * scale)
    else:  # SciPy's own probabilities are off by up to 1e-11 where a parameter is large
        judged = np.maximum(a, b) < 200
        assert np.all(error <= np.where(judged, 40 * eps, 2e-11))
        assert np.all(relative[judged] <= 600 * eps)
    assert np.all(np.diff(w, axis=-1)[..., np.diff(u[0, 0]) > 1e4 * eps] > 0)


@pytest.mark.parametrize("n", [1.0, 1.7, 40.0, 1e5, 1e7])
def test_quantiles_are_those_in_closed_form(x64, n):
    u = uniform_numbers(np.float64)
    w, *_ = log_odds(np.float64)(n, 1.0, u)  # P(x) = x^n
    np.testing.assert_allclose(w, -np.log(np.expm1(-np.log(u) / n)), rtol=0, atol=1e-11)
    w, *_ = log_odds(np.float64)(1.0, n, u)
    np.testing.assert_allclose(w, np.log(np.expm1(-np.log1p(-u) / n)), rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_follow_the_posterior(x64, dtype):
    """Kolmogorov and Smirnov's test of 25 laws, at other keys a false alarm in one of 10,000 runs."""
    parameters = np.array([1.0, 1.3, 17.5, 3000.0, 1e5])
    u = jax.random.uniform(jax.random.key(7), (5, 5, 20_000), dtype)
    w, a, b, _ = log_odds(dtype)(parameters[:, None, None], parameters[:, None], u)
    below, above = probabilities(w, a, b)
    p = np.where(below < 0.5, below, 1 - above)
    least = min(stats.kstest(each, "uniform").pvalue for each in p.reshape(-1, p.shape[-1]))
    assert least > 1e-4 / 25


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_zero_has_a_quantile(x64, dtype):
    w, *_ = log_odds(dtype)(PARAMETERS[:, None], PARAMETERS, 0.0)
    assert np.all(np.isfinite(w))
    assert np.all(w < log_odds(dtype)(PARAMETERS[:, None], PARAMETERS, jnp.finfo(dtype).eps)[0])
