"""`records`: what a result's table says, as JSON has it."""

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.experiments.reductions import QUARTILES, over_replicates, summary
from stackjax.experiments.regret_tables import mean_and_error
from stackjax.experiments.slopes import slopes
from stackjax.trace import Status

if TYPE_CHECKING:
    import xarray

#: Variables of each run that are no measurement.
_RUNS = ("replicate", "instance")


def records(dataset: "xarray.Dataset") -> list[dict[str, Any]]:
    """A result reduced over its replicates, as its table shows it, in rows that JSON can hold.

    - Of a comparison and of a sweep: `summary`; of leaders against oracles the same of their last values.
    - Of regrets: `mean` and `standard_error`, and `slopes`.
    - Of a meta-game: `mean` and `standard_error` of utilities, and `solutions`.

    Of quantiles the median has the variable's name, the quartiles `_low` and `_high` after it. What isn't finite is
    None.

    **Arguments:** `dataset`: what `stackjax.experiments.compare`, `sweep`, `regret`, `metagame`, `lead` or `load`
    returned.

    **Returns:** tables, `{"by": names of what a row is of, "rows": [{name: label or value}]}`.
    """
    reduced = {"regret": _regret, "metagame": _metagame, "leading": _leading}.get(str(dataset.attrs.get("result")))
    parts = [summary(dataset)] if reduced is None else reduced(dataset)
    return [table for part in parts for table in _tables(_named_bounds(part))]


def _regret(dataset: "xarray.Dataset") -> "list[xarray.Dataset]":
    means = dataset["regret"].transpose("pairs", "horizon", "player", "replicate")
    dims = means.dims[:-1]
    mean, error = mean_and_error(means.values)
    failed = (dataset["status"] != int(Status.OK)).sum("replicate")
    kept = dataset[["explore_fraction", "seconds", "compile_seconds"]]
    return [kept.assign(mean=(dims, mean), standard_error=(dims, error), failed=failed), slopes(dataset)]


def _metagame(dataset: "xarray.Dataset") -> "list[xarray.Dataset]":
    return [dataset[[name for name, one in dataset.data_vars.items() if not set(one.dims) & set(_RUNS)]]]


def _leading(dataset: "xarray.Dataset") -> "list[xarray.Dataset]":
    last = dataset.isel(record=-1)
    names = ("value", "commitment_value", "environment_steps")
    kept = last[[name for name in ("training_seconds", "seconds", "compile_seconds") if name in last]]
    failed = (dataset["status"] != int(Status.OK)).sum("replicate")
    return [kept.assign({name: over_replicates(last, name, QUARTILES) for name in names}, failed=failed)]


def _named_bounds(dataset: "xarray.Dataset") -> "xarray.Dataset":
    """Quantiles and bounds of intervals as variables of their own."""
    ends = {"quantile": ("_low", "", "_high"), "bound": ("_low", "_high")}
    for dim, endings in ends.items():
        for name in [name for name, one in dataset.data_vars.items() if dim in one.dims]:
            parts = {f"{name}{end}": dataset[name].isel({dim: i}, drop=True) for i, end in enumerate(endings)}
            dataset = dataset.drop_vars([name]).assign(parts)
    return dataset


def _tables(dataset: "xarray.Dataset") -> list[dict[str, Any]]:
    """Variables of the same dimensions together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, one in dataset.data_vars.items():
        dims = tuple(str(dim) for dim in dataset.dims if dim in one.dims)
        groups.setdefault(dims, []).append(str(name))
    tables = []
    for dims, names in groups.items():
        columns = {name: dataset[name].transpose(*dims).values for name in names}
        rows = []
        for at in itertools.product(*(range(dataset.sizes[dim]) for dim in dims)):
            labels: dict[str, Any] = {}
            for dim, i in zip(dims, at, strict=True):
                along = {name: one for name, one in dataset.coords.items() if one.dims == (dim,)}
                labels |= {str(name): plain(one.values[i]) for name, one in along.items() if name != "payoff_label"}
            rows.append(labels | {name: plain(column[at]) for name, column in columns.items()})
        tables.append({"by": list(dims), "rows": rows})
    return tables


def plain(value: Any) -> Any:
    """Numbers, truth values, texts, arrays, and containers of them, as JSON has them: None for what isn't finite."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
