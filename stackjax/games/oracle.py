"""Theorem 1's reduction: the game of a leader whose followers are an oracle that queries its policy."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar

from stackjax import checks
from stackjax._calculus import rollouts
from stackjax._calculus.distributions import check_rows
from stackjax.checks import whole
from stackjax.games import _tables as tables
from stackjax.games._checks import finite_array
from stackjax.games.markov import MarkovGame
from stackjax.protocols import Action, Game, Noise
from stackjax.spaces import Euclidean

#: Most patterns of answers that are summed over.
MOST_PATTERNS = 4096


@runtime_checkable
class Oracle(Protocol):
    """Followers that answer a leader's policy and know of it only what it did in the observations they asked about."""

    @property
    def queries(self) -> Any:
        """The observations of the leader that it asks about, whole numbers `[Q]`."""

    def respond(self, answers: Int[Array, " Q"]) -> tuple[Array, ...]:
        """The followers' policies, probabilities, one a follower, to the leader's actions in the `queries`."""


class OracleGame(Game):
    """The one-player game of the leader of a Markov game against followers that an oracle chooses.

    An episode is the oracle's queries, which the leader answers by its memoryless policy, and then play against the
    policies with which the oracle responds. The leader's action is the logits `[O, A]` of its policy. This is the
    reduction of Theorem 1 of Gerstgrasser & Parkes, Oracles & Followers (2023): a method that maximises this payoff
    finds a Stackelberg equilibrium, *provided that* the queries belong to the leader's trajectory and gradient, look to
    it like play, and pay nothing. Three arguments violate one condition each, to show what then happens (Theorem 2).
    How they do so in a tabular game is a reconstruction.

    The response is to what the leader *answered*, not to its policy: against a stochastic leader the optimum of this
    game is another one than that of the commitment. `commitment_value` says what the leader commits to.

    **Arguments:**

    - `game`: whose player 0 is the leader, alone and without a clock.
    - `oracle`: an `Oracle`, of all other players; a pytree, so that trained followers batch through `in_axes`.
    - `visible`: whether the queries are part of the gradient; False stops it there, static.
    - `query_rewards`: `[O, A]`, paid for an answer as for a step of play; default: none.
    - `recognisable`: whether the leader can tell queries from play; its action is then `[2, O, A]`, first its logits in
      play and second those of its answers. Static.
    - `episodes`: None, and `realise` is exact, so that a gradient is the exact policy gradient; or a whole number of
      at least 2, and it is the mean return of so many sampled episodes, whose gradient is the score-function estimate
      (Williams, 1992) with the mean of the other episodes as baseline, of the rewards still to come for an action of
      play and of the whole return for an answer. Static; needs a horizon.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    game: MarkovGame
    oracle: Oracle
    query_rewards: Float[Array, "O A"] | None
    visible: bool = eqx.field(static=True)
    recognisable: bool = eqx.field(static=True)
    episodes: int | None = eqx.field(static=True)
    levels = ((0,),)

    def __init__(
        self,
        game: MarkovGame,
        oracle: Oracle,
        *,
        visible: bool = True,
        query_rewards: Any = None,
        recognisable: bool = False,
        episodes: int | None = None,
    ):
        if not isinstance(game, MarkovGame):
            raise TypeError(f"game: expected a MarkovGame, got {game!r}")
        if game.levels[0] != (0,) or game.clocked[0]:
            raise ValueError("game: expected one leader, player 0, without a clock")
        _check_oracle(game, oracle)
        self.game, self.oracle = game, oracle
        self.visible = checks.flag("visible", visible)
        self.recognisable = checks.flag("recognisable", recognisable)
        self.query_rewards = (
            None if query_rewards is None else finite_array("query_rewards", query_rewards, self._table)
        )
        self.episodes = None if episodes is None else whole("episodes", episodes, 2)
        if self.episodes is not None and game.horizon is None:
            raise ValueError("episodes: expected a game with a horizon: a discounted episode has no end")
        if self.episodes is None:
            self._patterns()

    @property
    def _table(self) -> tuple[int, int]:
        return self.game.observation_counts[0], self.game.action_counts[0]

    @property
    def _shape(self) -> tuple[int, ...]:
        return (2, *self._table) if self.recognisable else self._table

    @property
    def spaces(self) -> tuple[Euclidean]:
        """The leader's logits."""
        return (Euclidean(self._shape),)

    @property
    def recorded_payoffs(self) -> str:  # type: ignore[override]  # an attribute there; it depends on `episodes` here
        """What is paid; of sampled episodes, exact payoffs would sum over all answers in every round."""
        return "exact" if self.episodes is None else "realised"

    def policy(self, action: Action) -> Float[Array, "O A"]:
        """The probabilities with which the leader plays."""
        logits = self._logits(action)
        return jax.nn.softmax(logits[0] if self.recognisable else logits, axis=-1)

    def answers(self, action: Action) -> Float[Array, "Q A"]:
        """The probabilities of its answers to each query, through which no gradient goes if they are hidden."""
        logits = self._logits(action)
        rows = jax.nn.softmax(logits[1] if self.recognisable else logits, axis=-1)[self._queries]
        return rows if self.visible else jax.lax.stop_gradient(rows)

    def requires(self) -> dict[str, Any]:
        """What the Markov game requires."""
        return self.game.requires()

    def _logits(self, action: Action) -> Array:
        """The leader's logits; a `ValueError` for another shape, which would broadcast."""
        return tables.shaped("action of player 0", action, self._shape, "logits")

    @property
    def _queries(self) -> Int[Array, " Q"]:
        return jnp.asarray(self.oracle.queries, jnp.int32)

    def _patterns(self) -> Int[Array, "patterns Q"]:
        """All answers to all queries; a `ValueError` if they are too many."""
        queries, actions = np.shape(self.oracle.queries)[0], self._table[1]
        if actions**queries > MOST_PATTERNS:
            raise ValueError(
                f"oracle: {queries} queries of {actions} actions have {actions**queries} patterns of answers, too many "
                f"to sum over (at most {MOST_PATTERNS}); give episodes=, and record payoffs='realised'"
            )
        digits = np.indices((actions,) * queries).reshape(queries, -1).T
        return jnp.asarray(digits, jnp.int32)

    def payoffs(self, *actions: Action) -> tuple[Scalar]:
        """Exact: the sum over all answers of their probability times what play against the response then pays."""
        action = _only(actions)
        play, rows = self.policy(action), self.answers(action)
        patterns = self._patterns()
        likely = jnp.prod(jnp.take_along_axis(rows[None], patterns[:, :, None], axis=2)[:, :, 0], axis=1)
        paid = self.game.values_of_many(play, jax.vmap(self.oracle.respond)(patterns))
        total = jnp.sum(likely * paid)
        if self.query_rewards is not None:
            total += self._per_step() * jnp.sum(rows * self.query_rewards[self._queries])
        return (total,)

    def _per_step(self) -> Any:
        """What a reward counts in payoffs per step."""
        return 1 - self.game.discount if self.game.horizon is None else 1 / self.game.horizon

    def draw(self, key: PRNGKeyArray) -> Noise:
        """Uniform numbers for the answers `[n, Q]` and for n episodes; `()` if payoffs are exact."""
        if self.episodes is None:
            return ()
        keys = jax.random.split(jax.random.fold_in(key, 1), self.episodes)
        answers = jax.random.uniform(key, (self.episodes, self._queries.size), self.game.transitions.dtype)
        return answers, jax.vmap(self.game.uniforms)(keys)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar]:
        """What is paid: exact, or the mean return of sampled episodes with the policy gradient as its gradient."""
        if self.episodes is None:
            return self.payoffs(*actions)
        action = _only(actions)
        returns, coming, asked, acted = jax.vmap(lambda u: self._episode(action, *u))(noise)
        scores = jnp.sum(acted * _advantage(coming)) + jnp.sum(asked * _advantage(returns))
        return (rollouts.with_score(jnp.mean(returns), scores / self.episodes),)

    def _episode(self, action: Action, uniforms: Array, play: rollouts.Uniforms) -> tuple[Array, Array, Array, Array]:
        """An episode: its return, what was still to come at each time, and the log-probabilities of what it did.

        Those of the answers as a sum, and those of the actions of play one by one; all in payoffs per step.
        """
        policy, rows = self.policy(action), self.answers(action)
        answers = rollouts.inverse_cdf(jax.lax.stop_gradient(rows), uniforms)
        episode = self.game.episode(play, policy, *self.oracle.respond(answers))
        coming = self._per_step() * rollouts.still_to_come(rollouts.rewards_of(episode, self.game.rewards[0]))
        returns = coming[0]
        if self.query_rewards is not None:
            returns += self._per_step() * jnp.sum(self.query_rewards[self._queries, answers])
        asked = jnp.sum(jnp.log(jnp.take_along_axis(rows, answers[:, None], axis=1)))
        return returns, coming, asked, rollouts.log_probabilities(episode, 0, policy)

    def commitment_value(self, action: Action, ties: str = "optimistic") -> Scalar:
        """The leader's exact payoff of its play policy against the true best response to it, ties broken as named.

        **Raises:** `ValueError` as `MarkovGame.best_response`, for more than one follower for example.
        """
        followers = [None] * (len(self.game.rewards) - 1)
        play = self.policy(action)
        leader = jnp.log(play) if 0 in self.game.logits else play
        response = self.game.best_response(1, (leader, *followers), ties)
        return self.game.values(play, response)[0]


def _only(actions: tuple[Action, ...]) -> Action:
    if len(actions) != 1:
        raise ValueError(f"actions: expected the leader's only, got {len(actions)}")
    return actions[0]


def _advantage(values: Array) -> Array:
    """Each episode's values less the mean of the other episodes', as constants."""
    n = values.shape[0]
    others = (jnp.sum(values, 0, keepdims=True) - values) / (n - 1)
    return jax.lax.stop_gradient(values - others)


def _check_oracle(game: MarkovGame, oracle: Any) -> None:
    """Does it ask about observations that the leader has, and respond with one policy a follower?

    Where they are known, the policies are checked that it responds with if the leader plays action 0 everywhere.
    """
    if not isinstance(oracle, Oracle):
        raise TypeError(f"oracle: expected queries and respond, as in stackjax.games.Oracle, got {oracle!r}")
    queries = tables.asked("oracle.queries", oracle.queries, game.observation_counts[0], 0)
    if queries.ndim != 1 or queries.size == 0:
        raise ValueError(f"oracle.queries: expected at least one observation in one axis, got {queries.shape}")
    found = oracle.respond(jnp.zeros(queries.shape, jnp.int32))
    shapes = [getattr(x, "shape", None) for x in found] if isinstance(found, tuple | list) else found
    expected = [game.policy_shape(i) for i in game.players[1:]]
    if shapes != expected:
        raise ValueError(f"oracle.respond: expected a tuple of policies of the shapes {expected}, got {shapes}")
    name = "oracle.respond"
    for response, shape in zip(found, expected, strict=True):
        check_rows(name, finite_array(name, tables.as_array(name, response), shape))
