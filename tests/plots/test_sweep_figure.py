"""The figure of a sweep: what is on the axes, in the colours and in the columns, and what isn't shown is counted."""

import json

import numpy as np
import pytest
import xarray

from stackjax import plots


@pytest.fixture
def data():
    """Payoffs 100 method + 10 step + demand + replicate, at the last of two records; one run failed."""
    shape = (2, 3, 2, 5, 2, 2)
    payoffs = np.zeros(shape)
    for axis, weight in enumerate((100.0, 10.0, 1.0, 0.01)):
        payoffs += weight * np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(6)])
    payoffs[..., 0, :] = -1.0
    status = np.zeros(shape[:4], int)
    status[0, 0, 0, 4] = 1
    payoffs[0, 0, 0, 4] = np.nan
    payoffs[0, 0, 1, 4, :, 1] = np.inf
    dims = ("methods", "leader.step", "game.demand", "replicate", "rounds", "player")
    return xarray.Dataset(
        {"payoffs": (dims, payoffs), "distance_to_nash": (dims, np.abs(payoffs) + 1), "status": (dims[:4], status)},
        {
            "methods": ["a", "b"],
            "leader.step": [0.1, 10.0, 1.0],
            "game.demand": [90.0, 100.0],
            "replicate": range(5),
            "rounds": [1, 10],
            "player": ["leader", "follower"],
            "payoff_label": ("player", ["profit of 1", "profit of 2"]),
        },
        {"result": "sweep", "title": "A game", "stackjax_version": "0.1.0"},
    )


def test_rows_are_players_columns_the_rest(data):
    figure = plots.plot_sweep(data, variable="payoffs")
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == ["game.demand = 90", "game.demand = 100", "", ""]
    leader = figure.axes[0]
    assert leader.get_ylabel() == "profit of 1" and figure.axes[2].get_xlabel() == "leader.step"
    assert (leader.get_xscale(), leader.get_yscale()) == ("log", "linear")
    first, second = leader.lines
    np.testing.assert_array_equal(first.get_xdata(), [0.1, 1.0, 10.0])
    np.testing.assert_allclose(first.get_ydata(), [0.015, 20.02, 10.02])  # in the first setting of four runs
    np.testing.assert_allclose(second.get_ydata(), [100.02, 120.02, 110.02])
    band = leader.collections[1].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(100.01) and band.max() == pytest.approx(120.03)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    assert figure.texts[0].get_text() == "A game"
    said = "median and quartiles of 5 replicates after 10 rounds; 1 of 60 runs failed; 2 values not finite"
    assert figure.texts[1].get_text() == said


def test_distances_over_rounds_in_colours_of_ones_own(data):
    figure = plots.plot_sweep(data, x="rounds", colour="leader.step", column="methods")
    assert len(figure.axes) == 2 * 4  # of each player: methods x demands
    ax = figure.axes[0]
    assert ax.get_ylabel() == "leader's distance to Nash" and (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert len(ax.lines) == 3 and list(ax.lines[0].get_xdata()) == [1, 10]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["leader.step = 0.1", "leader.step = 10", "leader.step = 1"]
    assert figure.texts[1].get_text().startswith("median and quartiles of 5 replicates; 1 of 60 runs failed")


def test_the_result_says_how_it_is_drawn(data):
    data.attrs["figure"] = json.dumps({"variable": "payoffs", "x": "game.demand", "log": ["y"]})
    ax = plots.plot_result(data).axes[0]
    assert ax.get_xlabel() == "" and list(ax.lines[0].get_xdata()) == [90.0, 100.0] and ax.get_yscale() == "log"
    assert plots.plot_result(data, x="rounds").axes[-1].get_xlabel() == "completed rounds"


def test_a_zip_is_drawn_as_points(data):
    data = data.drop_vars("leader.step").rename({"leader.step": "draw"})
    data = data.assign_coords({"draw": range(3), "a.b": ("draw", [0.3, 0.1, 0.2]), "c": ("draw", ["x", "y", "z"])})
    figure = plots.plot_sweep(data, variable="payoffs")
    ax = figure.axes[0]
    assert figure.axes[-1].get_xlabel() == "a.b" and len(ax.containers) == 2
    np.testing.assert_array_equal(ax.containers[0].lines[0].get_xdata(), [0.1, 0.2, 0.3])


def test_settings_are_pooled_as_replicates_and_units_are_shown(data):
    data["leader.step"].attrs["units"] = "1/EUR"
    figure = plots.plot_sweep(data, variable="payoffs", pool=["game.demand"])
    assert len(figure.axes) == 2 and figure.axes[1].get_xlabel() == "leader.step (1/EUR)"
    # Of 2 x 4 runs that didn't fail or aren't finite: those of either demand.
    np.testing.assert_allclose(
        figure.axes[0].lines[0].get_ydata()[1], np.median([20 + d + r / 100 for d in (0, 1) for r in range(5)])
    )
    assert (
        figure.texts[1]
        .get_text()
        .startswith("median and quartiles of 5 replicates after 10 rounds, pooled over game.d")
    )
    figure = plots.plot_sweep(data, x="game.demand", colour="leader.step")
    assert figure.legends[0].get_texts()[0].get_text() == "leader.step = 0.1 1/EUR"


def test_settings_without_numbers_are_shown_over_rounds(data):
    data = data.isel({"leader.step": [0], "game.demand": [0]}).squeeze("game.demand")
    assert plots.plot_sweep(data).axes[-1].get_xlabel() == "completed rounds"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variable": "payof"}, "variable: unknown variable 'payof'; did you mean 'payoffs'?"),
        ({"variable": "status"}, "variable: unknown variable 'status'"),
        ({"x": "step"}, "x: unknown swept value 'step'; did you mean 'leader.step'?"),
        ({"colour": "leader.step"}, "colour: unknown dimension 'leader.step'"),
        ({"x": "rounds", "column": "steps"}, "column: unknown dimension 'steps'"),
        ({"pool": "game.demand"}, "pool: expected names of dimensions, got 'game.demand'"),
        ({"pool": ["demand"]}, "pool: unknown dimension 'demand'; did you mean 'game.demand'?"),
        ({"log": "xy"}, 'log: expected some of "x" and "y"'),
    ],
)
def test_bad_options_are_named(options, message, data):
    with pytest.raises(ValueError) as caught:
        plots.plot_sweep(data, **options)
    assert str(caught.value).startswith(message)


def test_too_many_panels_are_refused(data):
    many = xarray.concat([data.assign_coords({"game.demand": [i, i + 0.5]}) for i in range(10)], "game.demand")
    with pytest.raises(ValueError, match=r"too many panels, a column for each of game\.demand \(20\); pick some"):
        plots.plot_sweep(many, x="leader.step", colour="methods")
    with pytest.raises(TypeError, match=r"^dataset: expected a dataset"):
        plots.plot_sweep(1)
    with pytest.raises(ValueError, match=r"^x: an option of sweeps and comparisons, the dataset is a regret"):
        plots.plot_result(data.assign_attrs(result="regret"), x="rounds")
