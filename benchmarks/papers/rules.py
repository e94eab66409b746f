"""The coupled learners on the games of their papers, claim by claim: `python -m benchmarks.papers.rules`.

Each rule plays itself, 100 replicates from random starts: the Hamiltonian game, the tandem game, the iterated
prisoner's dilemma and two zero-sum games. Where a paper says what happens, our share of replicates in which it does is
set beside it. Writes `benchmarks/results/rules.json` and `rules.png`; exits with 1 if a claim fails.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.papers.rules_figure import Shares, draw
from benchmarks.reporting import RESULTS, Row, report, row
from stackjax import Record, Status, Trace, play
from stackjax.games import Hamiltonian, IteratedMatrixGame, Tandem, ZeroSumPolynomial, ZeroSumQuartic
from stackjax.learners import (
    LOLA,
    CompetitiveGradient,
    ConsensusOptimization,
    Extragradient,
    FollowTheRidge,
    GradientAscent,
    HierarchicalAscent,
    LocalSymplecticSurgery,
    LookAhead,
    OptimisticAscent,
    StableOpponentShaping,
    SymplecticGradientAdjustment,
    Unrolled,
)
from stackjax.protocols import Game, Learner, partial_gradient

REPLICATES = 100
Ends = dict[str, np.ndarray]

#: Name: (leader, follower) at a step and a step of the other.
RULES: dict[str, Callable[[float, float], tuple[Learner, Learner]]] = {
    "simultaneous": lambda step, other: (GradientAscent(step),) * 2,
    "LOLA": lambda step, other: (LOLA(step, other),) * 2,
    "look-ahead": lambda step, other: (LookAhead(step, other),) * 2,
    "SOS": lambda step, other: (StableOpponentShaping(step, other),) * 2,
    "consensus": lambda step, other: (ConsensusOptimization(step),) * 2,
    "symplectic": lambda step, other: (SymplecticGradientAdjustment(step),) * 2,
    "competitive": lambda step, other: (CompetitiveGradient(step),) * 2,
    "extragradient": lambda step, other: (Extragradient(step),) * 2,
    "optimistic": lambda step, other: (OptimisticAscent(step),) * 2,
    "surgery": lambda step, other: (LocalSymplecticSurgery(step),) * 2,
    "unrolled": lambda step, other: (Unrolled(step, other, 5), GradientAscent(step)),
    "hierarchical": lambda step, other: (HierarchicalAscent(step), GradientAscent(step)),
    "ridge": lambda step, other: (GradientAscent(step), FollowTheRidge(step, total=False)),
}


@dataclass(frozen=True)
class Setting:
    """A game, how it is played, and the names of where a replicate may end."""

    game: Game
    step: float
    other: float
    rounds: int
    start: Callable[[np.random.Generator], np.ndarray]  # [replicates, 2, ...]
    ends: Callable[[Trace], Ends]


def last(trace: Trace) -> np.ndarray:
    """The last strategies of both, [replicates, 2]."""
    return np.stack([np.asarray(s)[:, -1] for s in trace.strategies], axis=1)


def moved(trace: Trace) -> np.ndarray:
    """How far both moved together between the last two records, [replicates]."""
    recent = np.stack([np.asarray(s)[:, -2:] for s in trace.strategies], axis=-1)
    return np.linalg.norm(np.diff(recent, axis=1)[:, 0], axis=-1)


def spirals(trace: Trace) -> Ends:
    first = np.hypot(*(np.asarray(s) for s in trace.initial))
    ratio = np.linalg.norm(last(trace), axis=1) / first
    return {"inwards": ratio < 0.5, "stays": (ratio >= 0.5) & (ratio <= 2), "outwards": ~(ratio <= 2)}


def tandem(trace: Trace) -> Ends:
    total = last(trace).sum(axis=1)
    still = moved(trace) < 1e-3
    on_line = np.abs(total - 1) < 1e-3
    return {"x + y = 1": still & on_line, "elsewhere": still & ~on_line, "doesn't settle": ~still}


def dilemma(trace: Trace) -> Ends:
    """By what both get in a stage, on average: -1 for silence, -2 if both confess."""
    paid = np.asarray(trace.payoffs)[:, -1].mean(axis=1) / _SUM
    return {"cooperate": paid > -1.25, "between": (paid <= -1.25) & (paid >= -1.75), "defect": paid < -1.75}


def quartic(trace: Trace) -> Ends:
    near = np.linalg.norm(last(trace), axis=1) < 1e-2
    return {"origin": near, "elsewhere": ~near}


def polynomial(trace: Trace) -> Ends:
    """By kind of critical point; a rule may also rest where no gradient vanishes, its own terms cancelling them."""
    game, z = ZeroSumPolynomial(), last(trace)
    distance = lambda points: np.min([np.linalg.norm(z - np.array(p), axis=1) for p in points], axis=0)  # noqa: E731
    near_nash = distance(game.nash_equilibria()) < 0.05
    near = distance(game.stackelberg_equilibria()) < 0.05
    rests = ~near & (moved(trace) < 1e-4)
    gradients = jax.vmap(lambda z: jnp.stack([partial_gradient(game, i, tuple(z)) for i in (0, 1)]))(jnp.asarray(z))
    critical = np.linalg.norm(gradients, axis=1) < 1e-3
    return {
        "Nash": near_nash,
        "Stackelberg only": near & ~near_nash,
        "other critical point": rests & critical,
        "no critical point": rests & ~critical,
        "doesn't settle": ~near & ~rests,
    }


def normal(scale: float, shape: tuple[int, ...] = ()) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: scale * rng.normal(size=(REPLICATES, 2, *shape))


# The papers' payoffs are sums over the stages; ours are these times 1 - .96.
_SUM = 25.0
_DILEMMA = IteratedMatrixGame(
    ((-_SUM, -3 * _SUM), (0.0, -2 * _SUM)), ((-_SUM, 0.0), (-3 * _SUM, -2 * _SUM)), discount=0.96
)
SETTINGS = {
    "Hamiltonian": Setting(Hamiltonian(), 0.1, 0.1, 1000, normal(1.0), spirals),
    "tandem": Setting(Tandem(), 0.05, 0.1, 1000, normal(1.0), tandem),
    "prisoner's dilemma": Setting(_DILEMMA, 1.0, 1.0, 500, normal(1.0, (5,)), dilemma),
    "quartic": Setting(ZeroSumQuartic(), 0.02, 0.02, 2000, normal(0.3), quartic),
    "polynomial": Setting(
        ZeroSumPolynomial(), 0.01, 0.01, 20_000, lambda rng: rng.uniform(-15, 15, (REPLICATES, 2)), polynomial
    ),
}

_LETCHER = "Letcher et al. (2019)"
_MAZUMDAR = "Mazumdar et al. (2019)"
_WANG = "Wang et al. (2020)"
#: (game, rules, who says so, where they end, the lowest and the highest share of the replicates that bears it out).
# The bounds are ours: the papers prove what attracts, or show plots.
CLAIMS: list[tuple[str, tuple[str, ...], str, tuple[str, ...], tuple[float, float]]] = [
    ("Hamiltonian", ("simultaneous",), "Balduzzi et al. (2018)", ("outwards",), (1, 1)),
    ("Hamiltonian", ("symplectic",), "Balduzzi et al. (2018)", ("inwards",), (1, 1)),
    ("Hamiltonian", ("consensus",), "Mescheder et al. (2017)", ("inwards",), (1, 1)),
    ("Hamiltonian", ("competitive",), "Schaefer & Anandkumar (2019)", ("inwards",), (1, 1)),
    ("Hamiltonian", ("extragradient",), "Korpelevich (1976)", ("inwards",), (1, 1)),
    ("Hamiltonian", ("optimistic",), "Daskalakis et al. (2018)", ("inwards",), (1, 1)),
    ("Hamiltonian", ("unrolled",), "Metz et al. (2017)", ("inwards",), (1, 1)),
    ("Hamiltonian", ("look-ahead", "SOS"), _LETCHER, ("inwards",), (1, 1)),
    ("Hamiltonian", ("LOLA",), "both its terms damp the rotation", ("inwards",), (1, 1)),
    ("tandem", ("LOLA",), _LETCHER, ("elsewhere",), (1, 1)),
    ("tandem", ("look-ahead", "SOS"), _LETCHER, ("x + y = 1",), (1, 1)),
    (
        "tandem",
        ("simultaneous", "consensus", "symplectic", "competitive", "extragradient", "surgery"),
        "it keeps the points where all gradients vanish",
        ("x + y = 1",),
        (1, 1),
    ),
    ("prisoner's dilemma", ("LOLA", "SOS"), _LETCHER, ("cooperate",), (0.5, 1)),
    (
        "prisoner's dilemma",
        ("simultaneous", "look-ahead", "consensus", "symplectic"),
        _LETCHER,
        ("cooperate",),
        (0, 0.2),
    ),
    ("quartic", ("simultaneous", "consensus", "symplectic"), _MAZUMDAR, ("origin",), (0.9, 1)),
    ("quartic", ("surgery",), _MAZUMDAR, ("origin",), (0, 0)),
    ("quartic", ("ridge",), _WANG, ("origin",), (0.9, 1)),
    ("polynomial", ("surgery",), _MAZUMDAR, ("Stackelberg only", "other critical point"), (0, 0)),
    ("polynomial", ("ridge",), _WANG, ("other critical point",), (0, 0)),
    ("polynomial", ("ridge",), _WANG, ("Stackelberg only",), (0.05, 1)),
]


def run(setting: Setting, rule: str) -> dict[str, float]:
    """The shares of the replicates by where they end, and the share that failed."""
    leader, follower = RULES[rule](setting.step, setting.other)
    start = setting.start(np.random.default_rng(5))
    trace = play(
        setting.game,
        leader,
        follower,
        key=jax.random.key(0),
        rounds=setting.rounds,
        replicates=REPLICATES,
        start=(jnp.asarray(start[:, 0]), jnp.asarray(start[:, 1])),
        record=Record.every(setting.rounds // 20),
    )
    well = np.asarray(trace.status) == Status.OK
    shares = {name: float(np.mean(where & well)) for name, where in setting.ends(trace).items()}
    return shares | {"fails": float(np.mean(~well))}


def claims(found: Shares) -> list[Row]:
    """Each claim with our share of the replicates, and where all of them ended."""
    rows = []
    for game, rules, source, where, (low, high) in CLAIMS:
        for rule in rules:
            shares = found[game][rule]
            ours = sum(shares[name] for name in where)
            text = f"{game}, {rule}: {' or '.join(where)}, {low:g} <= share <= {high:g} ({source})"
            rows.append(row(text, ours, low - 1e-9 <= ours <= high + 1e-9) | {"ends": shares})
    return rows


def main() -> int:
    """Run all, draw, report."""
    with jax.enable_x64(True):
        found = {name: {rule: run(setting, rule) for rule in RULES} for name, setting in SETTINGS.items()}
    draw(found).savefig(RESULTS / "rules.png")
    return report("rules", claims(found), "python -m benchmarks.papers.rules")


if __name__ == "__main__":
    sys.exit(main())
