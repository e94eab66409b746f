"""Experiments: comparisons of methods, and results as files. Importing this doesn't import xarray."""

from stackjax.experiments.compare import compare as compare
from stackjax.experiments.results import load as load
from stackjax.experiments.results import save as save
from stackjax.experiments.results import summary as summary
