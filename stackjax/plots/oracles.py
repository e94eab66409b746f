"""The figure of leaders against follower oracles: learning curves over environment steps, and learned policies."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from stackjax.experiments.lead import check_leading
from stackjax.experiments.lead_tables import truths_of
from stackjax.plots._style import (
    EDGE,
    FAINT,
    INK,
    below_a_head,
    colours,
    columns_within,
    gridded,
    head_height,
    name_beside,
    write_head,
)
from stackjax.trace import Status

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 10.5  # inches
_LEGEND_COLUMNS = 3  # how many methods in a row, at most
_MOST_MAPS = 4  # panels of policies in a row
_MOST_SEEDS = 64  # in a panel
_DECADE = 10  # from the first record to the last one, above which the axis is logarithmic
_LONG = 24  # characters of a panel's title; a longer one is broken


def plot_leading(dataset: "xarray.Dataset") -> "Figure":
    """Learning curves with ground truths, and the policies that every seed ended with.

    Above, the leader's value in the game that it plays over environment steps, a follower's training and practice and
    all queries counted: medians over seeds in a band between quartiles. If exact gradients are among the methods, which
    sample no steps, it is over rounds. The axis is logarithmic if it spans more than a decade. A dashed line of a
    method's colour is the value of what it commits to, ties as the head says, where its median differs from the former
    by more than a hundredth of the axis. Below, for each method, the probability of the leader's first action in each
    observation, one row a seed, sorted by value with the best on top.

    **Arguments:** `dataset`: what `stackjax.experiments.lead` or `load` returned.

    **Returns:** a Matplotlib figure; `figure.savefig(path)` writes it.

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't a result of `lead`.
    """
    check_leading(dataset)
    names = [str(name) for name in dataset["methods"].values]
    maps = -(-len(names) // _MOST_MAPS)
    columns = columns_within(names, _WIDTH, _LEGEND_COLUMNS)
    head = head_height(len(names), columns)
    figure = below_a_head(_WIDTH, 4.0 + 2.6 * maps + head, head)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[4.0, 2.6 * maps])[:, 0]
    _curves(upper.subplots(), dataset)
    panels = lower.subplots(maps, min(len(names), _MOST_MAPS), squeeze=False)
    for ax in panels.flat[len(names) :]:
        ax.set_axis_off()
    for i, (ax, name) in enumerate(zip(panels.flat, names, strict=False)):
        image = _policies(ax, dataset.isel(methods=i), name, first=i % _MOST_MAPS == 0)
    action = str(dataset["leader_action"].values[0])
    bar = lower.colorbar(image, ax=panels, label=f"probability of {action}", shrink=0.8)
    bar.outline.set_visible(False)
    _head(figure, dataset, names, columns)
    return figure


def _curves(ax: "Axes", dataset: "xarray.Dataset") -> None:
    """The learning curves, with the ground truths as lines that are named at the right."""
    steps = dataset["environment_steps"].transpose("methods", "replicate", "record").values
    exact = bool(np.any(np.all(np.isnan(steps), axis=(1, 2))))
    rounds = dataset["rounds"].transpose("methods", "record").values.astype(np.float64)
    values = {v: dataset[v].transpose("methods", "replicate", "record").values for v in ("value", "commitment_value")}
    over = rounds if exact else np.stack([_quantiles(each)[1] for each in steps])
    truths = truths_of(dataset)
    everything = np.concatenate([_quantiles(v).ravel() for each in values.values() for v in each])
    shown = np.append(everything[np.isfinite(everything)], list(truths.values()))
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    margin = 0.06 * (high - low) or 0.5
    ax.set_ylim(low - margin, high + margin)
    for i, (x, colour) in enumerate(zip(over, colours(len(over)), strict=True)):
        lower, middle, upper = _quantiles(values["value"][i])
        ax.fill_between(x, lower, upper, color=colour, alpha=0.2, linewidth=0)
        ax.plot(x, middle, color=colour, linewidth=1.8, zorder=3)
        committed = _quantiles(values["commitment_value"][i])[1]
        if np.nanmax(np.abs(committed - middle), initial=0) > 0.01 * (high - low + 2 * margin):
            ax.plot(x, committed, color=colour, linewidth=1.3, linestyle=(0, (4, 2)), zorder=2.5)
    if np.nanmax(over, initial=1) > _DECADE * np.nanmin(over, initial=np.inf):
        ax.set_xscale("log")
    else:  # most steps are of training: show how many
        ax.set_xlim(0, None)
    _lines(ax, truths, 0.05 * (high - low + 2 * margin))
    ax.set_xlabel("rounds" if exact else "environment steps", color=INK)
    ax.set_ylabel("the leader's payoff per step", color=INK)
    gridded(ax)


def _lines(ax: "Axes", truths: dict[str, float], apart: float) -> None:
    """A line for each ground truth, named at the right; names are moved up so that they stand `apart`."""
    previous = -np.inf
    for name, value in sorted(truths.items(), key=lambda item: item[1]):
        ax.axhline(value, color=EDGE, linewidth=1.1, linestyle=(0, (1, 1)), zorder=1.5)
        previous = max(value, previous + apart)
        name_beside(ax, f"{name}, {value:.4g}", (1, previous), x="axes fraction", color=FAINT)


def _quantiles(values: Float[np.ndarray, "replicates K"]) -> Float[np.ndarray, "3 K"]:
    """Quartiles over the replicates that didn't fail, NaN if all did."""
    ok = values[~np.all(np.isnan(values), axis=1)]
    return np.full((3, values.shape[1]), np.nan) if len(ok) == 0 else np.quantile(ok, [0.25, 0.5, 0.75], axis=0)


def _policies(ax: "Axes", one: "xarray.Dataset", name: str, first: bool) -> object:
    """The seeds' last policies as a heat map, the best seed on top."""
    policy = one["policy"].transpose("replicate", "record", "observation", "leader_action").values[:, -1, :, 0]
    value = one["value"].transpose("replicate", "record").values[:, -1]
    order = np.argsort(-np.nan_to_num(value, nan=-np.inf), kind="stable")
    rows = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), _MOST_SEEDS)).astype(int))]
    image = ax.imshow(policy[rows], aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks(range(policy.shape[1]), [str(x) for x in one["observation"].values], fontsize=8, rotation=30)
    ax.set_yticks([])
    if first:
        ax.set_ylabel("seeds, the best on top", color=INK)
    broken = name.replace("/", "/\n").replace(", ", ",\n") if len(name) > _LONG else name
    ax.set_title(broken, loc="left", fontsize=9, color=INK)
    ax.tick_params(colors=FAINT, labelcolor=INK, length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image


def _head(figure: "Figure", dataset: "xarray.Dataset", names: list[str], columns: int) -> None:
    failed = (dataset["status"] != int(Status.OK)).sum("replicate").values
    failures = [f"{n} runs of {name} failed" for name, n in zip(names, failed, strict=True) if n]
    text = f"medians of {dataset.sizes['replicate']} seeds between quartiles; dashed: what it commits to"
    text += f", ties {dataset.attrs['ties']}" if "ties" in dataset.attrs else ""
    looks = [{"color": colour} for colour in colours(len(names))]
    write_head(figure, dataset.attrs.get("title", ""), "; ".join([text, *failures]), names, looks, columns)
