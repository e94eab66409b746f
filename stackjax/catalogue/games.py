"""Differentiable games by their names, each with the methods that are compared in it."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import optax

from stackjax.catalogue._entries import GameEntry as GameEntry
from stackjax.catalogue._entries import Method as Method
from stackjax.catalogue.trained import TRAINED
from stackjax.games import (
    CournotDuopoly,
    Hamiltonian,
    IteratedMatrixGame,
    Noisy,
    Quadratic,
    Tandem,
    TorusLocation,
    ZeroSumPolynomial,
    ZeroSumQuartic,
)
from stackjax.learners import (
    LOLA,
    BestResponse,
    Extragradient,
    FollowTheRidge,
    GradientAscent,
    HiC,
    HierarchicalAscent,
    LocalSymplecticSurgery,
    StableOpponentShaping,
    SymplecticGradientAdjustment,
)
from stackjax.protocols import Game, Learner
from stackjax.schedules import PowerLaw, commitment_times


def _duopoly_simultaneous() -> tuple[Learner, ...]:
    firm = GradientAscent(PowerLaw(1.0, 1.0), noise_variance=10.0)
    return firm, firm


def _duopoly_hierarchical(follower: Learner) -> tuple[Learner, ...]:
    return HierarchicalAscent(PowerLaw(1.0, 1.0), noise_variance=10.0), follower


def _duopoly_lola() -> tuple[Learner, ...]:
    # The follower's best response is one step of 1/2, its inverse curvature, with which the leader would reach 46.
    leader = LOLA(PowerLaw(1.0, 1.0), 0.25, noise_variance=10.0)
    return leader, GradientAscent(PowerLaw(1.0, 1.0), noise_variance=10.0)


def _duopoly_hi_c(**options: Any) -> tuple[Learner, ...]:
    # The follower's payoff has the curvature mu = 2, so that beta mu = 1/2 with the step beta = 1/4.
    perturbation = PowerLaw(10.0, 1 / 6)
    commitment = commitment_times(perturbation, rate=0.5, bound=100.0, exponent=1.0)
    return HiC(PowerLaw(1.5, 1.0, offset=10.0), perturbation, commitment, **options), GradientAscent(0.25)


_DUOPOLY = GameEntry(
    # Readings of payoffs are as noisy as estimates of gradients in Sec. 4.1 of Fiez et al. (2019).
    make=lambda: Noisy(CournotDuopoly(), payoff_variance=10.0),
    title="Cournot's duopoly",
    summary="two firms choose quantities; payoff noise of variance 10",
    methods={
        "simultaneous": Method(_duopoly_simultaneous, "each firm ascends its own profit"),
        # The steps 1/k and 1/k^(2/3) of Sec. 4.1 of Fiez et al. (2019).
        "two-timescale": Method(
            lambda: _duopoly_hierarchical(GradientAscent(PowerLaw(1.0, 2 / 3), noise_variance=10.0)),
            "a leader who knows the game; the follower is faster",
        ),
        "hi-c": Method(_duopoly_hi_c, "with a baseline: the mean of earlier profits"),
        "hi-c-pairs": Method(lambda: _duopoly_hi_c(measurements=2), "antithetic pairs"),
        "hi-c-no-baseline": Method(lambda: _duopoly_hi_c(baseline=None), "as printed, without a baseline"),
        "best-response": Method(
            lambda: _duopoly_hierarchical(BestResponse()), "a leader who knows the game; the follower is exact"
        ),
        "lola": Method(_duopoly_lola, "a leader who shapes a short step of the follower"),
    },
    default=("simultaneous", "two-timescale", "hi-c"),
    actions=("quantity of firm 1 (leader)", "quantity of firm 2 (follower)"),
    payoffs=("profit of firm 1 (leader)", "profit of firm 2 (follower)"),
)


def _two_timescale(leader: Any, follower: Any, variance: float) -> tuple[Learner, ...]:
    return HierarchicalAscent(leader, noise_variance=variance), GradientAscent(follower, noise_variance=variance)


def _torus_simultaneous() -> tuple[Learner, ...]:
    player = GradientAscent(PowerLaw(1.0, 0.5), noise_variance=0.01)
    return player, player


def _torus_hi_c() -> tuple[Learner, ...]:
    # The follower's curvature is about 1 at the Stackelberg equilibria, so that beta mu = 1/2 with the step beta = 1/2.
    perturbation = PowerLaw(0.5, 1 / 6)
    commitment = commitment_times(perturbation, rate=0.5, bound=3.0, exponent=1.0)
    return HiC(PowerLaw(2.0, 1.0, offset=10.0), perturbation, commitment), GradientAscent(0.5)


_TORUS = GameEntry(
    make=lambda: Noisy(TorusLocation(), payoff_variance=0.01),
    title="Location game on the torus",
    summary="two players choose angles, apart from each other; noise of variance .01",
    methods={
        "simultaneous": Method(_torus_simultaneous, "each player ascends its own payoff"),
        # The steps 1/k and 1/sqrt(k) of Sec. 4.2 of Fiez et al. (2019), and its noise.
        "two-timescale": Method(
            lambda: _two_timescale(PowerLaw(1.0, 1.0), PowerLaw(1.0, 0.5), 0.01),
            "a leader who knows the game; the follower is faster",
        ),
        "hi-c": Method(_torus_hi_c, "a leader who sees nothing but its payoffs"),
        "best-response": Method(
            lambda: (HierarchicalAscent(PowerLaw(1.0, 1.0), noise_variance=0.01), BestResponse()),
            "a leader who knows the game; the follower is exact",
        ),
    },
    default=("simultaneous", "two-timescale", "hi-c"),
    actions=("angle of the leader", "angle of the follower"),
    payoffs=("payoff of the leader", "payoff of the follower"),
    rounds=10_000,
)


def _quadratic_simultaneous() -> tuple[Learner, ...]:
    player = GradientAscent(PowerLaw(2.0, 1.0, offset=10.0), noise_variance=0.01)
    return player, player


def _quadratic_hi_c() -> tuple[Learner, ...]:
    # No curvature of the follower is below 1: beta mu >= .3.
    perturbation = PowerLaw(1.0, 1 / 6)
    commitment = commitment_times(perturbation, rate=0.3, bound=10.0, exponent=1.0)
    return HiC(PowerLaw(1.5, 1.0, offset=60.0), perturbation, commitment), GradientAscent(0.3)


def _quadratic(make: Callable[[], Game], title: str, summary: str) -> GameEntry:
    return GameEntry(
        make=lambda: Noisy(make(), payoff_variance=0.01),
        title=title,
        summary=summary,
        methods={
            "simultaneous": Method(_quadratic_simultaneous, "each player ascends its own payoff"),
            "two-timescale": Method(
                lambda: _two_timescale(PowerLaw(2.0, 1.0, offset=10.0), PowerLaw(1.0, 2 / 3, offset=10.0), 0.01),
                "a leader who knows the game; the follower is faster",
            ),
            "hi-c": Method(_quadratic_hi_c, "a leader who sees nothing but its payoffs"),
        },
        default=("simultaneous", "two-timescale", "hi-c"),
        actions=("action of the leader", "action of the follower"),
        payoffs=("payoff of the leader", "payoff of the follower"),
        rounds=30_000,
    )


def _planar(
    game: type[Game],
    title: str,
    summary: str,
    limits: float,
    more: Mapping[str, Method] = MappingProxyType({}),
    **others: Any,
) -> GameEntry:
    simultaneous = Method(lambda: (GradientAscent(0.05),) * 2, "each player ascends its own payoff")
    hierarchical = Method(
        lambda: (HierarchicalAscent(0.01), GradientAscent(0.1)), "a leader who knows the game; the follower is faster"
    )
    options: dict[str, Any] = {
        "methods": {"simultaneous": simultaneous, "two-timescale": hierarchical, **more}
    } | others
    return GameEntry(
        make=game,
        title=title,
        summary=summary,
        default=tuple(options["methods"]),
        actions=("action of the leader", "action of the follower"),
        payoffs=("payoff of the leader", "payoff of the follower"),
        limits=(-limits, limits),
        **{"rounds": 1000} | options,
    )


_HAMILTONIAN_METHODS = {
    "simultaneous": Method(lambda: (GradientAscent(0.05),) * 2, "each player ascends its own payoff: outwards"),
    "decreasing-steps": Method(
        lambda: (GradientAscent(PowerLaw(0.5, 1.0)),) * 2, "steps in 1/k: no further than a bound"
    ),
    "optimistic": Method(
        lambda: (GradientAscent(optimizer=optax.optimistic_gradient_descent(0.05)),) * 2,
        "each with an optimistic gradient: inwards",
    ),
    "extragradient": Method(lambda: (Extragradient(0.05),) * 2, "each after a half step: inwards"),
    "symplectic": Method(lambda: (SymplecticGradientAdjustment(0.05),) * 2, "straight inwards"),
}

_TANDEM_METHODS = {
    "lola": Method(lambda: (LOLA(0.05, 0.1),) * 2, "each shapes the other's step: too far"),
    "stable-shaping": Method(lambda: (StableOpponentShaping(0.05, 0.1),) * 2, "likewise, with care: to the line"),
}

_POLYNOMIAL_METHODS = {
    "follow-the-ridge": Method(
        lambda: (GradientAscent(0.01), FollowTheRidge(0.1, 0.01, total=False)),
        "the follower makes up for the leader's steps",
    ),
    "surgery": Method(lambda: (LocalSymplecticSurgery(0.02),) * 2, "the field's rotation taken out"),
}


def _iterated_hierarchical(follower: Learner) -> tuple[Learner, ...]:
    # Damped, as the follower's Hessian is indefinite at most policies, and singular between.
    return HierarchicalAscent(1.0, damping=0.1), follower


def _iterated_hi_c(follower: Learner) -> tuple[Learner, ...]:
    return HiC(PowerLaw(10.0, 1.0, offset=10.0), PowerLaw(1.0, 1 / 6), 50), follower


@functools.cache  # Optax makes new functions each time, which would compile a new program
def _regularised() -> Learner:
    return GradientAscent(optimizer=optax.chain(optax.add_decayed_weights(0.02), optax.sgd(5.0)))


def _iterated(make: Callable[[], Game], title: str, summary: str) -> GameEntry:
    return GameEntry(
        make=make,
        title=title,
        summary=summary,
        methods={
            "simultaneous": Method(lambda: (GradientAscent(1.0),) * 2, "each player ascends its own payoff"),
            "hierarchical": Method(
                lambda: _iterated_hierarchical(GradientAscent(5.0)), "a leader who knows the game, damped"
            ),
            "hierarchical-l2": Method(
                lambda: _iterated_hierarchical(_regularised()), "likewise; the follower's logits decay"
            ),
            "hi-c": Method(
                lambda: _iterated_hi_c(GradientAscent(5.0)), "a leader who sees nothing but its payoffs; commits for 50"
            ),
            "hi-c-l2": Method(lambda: _iterated_hi_c(_regularised()), "likewise; to a follower whose logits decay"),
        },
        default=("simultaneous", "hierarchical", "hierarchical-l2", "hi-c-l2"),
        actions=("policy of the leader", "policy of the follower"),
        payoffs=("payoff of the leader", "payoff of the follower"),
        rounds=10_000,
        replicates=200,
    )


GAMES: Mapping[str, GameEntry] = {
    "duopoly": _DUOPOLY,
    "torus": _TORUS,
    "quadratic": _quadratic(
        lambda: Quadratic.random(jax.random.key(5), (3, 4)),
        "A random quadratic game",
        "a leader with 3 numbers and a follower with 4; noise of variance .01",
    ),
    "zero-sum-quadratic": _quadratic(
        lambda: Quadratic.random_zero_sum(jax.random.key(0), (3, 4), coupling=2.0),
        "A random quadratic zero-sum game",
        "its equilibrium is Stackelberg and not Nash; noise of variance .01",
    ),
    "zero-sum-quartic": _planar(
        ZeroSumQuartic, "A quartic zero-sum game", "the origin attracts both dynamics and is only Stackelberg", 2.0
    ),
    "zero-sum-polynomial": _planar(
        ZeroSumPolynomial,
        "A polynomial zero-sum game",
        "two equilibria of both kinds, two only Stackelberg",
        18.0,
        _POLYNOMIAL_METHODS,
    ),
    "tandem": _planar(
        Tandem, "The tandem game", "a line of Nash equilibria; leading pays without bound", 3.0, _TANDEM_METHODS
    ),
    "hamiltonian": _planar(
        Hamiltonian, "The Hamiltonian game", "pure rotation around the origin", 2.0, methods=_HAMILTONIAN_METHODS
    ),
    "prisoners-dilemma": _iterated(
        IteratedMatrixGame.prisoners_dilemma, "Iterated prisoner's dilemma", "silence pays both; to confess pays each"
    ),
    "matching-pennies": _iterated(
        IteratedMatrixGame.matching_pennies, "Iterated matching pennies", "the leader wins if both choose the same"
    ),
    "stag-hunt": _iterated(IteratedMatrixGame.stag_hunt, "Iterated stag hunt", "the stag needs both; the hare is safe"),
    "chicken": _iterated(IteratedMatrixGame.chicken, "Iterated game of chicken", "who swerves loses to who doesn't"),
    "battle-of-the-sexes": _iterated(
        IteratedMatrixGame.battle_of_the_sexes, "Iterated battle of the sexes", "together, but where?"
    ),
    **TRAINED,
}
