"""Slopes of known regrets, their intervals, and why there is none."""

import numpy as np
import pytest

from stackjax import experiments
from tests.experiments.test_regret import printed, synthetic


def test_slopes_of_powers_and_joint_resampling():
    """Each replicate has its own factor: however they're resampled, the slope is the same."""
    horizons = np.array([1000, 3162, 10_000, 100_000])
    factors = np.random.default_rng(0).uniform(0.5, 2, 30)
    values = np.stack([factors * horizons[:, None] ** e for e in (0.7, 0.5)], axis=-1)
    found = experiments.slopes(synthetic(values[None], horizons))
    np.testing.assert_allclose(found["slope"], [[0.7, 0.5, 0.7]], atol=1e-12)
    np.testing.assert_allclose(found["interval"], [[[e, e] for e in (0.7, 0.5, 0.7)]], atol=1e-12)
    assert set(found["reason"].values.ravel()) == set(found["note"].values) == {""}


def test_the_larger_regret_is_that_of_each_horizon():
    horizons = np.array([100, 1000, 10_000])
    values = np.stack([100.0 * horizons**0.25, 1.0 * horizons], axis=-1)[None, :, None, :]
    found = experiments.slopes(synthetic(values, horizons), resamples=2)
    expected = np.polyfit(np.log(horizons), np.log(values[0, :, 0].max(-1)), 1)[0]
    assert found["slope"].sel(player="larger").item() == pytest.approx(expected)
    assert expected > 0.5 and found["slope"].sel(player="leader").item() == pytest.approx(0.25)


def test_a_logarithm_makes_the_slope_of_two_thirds_larger():
    horizons = np.geomspace(1e4, 1e6, 5).astype(int)
    law = (horizons ** (2 / 3) * np.log(horizons) ** (1 / 3))[None, :, None, None] * np.ones((1, 1, 1, 2))
    assert 0.69 < experiments.slopes(synthetic(law, horizons), resamples=2)["slope"][0, 0].item() < 0.70


def test_intervals_have_the_width_of_the_slopes_error():
    """Noise of its own at every horizon, of which the slope's standard error is known. Fixed random numbers."""
    horizons, n, spread = np.array([1000, 10_000, 100_000]), 400, 0.3
    noise = np.random.default_rng(1).normal(size=(1, 3, n, 2))
    found = experiments.slopes(
        synthetic(horizons[:, None, None] ** 0.6 * (1 + spread * noise), horizons), resamples=4000, confidence=0.9
    )
    x = np.log(horizons) - np.log(horizons).mean()
    error = spread / np.sqrt(n) / np.sqrt(x @ x)
    low, high = found["interval"].sel(player="leader", pairs="pair 0").values
    assert high - low == pytest.approx(2 * 1.645 * error, rel=0.1)
    slope = found["slope"].sel(player="leader", pairs="pair 0").item()
    assert low < slope < high and abs(slope - 0.6) < 4 * error
    assert dict(found.attrs) == {"confidence": 0.9, "resamples": 4000, "seed": 0}


def test_a_regret_that_is_no_power_is_marked():
    """A hump has the slope 0, and the horizon in the middle is 2/3 of its height off the line: 1.54, and .18."""
    horizons = np.array([1000, 10_000, 100_000])
    hump, bent, line = [10.0, 100.0, 10.0], [10.0, 10 * np.exp(0.27), 10.0], 3.0 * horizons**0.5
    values = np.array([[hump, line], [bent, line]]).transpose(0, 2, 1)[:, :, None, :]
    data = synthetic(values, horizons)
    found = experiments.slopes(data, resamples=2)
    np.testing.assert_allclose(found["slope"].sel(player="leader"), 0.0, atol=1e-12)
    np.testing.assert_allclose(found["residual"][0, :2], [2 / 3 * np.log(10), 0.0], atol=1e-12)
    np.testing.assert_allclose(found["residual"][1, :2], [0.18, 0.0], atol=1e-12)
    assert found["curved"].values.tolist() == [[True, False, False], [False, False, False]]
    text = printed(data, 120)
    assert "* pair 0: no power of T; off the line in ln R by up to: leader 1.54" in " ".join(text.split())
    assert [line.split()[1:] for line in text.splitlines() if line.split()[:1] == ["slope"]] == [
        ["0.000*", "0.500", "0.500"],
        ["0.000", "0.500", "0.500"],
    ]


def test_where_there_is_no_slope_it_says_why():
    values = np.ones((3, 2, 6, 2)) * np.array([10.0, 20.0])[:, None, None]
    values[0, 0, :, 0] = -1.0
    values[1, 1, :, 1] = np.nan
    values[2, :, 0, 0] = [-44.0, -94.0]  # with a replicate that is drawn twice the mean is negative
    found = experiments.slopes(synthetic(values, [100, 200]))
    text = found["reason"].values
    assert text[0].tolist() == ["the mean regret isn't above 0 at T = 100", "", ""]
    assert text[1].tolist() == ["", *["all replicates failed at T = 200"] * 2]
    assert text[2, 0].startswith("no interval: the mean regret isn't above 0 in ")
    assert text[2, 1] == ""
    missing = [[True, False, False], [False, True, True], [False, False, False]]
    np.testing.assert_array_equal(np.isnan(found["slope"]), missing)
    none = np.array(missing)
    none[2, 0] = True
    np.testing.assert_array_equal(np.isnan(found["interval"]).all("bound"), none)
    alone = experiments.slopes(synthetic(values[:, :1], [100]))
    assert set(alone["reason"].values.ravel()) == {"there is only one horizon"}
