"""The door of `play`: arguments are checked, made arrays of one type, and sorted into static, shared and batched."""

import contextlib
import contextvars
import dataclasses
import enum
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax._constraints import constrained_players, has_constraints, of_game
from stackjax._core.dependence import Traced
from stackjax.checks import concrete, whole
from stackjax.protocols import Game, Learner, Signal, View, same_structure
from stackjax.spaces import Space
from stackjax.trace import Record, Trace


def check_levels(game: Any) -> None:
    """Is it a game, with levels that cover its players in order of play?"""
    if not isinstance(game, Game):
        raise TypeError(
            f"game: expected a stackjax Game, got {game!r}; stackjax.games.from_payoffs makes one from functions"
        )
    if not isinstance(game.spaces, tuple | list) or not all(isinstance(space, Space) for space in game.spaces):
        raise TypeError(f"spaces: expected one stackjax space a player, got {game.spaces!r}")
    players = len(game.spaces)
    levels = [list(level) if isinstance(level, tuple | list) else [] for level in game.levels]
    if not all(levels) or [i for level in levels for i in level] != list(range(players)):
        raise ValueError(
            f"levels: expected the players 0 to {players - 1}, one for each space, in order of play, got {game.levels}"
        )


def check_players(game: Any, learners: tuple[Any, ...]) -> None:
    """Is it a game that passes `check_levels`, and a learner for each of its players?"""
    check_levels(game)
    players = len(game.spaces)
    for i, learner in enumerate(learners):
        if not isinstance(learner, Learner):
            raise TypeError(f"learner {i}: expected an instance of a stackjax Learner, got {learner!r}")
        if not isinstance(learner.wants, Signal):
            raise TypeError(f"learner {i}: {type(learner).__name__}.wants: expected Signals, got {learner.wants!r}")
    if len(learners) != players:
        raise ValueError(f"learners: {type(game).__name__} has {players} players, got {len(learners)} learners")


_warned = contextvars.ContextVar("warned", default=False)


@contextlib.contextmanager
def warned_already() -> Iterator[None]:
    """In here `warn_of` is silent."""
    token = _warned.set(True)
    try:
        yield
    finally:
        _warned.reset(token)


def warn_of(game: Any, learners: tuple[Any, ...], stacklevel: int = 4) -> None:
    """Warn of what speaks against these learners in this game, although it can be played."""
    if _warned.get():
        return
    constrained = constrained_players(game, common_float(game, None))
    for i, learner in enumerate(learners):
        found = learner.advice(i, game, learners)
        if i in constrained and not learner.keeps_constraints:
            found = [
                "it doesn't keep to the game's constraints on this player, and is paid where they are violated; "
                "expected BestResponse, HierarchicalAscent, or a game that makes violations cost (games.Penalized)",
                *found,
            ]
        for text in found:
            warnings.warn(f"player {i}, {type(learner).__name__}: {text}", stacklevel=stacklevel)


def check_record(record: Any) -> None:
    """Is it a `Record`?"""
    if not isinstance(record, Record):
        raise TypeError(f"record: expected a Record, such as Record.every(10), got {record!r}")


def replicate_ids(replicates: Any) -> tuple[np.ndarray, bool]:
    """The ids of the replicates, and whether there is a batch axis."""
    if replicates is None:
        return np.zeros(1, np.uint32), False
    if isinstance(replicates, int | float | str | np.generic) or getattr(replicates, "shape", None) == ():
        return np.arange(whole("replicates", replicates), dtype=np.uint32), True
    if not concrete(replicates):
        raise TypeError("replicates: expected known ids, got a traced array; close over them instead")
    try:
        ids = np.asarray(replicates)
    except ValueError:  # ragged
        ids = np.zeros(0)
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
    found = tuple(devices) if isinstance(devices, Sequence | np.ndarray) else ()
    if not found or not all(isinstance(d, jax.Device) for d in found) or len(set(found)) < len(found):
        raise ValueError(f"devices: expected a number or a sequence of different jax devices, got {devices!r}")
    return found


def platform(devices: tuple[Any, ...] | None) -> str:
    """What these devices are, or the default one: "cpu", "gpu", ..."""
    device = devices[0] if devices else getattr(jax.config, "jax_default_device", None)
    return str(getattr(device, "platform", device) or jax.default_backend())


def check_key(key: Any) -> None:
    """Is it one key, typed or of the legacy kind?"""
    if isinstance(key, jax.Array | np.ndarray):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ():
            return
        if key.dtype == np.uint32 and key.ndim == 1 and key.size in (2, 4):
            return
    raise TypeError(f"key: expected one jax.random key, such as jax.random.key(0), got {key!r}")


def common_float(game: Game, start: Any) -> Any:
    """The common floating-point type of the arrays of the game and the start, else JAX's default."""
    arrays = [x for x in jax.tree.leaves((game, start)) if isinstance(x, jax.Array | np.ndarray)]
    types = [x.dtype for x in arrays if jnp.issubdtype(x.dtype, jnp.floating)]
    # What JAX makes of it: without 64-bit types, float64 of NumPy is float32.
    return jax.dtypes.canonicalize_dtype(jnp.result_type(*types)) if types else jnp.result_type(float)


class Layout(NamedTuple):
    """How `(game, learners, start)` is put together from values that replicates share, their own, and static ones."""

    structure: Any
    kinds: tuple[Any, ...]  # for each leaf SHARED, MAPPED or a static value

    def build(self, shared: Sequence[Any], mapped: Sequence[Any]) -> tuple[Game, tuple[Learner, ...], tuple[Any, ...]]:
        """Game, learners and starts of one replicate."""
        sources = {SHARED: iter(shared), MAPPED: iter(mapped)}
        leaves = [next(sources[kind]) if isinstance(kind, Sharing) else kind for kind in self.kinds]
        return jax.tree.unflatten(self.structure, leaves)


class Sharing(enum.Enum):
    """Whether replicates share a leaf or have their own."""

    SHARED = enum.auto()
    MAPPED = enum.auto()


SHARED, MAPPED = Sharing.SHARED, Sharing.MAPPED


def lay_out(
    game: Game, learners: tuple[Learner, ...], start: Any, in_axes: Any, dtype: Any, replicates: int | None
) -> tuple[Layout, list[Array], list[Array]]:
    """Sort the leaves; every number becomes an array, floating-point ones of type `dtype`, integers of type int32."""
    axes = _axes(in_axes, (game, *learners))
    tree = (game, learners)
    kinds: list[Any] = []
    shared: list[Any] = []
    mapped: list[Any] = []

    def where(path: Any) -> str:
        if path[0].idx == 0:
            return "game" + jax.tree_util.keystr(path[1:])
        return f"learner {path[1].idx}" + jax.tree_util.keystr(path[2:])

    for (path, leaf), axis in zip(jax.tree_util.tree_flatten_with_path(tree)[0], axes, strict=True):
        try:
            array = _as_array(leaf, dtype)
        except OverflowError:
            raise ValueError(f"{where(path)}: expected a whole number below 2^31 (int32), got {leaf}") from None
        if array is None:
            kinds.append(leaf)
        elif axis is None or isinstance(leaf, bool | int | float):
            kinds.append(SHARED)
            shared.append(array)
        else:
            if not -array.ndim <= axis < array.ndim or array.shape[axis] != replicates:
                wanted = "replicates" if replicates is None else f"one entry for each of the {replicates} replicates"
                raise ValueError(f"in_axes: {where(path)}: expected {wanted} on axis {axis}, got {array.shape}")
            kinds.append(MAPPED)
            mapped.append(jnp.moveaxis(array, axis, 0))
    starts = _start(game, start, dtype, replicates)
    for array, own in starts[1]:
        kinds.append(MAPPED if own else SHARED)
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
        wide = isinstance(leaf, np.ndarray | np.generic) and leaf.dtype in (np.int64, np.uint64)
        if wide and leaf.size and not -(2**31) <= leaf.min() <= leaf.max() < 2**31:
            raise OverflowError
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


def _start(
    game: Game, start: Any, dtype: Any, replicates: int | None
) -> tuple[tuple[Any, ...], list[tuple[Any, bool]]]:
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
            try:
                kind = expected.dtype
                array = jnp.asarray(leaf, kind) if isinstance(leaf, jax.Array) else np.asarray(leaf, kind)
            except (TypeError, ValueError):
                raise TypeError(f"start: player {i}: expected numbers, got {leaf!r}") from None
            if jnp.issubdtype(kind, jnp.integer) and not jnp.issubdtype(jnp.result_type(leaf), jnp.integer):
                raise TypeError(f"start: player {i}: expected whole numbers, got {leaf!r}")
            own = replicates is not None and array.shape == (replicates, *expected.shape)
            if not own and array.shape != expected.shape:
                each = "" if replicates is None else f", or {(replicates, *expected.shape)} with one start a replicate"
                raise ValueError(f"start: player {i}: expected the shape {expected.shape}{each}, got {array.shape}")
            leaves.append((array, own))
    return tuple(start), leaves


def check_values(layout: Layout, shared: list[Array], mapped: list[Array], dtype: Any) -> None:
    """Check what can only be told from values: starts inside their spaces, and what the learners require."""
    for text, bad in violations(layout, shared, mapped, dtype):
        raise ValueError(text + (f" (replicates {bad[:5].tolist()}, ...)" if mapped else ""))


def violations(
    layout: Layout, shared: list[Array], mapped: list[Array], dtype: Any
) -> Iterator[tuple[str, np.ndarray]]:
    """What values violate, as messages, each with the numbers of the replicates that do."""
    if not concrete(shared, mapped):
        return

    with jax.ensure_compile_time_eval():  # also inside of jit
        found = _requirements(shared, mapped, layout=layout, dtype=dtype)
    for text, holds in found.items():
        if concrete(holds) and not np.all(np.asarray(holds)):  # a function may hold a traced value
            yield text, np.flatnonzero(~np.asarray(holds))


@functools.partial(jax.jit, static_argnames=("layout", "dtype"))
def _requirements(shared: list[Array], mapped: list[Array], *, layout: Layout, dtype: Any) -> dict[str, Array]:
    """What must hold, by the message of the error otherwise; with values that differ, one entry a replicate."""

    def check(mapped: list[Array]) -> dict[str, Any]:
        game, learners, start = layout.build(shared, mapped)
        found = {f"{type(game).__name__}: {text}": jnp.asarray(holds) for text, holds in game.requires().items()}
        for i, (space, action) in enumerate(zip(game.spaces, start, strict=True)):
            if action is not None:
                outside = f"start: player {i}: the action lies outside its space {type(space).__name__}"
                found[outside] = space.contains(action)
                found |= _own_constraints(game, i, action, dtype)
            view = View(learners[i], game, i, action, dtype)
            for text, holds in learners[i].requires(view).items():
                found[f"player {i}, {type(learners[i]).__name__}: {text}"] = jnp.all(jnp.asarray(holds))
        return found

    return jax.vmap(check)(mapped) if mapped else check(mapped)


def _own_constraints(game: Game, player: int, action: Any, dtype: Any) -> dict[str, Any]:
    """That a start keeps those constraints of the game that depend on the player's own action alone."""
    if not has_constraints(game, dtype):
        return {}
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), tuple(space.struct(dtype) for space in game.spaces))
    joint = (*blank[:player], action, *blank[player + 1 :])
    depends = Traced(lambda *z: of_game(game, player, z, dtype), *joint)
    if any(depends.depends(*(j != player for j in range(len(joint))))):
        return {}
    size = _largest(action)
    kept = of_game(game, player, joint, dtype).violation <= jnp.sqrt(jnp.finfo(dtype).eps) * jnp.maximum(1, size)
    return {f"start: player {player}: the action doesn't keep the player's own constraints": kept}


def _largest(action: Any) -> Any:
    """The largest entry, in absolute value."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(x), initial=0) for x in jax.tree.leaves(action)]))


def structure(game: Game, learners: tuple[Learner, ...]) -> tuple[str, ...]:
    """The kinds of a game and its learners, with what they hold, by which a resumed run is told from another one."""
    return tuple(_kind_of(x) for x in (game, *learners))


def _kind_of(x: Any) -> str:
    if isinstance(x, eqx.Module):
        fields = dataclasses.fields(x)
        inner = (repr(getattr(x, f.name)) if f.metadata.get("static") else _kind_of(getattr(x, f.name)) for f in fields)
        return f"{type(x).__qualname__}({', '.join(part for part in inner if part)})"
    if isinstance(x, tuple | list):
        return f"({', '.join(part for part in map(_kind_of, x) if part)})"
    return ""  # numbers may change, and functions have no identity that lasts


def resumed(
    trace: Any, key: PRNGKeyArray, ids: np.ndarray, batched: bool, game: Game, learners: tuple[Learner, ...]
) -> tuple[int, Any, tuple[bool, ...], Any, Any]:
    """The first round, the replicates' carry, which leaves of it are alike, and the calls and visits so far."""
    if trace is None:
        return 0, None, (), None, None
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
    alike = tuple(_alike(x) for x in jax.tree.leaves(carry[0]))
    calls = jax.tree.map(lambda x: x[..., -1], trace.calls)
    axis = int(batched)
    visits = (
        None if trace.block_visits is None else jax.tree.map(lambda x: x[(slice(None),) * axis + (-1,)], trace.visits)
    )
    return int(trace.rounds[-1]), carry, alike, calls, visits


def _alike(x: Any) -> bool:
    """Whether every replicate has the same, bit for bit (0 and -0 are equal, but not alike)."""
    if not concrete(x):
        return False
    words = np.ascontiguousarray(_key_data(x))
    rows = words.reshape(words.shape[0], -1).view(np.uint8)
    return bool(np.all(rows == rows[:1]))


def _key_data(x: Any) -> np.ndarray:
    typed = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if typed else x)
