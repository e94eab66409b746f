"""A follower with a memory of its own for every arm of the leader."""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from stackjax.arms import Row, is_row, read, write_row
from stackjax.learners._exploration import exploration
from stackjax.learners.every import Every
from stackjax.phases import Phased
from stackjax.protocols import Calls, Learner, Noise, Seen, Signal, Signals, View, arms_of
from stackjax.spaces import Arms


class PerArm(Phased):
    """One independent `learner` for each arm that earlier players can commit to; one of them plays a round.

    Its clock counts the rounds in which that arm was played; its horizon is the game's. With several earlier players
    there is one for each of their joint arms.

    **Arguments:** `learner`: any learner of arms whose state is made of scalars and of arrays `[arms]`. One that reads
    and writes them by the verbs of `stackjax.arms` touches an entry a round; any other costs a whole row.
    """

    learner: Learner

    def __check_init__(self) -> None:
        if not isinstance(self.learner, Learner):
            hint = f"; {self.learner.__name__} is a class" if isinstance(self.learner, type) else ""
            raise TypeError(f"learner: expected an instance of a stackjax Learner, got {self.learner!r}{hint}")

    @property
    def wants(self) -> Signal:
        """What the learner wants, and the leader's arm."""
        return self.learner.wants | Signal.COMMITMENT

    def requires(self, view: View) -> dict[str, Any]:
        """Arms, earlier players with arms, and what the learner requires."""
        if not view.earlier or not all(isinstance(space, Arms) for space in (view.space, *view.earlier)):
            raise ValueError(
                f"player {view.player}: PerArm is for a follower of players with arms, in a game of arms; its space is "
                f"{view.space} and those before it {view.earlier}"
            )
        if isinstance(self.learner, PerArm | Every):
            name = type(self.learner).__name__
            raise ValueError(f"player {view.player}: PerArm: expected a learner of arms inside of it, got {name}")
        alone = copy.copy(view)  # to each of its memories the earlier players are always at the same arm
        alone.earlier = ()
        return self.learner.requires(alone)

    def init(self, view: View, key: PRNGKeyArray) -> Any:
        """The learner's state for every arm of the leader, in flat tables."""
        contexts = _contexts(view)
        state = self.learner.init(view, key)
        for leaf in jax.tree.leaves(state):
            if leaf.ndim > 1:
                raise ValueError(
                    f"PerArm: expected a state of scalars and of arrays [arms], {type(self.learner).__name__} has "
                    f"{leaf.dtype}{list(leaf.shape)}"
                )
        return jax.tree.map(lambda x: jnp.tile(jnp.ravel(x), contexts), state)

    def draw(self, view: View, key: PRNGKeyArray) -> Noise:
        """One round's noise, for the learner that plays."""
        return self.learner.draw(view, key)

    def act(self, view: View, state: Any, noise: Noise, seen: Seen) -> Array:
        """What the learner of the leader's arm plays."""
        return self._with_memory(view, state, seen, lambda memory: self.learner.act(view, memory, noise, seen))

    def strategy(self, view: View, state: Any, seen: Seen) -> Array:
        """What the learner of the leader's arm would report."""
        return self._with_memory(view, state, seen, lambda memory: self.learner.strategy(view, memory, seen))

    def update(self, view: View, state: Any, noise: Noise, signals: Signals) -> Any:
        """The update of the learner of the leader's arm."""
        context = _context(view, signals.actions)
        new = self._with_memory(view, state, signals, lambda memory: self.learner.update(view, memory, noise, signals))

        def keep(x: Any, table: Array) -> Array:
            return x.table if is_row(x) else write_row(table, context, jnp.asarray(x).astype(table.dtype))

        return jax.tree.map(keep, new, state, is_leaf=is_row)

    def exploration(self, arms: int) -> Any:
        """The learner's, for each arm of the leader."""
        return exploration(self.learner, arms)

    def committed(self, view: View, state: Any) -> Array:
        """Its learners' plays, `[contexts]`."""
        each = jax.vmap(lambda memory: self._phased.committed(view, memory), axis_size=_contexts(view))
        return each(self._memories(view, state))

    def pulls(self, view: View, state: Any, plays: Array) -> Array:
        """Its learners', `[contexts, arms]`."""
        return jax.vmap(lambda memory, n: self._phased.pulls(view, memory, n))(self._memories(view, state), plays)

    def absorb(self, view: View, state: Any, pulls: Array, totals: Array) -> Any:
        """What each of its learners absorbs."""
        one = functools.partial(self._phased.absorb, view)
        new = jax.vmap(one, axis_size=_contexts(view))(self._memories(view, state), pulls, totals)
        return jax.tree.map(lambda x, old: x.reshape(old.shape).astype(old.dtype), new, state)

    @property
    def _phased(self) -> Any:
        return self.learner  # `play` has checked that it is Phased

    def _memories(self, view: View, state: Any) -> Any:
        """The states of all learners, with a leading axis."""
        shapes = jax.eval_shape(lambda: self.learner.init(view, jax.random.key(0)))
        return jax.tree.map(lambda x, shape: x.reshape(_contexts(view), *shape.shape), state, shapes)

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """The learner's."""
        return self.learner.calls(view, before, after)

    def _with_memory(self, view: View, state: Any, seen: Seen | Signals, use: Callable[[Any], Any]) -> Any:
        """What the learner of the leader's arm makes of its memory.

        Its arrays are views of rows, which the verbs of `stackjax.arms` take. A learner that does something else with
        them fails on those, in whatever way, and is given the rows themselves; an error of its own comes again then.
        """
        context = _context(view, seen.actions)
        try:
            return use(self._memory(view, state, context, Row))
        except Exception:  # whatever a view does to code that expects an array
            return use(self._memory(view, state, context, lambda *row: Row(*row)[:]))

    def _memory(self, view: View, state: Any, context: Int[Array, ""], row: Callable[..., Any]) -> Any:
        shapes = jax.eval_shape(lambda: self.learner.init(view, jax.random.key(0)))

        def one(table: Array, shape: Any) -> Any:
            return row(table, context, shape.shape[0]) if shape.ndim else read(table, context)

        return jax.tree.map(one, state, shapes)


def _contexts(view: View) -> int:
    return math.prod(arms_of(space) for space in view.earlier)


def _context(view: View, actions: tuple[Any, ...]) -> Int[Array, ""]:
    """The earlier players' joint arm as a number."""
    joint = jnp.int32(0)
    for space, arm in zip(view.earlier, actions, strict=False):
        joint = joint * arms_of(space) + arm
    return joint
