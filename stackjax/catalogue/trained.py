"""Bilevel and adversarial games from what people train, by their names, with four to six methods each."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from stackjax.catalogue._entries import GameEntry, Method
from stackjax.games import (
    CovarianceGAN,
    DataCleaning,
    DiracGAN,
    HyperparameterSelection,
    LinearQuadratic,
    MixtureGAN,
)
from stackjax.learners import F2SA, SOBA, GradientAscent, HiC, HierarchicalAscent, Unrolled
from stackjax.protocols import Game, Learner
from stackjax.schedules import PowerLaw
from stackjax.solvers import Dense


@functools.cache  # Optax makes new functions each time, which would compile a new program
def _adam(step: float, momentum: float = 0.9) -> optax.GradientTransformation:
    return optax.adam(step, b1=momentum)


class _Schedules(NamedTuple):
    """Hi-C's own: its steps `scale / (n + offset)` and perturbations `perturbation / (n + 1)^(1/6)`, n from 0."""

    scale: float
    offset: float
    perturbation: float
    commitment: int

    def hi_c(self) -> HiC:
        return HiC(PowerLaw(self.scale, 1.0, offset=self.offset), PowerLaw(self.perturbation, 1 / 6), self.commitment)


def _methods(
    leader: Mapping[str, Any],
    follower: Mapping[str, Any],
    schedules: _Schedules,
    *,
    depth: int,
    ahead: float | None = None,
    penalty: Any = None,
    **hierarchical: Any,
) -> Mapping[str, Method]:
    """The methods: one step and one follower for all, but for Hi-C's own schedules; four, or six with a `penalty`.

    **Arguments:** `leader`, `follower`: their `step` or `optimizer`; `schedules`: Hi-C's; `depth`: how many of the
    follower's steps the unrolled leader looks ahead, and `ahead`: what step it takes the follower to have, by default
    the follower's own; `penalty`: F2SA's, where what it and SOBA carry along takes the follower's own step;
    `hierarchical`: options of that leader.
    """
    own, other = ({"step": None} | dict(steps) for steps in (leader, follower))
    ahead = other["step"] if ahead is None else ahead

    def with_follower(make: Callable[[], Learner]) -> Callable[[], tuple[Learner, ...]]:
        return lambda: (make(), GradientAscent(**other))

    methods = {
        "simultaneous": Method(with_follower(lambda: GradientAscent(**own)), "each player ascends its own payoff"),
        "hierarchical": Method(
            with_follower(lambda: HierarchicalAscent(**own, **hierarchical)),
            "a leader who knows the game; the follower is faster",
        ),
        "unrolled": Method(
            with_follower(lambda: Unrolled(other_step=ahead, depth=depth, **own)),
            f"a leader who goes through {depth} steps of the follower",
        ),
        "hi-c": Method(with_follower(schedules.hi_c), "a leader who sees nothing but its payoffs"),
    }
    if penalty is None:
        return methods
    return methods | {
        "soba": Method(
            with_follower(lambda: SOBA(system_step=other["step"], **own)),
            "a leader whose linear solve goes on round after round",
        ),
        "f2sa": Method(
            with_follower(lambda: F2SA(inner_step=other["step"], penalty=penalty, **own)),
            "a leader who penalises what isn't a best response",
        ),
    }


def _entry(
    make: Callable[[], Game],
    title: str,
    summary: str,
    methods: Mapping[str, Method],
    roles: tuple[str, str],
    **more: Any,
) -> GameEntry:
    return GameEntry(
        make=make,
        title=title,
        summary=summary,
        methods=methods,
        default=tuple(methods),
        actions=(roles[0], roles[1]),
        payoffs=("payoff of the leader", "payoff of the follower"),
        **{"rounds": 10_000, "replicates": 20} | more,
    )


def _linear_quadratic() -> Game:
    return LinearQuadratic(
        np.array([[1.0, 0.2], [0.0, 0.9]]),
        (np.array([[0.0], [1.0]]), np.array([[0.5], [0.5]])),
        np.array([1.0, 1.0]),
        state_costs=(np.eye(2), np.eye(2)),
        input_costs=(np.eye(1), 0.5 * np.eye(1)),
        targets=(np.zeros(2), np.array([1.0, 0.0])),
        disturbance_variance=0.01,
    )


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)  # of 64 bits they would make JAX warn where it computes in 32


#: F2SA's penalty. In a few trials on both games, constants from 3 to 300 and other growing ones did as well, as did
#: steps of SOBA's system from a third of the follower's to twice as long; inner steps half as long did not.
_PENALTY = PowerLaw(10.0, -1 / 3)
_COVARIANCE = ((2.0, 0.8, 0.0), (0.8, 1.0, 0.3), (0.0, 0.3, 0.5))

#: Problems from what people train, which the catalogue's games end with.
TRAINED: Mapping[str, GameEntry] = {
    "hyperparameters": _entry(
        lambda: HyperparameterSelection.synthetic(jax.random.key(1), rows=(50, 200), batch=32),
        "Selection of hyper-parameters",
        "one weight decay a coefficient of a logistic regression; mini-batches of 32",
        _methods(
            {"optimizer": _adam(0.03)},
            {"step": 0.1},
            _Schedules(scale=600.0, offset=200.0, perturbation=2.0, commitment=50),
            depth=20,
            penalty=_PENALTY,
        ),
        ("logarithms of the weight decays", "coefficients"),
        start=(_zeros(10), _zeros(10)),
    ),
    "data-cleaning": _entry(
        lambda: DataCleaning.synthetic(jax.random.key(0), rows=(100, 200), features=10, batch=32),
        "Hyper-cleaning of data",
        "a weight for each of 100 rows, 30 % of them with wrong labels; mini-batches of 32",
        _methods(
            {"optimizer": _adam(0.03)},
            {"step": 0.5},
            _Schedules(scale=1000.0, offset=300.0, perturbation=3.0, commitment=50),
            depth=20,
            penalty=_PENALTY,
        ),
        ("logits of the rows' weights", "coefficients"),
        start=(_zeros(100), _zeros(10)),
    ),
    "linear-quadratic": _entry(
        _linear_quadratic,
        "A linear system with two inputs",
        "both plan five stages, the leader first; disturbances of variance .01",
        _methods(
            {"step": PowerLaw(1.0, 0.7, offset=50.0)},
            {"step": 0.12},
            _Schedules(scale=1.5, offset=50.0, perturbation=1.0, commitment=30),
            depth=20,
        ),
        ("plan of the leader", "plan of the follower"),
    ),
    "dirac-gan": _entry(
        lambda: DiracGAN(0.5),
        "The Dirac GAN",
        "one number against one slope; the slope is regularised",
        _methods(
            {"step": 0.05},
            {"step": 0.5},
            _Schedules(scale=10.0, offset=20.0, perturbation=0.3, commitment=15),
            depth=5,
        ),
        ("where the generator puts its mass", "slope of the discriminator"),
        start=(1.0, 1.0),
    ),
    "covariance-gan": _entry(
        lambda: CovarianceGAN(np.array(_COVARIANCE), batch=128),
        "A GAN that learns a covariance",
        "a linear generator against a quadratic discriminator, in three dimensions; 128 samples a round",
        _methods(
            {"step": PowerLaw(10.0, 1.0, offset=200.0)},
            {"step": 0.5},
            _Schedules(scale=1.0, offset=200.0, perturbation=0.2, commitment=10),
            depth=5,
        ),
        ("matrix of the generator", "matrix of the discriminator"),
        start=(np.eye(3, dtype=np.float32), _zeros(3, 3)),
    ),
    "mixture-gan": _entry(
        lambda: MixtureGAN(4),
        "A GAN that learns a mixture",
        "networks of 16 tanh units; four normal modes on a ring; 64 samples a round",
        _methods(
            {"optimizer": _adam(0.005, 0.5)},
            {"optimizer": _adam(0.02, 0.5)},
            _Schedules(scale=10.0, offset=300.0, perturbation=0.3, commitment=20),
            depth=5,
            ahead=0.5,
            # CG would need a Hessian without curvature of the wrong sign, which this follower's has.
            solver=Dense(),
            damping=0.3,
        ),
        ("generator's network", "discriminator's network"),
        replicates=5,
    ),
}
