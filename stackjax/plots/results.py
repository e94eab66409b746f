"""The figure of any result, by its kind."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from stackjax.plots.comparison import plot_comparison
from stackjax.plots.metagame import plot_metagame
from stackjax.plots.oracles import plot_leading
from stackjax.plots.regret import plot_regret
from stackjax.plots.sweep import plot_sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What draws a result, by its attribute `result`.
FIGURES: Mapping[str, Callable[..., "Figure"]] = {
    "comparison": plot_comparison,
    "leading": plot_leading,
    "metagame": plot_metagame,
    "regret": plot_regret,
    "sweep": plot_sweep,
}


def plot_result(dataset: Any, **options: Any) -> "Figure":
    """The figure of what `stackjax.experiments.load` returned, whichever experiment it is of.

    **Arguments:** `options`: of a sweep's figure, see `plot_sweep`; a comparison with options is drawn as a sweep.

    **Raises:** `TypeError` if it isn't a dataset, `ValueError` if it isn't a result of an experiment.
    """
    import xarray

    if not isinstance(dataset, xarray.Dataset):
        raise TypeError(f"dataset: expected a result of stackjax.experiments, got a {type(dataset).__name__}")
    kind = str(dataset.attrs.get("result"))
    if kind not in FIGURES:
        raise ValueError(f"dataset: expected the result of an experiment ({', '.join(FIGURES)}), got {kind}")
    if options and kind in ("comparison", "sweep"):
        return plot_sweep(dataset, **options)
    if options:
        raise ValueError(f"{next(iter(options))}: an option of sweeps and comparisons, the dataset is a {kind}")
    return FIGURES[kind](dataset)
