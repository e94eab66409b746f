"""Comparisons, regrets and meta-games; results as files and as tables. Importing this doesn't import xarray."""

from stackjax.experiments.axes import Over as Over
from stackjax.experiments.axes import grid as grid
from stackjax.experiments.axes import log_uniform as log_uniform
from stackjax.experiments.axes import zipped as zipped
from stackjax.experiments.compare import compare as compare
from stackjax.experiments.efficiency import steps_to_reach as steps_to_reach
from stackjax.experiments.estimates import Estimate as Estimate
from stackjax.experiments.estimates import estimate as estimate
from stackjax.experiments.metagame import metagame as metagame
from stackjax.experiments.oracles import Leading as Leading
from stackjax.experiments.oracles import lead as lead
from stackjax.experiments.parts import OtherConfigurationError as OtherConfigurationError
from stackjax.experiments.reductions import concat as concat
from stackjax.experiments.reductions import summary as summary
from stackjax.experiments.reductions import to_dataframe as to_dataframe
from stackjax.experiments.regret import regret as regret
from stackjax.experiments.results import load as load
from stackjax.experiments.results import save as save
from stackjax.experiments.slopes import slopes as slopes
from stackjax.experiments.solutions import solutions as solutions
from stackjax.experiments.study import Study as Study
from stackjax.experiments.study import StudyError as StudyError
from stackjax.experiments.study import read_study as read_study
from stackjax.experiments.sweep import sweep as sweep
from stackjax.experiments.tables import table as table
