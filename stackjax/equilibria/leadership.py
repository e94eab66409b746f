"""Who would rather lead: both players' payoffs as leader, as follower, and at Nash."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray, Scalar

from stackjax._constraints import has_constraints
from stackjax.equilibria.certify import Certificate
from stackjax.equilibria.search import find
from stackjax.protocols import Action, Game
from stackjax.spaces import Space


class Roles(NamedTuple):
    """What both players are paid in each order of play.

    **Attributes:** `payoffs` `[2, 2]`: row i those of both players where player i leads; `nash` `[n, 2]`, at the Nash
    equilibria that were found; `notes`: sentences about what is doubtful.
    """

    payoffs: Float[np.ndarray, "2 2"]
    nash: Float[np.ndarray, "n 2"]
    notes: tuple[str, ...]

    @property
    def preferred(self) -> tuple[int, int]:
        """The leader whom each player would choose; equal payoffs, to rounding, count for itself."""
        gain = self.payoffs[0] - self.payoffs[1]  # of player 0's leading
        slack = 1e-9 * (1 + np.abs(self.payoffs).max(0))
        return int(gain[0] < -slack[0]), int(gain[1] <= slack[1])

    @property
    def kind(self) -> str:
        """Either "concurrent", if both want the same leader, or "both would lead" or "both would follow"."""
        first, second = self.preferred
        if first == second:
            return "concurrent"
        return "both would lead" if (first, second) == (0, 1) else "both would follow"


class _Exchanged(Game):
    """A game whose second player leads."""

    game: Game
    levels = ((0,), (1,))

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The game's, the other way round."""
        return self.game.spaces[::-1]

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """The game's, the other way round."""
        return tuple(self.game.payoffs(*actions[::-1]))[::-1]


def roles(game: Game, key: PRNGKeyArray, starts: int = 256, **options: Any) -> Roles:
    """Who would rather lead, both orders of play being searched for their differential Stackelberg equilibria.

    The one that pays its leader most counts, of those at which the follower has no better answer elsewhere. If both
    players prefer the same leader the game's solution is called concurrent, otherwise non-concurrent; then both would
    lead, as in quantity competition, or both would follow (Basar and Olsder, 1998; Sec. 2.2.3 of Fiez et al., 2019).

    **Arguments:** `game` of two players, without constraints beside its spaces; `key`, `starts` and `options`: those of
    `find`, which looks for equilibria.

    **Returns:** a `Roles`.

    **Raises:** `ValueError` if some order has no Stackelberg equilibrium that was found, and that names the argument.

    >>> import jax
    >>> from stackjax.equilibria import roles
    >>> from stackjax.games import from_payoffs
    >>> from stackjax.spaces import Euclidean
    >>> game = from_payoffs(
    ...     lambda x, y: (95 - x - y) * x, lambda x, y: (98 - x - y) * y, spaces=(Euclidean(()), Euclidean(()))
    ... )
    >>> found = roles(game, jax.random.key(0), 4, replies=0)
    >>> found.kind, found.payoffs.round(4).tolist()
    ('both would lead', [[1058.0, 676.0], [495.0625, 1275.125]])
    """
    if len(game.spaces) != 2:
        raise ValueError(f"game: expected two players, got {len(game.spaces)}")
    if has_constraints(game):
        raise ValueError("game: it has constraints beside its spaces, which say who moves first")
    searched = [find(each, key, starts, **options) for each in (game, _Exchanged(game))]
    paid = []
    for i, found in enumerate(searched):
        best = _best(found.stackelberg)
        if best is None:
            raise ValueError(f"game: no Stackelberg equilibrium was found in which player {i} leads")
        paid.append(best.payoffs[:: 1 if i == 0 else -1])
    nash = np.array([c.payoffs for c in searched[0].nash if c.better_reply is None]).reshape(-1, 2)
    said = tuple(f"player {i} leading: {note}" for i, found in enumerate(searched) for note in found.notes)
    return Roles(np.array(jax.tree.map(np.asarray, paid), np.float64), nash, said)


def _best(found: tuple[Certificate, ...]) -> Certificate | None:
    """The first of `find`'s order, by the leader's payoff, whose follower has no better answer."""
    return next((c for c in found if c.better_reply is None), None)
