"""Figures of results and of games. Matplotlib is imported when one is drawn, and never its global state."""

from stackjax.plots.comparison import plot_comparison as plot_comparison
from stackjax.plots.portrait import plot_portrait as plot_portrait
