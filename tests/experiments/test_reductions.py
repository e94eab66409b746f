"""Results reduced, put together, as tables, and of other versions."""

import json

import numpy as np
import pytest
import xarray
from rich.console import Console

import stackjax
from stackjax import Record, experiments
from stackjax.experiments import concat, results, summary, to_dataframe
from stackjax.experiments.sweep_tables import labels_at
from stackjax.games import CournotDuopoly, from_payoffs
from stackjax.learners import GradientAscent
from stackjax.spaces import Euclidean

QUARTIC = from_payoffs(lambda x, y: -(x**4), lambda x, y: -((y - x) ** 2), spaces=(Euclidean(()),) * 2)


def diverging(steps, **options):
    """Ascent on -x^4 from 0.5, 1, 4, 1.5, 5 with some steps: .1 fails from the third and the fifth, 10 from all."""
    start = (np.array([0.5, 1.0, 4.0, 1.5, 5.0], np.float32), 0.0)
    pair = (GradientAscent(0.1), GradientAscent(0.1))
    options = {"rounds": 12, "replicates": 5, "start": start, "nash": (0.0, 0.0), "record": Record.every(3)} | options
    return experiments.sweep(QUARTIC, {"a": pair}, {"leader.step": steps}, devices=1, chunk=10, **options)


@pytest.fixture(scope="module")
def failing():
    return diverging([0.1, 10.0])


def test_quartiles_are_of_the_runs_that_did_not_fail(failing):
    found = summary(failing)
    assert found["failed"].values.tolist() == [[2, 5]] and int(found["replicates"]) == 5
    assert found["distance_to_nash"].dims == ("methods", "leader.step", "quantile", "player")
    good = failing["distance_to_nash"].values[0, 0, [0, 1, 3], -1, 0]
    np.testing.assert_allclose(found["distance_to_nash"][0, 0, :, 0], np.quantile(good, [0.25, 0.5, 0.75]), rtol=1e-6)
    assert bool(np.isnan(found["distance_to_nash"][0, 1]).all()) and "seconds" not in found
    one = summary(failing, "strategy_0")
    assert one["strategy_0"].dims == ("methods", "leader.step", "quantile", "rounds")
    assert one["failed"].values.tolist() == [[2, 5]] and one["left_out"].values.tolist() == [[0, 0]]
    good = failing["strategy_0"].values[0, 0, [0, 1, 3], 1]
    np.testing.assert_allclose(one["strategy_0"][0, 0, 1, 1], np.median(good), rtol=1e-6)


def test_a_table_of_all_runs(failing):
    frame = to_dataframe(failing)
    assert list(frame) == ["methods", "leader.step", "replicate", "player", "distance_to_nash", "payoffs", "status"]
    assert len(frame) == 2 * 5 * 2 and (frame["status"] != 0).sum() == 2 * (2 + 5)
    row = frame[(frame["leader.step"] == 0.1) & (frame["replicate"] == 1) & (frame["player"] == "leader")]
    assert float(row["payoffs"].iloc[0]) == pytest.approx(float(failing["payoffs"][0, 0, 1, -1, 0]))
    assert list(to_dataframe(failing, ["strategy_0"])) == [
        "methods",
        "leader.step",
        "replicate",
        "strategy_0",
        "status",
    ]


def printed(dataset, width):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(experiments.table(dataset, width))
    return capture.get()


def test_the_printed_table_counts_failures(failing):
    said = printed(failing, 200)
    assert "2 settings, 5 replicates of 12 rounds" in said and "(quartiles)" in said
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("a ")]
    assert [row[1] for row in rows] == ["0.1", "10"] and [row[-1] for row in rows] == ["2", "5"] and "–" in rows[1]
    assert "(quartiles)" not in printed(failing, 70)


def test_many_settings_are_said_to_be_more():
    over = experiments.zipped({"leader.step": np.linspace(0.1, 0.2, 50)}, dim="draw")
    pair = (GradientAscent(0.1), GradientAscent(0.2))
    data = experiments.sweep(CournotDuopoly(), pair, over, rounds=2, replicates=1, devices=1)
    said = printed(data, 120)
    assert "10 more settings" in said and "draw" not in said
    assert labels_at(data, {"draw": 1}) == {"leader.step": "0.102"}


def test_results_stand_side_by_side(failing):
    whole = diverging([0.1, 10.0, 0.2, 0.3])
    more = diverging([0.2, 0.3])
    found = concat([failing, more], "leader.step")
    xarray.testing.assert_allclose(found.drop_attrs(), whole.drop_attrs(), rtol=1e-5)
    assert found.attrs["result"] == "sweep" and len(json.loads(found.attrs["configuration"])) == 2
    assert found.attrs["jax_version"] == failing.attrs["jax_version"]


def test_units_and_labels_stay(failing):
    """Of what results stand side by side along, and of everything else; other ones don't fit."""
    one = failing.isel({"leader.step": [0]}).copy()
    one["leader.step"].attrs["units"] = "1/EUR"
    other = one.assign_coords({"leader.step": ("leader.step", [5.0], {"units": "1/EUR"})})
    found = concat([one, other], "leader.step")
    assert found["leader.step"].values.tolist() == [0.1, 5.0] and found["leader.step"].attrs == {"units": "1/EUR"}
    assert found["strategy_0"].attrs == failing["strategy_0"].attrs == {"long_name": "strategy of leader"}
    found = concat([one, one.assign_coords(replicate=one["replicate"] + 5)], "replicate")
    assert found["leader.step"].attrs == {"units": "1/EUR"}
    other["leader.step"].attrs["units"] = "1/USD"
    with pytest.raises(ValueError, match=r"^datasets: they differ in more than leader\.step: .*units"):
        concat([one, other], "leader.step")


def test_replicates_of_a_comparison_stand_side_by_side():
    pair = {"a": (GradientAscent(0.1), GradientAscent(0.2))}
    parts = [experiments.compare(CournotDuopoly(), pair, rounds=3, replicates=ids) for ids in ([0, 1], [2, 3])]
    whole = experiments.compare(CournotDuopoly(), pair, rounds=3, replicates=4)
    found = concat(parts, "replicate")
    times = ["seconds", "compile_seconds"]
    xarray.testing.assert_allclose(found.drop_attrs().drop_vars(times), whole.drop_attrs().drop_vars(times), rtol=1e-5)
    np.testing.assert_allclose(found["seconds"], parts[0]["seconds"] + parts[1]["seconds"])


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda d: summary(d, "payof"), ValueError, "variable: unknown variable 'payof'; did you mean 'payoffs'?"),
        (lambda d: summary(1), TypeError, "dataset: expected a dataset from"),
        (
            lambda d: summary(d.drop_vars("status")),
            ValueError,
            "dataset: expected the result of a comparison or a sweep",
        ),
        (lambda d: to_dataframe(d, ["rounds"]), ValueError, "variables: unknown variable 'rounds'"),
        (lambda d: concat(d, "replicate"), TypeError, "datasets: expected a sequence of results"),
        (lambda d: concat([], "replicate"), TypeError, "datasets: expected a sequence of results"),
        (
            lambda d: concat([d, d], "replicat"),
            ValueError,
            "dim: unknown dimension 'replicat'; did you mean 'replicate'?",
        ),
        (lambda d: concat([d, d], "replicate"), ValueError, "datasets: replicate 0 comes twice"),
        (
            lambda d: concat([d, d.assign_coords(replicate=d.replicate + 9).isel(rounds=[0, 1])], "replicate"),
            ValueError,
            "datasets: they differ in more than replicate",
        ),
        (
            lambda d: concat([d, d.assign_attrs(result="comparison")], "replicate"),
            ValueError,
            "datasets: expected results of one kind, got comparison, sweep",
        ),
    ],
)
def test_what_does_not_fit_is_named(make, kind, message, failing):
    with pytest.raises(kind) as caught:
        make(failing)
    assert str(caught.value).startswith(message)


def test_files_of_other_versions(failing, tmp_path):
    path = tmp_path / "a.nc"
    experiments.save(failing.assign_attrs(stackjax_version="0.0.9"), path)
    with pytest.warns(UserWarning, match=rf"a\.nc was written by stackjax 0\.0\.9, this is {stackjax.__version__}"):
        again = experiments.load(path)
    np.testing.assert_array_equal(again["payoffs"], failing["payoffs"])
    experiments.save(failing.assign_attrs(stackjax_version="9.0.0", form=results.FORM + 1), path)
    with pytest.raises(ValueError, match=r"a\.nc was written by stackjax 9\.0\.0 in a form \(2\) that .* upgrade"):
        experiments.load(path)
