"""The table of a sweep: its settings with their quartiles."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.experiments.cells import fitting, titled
from stackjax.experiments.reductions import MEASURED, settings_dims, summary

if TYPE_CHECKING:
    import xarray
    from rich.table import Table

_ROWS = 40


def labels_at(dataset: "xarray.Dataset", index: dict[str, int]) -> dict[str, str]:
    """What a setting is called: a text for each label of its dimensions, with its unit."""
    labels = {}
    for dim, i in index.items():
        own = [str(name) for name, coord in dataset.coords.items() if coord.dims == (dim,)]
        for name in [n for n in own if n != dim] or [dim]:  # a zip's numbers say nothing beside its labels
            value = dataset[name].values[i]
            text = f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
            labels[name] = f"{text} {dataset[name].attrs.get('units', '')}".rstrip()
    return labels


def sweep_table(dataset: "xarray.Dataset", width: int) -> "Table":
    """The first settings of a sweep in lines of `width` characters: medians, and quartiles where they fit."""
    return fitting((_table(dataset, quartiles) for quartiles in (True, False)), width)


def _table(dataset: "xarray.Dataset", quartiles: bool) -> "Table":
    from rich.markup import escape

    reduced = summary(dataset)
    dims = settings_dims(dataset)
    sizes = [dataset.sizes[dim] for dim in dims]
    indices = [dict(zip(dims, at, strict=True)) for at in itertools.product(*map(range, sizes))]
    players = [str(player) for player in dataset["player"].values]
    measured = [name for name in MEASURED if name in reduced]
    made = titled(
        f"{len(indices)} settings, {int(reduced['replicates'])} replicates of {int(reduced['rounds'])} rounds",
        caption_style="dim",
    )
    for name in labels_at(dataset, indices[0]):
        made.add_column(escape(name))
    for name in measured:
        for player in players:
            kind = name.replace("distance_to_nash", "to Nash").replace("distance_to_stackelberg", "to Stackelberg")
            made.add_column(f"{player}\n{kind}", justify="right")
    made.add_column("failed", justify="right")
    for index in indices[:_ROWS]:
        one = reduced.isel(index)
        cells = [_cell(one[name].values[:, j], quartiles) for name in measured for j in range(len(players))]
        failed = int(one["failed"])
        made.add_row(*map(escape, labels_at(dataset, index).values()), *cells, f"[red]{failed}" if failed else "0")
    sentences = [f"Medians{' (quartiles)' * quartiles} over the replicates that didn't fail, at the last record"]
    if len(indices) > _ROWS:
        sentences.append(f"{len(indices) - _ROWS} more settings: experiments.summary, experiments.to_dataframe")
    if ignored := int(reduced["left_out"].sum()):
        sentences.append(f"values that aren't finite, left out: {ignored}")
    made.caption = ". ".join(sentences)
    return made


def _cell(values: Any, quartiles: bool) -> str:
    if np.isnan(values).all():
        return "–"
    low, middle, high = (f"{value:.4g}" for value in values)
    return f"{middle} [dim]({low} to {high})[/dim]" if quartiles else middle
