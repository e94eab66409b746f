"""`regret`: pairs of learners in a Stackelberg bandit, each player's regret as a function of the horizon."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stackjax import checks
from stackjax._core import entry
from stackjax.equilibria import pseudo_regret
from stackjax.experiments import results
from stackjax.experiments.measure import BENCHMARKS
from stackjax.experiments.memory import check_fits, record_bytes
from stackjax.experiments.progress import named
from stackjax.experiments.run import Experiment, How, Measure, replicate_count, replicate_ids, run, run_key
from stackjax.experiments.settings import Setting
from stackjax.experiments.store import Arrays
from stackjax.games import StackelbergBandit
from stackjax.learners import explore_fraction
from stackjax.phases import check_phases
from stackjax.protocols import Learner
from stackjax.trace import Record, Trace

if TYPE_CHECKING:
    import xarray

PLAYERS = ["leader", "follower"]
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
    skip_phases: bool = False,
    **how: Unpack[How],
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
    - `replicates`: a number or ids.
    - `skip_phases`: as in `stackjax.play`, for the pairs that allow it: faster and equal in distribution, but without
      the random numbers of the other pairs, which play every round.
    - `seed`: an integer in [0, 2^32); or, instead, `key`: a `jax.random` key.
    - `gamma`: the largest tolerated error of the tolerant benchmarks, in units of payoff.
    - `benchmark`: "tolerant", "self-tolerant", "stackelberg" (see `stackjax.equilibria`), or the values (alpha_1,
      alpha_2), an array `[2]`, or `[horizon, 2]` if they depend on it.
    - `how`: where it is kept, in which chunks it is played, on which devices, ...: see `How`. `title`: default the
      game's class.

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
    chosen = {str(name): _of_horizons(str(name), pair, games) for name, pair in pairs.items()}
    alpha, epsilon, kind = _benchmarks(benchmark, games, gamma)
    checks.flag("skip_phases", skip_phases)
    first = games[horizons[0]]
    size, _ = record_bytes(first, _RECORD, horizons[0], ("regret",))
    counts = {"pairs": len(chosen), "horizons": len(horizons), "replicates": replicate_count(replicates)}
    check_fits(counts, size)
    own_seed, key = seed if key is None else None, run_key(seed, key)
    ids = replicate_ids(replicates)
    settings = []
    for i, (name, learners) in enumerate(chosen.items()):
        skipped = skip_phases and _skippable(games, learners)
        for j, (horizon, made) in enumerate(games.items()):
            settings.append(
                Setting(
                    made,
                    learners[horizon],
                    (None, None),
                    horizon,
                    f"{name}, {horizon} rounds",
                    f"the pair {name!r}",
                    apart=(i,),
                    values={"alpha": alpha[j]},
                    skip_phases=skipped,
                )
            )

    def measures(own: Sequence[Setting]) -> list[Measure]:
        values = np.stack([setting.values["alpha"] for setting in own])

        def measured(game: Any, trace: Trace, at: np.ndarray) -> Arrays:
            return {"regret": (("player",), pseudo_regret(game, trace, values[at])[:, -1])}

        return [Measure(("regret",), measured, complete=True)]

    def finish(dataset: "xarray.Dataset") -> "xarray.Dataset":
        explored = [[_explored(g, learners[T], T) for T, g in games.items()] for learners in chosen.values()]
        lengths = np.asarray(horizons)[:, None, None]
        dataset = dataset.drop_vars("failed_at").assign_coords(pairs=list(chosen), horizon=horizons, player=PLAYERS)
        regrets = dataset["regret"]
        return dataset.assign(
            utility=regrets.copy(data=alpha[:, None] - regrets.values / lengths),
            status=dataset["status"].astype(np.int8),
            benchmark=(("horizon", "player"), alpha),
            epsilon=(("horizon", "player"), epsilon),
            explore_fraction=(("pairs", "horizon", "player"), explored),
            skipped=("pairs", [made.skip_phases for made in settings[:: len(horizons)]]),
            seconds=dataset["seconds"].sum("replicate"),
            compile_seconds=dataset["compile_seconds"].sum("replicate"),
        ).assign_attrs(benchmark=kind, **({"gamma": float(gamma)} if "tolerant" in kind else {}))

    experiment = Experiment(
        kind="regret",
        settings=settings,
        dims={"pairs": len(chosen), "horizon": len(horizons)},
        ids=ids,
        key=key,
        record=_RECORD,
        configuration={
            "game": game if isinstance(game, StackelbergBandit) else games,
            "pairs": {
                name: learners if callable(pair) else learners[horizons[0]]
                for (name, learners), pair in zip(chosen.items(), pairs.values(), strict=True)
            },
            "horizons": horizons,
            "replicates": replicates,
            "gamma": gamma,
            "benchmark": benchmark,
            "skip_phases": skip_phases,
            "key": key,
        },
        measures=measures,
        keep=("regret",),
        finish=finish,
        seed=own_seed,
        title=type(first).__name__,
        words=counts,
    )
    for name, learners in chosen.items():
        for i, role in enumerate(PLAYERS):
            shares = {T: _explored(g, learners[T], T)[i] for T, g in games.items()}
            warn_of_exploration(f"pairs: {name!r}: the {role}", shares)
    return run(experiment, how)


def check_regret(dataset: Any) -> None:
    """Is it what `regret` returned?"""
    hints = {"pairs": '; to pick one pair, name it in a list: dataset.sel(pairs=["a"])'}
    results.check_from(dataset, "regret", ("pairs", "horizon", "replicate", "player"), ("regret", "status"), hints)


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
    numbers = [checks.whole("horizons", horizon) for horizon in horizons]
    if numbers != sorted(set(numbers)):
        raise ValueError(f"horizons: expected increasing numbers of rounds, got {numbers}")
    if numbers[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"horizons: expected at most 2^31 - 1 rounds, got {numbers[-1]}")
    return numbers


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
            raise ValueError(
                f"game: expected one instance, got means of the shape {made.leader_means.shape}; play(..., in_axes=(0, "
                "None, None)) plays a batch of them at one horizon, and metagame a family"
            )
    return games


def _of_horizons(name: str, pair: Any, games: Mapping[int, StackelbergBandit]) -> dict[int, tuple[Learner, ...]]:
    """Each horizon's leader and follower."""
    players = {}
    for horizon, game in games.items():
        made = pair(horizon) if callable(pair) else pair
        if not isinstance(made, Sequence) or isinstance(made, str):
            raise TypeError(f"pairs: {name!r}: expected (leader, follower), got {made!r}")
        with named(f"the pair {name!r}"):
            entry.check_players(game, tuple(made))
        players[horizon] = tuple(made)
    return players


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
        benchmarks = [BENCHMARKS[benchmark](g.leader_means, g.follower_means, gamma) for g in games.values()]
        values, epsilons = (np.stack([np.asarray(x[i], np.float64) for x in benchmarks]) for i in range(2))
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
