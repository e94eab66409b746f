"""The door of `play`: arguments are checked, made arrays of one type, and sorted into static, shared and batched."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from stackjax.protocols import Game, Learner, View, same_structure
from stackjax.schedules import concrete
from stackjax.trace import Record, Trace


def positive(name: str, value: Any) -> int:
    """A positive Python integer, or an error that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected a positive Python integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
    return int(value)


def check_players(game: Any, learners: tuple[Any, ...]) -> None:
    """Is it a game, with levels that cover its players in order of play, and a learner for each?"""
    if not isinstance(game, Game):
        raise TypeError(
            f"game: expected a stackjax Game, got {game!r}; stackjax.games.from_payoffs makes one from functions"
        )
    players = len(game.spaces)
    if [i for level in game.levels for i in level] != list(range(players)):
        raise ValueError(
            f"levels: expected the players 0 to {players - 1}, one for each space, in order of play, got {game.levels}"
        )
    for i, learner in enumerate(learners):
        if not isinstance(learner, Learner):
            raise TypeError(f"learner {i}: expected an instance of a stackjax Learner, got {learner!r}")
    if len(learners) != players:
        raise ValueError(f"learners: {type(game).__name__} has {players} players, got {len(learners)} learners")


def check_record(record: Any) -> None:
    """Is it a `Record`?"""
    if not isinstance(record, Record):
        raise TypeError(f"record: expected a Record, such as Record.every(10), got {record!r}")


def replicate_ids(replicates: Any) -> tuple[np.ndarray, bool]:
    """The ids of the replicates, and whether there is a batch axis."""
    if replicates is None:
        return np.zeros(1, np.uint32), False
    if np.ndim(replicates) == 0:
        return np.arange(positive("replicates", replicates), dtype=np.uint32), True
    if not concrete(replicates):
        raise TypeError("replicates: expected known ids, got a traced array; close over them instead")
    ids = np.asarray(replicates)
    if (
        ids.ndim != 1
        or ids.size == 0
        or not np.issubdtype(ids.dtype, np.integer)
        or ids.min() < 0
        or ids.max() >= 2**32
    ):
        raise ValueError(f"replicates: expected None, a number or a sequence of ids in [0, 2^32), got {replicates!r}")
    return ids.astype(np.uint32), True


def device_list(devices: Any) -> tuple[Any, ...] | None:
    """The devices to shard over, or None for the default device."""
    if devices is None:
        return None
    if isinstance(devices, int | np.integer):
        available = jax.devices()
        if not 1 <= devices <= len(available):
            raise ValueError(f"devices: expected 1 to {len(available)}, the devices that JAX sees, got {devices}")
        return tuple(available[:devices])
    devices = tuple(devices)
    if not devices or not all(isinstance(d, jax.Device) for d in devices):
        raise ValueError(f"devices: expected a number or a sequence of jax devices, got {devices!r}")
    return devices


def common_float(game: Game, start: Any) -> Any:
    """The common floating-point type of the arrays of the game and the start, else JAX's default."""
    arrays = [x for x in jax.tree.leaves((game, start)) if isinstance(x, jax.Array | np.ndarray)]
    types = [x.dtype for x in arrays if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.result_type(*types) if types else jnp.result_type(float)


class Layout(NamedTuple):
    """How `(game, learners, start)` is put together from values that replicates share, their own, and static ones."""

    structure: Any
    kinds: tuple[Any, ...]  # for each leaf _SHARED, _MAPPED or a static value

    def build(self, shared: Sequence[Any], mapped: Sequence[Any]) -> tuple[Game, tuple[Learner, ...], tuple[Any, ...]]:
        """Game, learners and starts of one replicate."""
        sources = {_SHARED: iter(shared), _MAPPED: iter(mapped)}
        leaves = [next(sources[kind]) if isinstance(kind, _Kind) else kind for kind in self.kinds]
        return jax.tree.unflatten(self.structure, leaves)


class _Kind(str):
    """A name that no static leaf can be mistaken for."""


_SHARED, _MAPPED = _Kind("shared"), _Kind("mapped")


def lay_out(
    game: Game, learners: tuple[Learner, ...], start: Any, in_axes: Any, dtype: Any, replicates: int
) -> tuple[Layout, list[Array], list[Array]]:
    """Sort the leaves; every number becomes an array, floating-point ones of type `dtype`, integers of type int32."""
    axes = _axes(in_axes, (game, *learners))
    tree = (game, learners)
    kinds: list[Any] = []
    shared: list[Any] = []
    mapped: list[Any] = []
    names = ["game", *(f"learner {i}" for i in range(len(learners)))]
    for (path, leaf), axis in zip(jax.tree_util.tree_flatten_with_path(tree)[0], axes, strict=True):
        array = _as_array(leaf, dtype)
        if array is None:
            kinds.append(leaf)
        elif axis is None or isinstance(leaf, bool | int | float):
            kinds.append(_SHARED)
            shared.append(array)
        else:
            if not -array.ndim <= axis < array.ndim or array.shape[axis] != replicates:
                who = names[0] if path[0].idx == 0 else names[1 + path[1].idx]
                where = who + jax.tree_util.keystr(path[1:] if path[0].idx == 0 else path[2:])
                raise ValueError(
                    f"in_axes: {where} should have {replicates} replicates on axis {axis}, its shape is {array.shape}"
                )
            kinds.append(_MAPPED)
            mapped.append(jnp.moveaxis(array, axis, 0))
    starts = _start(game, start, dtype, replicates)
    for array, own in starts[1]:
        kinds.append(_MAPPED if own else _SHARED)
        (mapped if own else shared).append(array)
    structure = jax.tree.structure((game, learners, starts[0]))
    return Layout(structure, tuple(kinds)), shared, mapped


def _as_array(leaf: Any, dtype: Any) -> Array | np.ndarray | None:
    if isinstance(leaf, bool):  # NumPy: making a JAX array takes longer than a round
        return np.asarray(leaf)
    if isinstance(leaf, int):
        return np.asarray(leaf, np.int32)
    if isinstance(leaf, float):
        return np.asarray(leaf, dtype)
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        array = jnp.asarray(leaf)
        if jnp.issubdtype(array.dtype, jnp.floating):
            return array.astype(dtype)
        return array.astype(jnp.int32) if array.dtype in (jnp.int64, jnp.uint64) else array
    try:
        hash(leaf)
    except TypeError:
        raise TypeError(f"game, learners: {leaf!r} is neither a number, an array nor a hashable static value") from None
    return None


def _axes(in_axes: Any, tree: tuple[Any, ...]) -> list[int | None]:
    if in_axes is None:
        return [None] * len(jax.tree.leaves(tree))
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if isinstance(in_axes, tuple) and len(in_axes) != len(tree):
        raise ValueError(f"in_axes: expected one entry for the game and each learner ({len(tree)}), got {len(in_axes)}")
    is_none = lambda x: x is None  # noqa: E731  (a leaf test, used once)
    try:
        full = jax.tree.broadcast(in_axes, tree, is_leaf=is_none)
    except ValueError as error:
        raise ValueError(f"in_axes: expected a prefix of (game, *learners), got {in_axes!r}: {error}") from None
    axes = jax.tree.leaves(full, is_leaf=is_none)
    leaves = jax.tree.leaves(tree, is_leaf=is_none)
    axes = [axis for axis, leaf in zip(axes, leaves, strict=True) if leaf is not None]
    for axis in axes:
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise TypeError(f"in_axes: expected integers and None, got {axis!r}")
    return axes


def _start(game: Game, start: Any, dtype: Any, replicates: int) -> tuple[tuple[Any, ...], list[tuple[Any, bool]]]:
    """The starts as a pytree, and for each of its leaves the array and whether every replicate has its own."""
    if not isinstance(start, tuple | list) or len(start) != len(game.spaces):
        raise ValueError(
            f"start: expected one entry a player ({len(game.spaces)}), each None or an action, got {start!r}"
        )
    leaves = []
    for i, (space, action) in enumerate(zip(game.spaces, start, strict=True)):
        if action is None:
            continue
        struct = space.struct(dtype)
        if not same_structure(action, struct):
            raise ValueError(f"start: player {i}: expected a pytree like {struct}, got {action!r}")
        for leaf, expected in zip(jax.tree.leaves(action), jax.tree.leaves(struct), strict=True):
            array = jnp.asarray(leaf, dtype) if isinstance(leaf, jax.Array) else np.asarray(leaf, dtype)
            own = array.shape == (replicates, *expected.shape)
            if not own and array.shape != expected.shape:
                raise ValueError(
                    f"start: player {i}: expected the shape {expected.shape}, or {(replicates, *expected.shape)} with "
                    f"one start a replicate, got {array.shape}"
                )
            leaves.append((array, own))
    return tuple(start), leaves


def check_values(layout: Layout, shared: list[Array], mapped: list[Array], dtype: Any) -> None:
    """Check what can only be told from values: starts inside their spaces, and what the learners require."""
    if not concrete(shared, mapped):
        return

    for text, holds in _requirements(shared, mapped, layout=layout, dtype=dtype).items():
        if not np.all(holds):
            bad = np.flatnonzero(~np.asarray(holds))[:5].tolist()
            raise ValueError(text + (f" (replicates {bad}, ...)" if mapped else ""))


@functools.partial(jax.jit, static_argnames=("layout", "dtype"))
def _requirements(shared: list[Array], mapped: list[Array], *, layout: Layout, dtype: Any) -> dict[str, Array]:
    """What must hold, by the message of the error otherwise; with values that differ, one entry a replicate."""

    def check(mapped: list[Array]) -> dict[str, Any]:
        game, learners, start = layout.build(shared, mapped)
        found = {}
        for i, (space, action) in enumerate(zip(game.spaces, start, strict=True)):
            if action is not None:
                outside = f"start: player {i}: the action lies outside its space {type(space).__name__}"
                found[outside] = space.contains(action)
            view = View(learners[i], game, i, action, dtype)
            for text, holds in learners[i].requires(view).items():
                found[f"player {i}, {type(learners[i]).__name__}: {text}"] = jnp.all(jnp.asarray(holds))
        return found

    return jax.vmap(check)(mapped) if mapped else check(mapped)


def structure(game: Game, learners: tuple[Learner, ...]) -> tuple[str, ...]:
    """The kinds of a game and its learners, by which a resumed run is told from another one."""
    return tuple(type(x).__qualname__ for x in (game, *learners))


def resumed(
    trace: Any, key: PRNGKeyArray, ids: np.ndarray, batched: bool, game: Game, learners: tuple[Learner, ...]
) -> tuple[int, Any, tuple[bool, ...], Any]:
    """The first round, the replicates' carry, which leaves of it are alike, and the oracle calls so far."""
    if trace is None:
        return 0, None, (), None
    if not isinstance(trace, Trace):
        raise TypeError(f"resume: expected a Trace, got {trace!r}")
    if trace.structure != structure(game, learners):
        raise ValueError(f"resume: the trace was made by {trace.structure}, not by {structure(game, learners)}")
    if concrete(key, trace.key) and not np.array_equal(_key_data(key), _key_data(trace.key)):
        raise ValueError("resume: the trace was made with another key; its noise couldn't go on")
    if batched != trace.batched or not np.array_equal(ids, np.atleast_1d(np.asarray(trace.ids))):
        raise ValueError("resume: the trace was made with other replicates")
    carry = (trace.state, trace.status, trace.failed_at)
    if not batched:
        carry = jax.tree.map(lambda x: jnp.asarray(x)[None], carry)
    alike = tuple(concrete(x) and bool(np.all(np.asarray(x) == np.asarray(x)[:1])) for x in jax.tree.leaves(carry[0]))
    calls = jax.tree.map(lambda x: x[..., -1], trace.calls)
    return int(trace.rounds[-1]), carry, alike, calls


def _key_data(key: Any) -> np.ndarray:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(key) if typed else key)


def chunks(replicates: int, chunk: int | None, devices: int) -> list[np.ndarray | None]:
    """Indices of the replicates of each call, padded so that every call has the same size; None: all, in order."""
    whole = -(-replicates // devices)
    size = devices * (whole if chunk is None else min(positive("chunk", chunk), whole))
    if size == replicates:
        return [None]
    return [np.minimum(np.arange(i, i + size), replicates - 1) for i in range(0, replicates, size)]


def freeze_failed(run: Callable[[bool], Any], arguments: Any) -> Any:
    """Run without freezing; if a replicate failed run again with it, and take the failed replicates from there.

    Freezing costs a pass over all states in every round, and failures are rare. The replicates that didn't fail come
    from the first run, so that their bits don't depend on the others.
    """
    if not concrete(arguments):
        return run(True)
    first = run(False)
    failed = np.asarray(first[-1][1]) != 0
    if not failed.any():
        return first

    def choose(frozen: Array, free: Array) -> Array:
        at = failed.reshape(-1, *[1] * (free.ndim - 1))
        return frozen if frozen.shape[:1] != failed.shape else jnp.where(at, frozen, free)

    initial, rows, calls, last = run(True)
    return jax.tree.map(choose, (initial, rows, calls, last), first)


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
        done.append(jax.tree.map(np.asarray, one) if concrete(one) else one)
    xp = np if concrete(done) else jnp
    side_by_side = lambda *xs: xp.concatenate(xs)[:replicates]  # noqa: E731  (used twice, here only)
    calls = jax.tree.map(lambda *xs: side_by_side(*xs) if xs[0].ndim > 1 else xs[0], *(one[2] for one in done))
    initial, rows, last = jax.tree.map(side_by_side, *((one[0], one[1], one[3]) for one in done))
    return initial, rows, calls, last


@jax.custom_jvp
def _marked(x: Array) -> Array:
    return x


@_marked.defjvp
def _(primals: Any, tangents: Any) -> Any:
    def refuse(_: Any, __: Any) -> Any:
        raise ValueError(
            "record: reverse-mode differentiation through play needs equally spaced record points: use Record.every(k) "
            "with rounds a multiple of k, or Record.final(); forward mode (jax.jvp, jax.jacfwd) works with any"
        )

    (x,), (dx,) = primals, tangents
    return _marked(x), jax.custom_derivatives.linear_call(lambda _, t: t, refuse, (), dx)


def forward_only(tree: PyTree) -> PyTree:
    """The tree itself, with an error that says why if anyone differentiates it in reverse mode."""
    traced = lambda x: isinstance(x, jax.core.Tracer) and jnp.issubdtype(x.dtype, jnp.floating)  # noqa: E731  (used once)
    return jax.tree.map(lambda x: _marked(x) if traced(x) else x, tree)
