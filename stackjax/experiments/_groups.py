"""Settings that one program can play, with what differs between them as arrays: what `play` gets of some of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from stackjax import _entry
from stackjax.experiments._running import named
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
    """Settings of one structure: which ones they are among all, and what they hold."""

    members: Int[np.ndarray, " settings"]
    structure: Any
    leaves: tuple[Leaf, ...]
    dtype: Any

    def arguments(self, settings: np.ndarray, replicates: np.ndarray) -> Arguments:
        """What `play` gets of so many runs: for each the number of its setting within the group and its replicate."""
        values = [leaf.of(settings, replicates) for leaf in self.leaves]
        axes = [0 if leaf.settings or leaf.replicates else None for leaf in self.leaves]
        game, learners, start = jax.tree.unflatten(self.structure, values)
        game_axes, learner_axes, _ = jax.tree.unflatten(self.structure, axes)
        return Arguments(game, learners, start, (game_axes, *learner_axes))


def groups_of(settings: Sequence[Setting], replicates: int) -> list[Group]:
    """The settings by their structure, in the order of their first ones; methods and games are never put together.

    **Raises:** `ValueError` or `TypeError` with a note that says in which setting.
    """
    found: dict[Any, list[tuple[int, list[Any]]]] = {}
    for i, setting in enumerate(settings):
        with named(f"the setting {setting.label}" if setting.label else "the only setting"):
            dtype = _entry.common_float(setting.game, setting.start)
            layout, shared, mapped = _entry.lay_out(
                setting.game, setting.learners, setting.start, None, dtype, replicates
            )
        leaves = _in_order(layout, shared, mapped)
        shapes = tuple((leaf.values.shape, str(leaf.values.dtype)) for leaf in leaves if isinstance(leaf, Leaf))
        found.setdefault((setting.apart, layout, jnp.dtype(dtype), shapes), []).append((i, leaves))
    return [_group(key[1], key[2], members) for key, members in found.items()]


def _in_order(layout: _entry.Layout, shared: list[Any], mapped: list[Any]) -> list[Any]:
    """The leaves as the tree has them: a `Leaf` for every array, static values as they are."""
    sources = {_entry.SHARED: iter(shared), _entry.MAPPED: iter(mapped)}
    return [
        Leaf(next(sources[kind]), False, kind is _entry.MAPPED) if isinstance(kind, _entry.Kind) else kind
        for kind in layout.kinds
    ]


def _group(layout: _entry.Layout, dtype: Any, members: list[tuple[int, list[Any]]]) -> Group:
    first = members[0][1]
    leaves = []
    for at, leaf in enumerate(first):
        if not isinstance(leaf, Leaf):
            leaves.append(Leaf(leaf, False, False))
            continue
        column = [own[at].values for _, own in members]
        if all(_same(column[0], x) for x in column[1:]):
            leaves.append(leaf)
        elif jnp.issubdtype(column[0].dtype, jax.dtypes.prng_key):
            leaves.append(Leaf(jnp.stack(column), True, leaf.replicates))
        else:
            leaves.append(Leaf(np.stack([np.asarray(x) for x in column]), True, leaf.replicates))
    return Group(np.asarray([i for i, _ in members]), layout.structure, tuple(leaves), dtype)


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
        layout, shared, mapped = _entry.lay_out(
            given.game, given.learners, given.start, given.in_axes, group.dtype, size
        )
        for text, bad in _entry.violations(layout, shared, mapped, group.dtype):
            label = settings[group.members[part[bad[0]] // each]].label
            with named(f"the setting {label}" if label else "the only setting"):
                raise ValueError(text)
