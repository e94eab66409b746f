"""`regret`: pairs of learners in a Stackelberg bandit, each player's regret as a function of the horizon."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stackjax import _entry
from stackjax.equilibria.benchmarks import (
    Benchmark,
    self_tolerant_benchmarks,
    stackelberg_benchmarks,
    tolerant_benchmarks,
)
from stackjax.equilibria.regret import pseudo_regret
from stackjax.experiments import results
from stackjax.experiments._running import check_fits, check_seed, checked_learners, compilation, named, progress_bar
from stackjax.games import StackelbergBandit
from stackjax.learners import explore_fraction
from stackjax.phases import check_phases
from stackjax.play import play
from stackjax.protocols import Learner
from stackjax.trace import Record, Status

if TYPE_CHECKING:
    import xarray

#: The benchmarks by their names, each a function of both players' means and of gamma.
BENCHMARKS: Mapping[str, Callable[[Any, Any, Any], Benchmark]] = {
    "tolerant": tolerant_benchmarks,
    "self-tolerant": self_tolerant_benchmarks,
    "stackelberg": lambda U1, U2, gamma: stackelberg_benchmarks(U1, U2),
}
_PLAYERS = ["leader", "follower"]
# Two points that aren't equally spaced: their rounds enter the program as numbers, and one program serves all horizons.
# `Record.final` would compile each horizon anew, which takes longer than its somewhat faster loop saves.
_RECORD = Record.log_spaced(2, strategies=False, payoffs=None)

Game = StackelbergBandit | Callable[[int], StackelbergBandit]
Pair = Sequence[Learner] | Callable[[int], Sequence[Learner]]


def regret(
    game: Game,
    pairs: Mapping[str, Pair],
    *,
    horizons: Sequence[int],
    replicates: int | Sequence[int] | Array = 400,
    seed: int = 0,
    key: PRNGKeyArray | None = None,
    gamma: float = 0.05,
    benchmark: str | Any = "tolerant",
    devices: Sequence[Any] | int | None = None,
    skip_phases: bool = False,
    progress: bool | None = None,
    title: str | None = None,
    command: str | None = None,
) -> "xarray.Dataset":
    """Play a Stackelberg bandit with several pairs of learners up to several horizons, and measure both regrets.

    `R_i(T) = alpha_i T - sum_t U_i(a_t, b_t)`, exact given the arms that were played: see
    `stackjax.equilibria.pseudo_regret`. Every horizon is a run of its own, since learners are tuned to it.

    Common random numbers: every pair and every horizon has the same key and the same replicates. Differences between
    pairs can then be taken within a replicate, and the horizons of a replicate aren't independent.

    **Arguments:**

    - `game`: a `StackelbergBandit`, or a function of the horizon that makes one, for gaps that shrink with it. The
      benchmark is that of each horizon's game.
    - `pairs`: name -> (leader, follower), or a function of the horizon that makes them, for parameters that are tuned
      to it. A bandit learner that follows stands in `PerArm`; `tuned(..., "follower")` puts it there.
    - `horizons`: T in rounds, increasing.
    - `replicates`, `devices`: as in `stackjax.play`; `replicates` is a number or ids.
    - `skip_phases`: as in `stackjax.play`, for the pairs that allow it: faster and equal in distribution, but without
      the random numbers of the other pairs, which play every round.
    - `seed`: an integer in [0, 2^32); or, instead, `key`: a `jax.random` key.
    - `gamma`: the largest tolerated error of the tolerant benchmarks, in units of payoff.
    - `benchmark`: "tolerant", "self-tolerant", "stackelberg" (see `stackjax.equilibria`), or the values (alpha_1,
      alpha_2), an array `[2]`, or `[horizon, 2]` if they depend on it.
    - `progress`: whether to show a progress bar on the standard error; default: if that is a terminal.
    - `title`: how the figure calls the game; `command`: the command line, if this is part of one.

    **Returns:** a dataset with the dimensions `pairs`, `horizon`, `replicate` and `player` ("leader", "follower"):

    - `regret`, `utility` `[pairs, horizon, replicate, player]`: the latter is the mean of the exact payoffs of the arms
      that were played in a round; NaN where a replicate failed;
    - `status` `[pairs, horizon, replicate]`: see `stackjax.Status`;
    - `benchmark`, `epsilon` `[horizon, player]`: alpha, and the error at which it is attained (NaN of given values);
    - `explore_fraction` `[pairs, horizon, player]`: the share of the horizon that scheduled exploration takes;
    - `skipped` `[pairs]`: whether phases were skipped;
    - `seconds`, `compile_seconds` `[pairs, horizon]`: wall time without and of tracing, lowering and compiling;
    - attributes: the benchmark's name, its gamma, configuration (JSON), versions, device, seed, command and date.

    `slopes` fits the growth with T, `table` and `stackjax.plots.plot_regret` show it, `save` keeps it in a file.

    **Raises:** `ValueError` or `TypeError` that names the argument, with a note that names the pair, before anything is
    played. It warns (`UserWarning`) of a pair of which a player's scheduled exploration takes more than half of a
    horizon.
    """
    horizons = _increasing(horizons)
    games = _games(game, horizons)
    if not isinstance(pairs, Mapping) or not pairs:
        raise ValueError(f"pairs: expected at least one name with its leader and follower, got {pairs!r}")
    chosen = {str(name): checked_learners(str(name), pair, games) for name, pair in pairs.items()}
    alpha, epsilon, kind = _benchmarks(benchmark, games, gamma)
    if isinstance(replicates, int | np.integer):
        check_memory(len(chosen), len(horizons), int(replicates), max(g.leader_means.size for g in games.values()))
    ids, batched = _entry.replicate_ids(replicates)
    if not batched:
        raise ValueError("replicates: expected a number or ids, got None")
    check_seed(seed)
    run_key = jax.random.key(seed) if key is None else key
    _entry.check_key(run_key)
    where = _entry.device_list(devices) or (jnp.zeros(()).device,)

    explored = np.array([[_explored(g, learners[T], T) for T, g in games.items()] for learners in chosen.values()])
    for name, shares in zip(chosen, explored, strict=True):
        for role, each in zip(_PLAYERS, shares.T, strict=True):
            warn_of_exploration(f"pairs: {name!r}: the {role}", dict(zip(horizons, each, strict=True)))
    skipped = [bool(skip_phases) and _skippable(games, learners) for learners in chosen.values()]
    shape = (len(chosen), len(horizons))
    regrets, utilities = (np.full((*shape, ids.size, 2), np.nan) for _ in range(2))
    status = np.zeros((*shape, ids.size), np.int8)
    seconds, compiling = np.zeros(shape), np.zeros(shape)
    with progress_bar(progress, len(chosen) * sum(horizons) * ids.size / 1e6, "million rounds") as advance:
        for i, (name, learners) in enumerate(chosen.items()):
            for j, (horizon, made) in enumerate(games.items()):
                advance(f"{name}, {horizon} rounds")
                with named(f"the pair {name!r}"), compilation() as compiled:
                    began = time.perf_counter()
                    trace = play(
                        made,
                        *learners[horizon],
                        key=run_key,
                        rounds=horizon,
                        replicates=ids.tolist(),
                        record=_RECORD,
                        devices=devices,
                        skip_phases=skipped[i],
                    )
                    jax.block_until_ready(trace)
                    compiling[i, j] = compiled()
                    seconds[i, j] = time.perf_counter() - began - compiling[i, j]
                status[i, j] = np.asarray(trace.status)
                ok = status[i, j] == Status.OK
                regrets[i, j, ok] = pseudo_regret(made, trace, alpha[j])[ok, -1]
                utilities[i, j] = alpha[j] - regrets[i, j] / horizon
                advance(f"{name}, {horizon} rounds", horizon * ids.size / 1e6, int(np.sum(~ok)))

    import xarray

    runs, both = ("pairs", "horizon"), ("horizon", "player")
    configuration = {
        "game": game if isinstance(game, StackelbergBandit) else games,
        "pairs": {
            name: learners if callable(pair) else learners[horizons[0]]
            for (name, learners), pair in zip(chosen.items(), pairs.values(), strict=True)
        },
        "horizons": horizons,
        "replicates": replicates,
        "gamma": gamma,
        "benchmark": benchmark,
        "key": run_key,
    }
    dataset = xarray.Dataset(
        {
            "regret": ((*runs, "replicate", "player"), regrets),
            "utility": ((*runs, "replicate", "player"), utilities),
            "status": ((*runs, "replicate"), status),
            "benchmark": (both, alpha),
            "epsilon": (both, epsilon),
            "explore_fraction": ((*runs, "player"), explored),
            "skipped": ("pairs", skipped),
            "seconds": (runs, seconds),
            "compile_seconds": (runs, compiling),
        },
        {"pairs": list(chosen), "horizon": horizons, "replicate": ids, "player": _PLAYERS},
    )
    return dataset.assign_attrs(
        result="regret",
        title=type(next(iter(games.values()))).__name__ if title is None else title,
        benchmark=kind,
        **({"gamma": float(gamma)} if "tolerant" in kind else {}),
        **results.provenance(configuration, seed=seed if key is None else None, command=command, device=where[0]),
    )


def check_memory(pairs: int, horizons: int, replicates: int, outcomes: int) -> None:
    """Would what is recorded take more than half of the machine's memory? A rough estimate.

    **Raises:** `ValueError` that names `replicates`.
    """
    kept = 2 * 2 * 8 + 1  # regret and utility of both, and the status
    counts = 2 * 16 * outcomes  # of the two records while a pair plays, and copies
    check_fits({"pairs": pairs, "horizons": horizons, "replicates": replicates}, kept + counts)


def check_regret(dataset: Any) -> None:
    """Is it what `regret` returned?"""
    import xarray

    if not isinstance(dataset, xarray.Dataset):
        name = type(dataset).__name__
        raise TypeError(f"dataset: expected a dataset from stackjax.experiments.regret, got a {name}")
    missing = [name for name in ("pairs", "horizon", "replicate", "player") if name not in dataset.dims]
    missing = missing or [name for name in ("regret", "status") if name not in dataset]
    if missing:
        hint = '; to pick one pair, name it in a list: dataset.sel(pairs=["a"])' if missing == ["pairs"] else ""
        raise ValueError(
            f"dataset: expected a result of stackjax.experiments.regret, got one without {' or '.join(missing)}{hint}"
        )


def _explored(game: StackelbergBandit, learners: tuple[Learner, ...], horizon: int) -> list[float]:
    """The share of the horizon that each player's scheduled exploration takes."""
    leader, follower = (space.n for space in game.spaces)
    return [
        explore_fraction(learners[0], leader, 1, horizon),
        explore_fraction(learners[1], follower, leader, horizon),
    ]


def warn_of_exploration(who: str, shares: Mapping[int, float]) -> None:
    """Warn the caller's caller where a share of a horizon is above 1/2: what is learned then comes too late."""
    long = ", ".join(f"{100 * share:.0f} % of {horizon}" for horizon, share in shares.items() if share > 0.5)
    if long:
        warnings.warn(f"{who} explores in more than half of the rounds: {long}", stacklevel=3)


def _increasing(horizons: Any) -> list[int]:
    if isinstance(horizons, str) or not isinstance(horizons, Sequence | np.ndarray) or len(horizons) == 0:
        raise ValueError(f"horizons: expected numbers of rounds, as in [1000, 10000], got {horizons!r}")
    found = [_entry.positive("horizons", horizon) for horizon in horizons]
    if found != sorted(set(found)):
        raise ValueError(f"horizons: expected increasing numbers of rounds, got {found}")
    if found[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"horizons: expected at most 2^31 - 1 rounds, got {found[-1]}")
    return found


def _games(game: Any, horizons: list[int]) -> dict[int, StackelbergBandit]:
    """The game of each horizon."""
    if not isinstance(game, StackelbergBandit) and not callable(game):
        raise TypeError(f"game: expected a StackelbergBandit, or a function of the horizon, got {game!r}")
    games = {horizon: game if isinstance(game, StackelbergBandit) else game(horizon) for horizon in horizons}
    for horizon, made in games.items():
        if not isinstance(made, StackelbergBandit):
            raise TypeError(
                f"game: expected a function that returns a StackelbergBandit, got {made!r} at T = {horizon}"
            )
        if made.leader_means.ndim != 2:
            raise ValueError(f"game: expected one instance, got means of the shape {made.leader_means.shape}")
    return games


def _skippable(games: Mapping[int, StackelbergBandit], learners: Mapping[int, tuple[Learner, ...]]) -> bool:
    """Whether phases can be skipped at every horizon."""
    try:
        for horizon, game in games.items():
            check_phases(game, learners[horizon])
    except ValueError:  # it says why not, which is no error here
        return False
    return True


def _benchmarks(
    benchmark: Any, games: Mapping[int, StackelbergBandit], gamma: Any
) -> tuple[Float[np.ndarray, "horizons 2"], Float[np.ndarray, "horizons 2"], str]:
    """The values and the errors at which they're attained at each horizon, and what they're called."""
    if isinstance(benchmark, str):
        if benchmark not in BENCHMARKS:
            raise ValueError(f"benchmark: expected {', '.join(BENCHMARKS)} or values, got {benchmark!r}")
        found = [BENCHMARKS[benchmark](g.leader_means, g.follower_means, gamma) for g in games.values()]
        values, epsilons = (np.stack([np.asarray(x[i], np.float64) for x in found]) for i in range(2))
        return values, epsilons, benchmark
    try:
        given = np.asarray(benchmark, np.float64)
    except (TypeError, ValueError):
        given = np.full((), np.nan)
    if given.shape not in ((2,), (len(games), 2)) or not np.all(np.isfinite(given)):
        raise ValueError(
            f"benchmark: expected a name or finite values of the shape (2,) or {(len(games), 2)}, got {benchmark!r}"
        )
    # Rounded like the payoffs: else earning exactly the benchmark would be a regret of T roundings.
    kind = next(iter(games.values())).leader_means.dtype
    given = np.broadcast_to(given.astype(kind).astype(np.float64), (len(games), 2))
    return given, np.full_like(given, np.nan), "given"
