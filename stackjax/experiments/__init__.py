"""Experiments: comparisons of methods, results as files and as tables. Importing this doesn't import xarray."""

from stackjax.experiments.compare import compare as compare
from stackjax.experiments.results import load as load
from stackjax.experiments.results import save as save
from stackjax.experiments.results import summary as summary
from stackjax.experiments.tables import table as table
