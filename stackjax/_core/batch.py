"""The replicates of a run: cut into calls of the compiled program, run, and put side by side again."""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stackjax import checks
from stackjax._core.loop import Freeze
from stackjax.checks import concrete

#: On a core of a CPU as many replicates at once as have states of so many bytes, which stay in its cache; fewer than
#: the first number of them wouldn't pay for what a round costs in any case, more than the second one don't run faster.
CACHE, FEWEST, MOST = 400_000, 500, 16_000


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_cache(state: int, devices: int = 1) -> int:
    """How many replicates with states of so many bytes a CPU plays at once on each of its (virtual) devices."""
    return max(cores() // devices, 1) * max(FEWEST, min(MOST, CACHE // max(state, 1)))


def even(replicates: int, most: int) -> int:
    """At most so many replicates at once, in pieces of nearly the same size."""
    return -(-replicates // -(-replicates // most))


def chunks(replicates: int, chunk: int | None, devices: int) -> list[np.ndarray | None]:
    """Indices of the replicates of each call, padded so that every call has the same size; None: all, in order."""
    whole = -(-replicates // devices)
    size = devices * (whole if chunk is None else min(checks.whole("chunk", chunk), whole))
    if size == replicates:
        return [None]
    return [np.minimum(np.arange(i, i + size), replicates - 1) for i in range(0, replicates, size)]


def freeze_failed(
    run: Callable[[Freeze, np.ndarray | None], Any], part: np.ndarray | None, all_: int, devices: int
) -> Any:
    """Run a `part` of `all_` replicates; those that fail once more, to freeze them, and take them from there.

    Freezing costs a pass over all states in every round, and failures are rare. The replicates that didn't fail come
    from the first run, so that their bits don't depend on the others. The second run is of a sixteenth of the part
    where these are enough, else of all of it: two more programs at most, however many fail.
    """
    first = run("no", part)
    if not concrete(first):  # a function holds a traced value
        return run("with derivatives", part)
    failed = np.asarray(first[-1][1]) != 0
    if not failed.any():
        return first
    chosen = np.arange(all_) if part is None else part
    few, which = devices * -(-chosen.size // (16 * devices)), np.flatnonzero(failed)
    place = np.arange(chosen.size)  # in the second run
    if which.size > few:
        second = run("values", part)
    else:
        second = run("values", chosen[np.resize(which, few)])  # some of them several times
        place = np.where(failed, np.cumsum(failed) - 1, 0)

    def choose(frozen: Array, free: Array) -> Array:
        return jnp.where(failed.reshape(-1, *[1] * (frozen.ndim - 1)), frozen[place], free)

    def counts(frozen: Array, free: Array) -> Array:
        if frozen.ndim == free.ndim == 1:  # of a block, the same in all replicates
            return free
        shapes = [(status.size, *x.shape[-1:]) for x, status in ((frozen, second[-1][1]), (free, first[-1][1]))]
        return choose(*(jnp.broadcast_to(x, shape) for x, shape in zip((frozen, free), shapes, strict=True)))

    initial, rows, calls, last = second
    free_initial, free_rows, free_calls, free_last = first
    initial, rows, last = jax.tree.map(choose, (initial, rows, last), (free_initial, free_rows, free_last))
    return initial, rows, jax.tree.map(counts, calls, free_calls), last


def _off_the_device(x: Any) -> Any:
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)  # NumPy has no keys


def join(run: Callable[[Any], Any], parts: list[np.ndarray | None], replicates: int) -> Any:
    """Run the parts and put their replicates side by side, without the padding; calls `[K]` have no replicates."""
    if len(parts) == 1:
        initial, rows, calls, last = run(parts[0])
        if parts[0] is not None:
            initial, rows, last = jax.tree.map(lambda x: x[:replicates], (initial, rows, last))
            calls = jax.tree.map(lambda x: x[:replicates] if x.ndim > 1 else x, calls)
        return initial, rows, calls, last
    done = []
    for part in parts:
        one = run(part)  # off the device at once, or a chunk wouldn't bound its memory
        done.append(jax.tree.map(_off_the_device, one) if concrete(one) else one)

    def side_by_side(*xs: Any) -> Any:
        xp = np if isinstance(xs[0], np.ndarray) else jnp
        return xp.concatenate(xs)[:replicates]

    def counts(*xs: Any) -> Any:
        if all(x.ndim == 1 for x in xs):
            return xs[0]
        sizes = [one[3][1].shape[0] for one in done]  # a part in which a replicate failed has counts of its own
        return side_by_side(
            *(x if x.ndim > 1 else np.broadcast_to(x, (n, *x.shape)) for x, n in zip(xs, sizes, strict=True))
        )

    calls = jax.tree.map(counts, *(one[2] for one in done))
    initial, rows, last = jax.tree.map(side_by_side, *((one[0], one[1], one[3]) for one in done))
    return initial, rows, calls, last
