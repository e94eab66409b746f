"""`metagame`: leader algorithms against follower algorithms, as a game of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from stackjax import checks
from stackjax._core import entry
from stackjax.equilibria import pseudo_regret
from stackjax.experiments.memory import check_fits, record_bytes
from stackjax.experiments.progress import named
from stackjax.experiments.regret import PLAYERS, warn_of_exploration
from stackjax.experiments.run import Experiment, How, Measure, replicate_count, replicate_ids, run, run_key
from stackjax.experiments.settings import Setting
from stackjax.experiments.solutions import check_resampling, solutions
from stackjax.experiments.store import Arrays
from stackjax.games import StackelbergBandit
from stackjax.learners import explore_fraction
from stackjax.protocols import Learner
from stackjax.trace import Record, Trace

if TYPE_CHECKING:
    import xarray

Algorithm = Learner | Callable[[int], Learner]
Instances = StackelbergBandit | Mapping[str, StackelbergBandit]

#: Only the last counts are read. With one record point the number of rounds is known when the program is compiled.
_RECORD = Record.final(strategies=False, payoffs=None)


def metagame(
    leaders: Mapping[str, Algorithm],
    followers: Mapping[str, Algorithm],
    instances: Instances,
    horizon: int,
    *,
    replicates: int | Sequence[int] | Array = 100,
    seed: int = 0,
    key: PRNGKeyArray | None = None,
    resample: str = "replicates",
    resamples: int = 1000,
    **how: Unpack[How],
) -> "xarray.Dataset":
    """Play every leader algorithm against every follower algorithm, and solve the game in which these are the actions.

    The payoffs of this empirical game are the players' average utilities over the horizon, `sum_t U_i(a_t, b_t) / T`,
    exact given the arms that were played, and averaged over replicates and instances. Its pure and mixed Nash
    equilibria, its Stackelberg equilibria and its dominated algorithms, with bootstrap frequencies, are those of
    `solutions`. (Empirical game-theoretic analysis: Wellman, 2006, "Methods for empirical game-theoretic analysis".
    The choice of a learning algorithm as a game is a future direction of Donahue et al., 2024; what is done about it
    here is ours.)

    Common random numbers: every pair of algorithms meets the same noise, so that differences between pairs can be taken
    within a replicate. The noise of instances is independent: replicate r of the i-th of N is `play`'s replicate
    `N r + i`.

    **Arguments:**

    - `leaders`, `followers`: name -> a learner, or a function of the horizon that makes one. A bandit learner that
      follows stands in `PerArm`; `tuned(..., "follower")` puts it there.
    - `instances`: a `StackelbergBandit`, or a batch of N of them with means `[N, A, B]`; or name -> instance, of equal
      shapes and noise.
    - `horizon`: T, in rounds.
    - `replicates`: of each instance, a number or ids.
    - `seed`: an integer in [0, 2^32), also of the resamples; for what is played, instead, `key`: a `jax.random` key.
    - `resample`, `resamples`: what the game and its errors are about, these instances ("replicates") or the family of
      which they're a random sample ("instances"), and how many bootstrap resamples tell: see `solutions`.
    - `how`: where it is kept, in which chunks it is played, on which devices, ...: see `How`. `title`: default the
      instances' class.

    **Returns:** a dataset with the dimensions `leader`, `follower`, `instance`, `replicate` and `player` ("leader",
    "follower"):

    - `utility` `[leader, follower, instance, replicate, player]`, in units of reward; NaN where a replicate failed;
    - `status` `[leader, follower, instance, replicate]`: see `stackjax.Status`;
    - `seconds`, `compile_seconds` `[leader, follower]`: wall time without and of tracing, lowering and compiling;
    - everything of `solutions`: `mean`, `standard_error`, `pure_nash`, `stackelberg`, ...;
    - attributes: the horizon, configuration (JSON), versions, device, seed, command and date.

    `table` and `stackjax.plots.plot_metagame` show it, `save` keeps it in a file.

    **Raises:** `ValueError` or `TypeError` that names the argument, with a note that names the pair, before anything is
    played. It warns (`UserWarning`) of an algorithm whose scheduled exploration takes more than half of the horizon.
    """
    horizon = checks.whole("horizon", horizon)
    if horizon > np.iinfo(np.int32).max:
        raise ValueError(f"horizon: expected at most 2^31 - 1 rounds, got {horizon}")
    batch = _Batch.of(instances)
    made = _made("leaders", leaders, horizon), _made("followers", followers, horizon)
    count = len(batch.names)
    words = {"pairs": len(made[0]) * len(made[1]), "instances": count}
    size, _ = record_bytes(batch.first, _RECORD, horizon, ("utility",))
    number = replicate_count(replicates)
    check_fits({**words, "replicates": number}, size)
    ids = replicate_ids(replicates)
    check_resampling(resample, {"replicates": ids.size, "instances": count})
    resamples = checks.whole("resamples", resamples)
    own_seed, key = seed if key is None else None, run_key(seed, key)
    arms = [space.n for space in batch.first.spaces]
    for role, algorithms, n, contexts in zip(("leaders", "followers"), made, arms, (1, arms[0]), strict=True):
        for name, algorithm in algorithms.items():
            share = explore_fraction(algorithm, n, contexts, horizon)
            warn_of_exploration(f"{role}: {name!r}", {horizon: share})
    game = batch.repeated(ids.size)
    settings = []
    for i, (leader, leading) in enumerate(made[0].items()):
        for j, (follower, following) in enumerate(made[1].items()):
            label = f"{leader}/{follower}"
            with named(f"the pair {label}"):
                entry.check_players(game, (leading, following))
            setting = Setting(
                game,
                (leading, following),
                (None, None),
                horizon,
                label,
                f"the pair {label}",
                apart=(i, j),
                in_axes=batch.in_axes,
            )
            settings.append(setting)

    def finish(dataset: "xarray.Dataset") -> "xarray.Dataset":
        def per_instance(variable: "xarray.DataArray") -> Any:
            return variable.values.reshape(*variable.shape[:2], count, ids.size, *variable.shape[3:])

        import xarray

        both, each = ("leader", "follower"), ("leader", "follower", "instance", "replicate")
        utilities = xarray.Dataset(
            {
                "utility": ((*each, "player"), per_instance(dataset["utility"])),
                "status": (each, per_instance(dataset["status"]).astype(np.int8)),
                **{name: (both, dataset[name].sum("replicate").values) for name in ("seconds", "compile_seconds")},
            },
            {
                "leader": list(made[0]),
                "follower": list(made[1]),
                "instance": batch.names,
                "replicate": ids,
                "player": PLAYERS,
            },
            {"horizon": horizon},
        )
        return solutions(utilities, resample=resample, resamples=resamples, seed=seed)

    experiment = Experiment(
        kind="metagame",
        settings=settings,
        dims={"leader": len(made[0]), "follower": len(made[1])},
        ids=_joint_ids(ids, count),
        key=key,
        record=_RECORD,
        configuration={
            "leaders": made[0],
            "followers": made[1],
            "instances": instances,
            "horizon": horizon,
            "replicates": replicates,
            "resample": resample,
            "resamples": resamples,
            "resample_seed": seed,
            "key": key,
        },
        measures=lambda own: [Measure(("utility",), _utility, complete=True)],
        keep=("utility",),
        finish=finish,
        seed=own_seed,
        title=type(batch.first).__name__,
        words=words,
    )
    return run(experiment, how)


def _utility(game: Any, trace: Trace, at: np.ndarray) -> Arrays:
    """Both players' average utilities."""
    earned = -pseudo_regret(game, trace, np.zeros(2))[:, -1]
    return {"utility": (("player",), earned / int(trace.rounds[-1]))}


class _Batch(NamedTuple):
    """The instances with their names."""

    names: list[Any]
    leader_means: Float[np.ndarray, "N A B"]
    follower_means: Float[np.ndarray, "N A B"]
    sigma: Any  # a number, or `[N]`
    noise: str

    @classmethod
    def of(cls, instances: Any) -> "_Batch":
        """Checked."""
        if isinstance(instances, Mapping):
            return cls.together({str(name): game for name, game in instances.items()})
        if not isinstance(instances, StackelbergBandit):
            raise TypeError(f"instances: expected a StackelbergBandit, or names with one each, got {instances!r}")
        u1, u2 = (np.asarray(u) for u in (instances.leader_means, instances.follower_means))
        u1, u2 = (u if u.ndim == 3 else u[None] for u in (u1, u2))
        shape = np.shape(instances.sigma)
        if shape not in ((), (len(u1),)):
            raise ValueError(f"instances: expected one sigma, or one for each of {len(u1)}, got the shape {shape}")
        sigma = np.asarray(instances.sigma) if np.ndim(instances.sigma) else float(instances.sigma)
        return cls(list(range(len(u1))), u1, u2, sigma, instances.noise)

    @classmethod
    def together(cls, games: Mapping[str, Any]) -> "_Batch":
        """Single instances as a batch."""
        if not games:
            raise ValueError("instances: expected at least one, got none")
        batches = []
        for name, game in games.items():
            if not isinstance(game, StackelbergBandit):
                raise TypeError(f"instances: {name!r}: expected a StackelbergBandit, got {game!r}")
            if game.leader_means.ndim != 2 or np.ndim(game.sigma):
                shape = game.leader_means.shape
                raise ValueError(f"instances: {name!r}: expected a single instance, got means of the shape {shape}")
            batches.append(cls.of(game))
        kinds = {(batch.leader_means.shape[1:], batch.noise) for batch in batches}
        if len(kinds) > 1:
            listed = ", ".join(f"{shape} {noise}" for shape, noise in sorted(kinds))
            raise ValueError(f"instances: expected equal shapes and noise, got {listed}")
        u1 = np.concatenate([batch.leader_means for batch in batches])
        u2 = np.concatenate([batch.follower_means for batch in batches])
        sigmas = [batch.sigma for batch in batches]
        sigma = sigmas[0] if len(set(sigmas)) == 1 else np.asarray(sigmas)
        return cls(list(games), u1, u2, sigma, batches[0].noise)

    @property
    def first(self) -> StackelbergBandit:
        """The first of them."""
        sigma = self.sigma[0] if np.ndim(self.sigma) else self.sigma
        return StackelbergBandit(self.leader_means[0], self.follower_means[0], self.noise, float(sigma))

    @property
    def in_axes(self) -> Any:
        """As `play` needs it; a single instance is shared by its replicates."""
        return None if len(self.names) == 1 else (0, None, None)

    def repeated(self, replicates: int) -> StackelbergBandit:
        """Each instance once for each replicate, one instance after the other."""
        if len(self.names) == 1:
            return self.first
        sigma = np.repeat(self.sigma, replicates) if np.ndim(self.sigma) else self.sigma
        u1, u2 = (np.repeat(u, replicates, axis=0) for u in (self.leader_means, self.follower_means))
        return StackelbergBandit(u1, u2, self.noise, sigma)


def _made(role: str, given: Any, horizon: int) -> dict[str, Learner]:
    """The learners of one role, by name."""
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"{role}: expected at least one name with its learner, got {given!r}")
    learners = {}
    for name, algorithm in given.items():
        made = algorithm if isinstance(algorithm, Learner) or not callable(algorithm) else algorithm(horizon)
        if not isinstance(made, Learner):
            raise TypeError(f"{role}: {name!r}: expected a learner, or a function of the horizon, got {made!r}")
        learners[str(name)] = made
    return learners


def _joint_ids(ids: np.ndarray, instances: int) -> Int[np.ndarray, " N*R"]:
    """The replicate `N r + i` of `play` for the replicate r of instance i, one instance after the other."""
    joint = instances * ids.astype(np.int64)[None] + np.arange(instances)[:, None]
    if joint.max() >= 2**32:
        raise ValueError(f"replicates: expected ids below 2^32 / {instances}, the number of instances, got {ids.max()}")
    return joint.reshape(-1)
