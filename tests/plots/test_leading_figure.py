"""The figure of leaders against oracles shows medians, ground truths and every seed's policy."""

import itertools

import numpy as np
import pytest
import xarray

from stackjax import experiments, plots


@pytest.fixture
def data():
    """Two methods and three seeds; one run of the second method failed."""
    dims = ("methods", "replicate", "record")
    value = np.array([[-2.0, -1.5, -1.1], [-1.9, -1.4, -1.08], [-2.1, -1.3, -1.0]])
    values = np.stack([value, np.where(np.arange(3)[:, None] == 1, np.nan, value - 0.5)])
    policy = np.full((2, 3, 3, 5, 2), 0.5)
    policy[0, :, -1, 0] = [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]
    steps = np.broadcast_to([1e3, 1e4, 1e5], values.shape)
    return xarray.Dataset(
        {
            "policy": ((*dims, "observation", "leader_action"), policy),
            "value": (dims, values),
            "commitment_value": (dims, values + np.array([0.0, -0.6])[:, None, None]),
            "environment_steps": (dims, np.where(np.isnan(values), np.nan, steps)),
            "rounds": (("methods", "record"), np.array([[1, 10, 100]] * 2)),
            "status": (dims[:2], np.isnan(values[..., 0]).astype(np.int8)),
        },
        {
            "methods": ["a", "b"],
            "replicate": range(3),
            "observation": ["start", "CC", "CD", "DC", "DD"],
            "leader_action": ["silence", "confession"],
        },
        {
            "result": "leading",
            "title": "A game",
            "ties": "optimistic",
            "stackjax_version": "0.1.0",
            "optimum_optimistic": -1.1,
            "optimum_pessimistic": -1.1,
            "ceiling": -1.07,
            "myopic": -2.0,
        },
    )


def drawn(figure):
    figure.canvas.draw()
    curves, *panels = figure.axes
    return curves, [ax for ax in panels if ax.images]


def test_curves_are_medians_and_commitments_are_dashed_where_they_differ(data):
    curves, _ = drawn(plots.plot_result(data))
    solid = [line for line in curves.lines if line.get_linewidth() == 1.8]
    np.testing.assert_allclose(solid[0].get_ydata(), [-2.0, -1.4, -1.08])
    np.testing.assert_allclose(solid[1].get_ydata(), [-2.55, -1.9, -1.55])  # of the two that didn't fail
    np.testing.assert_array_equal(solid[0].get_xdata(), [1e3, 1e4, 1e5])
    (dashed,) = [line for line in curves.lines if line.get_linewidth() == 1.3]
    np.testing.assert_allclose(dashed.get_ydata(), [-3.15, -2.5, -2.15])
    assert curves.get_xscale() == "log" and curves.get_xlabel() == "environment steps"


def test_ground_truths_are_named_apart(data):
    curves, _ = drawn(plots.plot_leading(data))
    texts = {text.get_text(): text for text in curves.texts}
    assert list(texts) == [
        "myopic leader, -2",
        "best deterministic leader, -1.1",
        "best against sampled answers, -1.07",
    ]
    boxes = [text.get_window_extent() for text in texts.values()]
    assert all(above.y0 >= below.y1 - 3 for below, above in itertools.pairwise(boxes))
    other = data.assign_attrs(optimum_pessimistic=-1.3)
    texts = [text.get_text() for text in drawn(plots.plot_leading(other))[0].texts]
    assert "best deterministic leader, ties against it, -1.3" in texts


def test_policies_are_sorted_by_value_and_failures_are_said(data):
    figure = plots.plot_leading(data)
    _, panels = drawn(figure)
    assert [ax.get_title(loc="left") for ax in panels] == ["a", "b"]
    np.testing.assert_allclose(panels[0].images[0].get_array()[:, 0], [0.3, 0.2, 0.1])
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["start", "CC", "CD", "DC", "DD"]
    said = " ".join(text.get_text() for text in figure.texts)
    assert "1 runs of b failed" in said and "A game" in said


def test_exact_gradients_are_drawn_over_rounds(data):
    steps = data["environment_steps"].values.copy()
    steps[0] = np.nan
    curves, _ = drawn(plots.plot_leading(data.assign(environment_steps=(data["value"].dims, steps))))
    assert curves.get_xlabel() == "rounds"
    np.testing.assert_array_equal(curves.lines[0].get_xdata(), [1, 10, 100])


def test_many_long_names_fit_and_no_colour_repeats(data):
    many = xarray.concat([data] * 4, "methods", data_vars="minimal", join="override")
    names = [f"evolution-strategies/contextual-exact, recognisable {i}" for i in range(8)]
    figure = plots.plot_leading(many.assign_coords(methods=names))
    curves, _ = drawn(figure)
    (legend,) = figure.legends
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    lines = [line.get_color() for line in curves.lines if line.get_linewidth() == 1.8]
    assert len(set(lines)) == 8 and lines == [line.get_color() for line in legend.get_lines()]


def test_the_head_names_the_tie_rule(data):
    figure = plots.plot_leading(data.assign_attrs(ties="pessimistic"))
    assert any("dashed: what it commits to, ties pessimistic" in text.get_text() for text in figure.texts)


def test_no_result(data):
    with pytest.raises(TypeError, match="dataset"):
        plots.plot_leading(3)
    with pytest.raises(ValueError, match="without value"):
        plots.plot_leading(data.drop_vars("value"))


def test_the_table_of_the_same(data):
    from rich.console import Console

    made = data.assign(**{name: ("methods", [1.0, 2.0]) for name in ("training_seconds", "seconds", "compile_seconds")})
    console = Console(width=160)
    with console.capture() as captured:
        console.print(experiments.table(made, 160))
    printed = captured.get()
    assert "-1.080 -1.090 to -1.040" in printed and "100k (3 of 3)" in printed and "not half (0 of 2)" in printed


def test_a_leader_that_games_its_oracle_has_not_arrived(data):
    """Its value is high, and that of what it commits to is not; of the others one did, later than by its value."""
    from rich.console import Console

    value = np.array([[[-1.0] * 3] * 3, [[-2.0, -1.0, -1.0]] * 3])
    commitment = np.array([[[-2.0] * 3] * 3, [[-2.0, -2.0, -1.0], [-2.0] * 3, [-2.0] * 3]])
    dims = data["value"].dims
    steps = np.broadcast_to([1e3, 1e4, 1e5], value.shape)
    times = {name: ("methods", [1.0, 2.0]) for name in ("training_seconds", "seconds", "compile_seconds")}
    made = data.assign(
        value=(dims, value),
        commitment_value=(dims, commitment),
        environment_steps=(dims, steps),
        status=(dims[:2], np.zeros((2, 3), np.int8)),
        **times,
    )
    for more, said in ((0, "not half (1 of 3)"), (1, "100k (2 of 3)")):
        commitment[1, 1, 2] = [-2.0, -1.0][more]
        console = Console(width=160)
        with console.capture() as captured:
            console.print(experiments.table(made.assign(commitment_value=(dims, commitment)), 160))
        printed = captured.get()
        assert "not half (0 of 3)" in printed and said in printed
        assert "value and its commitment's stay above -1.155" in " ".join(printed.split())
