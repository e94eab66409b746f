"""Games: one file a family. A new one subclasses `stackjax.Game` and gets a line here.

Methods that are compared in it make it one of `catalogue/games.py`.
"""

from stackjax.games import bandit_instances as bandit_instances
from stackjax.games import bilevel_problems as bilevel_problems
from stackjax.games import incentives as incentives
from stackjax.games.adversarial import CovarianceGAN as CovarianceGAN
from stackjax.games.adversarial import DiracGAN as DiracGAN
from stackjax.games.bandits import StackelbergBandit as StackelbergBandit
from stackjax.games.bilevel import DataCleaning as DataCleaning
from stackjax.games.bilevel import HyperparameterSelection as HyperparameterSelection
from stackjax.games.bimatrix import Bimatrix as Bimatrix
from stackjax.games.cournot import CournotDuopoly as CournotDuopoly
from stackjax.games.cournot import CournotOligopoly as CournotOligopoly
from stackjax.games.functions import FunctionGame as FunctionGame
from stackjax.games.functions import from_costs as from_costs
from stackjax.games.functions import from_payoffs as from_payoffs
from stackjax.games.iterated import IteratedMatrixGame as IteratedMatrixGame
from stackjax.games.linear_quadratic import LinearQuadratic as LinearQuadratic
from stackjax.games.markov import MarkovGame as MarkovGame
from stackjax.games.memory import Remembered as Remembered
from stackjax.games.memory import with_memory as with_memory
from stackjax.games.mixture import MixtureGAN as MixtureGAN
from stackjax.games.noisy import Noisy as Noisy
from stackjax.games.oracle import AdaptiveOracle as AdaptiveOracle
from stackjax.games.oracle import Oracle as Oracle
from stackjax.games.oracle import OracleGame as OracleGame
from stackjax.games.penalized import Penalized as Penalized
from stackjax.games.planar import Hamiltonian as Hamiltonian
from stackjax.games.planar import Tandem as Tandem
from stackjax.games.planar import ZeroSumPolynomial as ZeroSumPolynomial
from stackjax.games.planar import ZeroSumQuartic as ZeroSumQuartic
from stackjax.games.quadratic import Quadratic as Quadratic
from stackjax.games.torus import TorusLocation as TorusLocation
