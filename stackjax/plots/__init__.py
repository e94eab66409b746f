"""Figures of results and of games. Matplotlib is imported when one is drawn, and never its global state."""

from stackjax.plots.comparison import plot_comparison as plot_comparison
from stackjax.plots.landscape import plot_landscape as plot_landscape
from stackjax.plots.metagame import plot_metagame as plot_metagame
from stackjax.plots.oracles import plot_leading as plot_leading
from stackjax.plots.portrait import plot_portrait as plot_portrait
from stackjax.plots.regret import plot_regret as plot_regret
from stackjax.plots.results import plot_result as plot_result
from stackjax.plots.sweep import plot_sweep as plot_sweep
