"""How many environment steps leaders need: what is read from results of `lead`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.schedules import number

if TYPE_CHECKING:
    import xarray


def steps_to_reach(dataset: "xarray.Dataset", target: float, variable: str = "value") -> "xarray.DataArray":
    """Environment steps after which a leader's value stays at a target or above it.

    **Arguments:** `dataset`: from `lead`; `target`: in units of payoff; `variable`: "value" or "commitment_value".

    **Returns:** `[methods, replicate]`: the steps at the first record from which on every record reaches the target;
    infinite if the last one doesn't, NaN for replicates that failed or whose steps weren't counted.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    check_leading(dataset)
    if variable not in ("value", "commitment_value"):
        raise ValueError(f"variable: expected 'value' or 'commitment_value', got {variable!r}")
    number(target, "target", -np.inf, high=np.inf)
    if np.ndim(target):
        raise ValueError(f"target: expected one number, got {target!r}")
    reached = (dataset[variable] >= target).transpose("methods", "replicate", "record").values
    stays = np.logical_and.accumulate(reached[..., ::-1], -1)[..., ::-1]
    steps = dataset["environment_steps"].transpose("methods", "replicate", "record").values
    first = np.take_along_axis(steps, np.argmax(stays, -1)[..., None], -1)[..., 0]
    found = np.where(stays[..., -1] | np.isnan(steps[..., -1]), first, np.inf)
    return dataset["status"].transpose("methods", "replicate").astype(float).copy(data=found)


def check_leading(dataset: Any) -> None:
    """Is it what `lead` returned?"""
    import xarray

    if not isinstance(dataset, xarray.Dataset):
        raise TypeError(f"dataset: expected a dataset from stackjax.experiments.lead, got a {type(dataset).__name__}")
    missing = [name for name in ("methods", "replicate", "record") if name not in dataset.dims]
    missing = missing or [name for name in ("value", "environment_steps") if name not in dataset]
    if missing:
        raise ValueError(
            f"dataset: expected a result of stackjax.experiments.lead, got one without {' or '.join(missing)}"
        )
