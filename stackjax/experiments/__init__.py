"""Comparisons, sweeps, regrets and meta-games; results as files and as tables. Importing this doesn't import xarray.

`run` is the engine of all of them: a driver of your own makes an `Experiment` of `Setting`s and `Measure`s.
"""

from stackjax.experiments.compare import compare as compare
from stackjax.experiments.estimate import Estimate as Estimate
from stackjax.experiments.estimate import estimate as estimate
from stackjax.experiments.lead import Leading as Leading
from stackjax.experiments.lead import lead as lead
from stackjax.experiments.lead import steps_to_reach as steps_to_reach
from stackjax.experiments.metagame import metagame as metagame
from stackjax.experiments.over import Over as Over
from stackjax.experiments.over import grid as grid
from stackjax.experiments.over import log_uniform as log_uniform
from stackjax.experiments.over import zipped as zipped
from stackjax.experiments.reductions import concat as concat
from stackjax.experiments.reductions import summary as summary
from stackjax.experiments.reductions import to_dataframe as to_dataframe
from stackjax.experiments.regret import regret as regret
from stackjax.experiments.results import load as load
from stackjax.experiments.results import save as save
from stackjax.experiments.run import Experiment as Experiment
from stackjax.experiments.run import How as How
from stackjax.experiments.run import Interrupted as Interrupted
from stackjax.experiments.run import Measure as Measure
from stackjax.experiments.run import run as run
from stackjax.experiments.settings import Setting as Setting
from stackjax.experiments.slopes import slopes as slopes
from stackjax.experiments.solutions import solutions as solutions
from stackjax.experiments.store import InUseError as InUseError
from stackjax.experiments.store import OtherConfigurationError as OtherConfigurationError
from stackjax.experiments.study import Study as Study
from stackjax.experiments.study import StudyError as StudyError
from stackjax.experiments.study import read_study as read_study
from stackjax.experiments.sweep import sweep as sweep
from stackjax.experiments.tables import table as table
