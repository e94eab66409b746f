"""Settings that one program can play, with what differs between them as arrays: what `play` gets of some of them."""

import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from stackjax._core import entry
from stackjax.experiments import results
from stackjax.experiments.settings import Setting
from stackjax.protocols import Game, Learner


class Leaf(NamedTuple):
    """One leaf of `(game, learners, start)`: its values, and over which of settings and replicates they differ."""

    values: Any  # with the leading axes that it differs over; or a static value
    settings: bool
    replicates: bool

    def of(self, settings: np.ndarray, replicates: np.ndarray) -> Any:
        """Its values in so many runs; the one value that they share where it doesn't differ."""
        if self.settings and self.replicates:
            return self.values[settings, replicates]
        if self.settings or self.replicates:
            return self.values[settings if self.settings else replicates]
        return self.values


class Arguments(NamedTuple):
    """What `play` gets."""

    game: Game
    learners: tuple[Learner, ...]
    start: tuple[Any, ...]
    in_axes: Any


class Group(NamedTuple):
    """Settings that one program plays: which ones they are among all, and what they hold."""

    members: Int[np.ndarray, " settings"]
    structure: Any
    leaves: tuple[Leaf, ...]
    dtype: Any
    rounds: int
    skip_phases: bool

    def arguments(self, settings: np.ndarray, replicates: np.ndarray) -> Arguments:
        """What `play` gets of so many runs: for each the number of its setting within the group and its replicate."""
        values = [leaf.of(settings, replicates) for leaf in self.leaves]
        axes = [0 if leaf.settings or leaf.replicates else None for leaf in self.leaves]
        game, learners, start = jax.tree.unflatten(self.structure, values)
        game_axes, learner_axes, _ = jax.tree.unflatten(self.structure, axes)
        return Arguments(game, learners, start, (game_axes, *learner_axes))


class _Part(NamedTuple):
    """A game, learners or starts, taken apart: what programs tell apart, and a `Leaf` for every array."""

    kind: Any
    leaves: list[Any]  # static values are here as they are


def groups_of(settings: Sequence[Setting], replicates: int) -> list[Group]:
    """The settings by their structure, in the order of their first ones; methods and games are never put together.

    **Raises:** `ValueError` or `TypeError` with a note that says in which setting.
    """
    taken = _Apart(replicates)
    groups: dict[Any, list[tuple[int, list[_Part]]]] = {}
    for i, setting in enumerate(settings):
        with setting.named():
            dtype, parts = taken(setting)
        how = (setting.apart, setting.rounds, setting.skip_phases, dtype)
        groups.setdefault((*how, *(part.kind for part in parts)), []).append((i, parts))
    return [_group(settings[members[0][0]], key[3], members) for key, members in groups.items()]


class _Apart:
    """Takes settings apart, and what several of them share only once: games, learners and starts, by their identity."""

    def __init__(self, replicates: int):
        self.replicates = replicates
        self.dtypes: dict[Any, Any] = {}
        self.parts: dict[Any, _Part] = {}

    def __call__(self, setting: Setting) -> tuple[Any, list[_Part]]:
        """The type of its numbers, and its game, learners and starts."""
        own = (id(setting.game), id(setting.start))
        if own not in self.dtypes:
            self.dtypes[own] = jnp.dtype(entry.common_float(setting.game, setting.start))
        dtype = self.dtypes[own]
        how = (dtype, id(setting.in_axes))
        keys = [(id(setting.game), how), (id(setting.learners), how), (own, how)]
        if not all(key in self.parts for key in keys):
            for key, part in zip(keys, self._made(setting, dtype), strict=True):
                self.parts.setdefault(key, part)
        return dtype, [self.parts[key] for key in keys]

    def _made(self, setting: Setting, dtype: Any) -> Iterator[_Part]:
        game, learners, start = setting.game, setting.learners, setting.start
        layout, shared, mapped = entry.lay_out(game, learners, start, setting.in_axes, dtype, self.replicates)
        leaves = iter(_in_order(layout, shared, mapped))
        for part in (game, learners, start):
            own = list(itertools.islice(leaves, len(jax.tree.leaves(part))))
            kinds = [
                (leaf.values.shape, str(leaf.values.dtype), leaf.replicates) if isinstance(leaf, Leaf) else leaf
                for leaf in own
            ]
            yield _Part((jax.tree.structure(part), *kinds), own)


def _in_order(layout: entry.Layout, shared: list[Any], mapped: list[Any]) -> list[Any]:
    """The leaves as the tree has them: a `Leaf` for every array, static values as they are."""
    sources = {entry.SHARED: iter(shared), entry.MAPPED: iter(mapped)}
    return [
        Leaf(next(sources[kind]), False, kind is entry.MAPPED) if isinstance(kind, entry.Sharing) else kind
        for kind in layout.kinds
    ]


def _group(first: Setting, dtype: Any, members: list[tuple[int, list[_Part]]]) -> Group:
    leaves: list[Leaf] = []
    for column in zip(*(parts for _, parts in members), strict=True):  # all games, all learners, all starts
        each = {id(part): part for part in column}
        place = {key: at for at, key in enumerate(each)}
        which = np.asarray([place[id(part)] for part in column])
        leaves += [_leaf(values, which) for values in zip(*(part.leaves for part in each.values()), strict=True)]
    structure = jax.tree.structure((first.game, first.learners, first.start))
    where = np.asarray([i for i, _ in members])
    return Group(where, structure, tuple(leaves), dtype, first.rounds, first.skip_phases)


def _leaf(different: Sequence[Any], which: np.ndarray) -> Leaf:
    """A leaf of all settings: what it may be, and which of these it is in each of them."""
    first = different[0]
    if not isinstance(first, Leaf):
        return Leaf(first, False, False)
    if all(_same(first.values, leaf.values) for leaf in different[1:]):
        return first
    values = [leaf.values for leaf in different]
    if jnp.issubdtype(first.values.dtype, jax.dtypes.prng_key):
        return Leaf(jnp.stack(values)[which], True, first.replicates)
    return Leaf(np.stack([np.asarray(x) for x in values])[which], True, first.replicates)


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


def check_values(group: Group, settings: Sequence[Setting], replicates: int, size: int) -> None:
    """Check what can only be told from values, `size` runs at a time, as `play` checks them.

    **Raises:** `ValueError` with a note that says in which setting.
    """
    each = replicates if any(leaf.replicates for leaf in group.leaves) else 1
    runs = len(group.members) * each
    for first in range(0, runs, size):
        part = np.minimum(np.arange(first, first + size), runs - 1)
        given = group.arguments(part // each, part % each)
        layout, shared, mapped = entry.lay_out(
            given.game, given.learners, given.start, given.in_axes, group.dtype, size
        )
        own = [settings[at] for at in group.members[part // each]]
        with own[0].named():
            violations = list(entry.violations(layout, shared, mapped, group.dtype))
        for text, bad in violations:
            with own[bad[0]].named():
                raise ValueError(text)


def fingerprint(settings: Sequence[Setting], groups: Sequence[Group]) -> str:
    """A digest of all settings: their structure, and every number in them bit for bit."""
    digest = hashlib.sha256()
    for group in groups:
        first = settings[group.members[0]]
        described = results.describe((first.game, first.learners, first.start))
        digest.update(json.dumps(described).encode())
        digest.update(group.members.tobytes())
        for leaf in group.leaves:
            if isinstance(leaf.values, jax.Array | np.ndarray):
                typed = jnp.issubdtype(leaf.values.dtype, jax.dtypes.prng_key)
                array = np.asarray(jax.random.key_data(leaf.values) if typed else leaf.values)
                digest.update(f"{leaf.settings}{leaf.replicates}{array.dtype}{array.shape}".encode())
                digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
