"""Learners: one file an algorithm. A new one starts from `_template.py` and gets a line here, nowhere else."""

from stackjax.learners._exploration import explore_fraction as explore_fraction
from stackjax.learners.active_arm_elimination import ActiveArmElimination as ActiveArmElimination
from stackjax.learners.best_response import BestResponse as BestResponse
from stackjax.learners.competitive_gradient import CompetitiveGradient as CompetitiveGradient
from stackjax.learners.consensus_optimization import ConsensusOptimization as ConsensusOptimization
from stackjax.learners.contextual_follower import ContextualFollower as ContextualFollower
from stackjax.learners.epsilon_best_response import EpsilonBestResponse as EpsilonBestResponse
from stackjax.learners.epsilon_greedy import EpsilonGreedy as EpsilonGreedy
from stackjax.learners.every import Every as Every
from stackjax.learners.evolution_strategies import EvolutionStrategies as EvolutionStrategies
from stackjax.learners.exp3 import EXP3 as EXP3
from stackjax.learners.explore_then_commit import ExploreThenCommit as ExploreThenCommit
from stackjax.learners.explore_then_commit import ExploreThenCommitThrowOut as ExploreThenCommitThrowOut
from stackjax.learners.extragradient import Extragradient as Extragradient
from stackjax.learners.f2sa import F2SA as F2SA
from stackjax.learners.fixed import Fixed as Fixed
from stackjax.learners.follow_the_ridge import FollowTheRidge as FollowTheRidge
from stackjax.learners.gradient_ascent import GradientAscent as GradientAscent
from stackjax.learners.hic import HiC as HiC
from stackjax.learners.hierarchical_ascent import HierarchicalAscent as HierarchicalAscent
from stackjax.learners.local_symplectic_surgery import LocalSymplecticSurgery as LocalSymplecticSurgery
from stackjax.learners.lola import LOLA as LOLA
from stackjax.learners.look_ahead import LookAhead as LookAhead
from stackjax.learners.mirror_ascent import MirrorAscent as MirrorAscent
from stackjax.learners.multiplicative_weights import MultiplicativeWeights as MultiplicativeWeights
from stackjax.learners.multiplicative_weights import Reinforce as Reinforce
from stackjax.learners.neural_follower import NeuralFollower as NeuralFollower
from stackjax.learners.optimistic_ascent import OptimisticAscent as OptimisticAscent
from stackjax.learners.per_arm import PerArm as PerArm
from stackjax.learners.phased_ucb import PhasedUCB as PhasedUCB
from stackjax.learners.pure_nash import PureNash as PureNash
from stackjax.learners.q_learning import QLearning as QLearning
from stackjax.learners.recurrent_follower import RecurrentFollower as RecurrentFollower
from stackjax.learners.soba import SOBA as SOBA
from stackjax.learners.stable_opponent_shaping import StableOpponentShaping as StableOpponentShaping
from stackjax.learners.symplectic_gradient_adjustment import (
    SymplecticGradientAdjustment as SymplecticGradientAdjustment,
)
from stackjax.learners.thompson_sampling import ThompsonSampling as ThompsonSampling
from stackjax.learners.ucb import UCB as UCB
from stackjax.learners.ucb import ExploreThenUCB as ExploreThenUCB
from stackjax.learners.ucb import LipschitzUCB as LipschitzUCB
from stackjax.learners.unrolled import Unrolled as Unrolled
