"""Comparisons, regrets and meta-games; results as files and as tables. Importing this doesn't import xarray."""

from stackjax.experiments.compare import compare as compare
from stackjax.experiments.metagame import metagame as metagame
from stackjax.experiments.regret import regret as regret
from stackjax.experiments.results import load as load
from stackjax.experiments.results import save as save
from stackjax.experiments.results import summary as summary
from stackjax.experiments.slopes import slopes as slopes
from stackjax.experiments.solutions import solutions as solutions
from stackjax.experiments.tables import table as table
