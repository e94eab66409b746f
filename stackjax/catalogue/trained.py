"""Bilevel and adversarial games from what people train, by their names, with four methods each."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

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
from stackjax.learners import GradientAscent, HiC, HierarchicalAscent, Unrolled
from stackjax.protocols import Game, Learner
from stackjax.schedules import PowerLaw
from stackjax.solvers import Dense


@functools.cache  # Optax makes new functions each time, which would compile a new program
def _adam(step: float, momentum: float = 0.9) -> optax.GradientTransformation:
    return optax.adam(step, b1=momentum)


def _four(
    step: Mapping[str, Any],
    follower: Callable[[], Learner],
    unrolled: tuple[float, int],
    hi_c: Callable[[], Learner],
    **hierarchical: Any,
) -> Mapping[str, Method]:
    """The four methods: one step and one follower for all, but for Hi-C's own schedules.

    **Arguments:** `step`: the leader's `step` or `optimizer`; `unrolled`: the step and the number of the follower's
    steps that the unrolled leader looks ahead; `hierarchical`: options of that leader.
    """
    own = {"step": None} | dict(step)
    ahead, depth = unrolled
    return {
        "simultaneous": Method(lambda: (GradientAscent(**own), follower()), "each player ascends its own payoff"),
        "hierarchical": Method(
            lambda: (HierarchicalAscent(**own, **hierarchical), follower()),
            "a leader who knows the game; the follower is faster",
        ),
        "unrolled": Method(
            lambda: (Unrolled(other_step=ahead, depth=depth, **own), follower()),
            f"a leader who goes through {depth} steps of the follower",
        ),
        "hi-c": Method(lambda: (hi_c(), follower()), "a leader who sees nothing but its payoffs"),
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


_COVARIANCE = ((2.0, 0.8, 0.0), (0.8, 1.0, 0.3), (0.0, 0.3, 0.5))

#: Problems from what people train, which the catalogue's games end with.
TRAINED: Mapping[str, GameEntry] = {
    "hyperparameters": _entry(
        lambda: HyperparameterSelection.synthetic(jax.random.key(1), rows=(50, 200), batch=32),
        "Selection of hyper-parameters",
        "one weight decay a coefficient of a logistic regression; mini-batches of 32",
        _four(
            {"optimizer": _adam(0.03)},
            lambda: GradientAscent(0.1),
            (0.1, 20),
            lambda: HiC(PowerLaw(600.0, 1.0, offset=200.0), PowerLaw(2.0, 1 / 6), 50),
        ),
        ("logarithms of the weight decays", "coefficients"),
        start=(_zeros(10), _zeros(10)),
    ),
    "data-cleaning": _entry(
        lambda: DataCleaning.synthetic(jax.random.key(0), rows=(100, 200), features=10, batch=32),
        "Hyper-cleaning of data",
        "a weight for each of 100 rows, 30 % of them with wrong labels; mini-batches of 32",
        _four(
            {"optimizer": _adam(0.03)},
            lambda: GradientAscent(0.5),
            (0.5, 20),
            lambda: HiC(PowerLaw(1000.0, 1.0, offset=300.0), PowerLaw(3.0, 1 / 6), 50),
        ),
        ("logits of the rows' weights", "coefficients"),
        start=(_zeros(100), _zeros(10)),
    ),
    "linear-quadratic": _entry(
        _linear_quadratic,
        "A linear system with two inputs",
        "both plan five stages, the leader first; disturbances of variance .01",
        _four(
            {"step": PowerLaw(1.0, 0.7, offset=50.0)},
            lambda: GradientAscent(0.12),
            (0.12, 20),
            lambda: HiC(PowerLaw(1.5, 1.0, offset=50.0), PowerLaw(1.0, 1 / 6), 30),
        ),
        ("plan of the leader", "plan of the follower"),
    ),
    "dirac-gan": _entry(
        lambda: DiracGAN(0.5),
        "The Dirac GAN",
        "one number against one slope; the slope is regularised",
        _four(
            {"step": 0.05},
            lambda: GradientAscent(0.5),
            (0.5, 5),
            lambda: HiC(PowerLaw(10.0, 1.0, offset=20.0), PowerLaw(0.3, 1 / 6), 15),
        ),
        ("where the generator puts its mass", "slope of the discriminator"),
        start=(1.0, 1.0),
    ),
    "covariance-gan": _entry(
        lambda: CovarianceGAN(np.array(_COVARIANCE), batch=128),
        "A GAN that learns a covariance",
        "a linear generator against a quadratic discriminator, in three dimensions; 128 samples a round",
        _four(
            {"step": PowerLaw(10.0, 1.0, offset=200.0)},
            lambda: GradientAscent(0.5),
            (0.5, 5),
            lambda: HiC(PowerLaw(1.0, 1.0, offset=200.0), PowerLaw(0.2, 1 / 6), 10),
        ),
        ("matrix of the generator", "matrix of the discriminator"),
        start=(np.eye(3, dtype=np.float32), _zeros(3, 3)),
    ),
    "mixture-gan": _entry(
        lambda: MixtureGAN(4),
        "A GAN that learns a mixture",
        "networks of 16 tanh units; four normal modes on a ring; 64 samples a round",
        _four(
            {"optimizer": _adam(0.005, 0.5)},
            lambda: GradientAscent(optimizer=_adam(0.02, 0.5)),
            (0.5, 5),
            lambda: HiC(PowerLaw(10.0, 1.0, offset=300.0), PowerLaw(0.3, 1 / 6), 20),
            # CG would need a Hessian without curvature of the wrong sign, which this follower's has.
            solver=Dense(),
            damping=0.3,
        ),
        ("generator's network", "discriminator's network"),
        replicates=5,
    ),
}
