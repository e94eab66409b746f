"""Name -> constructor, for the command line, the tests and the benchmarks. A new learner is one line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stackjax.games import CournotDuopoly, Noisy
from stackjax.learners import BestResponse, Every, Fixed, GradientAscent, HiC, HierarchicalAscent
from stackjax.protocols import Game, Learner
from stackjax.schedules import PowerLaw, commitment_times


@dataclass(frozen=True)
class Method:
    """A method by its name in a table: `make`, called, makes one learner a player; `summary` tells it from others."""

    make: Callable[[], tuple[Learner, ...]]
    summary: str

    def __call__(self) -> tuple[Learner, ...]:
        """One learner a player, in order of play."""
        return self.make()


@dataclass(frozen=True)
class GameEntry:
    """A game as it is compared, with the methods that are compared in it.

    **Attributes:**

    - `make`: makes the game, with whatever noise it is compared under.
    - `title`, `summary`: its name, and a line about it.
    - `methods`: name -> a `Method`; called, it makes one learner a player, in order of play.
    - `default`: the names of those methods that are compared if none are asked for.
    - `actions`, `payoffs`: what figures call the players' actions and payoffs, with units if any.
    - `start`: as in `stackjax.play`; None if every replicate starts from a sample of the spaces.
    - `rounds`, `replicates`: how many are played if nothing else is asked for.
    """

    make: Callable[[], Game]
    title: str
    summary: str
    methods: Mapping[str, Method]
    default: tuple[str, ...]
    actions: tuple[str, ...]
    payoffs: tuple[str, ...]
    start: tuple[Any, ...] | None = None
    rounds: int = 100_000
    replicates: int = 1000

    def __post_init__(self) -> None:
        unknown = [name for name in self.default if name not in self.methods]
        if unknown:
            raise ValueError(f"default: {unknown} are not among the methods {list(self.methods)}")


def _duopoly_simultaneous() -> tuple[Learner, ...]:
    firm = GradientAscent(PowerLaw(1.0, 1.0), noise_variance=10.0)
    return firm, firm


def _duopoly_hierarchical(follower: Learner) -> tuple[Learner, ...]:
    return HierarchicalAscent(PowerLaw(1.0, 1.0), noise_variance=10.0), follower


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
    },
    default=("simultaneous", "two-timescale", "hi-c"),
    actions=("quantity of firm 1 (leader)", "quantity of firm 2 (follower)"),
    payoffs=("profit of firm 1 (leader)", "profit of firm 2 (follower)"),
)

GAMES: Mapping[str, GameEntry] = {
    "duopoly": _DUOPOLY,
}

LEARNERS: Mapping[str, type[Learner]] = {
    "best-response": BestResponse,
    "every": Every,
    "fixed": Fixed,
    "gradient-ascent": GradientAscent,
    "hi-c": HiC,
    "hierarchical-ascent": HierarchicalAscent,
}
