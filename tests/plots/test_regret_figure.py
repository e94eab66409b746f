"""The figure of regrets shows their means, their errors, and what can't be drawn."""

import numpy as np
import pytest
import xarray

from stackjax import experiments, plots

HORIZONS = [1000, 3162, 10_000]


@pytest.fixture
def data():
    """Two pairs: T^(2/3) and T for the leader; for the follower, one that is missing and one that is negative."""
    T = np.array(HORIZONS, float)
    mean = np.stack([np.stack([T ** (2 / 3), T ** (1 / 2)], -1), np.stack([T, T - 2000], -1)])
    values = mean[:, :, None] + np.array([-3.0, 0.0, 3.0])[:, None]
    status = np.zeros((2, 3, 3), int)
    status[0, 1] = 1
    values[0, 1] = np.nan
    runs = ("pairs", "horizon")
    return xarray.Dataset(
        {"regret": ((*runs, "replicate", "player"), values), "status": ((*runs, "replicate"), status)},
        {"pairs": ["a", "b"], "horizon": HORIZONS, "replicate": range(3), "player": ["leader", "follower"]},
        {"result": "regret", "title": "A game", "benchmark": "tolerant", "gamma": 0.05, "stackjax_version": "0.1.0"},
    )


def curves(ax):
    return [line for line in ax.lines if line.get_linestyle() == "-"]


def test_lines_are_means_and_bands_their_errors(data):
    figure = plots.plot_regret(data)
    figure.canvas.draw()
    leader, follower = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["regret of the leader", "regret of the follower"]
    assert {ax.get_xscale() for ax in figure.axes} == {ax.get_yscale() for ax in figure.axes} == {"log"}
    assert leader.get_ylim() == follower.get_ylim()
    first, second = curves(leader)
    np.testing.assert_array_equal(first.get_xdata(), HORIZONS)
    np.testing.assert_allclose(first.get_ydata(), [100.0, np.nan, 10_000 ** (2 / 3)], rtol=1e-6)
    np.testing.assert_allclose(second.get_ydata(), HORIZONS)
    band = leader.collections[1].get_paths()[0].vertices[:, 1]
    error = 3 / np.sqrt(3)
    assert band.min() == pytest.approx(1000 - 1.96 * error) and band.max() == pytest.approx(10_000 + 1.96 * error)


def test_guides_have_the_slopes_that_they_are_named_after(data):
    ax = plots.plot_regret(data).axes[0]
    guides = [line for line in ax.lines if line not in curves(ax)]
    assert [text.get_text() for text in ax.texts] == ["$T^{1/2}$", "$T^{2/3}$", "$T$"]
    for exponent, line, text in zip((1 / 2, 2 / 3, 1), guides, ax.texts, strict=True):
        (x0, x1), (y0, y1) = line.get_data()
        assert np.log(y1 / y0) / np.log(x1 / x0) == pytest.approx(exponent)
        assert x0 == 1000 and x1 <= 10_000.01 and y1 <= ax.get_ylim()[1] and text.xy == (x1, y1)
        assert y0 == pytest.approx((100 * 1000**0.5 * 1000) ** (1 / 3))  # of the positive first means


def test_means_that_are_not_positive_are_marked_and_counted(data):
    figure = plots.plot_regret(data)
    follower = figure.axes[1]
    marks = [text for text in follower.texts if text.get_text() == "▼"]
    assert [mark.xy[0] for mark in marks] == [1000] and marks[0].get_color() == curves(follower)[1].get_color()
    np.testing.assert_allclose(curves(follower)[1].get_ydata(), [np.nan, 1162, 8000])
    title, text = (text.get_text() for text in figure.texts)
    assert title == "A game"
    assert text == (
        "mean of 3 replicates in a band of 95 %; regret against the tolerant benchmark, gamma = 0.05; "
        "3 runs of a failed; ▼: 1 means that aren't above 0"
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


@pytest.mark.parametrize("change", [lambda d: -abs(d), lambda d: d * np.nan])
def test_nothing_to_draw_is_no_error(data, change):
    figure = plots.plot_regret(data.assign(regret=change(data["regret"])))
    figure.canvas.draw()
    assert all(np.isnan(line.get_ydata()).all() for line in curves(figure.axes[0]))


def test_one_horizon_is_a_point_and_many_pairs_are_told_apart(data):
    many = xarray.concat([data.assign_coords(pairs=[f"{i}a", f"{i}b"]) for i in range(4)], "pairs")
    figure = plots.plot_regret(many.isel(horizon=[0]))
    figure.canvas.draw()
    lines = curves(figure.axes[0])
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 8
    assert len(figure.axes[0].lines) == 8  # no guides


def test_results_are_drawn_by_their_kind(data, tmp_path):
    experiments.save(data, tmp_path / "regret.nc")
    figure = plots.plot_result(experiments.load(tmp_path / "regret.nc"))
    assert figure.axes[0].get_title(loc="left") == "regret of the leader"
    with pytest.raises(ValueError, match="expected the result of an experiment"):
        plots.plot_result(data.assign_attrs(result="else"))
    with pytest.raises(TypeError, match=r"^dataset: expected a result of stackjax.experiments, got a str$"):
        plots.plot_result("regret.nc")
    with pytest.raises(ValueError, match=r"expected a result of stackjax.experiments.regret, got one without pairs"):
        plots.plot_regret(data.sel(pairs="a"))
