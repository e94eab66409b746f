"""The figure of a comparison shows its numbers."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from stackjax import experiments
from stackjax.games import CournotDuopoly, TorusLocation, from_payoffs
from stackjax.learners import BestResponse, Fixed, GradientAscent
from stackjax.plots import comparison, plot_comparison
from stackjax.spaces import Euclidean


@pytest.fixture(scope="module")
def duopoly():
    return experiments.compare(
        CournotDuopoly(),
        {"ascent": (GradientAscent(0.1), GradientAscent(0.1)), "fixed": (Fixed(46.0), BestResponse())},
        rounds=100,
        replicates=8,
        title="Two firms",
        action_labels=("quantity of firm 1", "quantity of firm 2"),
    )


def test_actions_and_payoffs_with_the_equilibria(duopoly):
    figure = plot_comparison(duopoly)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "quantity of firm 1",
        "quantity of firm 2",
        "leader's distance to Stackelberg",
        "follower's distance to Stackelberg",
        "payoff of leader",
        "payoff of follower",
    ]
    assert [ax.get_yscale() for ax in figure.axes] == ["linear"] * 2 + ["log"] * 2 + ["linear"] * 2
    assert {ax.get_xscale() for ax in figure.axes} == {"log"}
    at = {"Nash": (92 / 3, 101 / 3, 940.444, 1133.444), "Stackelberg": (46, 26, 1058, 676)}
    axes = figure.axes[:2] + figure.axes[4:]
    alone = plot_comparison(duopoly.sel(methods=["fixed"])).axes  # it plays Stackelberg, and sees Nash
    for i, (ax, other) in enumerate(zip(axes, alone[:2] + alone[4:], strict=True)):
        assert sorted(text.get_text() for text in ax.texts) == ["Nash", "Stackelberg"]
        flat = [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 2]
        np.testing.assert_allclose(sorted(flat), sorted(values[i] for values in at.values()), rtol=1e-5)
        for low, high in (ax.get_ylim(), other.get_ylim()):
            assert low < min(flat) and max(flat) < high
    ascent, fixed = (line for line in axes[0].lines if len(line.get_xdata()) > 2)
    np.testing.assert_array_equal(ascent.get_xdata(), duopoly["rounds"])
    np.testing.assert_allclose(fixed.get_ydata(), 46.0)
    assert abs(ascent.get_ydata()[-1] - 92 / 3) < 0.1
    ascent, fixed = figure.axes[3].lines
    np.testing.assert_allclose(ascent.get_ydata()[-1], 101 / 3 - 26, atol=0.1)
    np.testing.assert_allclose(fixed.get_ydata(), 0.0, atol=1e-4)


def test_lines_are_medians_and_bands_quartiles_of_each_round(duopoly):
    figure = plot_comparison(duopoly)
    names = ["distance_to_stackelberg"] * 2 + ["payoffs"] * 2
    for ax, name, player in zip(figure.axes[2:], names, [0, 1] * 2, strict=True):
        low, middle, high = np.quantile(duopoly[name].values[0, ..., player].astype(float), [0.25, 0.5, 0.75], axis=0)
        np.testing.assert_allclose(ax.lines[0].get_ydata(), middle, rtol=1e-12)
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose(sorted(set(band.tolist())), sorted(set([*low, *high])), rtol=1e-12)


def test_methods_panels_and_labels_are_chosen(duopoly):
    figure = plot_comparison(
        duopoly, methods=["fixed", "ascent"], labels={"fixed": "commits"}, panels=["payoffs"], size=(5, 3)
    )
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["payoff of leader", "payoff of follower"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["commits", "ascent"]
    np.testing.assert_allclose(figure.get_size_inches(), [5, 3])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 1058.0, rtol=1e-5)


def test_a_comparison_is_drawn_into_axes_that_are_given(duopoly):
    figure, axes = plt.subplots(1, 2)
    assert plot_comparison(duopoly, panels=["distances"], axes=axes) is figure
    assert [ax.get_title(loc="left") for ax in axes] == [
        f"{p}'s distance to Stackelberg" for p in ("leader", "follower")
    ]
    assert axes[0].get_legend_handles_labels()[1] == ["ascent", "fixed"] and not figure.legends
    with pytest.raises(ValueError, match=r"^axes: expected 2, one for each of the panels \(leader's distance"):
        plot_comparison(duopoly, panels=["distances"], axes=axes[0])
    plt.close(figure)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"panels": ["payoff"]}, "^panels: unknown panel 'payoff'; did you mean 'payoffs'"),
        ({"methods": ["ascend"]}, "^methods: unknown method 'ascend'; did you mean 'ascent'"),
        ({"labels": {"fix": "f"}}, "^labels: unknown method 'fix'"),
        ({"panels": []}, "^dataset: it has nothing to show"),
    ],
)
def test_wrong_choices_are_named(duopoly, wrong, match):
    with pytest.raises(ValueError, match=match):
        plot_comparison(duopoly, **wrong)


def test_nash_is_measured_where_no_stackelberg_is_known(duopoly):
    axes = plot_comparison(duopoly.drop_vars("distance_to_stackelberg")).axes
    assert [ax.get_title(loc="left") for ax in axes[2:4]] == [
        "leader's distance to Nash",
        "follower's distance to Nash",
    ]


def test_an_equilibrium_that_is_met_exactly_is_drawn_without_a_warning():
    game = from_payoffs(lambda x, y: -(x**2), lambda x, y: -(y**2), spaces=(Euclidean(()),) * 2)
    data = experiments.compare(game, {"a": (Fixed(0.0),) * 2}, rounds=3, replicates=2, nash=(0.0, 0.0))
    figure = plot_comparison(data)
    figure.canvas.draw()
    np.testing.assert_array_equal(figure.axes[2].lines[0].get_ydata(), 0.0)


def test_the_head_says_what_is_shown(duopoly):
    figure = plot_comparison(duopoly)
    assert [text.get_text() for text in figure.texts] == [
        "Two firms",
        "median and quartiles of 8 replicates",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ascent", "fixed"]
    failed = duopoly.assign(status=duopoly["status"].copy(data=[[1] * 3 + [0] * 5, [0] * 8]))
    assert "(3 of ascent failed)" in plot_comparison(failed).texts[1].get_text()


def test_failed_replicates_are_not_drawn(duopoly):
    status = np.zeros((2, 8), np.int8)
    status[0, 1:] = 1
    status[1] = 2
    axes = plot_comparison(duopoly.assign(status=duopoly["status"].copy(data=status))).axes
    ascent, fixed = (line for line in axes[0].lines if len(line.get_xdata()) > 2)
    assert ascent.get_ydata()[0] == pytest.approx(float(duopoly["strategy_0"][0, 0, 0]))
    assert bool(np.isnan(fixed.get_ydata()).all())


def test_distances_stand_in_for_actions_that_are_no_scalars():
    game = from_payoffs(
        lambda x, y: -jnp.sum(x**2), lambda x, y: -jnp.sum(y**2), spaces=(Euclidean((2,)), Euclidean((1,)))
    )
    methods = {"fixed": (Fixed(jnp.array([3.0, 4.0])), Fixed(jnp.zeros(1)))}
    equilibria = {"nash": (jnp.zeros(2), jnp.ones(1)), "stackelberg": (jnp.array([0.0, 4.0]), jnp.full(1, 2.0))}
    axes = plot_comparison(experiments.compare(game, methods, rounds=9, replicates=2, **equilibria)).axes
    shown = {ax.get_title(loc="left"): (ax.get_yscale(), ax.lines[0].get_ydata()[-1]) for ax in axes}
    assert shown == {
        "leader's distance to Nash": ("log", pytest.approx(5.0)),
        "follower's distance to Nash": ("log", pytest.approx(1.0)),
        "leader's distance to Stackelberg": ("log", pytest.approx(3.0)),
        "follower's distance to Stackelberg": ("log", pytest.approx(2.0)),
        "payoff of leader": ("linear", pytest.approx(-25.0)),
        "payoff of follower": ("linear", pytest.approx(0.0)),
    }


@pytest.mark.parametrize("both", [True, False])
def test_a_scalar_strategy_is_drawn_beside_one_that_is_none(both):
    game = from_payoffs(
        lambda x, y: -(x**2) * jnp.sum(y), lambda x, y: -jnp.sum(y**2), spaces=(Euclidean(()), Euclidean((2,)))
    )
    equilibria = {"nash": (0.0, jnp.zeros(2))} | ({"stackelberg": (1.0, jnp.ones(2))} if both else {})
    labels = ("log lambda", "weights")
    methods = {"a": (Fixed(3.0), Fixed(jnp.array([3.0, 4.0])))}
    data = experiments.compare(game, methods, rounds=9, replicates=2, action_labels=labels, **equilibria)
    figure = plot_comparison(data)
    figure.canvas.draw()
    shown = [ax.get_title(loc="left") for ax in figure.axes]
    last = "Stackelberg" if both else "Nash"
    below = [f"leader's distance to {last}", f"follower's distance to {last}", "payoff of leader", "payoff of follower"]
    assert shown == ["log lambda", *["follower's distance to Nash"] * both, *below]
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 3.0)
    assert sorted(text.get_text() for text in figure.axes[0].texts) == sorted(["Nash", *["Stackelberg"] * both])


def test_of_several_equilibria_distances_are_shown_and_payoffs_once_each():
    """Medians of angles that end at different equilibria would say little; each kind pays the same at both."""
    methods = {"fixed": (Fixed(1.3106), Fixed(-0.4611))}
    figure = plot_comparison(experiments.compare(TorusLocation(), methods, rounds=3, replicates=2))
    figure.canvas.draw()
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        *[f"{player}'s distance to {kind}" for kind in ("Nash", "Stackelberg") for player in ("leader", "follower")],
        *[f"payoff of {player}" for player in ("leader", "follower")],
    ]
    for ax in figure.axes[4:]:
        assert sorted(text.get_text() for text in ax.texts) == ["Nash", "Stackelberg"]
    for ax in figure.axes[2:4]:
        assert ax.lines[0].get_ydata()[-1] < 1e-3


def test_names_that_would_overlap_stand_below_each_other():
    ax = Figure().subplots()
    comparison._equilibria(ax, {"nash": [0.0, 5.0, 5.001], "stackelberg": [0.02, 10.0]}, 10.0)
    assert [(text.get_text(), round(text.xy[1], 2)) for text in ax.texts] == [
        ("Stackelberg\nNash", 0.01),
        ("Nash", 5.0),
        ("Stackelberg", 10.0),
    ]
    assert len(ax.lines) == 5


def test_values_that_are_not_finite_are_left_out_without_a_warning(duopoly):
    """Of a replicate that failed, and of one that didn't: the rest's medians, and a count in the head."""
    actions, payoffs = (duopoly[name].values.copy() for name in ("strategy_0", "payoffs"))
    actions[0, 0, 40:] = np.inf
    payoffs[0, 0, 40:] = np.nan
    payoffs[1, 3, -1, 0] = np.nan
    status = np.zeros((2, 8), np.int8)
    status[0, 0] = 1
    new = {"strategy_0": actions, "payoffs": payoffs, "status": status}
    spoilt = duopoly.assign({name: duopoly[name].copy(data=x) for name, x in new.items()})
    figure, whole = plot_comparison(spoilt), plot_comparison(duopoly.isel(replicate=slice(1, None)))
    for i in (0, 4):
        np.testing.assert_allclose(figure.axes[i].lines[0].get_ydata(), whole.axes[i].lines[0].get_ydata(), rtol=1e-6)
    assert bool(np.isfinite(figure.axes[4].lines[1].get_ydata()).all())
    assert "(1 of ascent failed, 1 values of fixed not finite, left out)" in figure.texts[1].get_text()


def test_many_players_take_several_rows():
    game = from_payoffs(*[lambda *x: -(x[0] ** 2)] * 5, spaces=(Euclidean(()),) * 5)
    data = experiments.compare(game, {"a": (Fixed(1.0),) * 5}, rounds=2, replicates=1)
    axes = plot_comparison(data).axes
    assert [ax.get_title(loc="left") for ax in axes] == [
        f"{kind} of player {i}" for kind in ("strategy", "payoff") for i in range(5)
    ]
    assert [ax.get_xlabel() for ax in axes] == [""] * 5 + ["", *["completed rounds"] * 4]


def test_other_data_is_refused(duopoly):
    with pytest.raises(ValueError, match="expected the result of a comparison"):
        plot_comparison(xarray.Dataset())
    with pytest.raises(TypeError, match=r"^dataset: expected a dataset from .*compare, got a str$"):
        plot_comparison("comparison.nc")
    with pytest.raises(ValueError, match=r'name it in a list: dataset.sel\(methods=\["a"\]\)$'):
        plot_comparison(duopoly.sel(methods="fixed"))
