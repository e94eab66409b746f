"""Files of results: units are texts, and what a disk damages is no result."""

import numpy as np
import pytest
import xarray

from stackjax.experiments import load
from stackjax.experiments.results import save


def example(units="EUR"):
    rng = np.random.default_rng(0)
    return xarray.Dataset(
        {
            "payoffs": (("replicate", "rounds"), rng.normal(size=(20, 30))),
            "status": (("replicate",), np.zeros(20, np.int32)),
            "strategy_0": (("replicate", "rounds"), rng.normal(size=(20, 30)), {"units": units}),
        },
        {"rounds": ("rounds", np.arange(30), {"units": units}), "player": ["leader", "follower"]},
        {"title": "example"},
    )


@pytest.mark.parametrize("units", ["days since 2000-01-01", "years since birth", "seconds", "hours", "EUR"])
def test_units_are_texts(units, tmp_path):
    save(example(units), tmp_path / "a.nc")
    found = load(tmp_path / "a.nc")
    np.testing.assert_array_equal(found["strategy_0"], example()["strategy_0"])
    np.testing.assert_array_equal(found["rounds"], np.arange(30))
    assert found["strategy_0"].attrs["units"] == units


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # h5netcdf's, in closing such files
def test_no_flipped_bit_changes_data(tmp_path):
    """Of 60 bytes: the file can't be read, and is named, or every number is what it was."""
    path, right = tmp_path / "a.nc", example()
    save(right, path)
    whole, rng, named = path.read_bytes(), np.random.default_rng(1), 0
    for place in rng.integers(len(whole), size=60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = load(path)
        except ValueError as error:
            named += 1
            assert str(path) in str(error)
            continue
        for name, variable in right.data_vars.items():
            if name in found and found[name].shape == variable.shape and found[name].dtype == variable.dtype:
                np.testing.assert_array_equal(found[name], variable, err_msg=str(place))
    assert named > 5
