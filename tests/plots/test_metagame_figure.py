"""The figure of a meta-game shows its numbers, its equilibria, and what failed."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from stackjax import experiments, plots
from tests.experiments import synthetic_metagame as synthetic

SEXES = ([[2, 0], [0, 1]], [[1, 0], [0, 2]])


@pytest.fixture(scope="module")
def data():
    return experiments.solutions(synthetic.noisy(*SEXES, 4.0), resamples=400)


def texts(ax):
    """What stands in a panel, by its place: (column, row)."""
    return {tuple(np.round(text.get_position(), 2).tolist()): text for text in ax.texts}


def test_each_player_has_a_panel_with_means_errors_and_best_replies_in_bold(data):
    figure = plots.plot_metagame(data)
    figure.canvas.draw()
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "average utility of the leader",
        "average utility of the follower",
    ]
    for player, ax in enumerate(figure.axes):
        shown = texts(ax)
        mean, error = (data[name][..., player].values for name in ("mean", "standard_error"))
        np.testing.assert_array_equal(ax.images[0].get_array(), mean)
        for row, column in np.ndindex(2, 2):
            number = shown[column, round(row - 0.2, 2)]
            assert number.get_text() == f"{mean[row, column]:.3f}"
            assert shown[column, round(row + 0.04, 2)].get_text() == f"± {error[row, column]:.3f}"
            best = mean[row, column] == mean.max(axis=player)[column if player == 0 else row]
            assert (number.get_fontweight() == "bold") == best
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["l0", "l1"]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["f0", "f1"]
    assert all(label.get_text() == "" for label in figure.axes[1].get_yticklabels())


def test_equilibria_are_marked_with_their_frequencies(data):
    share = [float(data["stackelberg_frequency"][i, i]) for i in range(2)]
    assert min(share) > 0.05 and sum(share) > 0.99
    full = int(data["stackelberg"][1, 1])
    for ax in plots.plot_metagame(data).axes:
        shown = texts(ax)
        for i in range(2):
            nash, mark, *rest = shown[i, i + 0.33].get_text().split("  ")
            assert nash.startswith("● ") and rest == []
            assert mark == f"{'◆' if i == full else '◇'} {100 * share[i]:.0f} %"
        assert (0, 1.33) not in shown and (1, 0.33) not in shown


def test_the_head_says_what_is_shown(data):
    said = [text.get_text() for text in plots.plot_metagame(data).texts]
    assert said[:2] == [
        "A meta-game",
        "200 replicates of 1 instance to T = 1k; 400 bootstrap resamples of the replicates",
    ]
    assert "Mixed Nash equilibria: 0." in " ".join(said) and " f1, which pays " in " ".join(said)


def test_dominated_algorithms_are_faint_and_long_names_are_broken():
    dilemma = experiments.solutions(synthetic.noisy([[3, 0], [4, 1]], [[3, 4], [0, 1]], 0.1), resamples=10)
    renamed = dilemma.assign_coords(leader=["explore-then-commit-throw-out", "b"])
    labels = plots.plot_metagame(renamed).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["explore-then-\ncommit-throw-\nout †", "b"]
    assert [to_hex(label.get_color()) for label in labels] == ["#777777", "#333333"]


def test_pairs_that_failed_are_said_to(data):
    utility = data["utility"].values.copy()
    utility[0, 1] = np.nan
    found = experiments.solutions(synthetic.metagame(utility), resamples=2)
    figure = plots.plot_metagame(found)
    figure.canvas.draw()
    assert texts(figure.axes[0])[1, -0.2].get_text() == "failed" and (1, 0.04) not in texts(figure.axes[0])
    assert "not solved: all replicates of an instance failed: l0/f1" in [text.get_text() for text in figure.texts]
    everything = experiments.solutions(synthetic.metagame(utility * np.nan), resamples=2)
    plots.plot_metagame(everything).canvas.draw()


def test_seven_algorithms_of_each_player_fit():
    """No two texts of a panel overlap, and none leaves its cell by more than a pixel."""
    names = ["explore-then-commit-throw-out", *(f"algorithm-{i}" for i in range(6))]
    game = synthetic.noisy(*np.random.default_rng(5).normal(0.5, 0.02, size=(2, 7, 7)), 0.3)
    data = experiments.solutions(game, resamples=100).assign_coords(leader=names, follower=names)
    figure = plots.plot_metagame(data)
    figure.canvas.draw()
    ax = figure.axes[0]
    boxes = [text.get_window_extent() for text in ax.texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        column, row = (round(x) for x in ax.texts[i].get_position())
        (left, low), (right, high) = ax.transData.transform([(column - 0.5, row + 0.5), (column + 0.5, row - 0.5)])
        assert left - 1 <= box.x0 and box.x1 <= right + 1 and low - 1 <= box.y0 and box.y1 <= high + 1
    heads = [text.get_window_extent() for text in figure.texts]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in heads)
    for axis in (ax.xaxis, ax.yaxis):
        labels = [label.get_window_extent() for label in axis.get_ticklabels()]
        assert not any(a.overlaps(b) for i, a in enumerate(labels) for b in labels[:i])
        assert all(figure.bbox.x0 <= box.x0 and figure.bbox.y0 <= box.y0 for box in labels)


def test_any_result_is_drawn_by_its_kind_and_other_input_is_refused(data):
    assert len(plots.plot_result(data).axes) == 2
    with pytest.raises(TypeError, match=r"^dataset: expected a dataset from stackjax.experiments.metagame, got a str$"):
        plots.plot_metagame("metagame.nc")
    with pytest.raises(ValueError, match=r"^dataset: its solutions are those of another choice of algorithms"):
        plots.plot_metagame(data.sel(leader=["l0"]))
