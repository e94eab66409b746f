"""What points are and where equilibria lie: certificates, searches, and optimal commitments."""

from stackjax.equilibria.benchmarks import Benchmark as Benchmark
from stackjax.equilibria.benchmarks import alignment_constant as alignment_constant
from stackjax.equilibria.benchmarks import self_tolerant_benchmarks as self_tolerant_benchmarks
from stackjax.equilibria.benchmarks import stackelberg_benchmarks as stackelberg_benchmarks
from stackjax.equilibria.benchmarks import tolerant_benchmarks as tolerant_benchmarks
from stackjax.equilibria.certify import Certificate as Certificate
from stackjax.equilibria.certify import Dynamics as Dynamics
from stackjax.equilibria.certify import certify as certify
from stackjax.equilibria.commitment import Commitment as Commitment
from stackjax.equilibria.commitment import optimal_commitment as optimal_commitment
from stackjax.equilibria.commitment import pure_commitment as pure_commitment
from stackjax.equilibria.finite import Dominated as Dominated
from stackjax.equilibria.finite import NashEquilibria as NashEquilibria
from stackjax.equilibria.finite import dominated as dominated
from stackjax.equilibria.finite import dominated_by_mixtures as dominated_by_mixtures
from stackjax.equilibria.finite import nash_equilibria as nash_equilibria
from stackjax.equilibria.finite import pure_nash as pure_nash
from stackjax.equilibria.implicit import implicit_gradient as implicit_gradient
from stackjax.equilibria.regret import pseudo_regret as pseudo_regret
from stackjax.equilibria.search import Found as Found
from stackjax.equilibria.search import find as find
