"""`slopes`: the exponents with which regrets grow, and how uncertain they are."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from stackjax import checks
from stackjax.checks import number
from stackjax.experiments.regret import check_regret

if TYPE_CHECKING:
    import xarray

_LARGER = "larger"
_STRAIGHT = 0.2  # in ln R: what a mean regret may be off its line


def slopes(
    dataset: "xarray.Dataset", *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> "xarray.Dataset":
    """The slope of the logarithm of the mean regret over ln T, by least squares, with bootstrap intervals.

    1 is linear regret. A law `T^(2/3) (ln T)^(1/3)` fits between 0.69 and 0.70 for T from 1e4 to 1e6, not 2/3: a slope
    over few decades tells orders apart, and no more. The intervals are percentiles over resampled replicates, of which
    each is drawn with all its horizons and pairs, as they share their random numbers. They hold what another set of
    replicates could change, and are narrower than the error from the curvature of a regret that is no power of T. Where
    a mean regret is more than 0.2 off its line in ln R `curved` says so: a hump has a slope, too, and it means nothing.

    Never fit a slope across a T at which gamma crosses a gap: there one benchmark takes another's place. `note` says
    where one is attained without an error at some horizons and with one at others. Take a part of the horizons by
    `dataset.sel(horizon=slice(10_000, None))`.

    **Arguments:** `dataset`: what `stackjax.experiments.regret` or `load` returned; `confidence` in (0, 1), of the
    intervals; `resamples`: how many; `seed`: theirs, an integer in [0, 2^32).

    **Returns:** a dataset with the dimensions `pairs` and `player` ("leader", "follower", "larger": of the larger of
    both mean regrets at each horizon):

    - `slope` `[pairs, player]`, and `interval` `[pairs, player, bound]` ("low", "high");
    - `residual` `[pairs, player]`: the largest distance of a mean regret's logarithm from the line (NaN without a
      slope); `curved` `[pairs, player]`: whether it is above 0.2, so that the regret is no power of T;
    - `reason` `[pairs, player]`: why a slope, or only its interval, is NaN: a mean regret isn't above 0 at some horizon
      (a benchmark can be beaten), in some resamples, every replicate failed, or there is only one horizon; else "";
    - `note` `[player]`: see above; else "".

    **Raises:** `TypeError` or `ValueError` that names the argument.
    """
    import xarray

    check_regret(dataset)
    number(confidence, "confidence", 0.0, high=1.0)
    resamples = checks.whole("resamples", resamples)
    checks.seed(seed)
    horizons = dataset["horizon"].values
    n = dataset.sizes["replicate"]
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    players = [*dataset["player"].values.tolist(), _LARGER]
    fitted, residuals, intervals, reasons = [], [], [], []
    for values in dataset["regret"].transpose("pairs", "replicate", "horizon", "player").values:
        means = _with_larger(weighted_means(np.ones((1, n)), values))[0]
        resampled = _with_larger(weighted_means(weights, values))
        whole, parts = _fit(horizons, means), _fit(horizons, resampled)
        reason = [_reason(horizons, means[:, i], resampled[..., i]) for i in range(len(players))]
        bad = np.array([text != "" for text in reason])
        low, high = np.quantile(np.where(bad, np.nan, parts), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        fitted.append(whole)
        residuals.append(_residual(horizons, means, whole))
        intervals.append(np.stack([low, high], axis=-1))
        reasons.append(reason)
    notes = [_crossing(horizons, epsilons) for epsilons in dataset["epsilon"].transpose("player", "horizon").values]
    notes.append(next((note for note in notes if note), ""))
    both = ("pairs", "player")
    return xarray.Dataset(
        {
            "slope": (both, np.array(fitted)),
            "interval": ((*both, "bound"), np.array(intervals)),
            "residual": (both, np.array(residuals)),
            "curved": (both, np.array(residuals) > _STRAIGHT),
            "reason": (both, np.array(reasons)),
            "note": ("player", np.array(notes)),
        },
        {"pairs": dataset["pairs"].values, "player": players, "bound": ["low", "high"]},
        {"confidence": confidence, "resamples": resamples, "seed": seed},
    )


def weighted_means(
    weights: Float[np.ndarray, "m n"], values: Float[np.ndarray, "n H players"]
) -> Float[np.ndarray, "m H players"]:
    """Weighted means over the replicates that aren't NaN; NaN where none has a weight."""
    ok = np.isfinite(values)
    totals = np.einsum("mn,nhp->mhp", weights, np.where(ok, values, 0.0), optimize=True)
    counts = np.einsum("mn,nhp->mhp", weights, ok.astype(np.float64), optimize=True)
    return np.where(counts > 0, totals / np.maximum(counts, 1.0), np.nan)


def _with_larger(means: Float[np.ndarray, "m H players"]) -> Float[np.ndarray, "m H players+1"]:
    return np.concatenate([means, means.max(axis=-1, keepdims=True)], axis=-1)


def _positive(means: Float[np.ndarray, "*m H players"]) -> Bool[np.ndarray, "*m players"]:
    return np.all(means > 0, axis=-2)


def _fit(horizons: np.ndarray, means: Float[np.ndarray, "*m H players"]) -> Float[np.ndarray, "*m players"]:
    """Least squares over ln T; NaN with a mean that isn't positive, or one horizon."""
    if horizons.size < 2:
        return np.full((*means.shape[:-2], means.shape[-1]), np.nan)
    x = np.log(horizons.astype(np.float64))
    x = x - x.mean()
    positive = _positive(means)[..., None, :]
    logs = np.log(np.where(positive, means, 1.0))
    return np.where(positive[..., 0, :], np.einsum("h,...hp->...p", x / (x @ x), logs), np.nan)


def _residual(
    horizons: np.ndarray, means: Float[np.ndarray, "H players"], fitted: Float[np.ndarray, " players"]
) -> Float[np.ndarray, " players"]:
    """How far the logarithms of the means are from their lines of these slopes, at most."""
    x, logs = np.log(horizons.astype(np.float64)), np.log(np.where(means > 0, means, 1.0))
    lines = logs.mean(axis=0) + fitted * (x - x.mean())[:, None]
    return np.max(np.abs(logs - lines), axis=0)


def _reason(horizons: np.ndarray, means: Float[np.ndarray, " H"], resampled: Float[np.ndarray, "m H"]) -> str:
    """Why there is no slope, or no interval."""
    if horizons.size < 2:
        return "there is only one horizon"
    failed, low = np.isnan(means), ~(means > 0)
    for bad, why, which in ((failed, "all replicates failed", "every"), (low, "the mean regret isn't above 0", "any")):
        if bad.any():
            return f"{why} at " + (f"{which} horizon" if bad.all() else f"T = {', '.join(map(str, horizons[bad]))}")
    doubtful = int(np.sum(~_positive(resampled[..., None])))
    return f"no interval: the mean regret isn't above 0 in {doubtful} of {len(resampled)} resamples" if doubtful else ""


def _crossing(horizons: np.ndarray, epsilons: Float[np.ndarray, " H"]) -> str:
    """Between which horizons a benchmark begins or ceases to tolerate an error."""
    tolerant: Any = epsilons > 0
    at = np.flatnonzero(tolerant[1:] != tolerant[:-1])
    between = ", ".join(f"{horizons[i]} and {horizons[i + 1]}" for i in at)
    return f"gamma crosses a gap between T = {between}" if at.size else ""
