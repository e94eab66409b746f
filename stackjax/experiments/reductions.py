"""Results reduced over replicates, put together, and as tables of runs. Failures are counted, and never averaged."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.checks import nearest
from stackjax.protocols import Calls
from stackjax.trace import Status

if TYPE_CHECKING:
    import pandas
    import xarray

QUARTILES = (0.25, 0.5, 0.75)
#: What is measured of every run, the first one that there is being what figures show.
MEASURED = ("distance_to_nash", "distance_to_stackelberg", "regret", "payoffs")


def check_result(dataset: Any) -> None:
    """Has it runs: replicates with records of players, and how they ended?

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't such a result.
    """
    _check(dataset, "comparison or a sweep", ("replicate", "rounds", "player"))


def check_comparison(dataset: Any) -> None:
    """Is it what `compare` returned?

    **Raises:** as `check_result`.
    """
    hint = '; to pick one method, name it in a list: dataset.sel(methods=["a"])'
    _check(dataset, "comparison", ("methods", "replicate", "rounds", "player"), {"methods": hint})


def _check(dataset: Any, kind: str, dims: Sequence[str], hints: Mapping[str, str] = MappingProxyType({})) -> None:
    import xarray

    if not isinstance(dataset, xarray.Dataset):
        name = type(dataset).__name__
        raise TypeError(f"dataset: expected a dataset from stackjax.experiments.sweep or compare, got a {name}")
    missing = [name for name in dims if name not in dataset.dims]
    if missing or "status" not in dataset:
        lacking = " or ".join(missing or ["status"]) + (hints.get(missing[0], "") if len(missing) == 1 else "")
        raise ValueError(f"dataset: expected the result of a {kind}, got one without {lacking}")


def settings_dims(dataset: "xarray.Dataset") -> list[str]:
    """The dimensions of settings: methods, and whatever was swept."""
    return [str(dim) for dim in dataset["status"].dims if dim != "replicate"]


def over_replicates(dataset: "xarray.Dataset", name: str, quantiles: Sequence[float]) -> "xarray.DataArray":
    """Quantiles over the replicates that didn't fail, `[settings..., quantile, ...]`; NaN where all failed.

    Values that aren't finite are left out, as exact payoffs may be of players who aren't shown them; NaN where all
    are. `left_out` counts them.
    """
    import xarray

    lead = settings_dims(dataset)
    values = dataset[name].transpose(*lead, "replicate", ...)
    ok = dataset["status"].transpose(*lead, "replicate").values == Status.OK
    shape = values.shape[: len(lead)]
    array = values.values.astype(np.float64).reshape(-1, *values.shape[len(lead) :])
    rows = [_quantiles(a[good], quantiles) for a, good in zip(array, ok.reshape(-1, ok.shape[-1]), strict=True)]
    dims = (*lead, "quantile", *values.dims[len(lead) + 1 :])
    kept = {k: v for k, v in values.coords.items() if "replicate" not in v.dims}
    stacked = np.stack(rows)
    return xarray.DataArray(stacked.reshape(*shape, *stacked.shape[1:]), {**kept, "quantile": list(quantiles)}, dims)


def _quantiles(values: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    finite = np.isfinite(values)
    if finite.all() and values.shape[0]:
        return np.quantile(values, quantiles, axis=0)
    some = finite.any(0)
    reduced = np.full((len(quantiles), *values.shape[1:]), np.nan)
    if some.any():
        reduced[:, some] = np.nanquantile(np.where(finite, values, np.nan)[:, some], quantiles, axis=0)
    return reduced


def left_out(dataset: "xarray.Dataset", names: Iterable[str]) -> "xarray.DataArray":
    """How many values `over_replicates` leaves out, `[settings...]`: not finite, of replicates that didn't fail."""
    import xarray

    lead = settings_dims(dataset)
    ok = dataset["status"] == int(Status.OK)
    counts = xarray.zeros_like(dataset["status"].isel(replicate=0, drop=True), dtype=np.int64)
    for name in names:
        bad = ok & ~dataset[name].copy(data=np.isfinite(dataset[name].values))
        counts = counts + bad.sum([dim for dim in bad.dims if dim not in lead])
    return counts


def summary(dataset: "xarray.Dataset", variable: str | None = None) -> "xarray.Dataset":
    """The state of a comparison or of a sweep at its last record, over the replicates that didn't fail.

    **Arguments:** `variable`: instead, this one at all records: its quartiles and the counts.

    **Returns:** a dataset with the dimensions of settings (`methods`, and whatever was swept), `quantile` (0.25, 0.5,
    0.75) and `player`:

    - `distance_to_nash`, `distance_to_stackelberg`, `regret` `[settings..., quantile, player]` where these were
      measured, and `payoffs` `[settings..., quantile, player]` over the last block of rounds;
    - `left_out` `[settings...]`: how many values of those aren't finite though their replicates didn't fail. The
      quantiles are those of the rest;
    - `payoffs_calls`, `gradients_calls`, ... `[settings..., player]`, cumulative, of the median replicate;
    - `replicates`, how many there were, and `failed` `[settings...]`, how many of them did. Where all of them
      failed the quantiles are NaN, and `failed` equals `replicates`;
    - `rounds`, and of a comparison `seconds` and `compile_seconds` `[methods]`.

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't such a result or has no such variable.
    """
    import xarray

    check_result(dataset)
    variables: dict[str, Any] = {
        "replicates": dataset.sizes["replicate"],
        "failed": (dataset["status"] != int(Status.OK)).sum("replicate"),
    }
    if variable is not None:
        names = [str(name) for name in dataset.data_vars if "replicate" in dataset[name].dims]
        if variable not in names:
            raise ValueError(f"variable: {nearest('variable', str(variable), names)}")
        variables[variable] = over_replicates(dataset, variable, QUARTILES)
        return xarray.Dataset(variables | {"left_out": left_out(dataset, [variable])})
    last = dataset.isel(rounds=-1)
    variables["rounds"] = int(last["rounds"])
    measured = [name for name in MEASURED if name in last]
    for name in measured:
        variables[name] = over_replicates(last, name, QUARTILES)
    variables["left_out"] = left_out(last, measured)
    for kind in Calls._fields:
        if f"{kind}_calls" in last:
            calls = over_replicates(last, kind + "_calls", (0.5,)).isel(quantile=0, drop=True)
            variables[kind + "_calls"] = calls
    return xarray.Dataset(
        variables | {name: dataset[name] for name in ("seconds", "compile_seconds") if name in dataset}
    )


def to_dataframe(dataset: "xarray.Dataset", variables: Sequence[str] | None = None) -> "pandas.DataFrame":
    """The runs of a comparison or of a sweep as a table: a row for each setting, replicate and player.

    **Arguments:** `variables`: the columns beside the labels and `status`, at the last record; default: what was
    measured (distances, regrets, payoffs).

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't such a result or has no such variable.
    """
    check_result(dataset)
    rows = {*settings_dims(dataset), "replicate", "player"}
    last = dataset.isel(rounds=-1)
    fitting = [str(name) for name, v in last.data_vars.items() if set(v.dims) <= rows and "replicate" in v.dims]
    chosen = [name for name in MEASURED if name in fitting] if variables is None else [str(name) for name in variables]
    for name in chosen:
        if name not in fitting:
            raise ValueError(f"variables: {nearest('variable', name, fitting)}")
    kept = last[list(dict.fromkeys([*chosen, "status"]))].drop_vars(["rounds", "payoff_label"], errors="ignore")
    dims = [*settings_dims(dataset), "replicate", *(["player"] if "player" in kept.dims else [])]
    return kept.to_dataframe(dim_order=dims).reset_index()


def concat(datasets: Sequence["xarray.Dataset"], dim: str) -> "xarray.Dataset":
    """Results of the same kind side by side: more replicates, more methods, or more values of what was swept.

    Attributes that differ become a JSON list with one entry a result.

    **Arguments:** `dim`: a dimension of all, along which no label comes twice; all else must be the same.

    **Raises:** `TypeError` or `ValueError` that says what doesn't fit.
    """
    import xarray

    if isinstance(datasets, xarray.Dataset) or not len(datasets):
        raise TypeError("datasets: expected a sequence of results")
    for dataset in datasets:
        check_result(dataset)
        if dim not in dataset.dims:
            raise ValueError(f"dim: {nearest('dimension', str(dim), [str(d) for d in dataset.dims])}")
    kinds = {str(dataset.attrs.get("result")) for dataset in datasets}
    if len(kinds) > 1:
        raise ValueError(f"datasets: expected results of one kind, got {', '.join(sorted(kinds))}")
    labels = np.concatenate([np.asarray(dataset[dim].values) for dataset in datasets])
    unique, counts = np.unique(labels, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"datasets: {dim} {unique[counts > 1][0]} comes twice")
    # What each of them took is added up where it doesn't stand side by side.
    times = [
        name for name in ("seconds", "compile_seconds") if name in datasets[0] and dim not in datasets[0][name].dims
    ]
    spent = {name: sum(dataset[name] for dataset in datasets) for name in times}
    try:
        joined = xarray.concat(
            [dataset.drop_vars(times).drop_attrs(deep=False) for dataset in datasets],
            dim,
            data_vars="minimal",
            coords="minimal",
            compat="equals",
            join="exact",
            combine_attrs="no_conflicts",  # of variables: units, what actions are called
        )
    except ValueError as error:
        raise ValueError(f"datasets: they differ in more than {dim}: {error}") from None
    attributes = {}
    for name in dict.fromkeys(name for dataset in datasets for name in dataset.attrs):
        values = [dataset.attrs.get(name) for dataset in datasets]
        same = all(value == values[0] for value in values)
        attributes[name] = values[0] if same else json.dumps(values, default=lambda value: value.item())
    return joined.assign(spent).assign_attrs(attributes)
