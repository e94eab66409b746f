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


def test_no_flipped_bit_passes(tmp_path):
    """Of 300 bytes: the file is named, or it is what it was (the checksum's own mark was hit)."""
    path, right = tmp_path / "a.nc", example()
    save(right, path)
    whole, rng, named = path.read_bytes(), np.random.default_rng(1), 0
    right = load(path)
    for place in [*rng.integers(len(whole), size=260), *range(len(whole) - 40, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            xarray.testing.assert_identical(load(path), right)
        except ValueError as error:
            named += 1
            assert str(path) in str(error) and "by its checksum" in str(error)
    assert named > 260
    path.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"a\.nc can't be read as a NetCDF file"):
        load(path)


def test_a_file_without_a_checksum_is_read(tmp_path):
    """As version 0.1 wrote them, and as other tools read them: the checksum follows the file that they know."""
    path = tmp_path / "a.nc"
    save(example(), path)
    found = load(path)
    path.write_bytes(path.read_bytes().rpartition(b"\nstackjax blake2b ")[0])
    xarray.testing.assert_identical(load(path), found)
