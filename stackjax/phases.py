"""Phases in which no player heeds what it is paid, played in one step: `play(..., skip_phases=True)`."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from stackjax.protocols import Game, Learner, State, View, arms_of
from stackjax.spaces import Arms

#: The largest counter.
LONGEST = 2**31 - 1


class Phased(Learner):
    """A learner of arms that knows for how long its plays are fixed, whatever it will be paid.

    In a follower (`PerArm`) plays, pulls and totals have a leading axis, the joint arms of those before it: it is
    committed to so many plays under each of them.
    """

    def committed(self, view: View, state: State) -> Int[Array, ""]:
        """How many of its next plays are fixed, at least 1."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define committed")

    def pulls(self, view: View, state: State, plays: Int[Array, ""]) -> Int[Array, "arms"]:
        """How its next `plays` fall on its arms; 0 of them or more, and no more than it is committed to."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define pulls")

    def absorb(self, view: View, state: State, pulls: Int[Array, "arms"], totals: Array) -> State:
        """The state after those pulls, for each arm of which it was paid a total: as after so many updates."""
        raise NotImplementedError(f"{type(self).__name__} doesn't define absorb")


def check_phases(game: Game, learners: tuple[Learner, ...]) -> None:
    """Can phases be skipped in this game with these learners? A `ValueError` if not."""
    if not all(isinstance(space, Arms) for space in game.spaces) or any(len(level) > 1 for level in game.levels):
        raise ValueError(
            f"skip_phases: expected a game of arms in which players move one after the other, got {type(game).__name__}"
        )
    if type(game).total is Game.total:
        raise ValueError(f"skip_phases: {type(game).__name__} doesn't define total, the sums of many rounds' payoffs")
    for i, learner in enumerate(learners):
        while hasattr(learner, "learner"):  # of PerArm
            learner = learner.learner
        if not isinstance(learner, Phased):
            raise ValueError(
                f"skip_phases: player {i}: {type(learner).__name__} decides anew in every round; play every round"
            )


def jump(players: Any, t: Array, stop: Array, replicate: Array, states: Any) -> tuple[Any, ...]:
    """Play from round t on until some player may decide anew, at most to round `stop`.

    With the leader committed to n plays and its follower, under arm a, to m(a), these are the most rounds, up to n, in
    which no arm a of the leader's is played more than m(a) times; likewise with more levels. Sums of payoffs are drawn
    for each joint arm, as all that matters of the payoffs in between.

    Returns the new states, the counts of joint arms, each player's sum of payoffs, and the rounds that were played.
    """
    turns = list(zip(players.learners, players.views, states, strict=True))
    sizes = [arms_of(space) for space in players.game.spaces]
    first, *later = [jnp.asarray(learner.committed(view, state)) for learner, view, state in turns]

    def played(n: Array, upto: int) -> list[Array]:
        """How n rounds fall on the arms of the first players, `[contexts, arms]` for all but the first."""
        found = [n]
        for i, (learner, view, state) in enumerate(turns[:upto]):
            found.append(learner.pulls(view, state, found[-1].reshape(-1) if i else n))
        return found[1:]

    def fits(n: Array) -> Array:
        counts = played(n, len(later))
        return jnp.all(jnp.stack([jnp.all(c.reshape(-1) <= free) for c, free in zip(counts, later, strict=True)]))

    def halve(bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = high - (high - low) // 2
        enough = fits(middle)
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle - 1)

    most = jnp.maximum(jnp.minimum(first, stop - t), 1)
    n = jax.lax.while_loop(lambda bounds: bounds[0] < bounds[1], halve, (jnp.int32(1), most))[0] if later else most
    counts = played(n, len(sizes))[-1].reshape(sizes)
    totals = players.game.total(players.key(None, t, replicate), counts)
    new = []
    for i, (learner, view, state) in enumerate(turns):
        shape = (-1, sizes[i]) if i else (sizes[0],)
        rest = tuple(range(i + 1, len(sizes)))
        mine, paid = jnp.sum(counts, rest).reshape(shape), jnp.sum(totals[i], rest).reshape(shape)
        new.append(learner.absorb(view, state, mine, paid))
    return tuple(new), counts.reshape(-1), tuple(jnp.sum(total) for total in totals), n
