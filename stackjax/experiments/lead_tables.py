"""The table of leaders against oracles: a line for each method. rich is imported when one is made."""

from typing import TYPE_CHECKING

import numpy as np

from stackjax.experiments.cells import fitting, short, titled
from stackjax.experiments.lead import check_leading, steps_to_reach
from stackjax.trace import Status

if TYPE_CHECKING:
    import xarray
    from rich.table import Table

#: A leader is there when its value and its commitment's stay within this share of the best deterministic leader's.
NEAR = 0.05
#: Ground truths by their attributes, as they are called.
TRUTHS = {
    "optimum_optimistic": "best deterministic leader",
    "ceiling": "best against sampled answers",
    "myopic": "myopic leader",
}


def truths_of(dataset: "xarray.Dataset") -> dict[str, float]:
    """The ground truths of a result by their names; the optimum under both tie rules where it isn't the same."""
    truths = {name: float(dataset.attrs[key]) for key, name in TRUTHS.items() if key in dataset.attrs}
    for_it, against = (dataset.attrs.get(f"optimum_{ties}") for ties in ("optimistic", "pessimistic"))
    if for_it is not None and against is not None and abs(for_it - against) > 1e-6:
        truths[TRUTHS["optimum_optimistic"] + ", ties for it"] = truths.pop(TRUTHS["optimum_optimistic"])
        truths[TRUTHS["optimum_optimistic"] + ", ties against it"] = float(against)
    return truths


def near_optimum(dataset: "xarray.Dataset") -> float | None:
    """The value from which on a leader is within 5 % of the best deterministic one; None if that one's is 0."""
    best = dataset.attrs.get("optimum_optimistic")
    return None if best is None or abs(best) < 1e-6 else float(best - NEAR * abs(best))


def leading_table(dataset: "xarray.Dataset", width: int) -> "Table":
    """The table of what `lead` returned, see `stackjax.experiments.table`, in lines of `width` characters.

    Where they don't suffice (below about 100) the quartiles stand below the medians, and the times are left out.
    """
    check_leading(dataset)
    return fitting((_table(dataset, complete) for complete in (True, False)), width)


def _table(dataset: "xarray.Dataset", complete: bool) -> "Table":
    from rich.markup import escape

    made = titled(f"{dataset.sizes['replicate']} replicates, medians and quartiles", gap=2 if complete else 1)
    target = near_optimum(dataset)
    headers = ["value", f"commitment's\n[not bold dim]ties {dataset.attrs['ties']}", "environment\nsteps"]
    headers += ["those to\nwithin 5 %"] * (target is not None)
    made.add_column("method", overflow="fold")
    for header in headers:
        made.add_column(header, justify="right", overflow="fold")
    made.add_column("failed", justify="right")
    if complete:
        made.add_column("seconds\n[not bold dim]+ compiling", justify="right")
    between = " " if complete else "\n"
    near = None if target is None else _steps_to_near(dataset, target)
    for i, name in enumerate(dataset["methods"].values):
        one = dataset.isel(methods=i)
        failed = int((one["status"] != int(Status.OK)).sum())
        cells = [_quartiles(one[v].isel(record=-1).values, between) for v in ("value", "commitment_value")]
        steps = one["environment_steps"].isel(record=-1).values
        cells.append("exact" if np.all(np.isnan(steps)) else short(float(np.nanmedian(steps))))
        if near is not None:
            cells.append(_reached(near[i]))
        cells.append(f"[red]{failed}" if failed else "0")
        if complete:
            times = [float(one[v]) for v in ("training_seconds", "seconds", "compile_seconds")]
            cells.append(f"{times[0] + times[1]:.1f} [dim]+ {times[2]:.1f}")
        made.add_row(f"[bold cyan]{escape(str(name))}", *cells)
    made.caption = _caption(dataset, target)
    return made


def _steps_to_near(dataset: "xarray.Dataset", target: float) -> np.ndarray:
    """Steps after which both values stay at the target: a leader that games its oracle has only the first of them."""
    value, commitment = (steps_to_reach(dataset, target, v).values for v in ("value", "commitment_value"))
    return np.maximum(value, commitment)


def _quartiles(values: np.ndarray, between: str) -> str:
    values = values[np.isfinite(values)]
    if values.size == 0:
        return "–"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.3f}{between}[dim]{low:.3f} to {high:.3f}"


def _reached(steps: np.ndarray) -> str:
    """The median of the steps if half of the seeds arrived, and how many did."""
    counted = steps[~np.isnan(steps)]
    if counted.size == 0:
        return "–"
    arrived = int(np.isfinite(counted).sum())
    middle = float(np.quantile(counted, 0.5, method="higher"))  # no mean of a number and infinity
    return (short(middle) if np.isfinite(middle) else "not half") + f" [dim]({arrived} of {counted.size})"


def _caption(dataset: "xarray.Dataset", target: float | None) -> str:
    """The ground truths, and what the columns mean."""
    truths = [f"{name}: {value:.4g}" for name, value in truths_of(dataset).items()]
    lines = ["; ".join(truths)] if truths else []
    lines.append(
        "[dim]Value: exact, in the game that the leader plays; commitment's: against a true best response. "
        "Steps: training, queries and play of a replicate"
        + (
            "."
            if target is None
            else f"; to where its value and its commitment's stay above {target:.4g} (and how many did)."
        )
    )
    return "\n".join(lines)
