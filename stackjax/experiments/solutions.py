"""The empirical game of algorithms: its equilibria and dominated algorithms, and how sure they are."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from stackjax import checks
from stackjax.equilibria import optimal_commitment, pure_commitment
from stackjax.equilibria.finite import LARGEST, dominated, dominated_by_mixtures, nash_equilibria, pure_nash
from stackjax.experiments import results
from stackjax.experiments.regret_tables import mean_and_error
from stackjax.experiments.slopes import weighted_means
from stackjax.trace import Status

if TYPE_CHECKING:
    import xarray

#: How an algorithm can be dominated, as the dimension `dominance` has it.
DOMINANCE = ("strictly", "weakly", "by a mixture")
_PLAYED = ("utility", "status", "seconds", "compile_seconds")
_BOTH = ("leader", "follower")
_SIZES = (*_BOTH, "instance", "replicate")
_PAIRS = ("pure_nash", "stackelberg")


def solutions(
    dataset: "xarray.Dataset", *, resample: str = "replicates", resamples: int = 1000, seed: int = 0
) -> "xarray.Dataset":
    """Solve the empirical game: the bimatrix game of which the actions are algorithms and the payoffs mean utilities.

    `metagame` has done it already; here it is done again, for a part of the algorithms, of the instances or of the
    replicates (`dataset.sel(leader=["ucb", "etc"])`), or with other resamples.

    What the numbers are about is said by `resample`:

    - "replicates": these instances. Only the players' luck is uncertain. Replicates are resampled within each instance.
    - "instances": the family of which the instances are a random sample. Instances are resampled, each with all of its
      replicates, whose luck is thereby included.

    Each resample is drawn for all pairs of algorithms at once, as they share their random numbers: frequencies know
    that two payoffs err together, which standard errors of each don't say. With n things to resample, the bootstrap's
    variances are too small by a factor 1 - 1/n. The best of several uncertain payoffs is overestimated, and so
    are those of equilibria.

    **Arguments:** `dataset`: what `stackjax.experiments.metagame` or `load` returned; `resample`: "replicates" or
    "instances", of which there must be two; `resamples`: how many; `seed`: theirs, an integer in [0, 2^32).

    **Returns:** the dataset with these variables, in place of those that it had. A frequency is the share of resamples
    in which something is true; point estimates of what has no frequency would cost too much to resample.

    - `mean`, `standard_error` `[leader, follower, player]`: over the instances the mean of the mean over replicates.
      Failed replicates are left out and counted in `failed` `[leader, follower]`; where all of an instance failed the
      mean is NaN, and the game isn't solved: `attrs["unsolved"]` then says why, else "". A resample in which that
      happens is left out of the frequencies; `attrs["left_out"]` counts them.
    - `pure_nash`, `pure_nash_frequency` `[leader, follower]`, of each pair; `pure_nash_same`: how often their set is
      that of the point estimate.
    - `stackelberg`, `stackelberg_frequency` `[leader, follower]`, `stackelberg_same`: the pair to which the best
      commitment to a single algorithm leads, ties for the leader (`stackjax.equilibria.pure_commitment`).
    - `nash_leader` `[equilibrium, leader]`, `nash_follower` `[equilibrium, follower]`, `nash_utility` `[equilibrium,
      player]`: all Nash equilibria, pure and mixed, or in a degenerate game the extreme ones; left out if there are too
      many algorithms (`stackjax.equilibria.finite.nash_equilibria`).
    - `commitment_leader` `[leader]`, `commitment_follower` `[follower]`, `commitment_utility` `[player]`: the best
      mixture to commit to, and the reply (`stackjax.equilibria.optimal_commitment`).
    - `leader_dominated`, `leader_dominated_frequency` `[dominance, leader]`, and the same of the follower: "strictly"
      and "weakly" by another algorithm, "by a mixture" strictly. The latter has no frequency (NaN).

    **Raises:** `TypeError` or `ValueError` that names the argument.
    """
    check_metagame(dataset, solved=False)
    check_resampling(resample, {name: dataset.sizes[name[:-1]] for name in ("instances", "replicates")})
    resamples = checks.whole("resamples", resamples)
    checks.seed(seed)
    utility = dataset["utility"].transpose("instance", "replicate", "leader", "follower", "player").values
    each, error = mean_and_error(np.moveaxis(utility, 1, -1))
    mean = each.mean(0)
    if resample == "replicates":
        error = np.sqrt(np.sum(error**2, 0)) / len(each)
    else:
        error = np.where(np.isnan(mean), np.nan, mean_and_error(np.moveaxis(each, 0, -1))[1])
    drawn = _resampled(utility, each, resample, resamples, np.random.default_rng(seed))
    drawn = drawn[np.isfinite(drawn).all((1, 2, 3))]
    unsolved = _unsolved(dataset, mean)
    variables = {
        "mean": ((*_BOTH, "player"), mean),
        "standard_error": ((*_BOTH, "player"), error),
        "failed": (dataset["status"] != int(Status.OK)).sum(("instance", "replicate")),
    }
    variables |= _nothing(mean.shape[:2]) if unsolved else {**_frequent(mean, drawn), **_mixed(mean)}
    solved = dataset[list(_PLAYED)].assign(variables).assign_coords(dominance=list(DOMINANCE))
    return solved.assign_attrs(
        resample=resample,
        resamples=resamples,
        left_out=resamples - len(drawn),
        resample_seed=seed,
        unsolved=unsolved,
        solved=[dataset.sizes[name] for name in _SIZES],
    )


def check_resampling(resample: Any, sizes: dict[str, int]) -> None:
    """Is it a kind of resampling, and are there two of them at least?"""
    if resample not in sizes:
        raise ValueError(f'resample: expected "replicates" or "instances", got {resample!r}')
    if sizes[resample] < 2:
        raise ValueError(f"resample: expected at least two {resample} to resample, got {sizes[resample]}")


def check_metagame(dataset: Any, solved: bool = True) -> None:
    """Is it what `metagame` returned, and are its solutions those of its algorithms, instances and replicates?"""
    hint = '; to pick one algorithm, name it in a list: dataset.sel(leader=["a"])'
    results.check_from(dataset, "metagame", (*_SIZES, "player"), _PLAYED, dict.fromkeys(_SIZES, hint))
    sizes = [dataset.sizes[name] for name in _SIZES]
    if solved and list(np.atleast_1d(dataset.attrs.get("solved", []))) != sizes:
        raise ValueError(
            "dataset: its solutions are those of another choice of algorithms, instances or replicates; expected what "
            "stackjax.experiments.solutions returns for it"
        )


def _resampled(
    utility: Float[np.ndarray, "N R L F players"],
    each: Float[np.ndarray, "N L F players"],
    resample: str,
    resamples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "resamples L F players"]:
    """The mean utilities of each resample: NaN where of an instance nothing but failed replicates was drawn."""
    shape = each.shape[1:]
    if resample == "instances":
        return _drawn(each.reshape(len(each), -1, shape[-1]), resamples, rng).reshape(-1, *shape)
    total = np.zeros((resamples, math.prod(shape[:-1]), shape[-1]))
    for values in utility.reshape(*utility.shape[:2], -1, shape[-1]):
        total += _drawn(values, resamples, rng)
    return total.reshape(-1, *shape) / len(each)


def _drawn(values: Float[np.ndarray, "n cells players"], resamples: int, rng: np.random.Generator) -> np.ndarray:
    n = len(values)
    return weighted_means(rng.multinomial(n, np.full(n, 1 / n), resamples), values)


def _concepts(games: Float[np.ndarray, "M L F players"]) -> dict[str, Bool[np.ndarray, "M ..."]]:
    """What has a frequency, of each game: pairs `[M, L, F]`, and algorithms `[M, dominance, L or F]`."""
    u1, u2 = np.moveaxis(games, -1, 0)
    stackelberg = np.zeros(u1.shape, bool)
    for cell, *game in zip(stackelberg, u1, u2, strict=True):
        commitment = pure_commitment(*game)
        cell[int(np.argmax(commitment.leader_strategy)), commitment.follower_action] = True
    kinds = [dominated(u1, u2, weakly=weakly) for weakly in (False, True)]
    leaders, followers = (np.stack(these, axis=1) for these in zip(*kinds, strict=True))
    return {
        "pure_nash": pure_nash(u1, u2),
        "stackelberg": stackelberg,
        "leader_dominated": leaders,
        "follower_dominated": followers,
    }


def _frequent(mean: Float[np.ndarray, "L F players"], drawn: Float[np.ndarray, "M L F players"]) -> dict[str, Any]:
    """What has a frequency, and what is dominated by mixtures, which has none."""
    point, resampled = _concepts(mean[None]), _concepts(drawn)
    variables: dict[str, Any] = {}
    for name in _PAIRS:
        variables[name] = (_BOTH, point[name][0])
        variables[f"{name}_frequency"] = (_BOTH, _frequency(resampled[name]))
        variables[f"{name}_same"] = _frequency(np.all(resampled[name] == point[name], axis=(1, 2)))
    for own, mixed in zip(_BOTH, dominated_by_mixtures(*np.moveaxis(mean, -1, 0)), strict=True):
        name, dims = f"{own}_dominated", ("dominance", own)
        variables[name] = (dims, np.vstack([point[name][0], mixed]))
        variables[f"{name}_frequency"] = (dims, np.vstack([_frequency(resampled[name]), np.full(mixed.shape, np.nan)]))
    return variables


def _nothing(shape: tuple[int, ...]) -> dict[str, Any]:
    """The same where there is no game."""
    dims: dict[str, tuple[str, str]] = {name: _BOTH for name in _PAIRS}
    dims |= {f"{own}_dominated": ("dominance", own) for own in _BOTH}
    sizes = {"dominance": len(DOMINANCE), **dict(zip(_BOTH, shape, strict=True))}
    empty = {name: tuple(sizes[dim] for dim in pair) for name, pair in dims.items()}
    return {
        **{name: (pair, np.zeros(empty[name], bool)) for name, pair in dims.items()},
        **{f"{name}_frequency": (pair, np.full(empty[name], np.nan)) for name, pair in dims.items()},
        **{f"{name}_same": np.nan for name in _PAIRS},
    }


def _frequency(true: Bool[np.ndarray, "M ..."]) -> Any:
    return true.mean(0) if len(true) else np.full(true.shape[1:], np.nan)


def _mixed(mean: Float[np.ndarray, "L F players"]) -> dict[str, Any]:
    """Mixed Nash equilibria and the best mixed commitment, of the point estimate."""
    u1, u2 = np.moveaxis(mean, -1, 0)
    best = optimal_commitment(u1, u2)
    variables: dict[str, Any] = {
        "commitment_leader": ("leader", best.leader_strategy),
        "commitment_follower": ("follower", np.arange(u1.shape[1]) == best.follower_action),
        "commitment_utility": ("player", np.array([best.leader_value, best.follower_value])),
    }
    if math.comb(sum(u1.shape), len(u1)) <= LARGEST:
        leader, follower = nash_equilibria(u1, u2)
        paid = np.stack([np.sum((leader @ u) * follower, axis=-1) for u in (u1, u2)], axis=-1)
        variables |= {
            "nash_leader": (("equilibrium", "leader"), leader),
            "nash_follower": (("equilibrium", "follower"), follower),
            "nash_utility": (("equilibrium", "player"), paid),
        }
    return variables


def _unsolved(dataset: "xarray.Dataset", mean: Float[np.ndarray, "L F players"]) -> str:
    """Why there is no game, if there is none."""
    rows, columns = np.nonzero(np.isnan(mean).any(-1))
    names = [
        f"{dataset['leader'].values[i]}/{dataset['follower'].values[j]}" for i, j in zip(rows, columns, strict=True)
    ]
    return f"all replicates of an instance failed: {', '.join(names)}" if names else ""
