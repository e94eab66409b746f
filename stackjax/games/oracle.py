"""Theorem 1's reduction: the game of a leader whose followers are an oracle that queries its policy."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Scalar

from stackjax import checks
from stackjax._calculus import rollouts
from stackjax._calculus.consultation import Consultation, consulted
from stackjax._calculus.distributions import check_rows
from stackjax.checks import concrete, whole
from stackjax.games import _tables as tables
from stackjax.games._checks import finite_array
from stackjax.games.markov import MarkovGame
from stackjax.protocols import Action, Dynamics, Game, Noise, same_structure
from stackjax.spaces import Euclidean

#: Most patterns of answers that are summed over.
MOST_PATTERNS = 4096


@runtime_checkable
class Oracle(Protocol):
    """Followers that answer a leader's policy and know of it only what it did in a fixed set of observations.

    One that asks what the answers before say is an `AdaptiveOracle`.
    """

    @property
    def queries(self) -> Any:
        """The observations of the leader that it asks about, whole numbers `[Q]`."""

    def respond(self, answers: Int[Array, " Q"]) -> tuple[Array, ...]:
        """The followers' policies, probabilities, one a follower, to the leader's actions in the `queries`."""


@runtime_checkable
class AdaptiveOracle(Protocol):
    """Followers that ask the leader one question after the other, each as the answers before say.

    A state machine: `begin`, then `questions` times `ask` and `hear`, then `conclude`. Whatever learns from play with
    the leader before the play that counts is one, a question being what the leader does in a step of practice. `model`
    is what player 1 may simulate by itself (`MarkovGame.model`). All methods are pure functions of one replicate; what
    they remember is any pytree, the same in shapes and types after each answer.

    **Attributes:** `is_random`: whether two runs may respond differently to the same answers.
    """

    is_random: bool

    def questions(self, model: Dynamics) -> int:
        """How many questions it asks: a Python number of at least 1."""

    def begin(self, model: Dynamics, key: PRNGKeyArray) -> Any:
        """Its memory before the first question; `key`: all of its randomness."""

    def ask(self, model: Dynamics, memory: Any) -> Int[Array, " P"]:
        """The observations of the leader that it asks about next, P at once."""

    def hear(self, model: Dynamics, memory: Any, answers: Int[Array, " P"]) -> Any:
        """Its memory after the leader's actions in them."""

    def conclude(self, model: Dynamics, memory: Any) -> tuple[Array, ...]:
        """The followers' policies, probabilities, one a follower, after the last answer."""


class _Fixed(eqx.Module):
    """An oracle with fixed queries as one that asks them all at once."""

    oracle: Any
    is_random = False

    def questions(self, model: Dynamics) -> int:
        return 1

    def begin(self, model: Dynamics, key: Any) -> Array:
        return jnp.zeros(np.shape(self.oracle.queries), jnp.int32)

    def ask(self, model: Dynamics, memory: Array) -> Array:
        return jnp.asarray(self.oracle.queries, jnp.int32)

    def hear(self, model: Dynamics, memory: Array, answers: Array) -> Array:
        return answers

    def conclude(self, model: Dynamics, memory: Array) -> tuple[Array, ...]:
        found: tuple[Array, ...] = self.oracle.respond(memory)
        return found


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
    - `oracle`: an `Oracle` or an `AdaptiveOracle`, of all other players; a pytree, so that trained followers batch
      through `in_axes`.
    - `visible`: whether the queries are part of the gradient; False stops it there, static.
    - `query_rewards`: `[O, A]`, paid for an answer as for a step of play; default: none.
    - `recognisable`: whether the leader can tell queries from play; its action is then `[2, O, A]`, first its logits in
      play and second those of its answers. Static.
    - `episodes`: None, and `realise` is exact, so that a gradient is the exact policy gradient; this sums over all
      answers, and needs an oracle that isn't random. Or a whole number of at least 2, and it is the mean return of so
      many sampled episodes, whose gradient is the score-function estimate (Williams, 1992) with the mean of the other
      episodes as baseline, of the rewards still to come for an action of play and of the whole return for an answer.
      Static; needs a horizon.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    game: MarkovGame
    oracle: Oracle | AdaptiveOracle
    query_rewards: Float[Array, "O A"] | None
    visible: bool = eqx.field(static=True)
    recognisable: bool = eqx.field(static=True)
    episodes: int | None = eqx.field(static=True)
    levels = ((0,),)

    def __init__(
        self,
        game: MarkovGame,
        oracle: Oracle | AdaptiveOracle,
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

    def answers(self, action: Action) -> Float[Array, "O A"]:
        """The probabilities with which it answers queries, through which no gradient goes if they are hidden."""
        logits = self._logits(action)
        rows = jax.nn.softmax(logits[1] if self.recognisable else logits, axis=-1)
        return rows if self.visible else jax.lax.stop_gradient(rows)

    def requires(self) -> dict[str, Any]:
        """What the Markov game requires."""
        return self.game.requires()

    def _logits(self, action: Action) -> Array:
        """The leader's logits; a `ValueError` for another shape, which would broadcast."""
        return tables.shaped("action of player 0", action, self._shape, "logits")

    @property
    def _asking(self) -> Any:
        """The oracle as one that asks question by question."""
        return self.oracle if isinstance(self.oracle, AdaptiveOracle) else _Fixed(self.oracle)

    def asked(self) -> tuple[int, int]:
        """How many questions an episode has, and how many observations each of them."""
        model = self.game.model(1)
        asked = jax.eval_shape(lambda key: _first_question(self._asking, model, key), jax.random.key(0))
        return self._asking.questions(model), asked.shape[0]

    def _patterns(self) -> Int[Array, "patterns questions P"]:
        """All answers to all questions; a `ValueError` if they are too many, or don't say what the response is."""
        if self._asking.is_random:
            raise ValueError(
                "oracle: it is random, so that no sum over answers is its exact payoff; give episodes=, and record "
                "payoffs='realised'"
            )
        (questions, each), actions = self.asked(), self._table[1]
        queries = questions * each
        if actions**queries > MOST_PATTERNS:
            raise ValueError(
                f"oracle: {queries} queries of {actions} actions have {actions**queries} patterns of answers, too many "
                f"to sum over (at most {MOST_PATTERNS}); give episodes=, and record payoffs='realised'"
            )
        digits = np.indices((actions,) * queries).reshape(queries, -1).T
        return jnp.asarray(digits.reshape(-1, questions, each), jnp.int32)

    def _consulted(self, key: PRNGKeyArray, answer: Any) -> tuple[Consultation, tuple[Array, ...], Array]:
        """What was asked and answered, the policies with which the oracle responds, and whether that is to be trusted.

        Not if it asked about an observation that the leader doesn't have, whose answer would be another's, nor if its
        policies aren't finite, from which actions would be drawn all the same.
        """
        model = self.game.model(1)
        found = consulted(self._asking, model, key, answer)
        policies = self._asking.conclude(model, found.memory)
        finite = jnp.isfinite(sum(jnp.sum(policy) for policy in policies))
        there = jnp.all((found.asked >= 0) & (found.asked < self._table[0]))
        return found, policies, finite & there

    def respond(self, action: Action, key: PRNGKeyArray) -> tuple[Array, ...]:
        """The followers' policies after an episode's questions, answered at random by the leader's policy."""
        keys = jax.random.split(key)
        ends = rollouts.thresholds(self.answers(action))
        uniforms = jax.random.uniform(keys[0], self.asked(), self.game.transitions.dtype)
        _, policies, good = self._consulted(keys[1], lambda asked, k: rollouts.beyond(ends[asked], uniforms[k]))
        return tuple(jnp.where(good, policy, jnp.nan) for policy in policies)

    def estimated(self, action: Action, key: PRNGKeyArray, responses: int) -> Scalar:
        """The payoff estimated by the mean of so many responses, each valued exactly; rewards of queries left out.

        Where the oracle is random or its answers are too many to sum over.
        """
        play = self.policy(action)
        keys = jax.random.split(key, whole("responses", responses))
        return jnp.mean(self.game.values_of_many(play, jax.vmap(lambda k: self.respond(action, k))(keys)))

    def payoffs(self, *actions: Action) -> tuple[Scalar]:
        """Exact: the sum over all answers of their probability times what play against the response then pays."""
        action = _only(actions)
        play, rows = self.policy(action), self.answers(action)
        patterns = self._patterns()
        key = jax.random.key(0)  # of an oracle that isn't random
        found, responses, good = jax.vmap(lambda told: self._consulted(key, lambda _, k: told[k]))(patterns)
        likely = jnp.prod(rows[found.asked, found.answers], axis=(1, 2))
        paid = jnp.where(good, self.game.values_of_many(play, responses), jnp.nan)
        if self.query_rewards is not None:
            paid += self._per_step() * jnp.sum(self.query_rewards[found.asked, found.answers], axis=(1, 2))
        return (jnp.sum(likely * paid),)

    def _per_step(self) -> Any:
        """What a reward counts in payoffs per step."""
        return 1 - self.game.discount if self.game.horizon is None else 1 / self.game.horizon

    def draw(self, key: PRNGKeyArray) -> Noise:
        """Of n episodes uniform numbers for the answers `[n, questions, P]` and for play, and the oracle's key's words.

        `()` if payoffs are exact.
        """
        if self.episodes is None:
            return ()
        keys = jax.random.split(jax.random.fold_in(key, 1), self.episodes)
        answers = jax.random.uniform(key, (self.episodes, *self.asked()), self.game.transitions.dtype)
        own = jnp.zeros((self.episodes, 2), jnp.uint32)
        if self._asking.is_random:
            own = jax.random.bits(jax.random.fold_in(key, 2), own.shape, own.dtype)
        return answers, jax.vmap(self.game.uniforms)(keys), own

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar]:
        """What is paid: exact, or the mean return of sampled episodes with the policy gradient as its gradient."""
        if self.episodes is None:
            return self.payoffs(*actions)
        action = _only(actions)
        returns, coming, asked, acted = jax.vmap(lambda u: self._episode(action, *u))(noise)
        scores = jnp.sum(acted * _advantage(coming)) + jnp.sum(asked * _advantage(returns))
        return (rollouts.with_score(jnp.mean(returns), scores / self.episodes),)

    def _episode(
        self, action: Action, uniforms: Array, play: rollouts.Uniforms, words: Array
    ) -> tuple[Array, Array, Array, Array]:
        """An episode: its return, what was still to come at each time, and the log-probabilities of what it did.

        Those of the answers as a sum, and those of the actions of play one by one; all in payoffs per step.
        """
        policy, rows = self.policy(action), self.answers(action)
        ends = rollouts.thresholds(jax.lax.stop_gradient(rows))
        key = jax.random.wrap_key_data(words, impl="threefry2x32")
        found, responses, good = self._consulted(key, lambda asked, k: rollouts.beyond(ends[asked], uniforms[k]))
        episode = self.game.episode(play, policy, *responses)
        coming = self._per_step() * rollouts.still_to_come(rollouts.rewards_of(episode, self.game.rewards[0]))
        coming = jnp.where(good, coming, jnp.nan)
        returns = coming[0]
        if self.query_rewards is not None:
            returns += self._per_step() * jnp.sum(self.query_rewards[found.asked, found.answers])
        return returns, coming, _log_likelihood(rows, found), rollouts.log_probabilities(episode, 0, policy)

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


def _uses_key(oracle: AdaptiveOracle, model: Dynamics) -> bool:
    """Does its beginning depend on the key? Then a sum over answers would be that of one key."""
    program = jax.make_jaxpr(lambda key: jax.tree.leaves(oracle.begin(model, key)))(jax.random.key(0)).jaxpr
    (key,) = program.invars
    return any(key is x for equation in program.eqns for x in equation.invars) or any(key is x for x in program.outvars)


def _log_likelihood(rows: Float[Array, "O A"], found: Consultation) -> Scalar:
    """The logarithm of the probability of all answers, by how often each was given: its gradient needs no scatter."""
    places = (found.asked * rows.shape[1] + found.answers).ravel()
    often = jnp.sum(places[:, None] == jnp.arange(rows.size, dtype=places.dtype)[None], 0).reshape(rows.shape)
    given = often > 0  # an answer that wasn't given may have the probability 0
    return jnp.sum(jnp.where(given, often.astype(rows.dtype) * jnp.log(jnp.where(given, rows, 1)), 0))


def _first_question(oracle: Any, model: Dynamics, key: PRNGKeyArray) -> Array:
    asked: Array = oracle.ask(model, oracle.begin(model, key))
    return asked


def _check_oracle(game: MarkovGame, oracle: Any) -> None:
    """Does it ask about observations that the leader has, and respond with one policy a follower?

    Where they are known, the policies are checked that it responds with if the leader plays action 0 everywhere.
    """
    if isinstance(oracle, AdaptiveOracle):
        _check_adaptive(game, oracle)
        return
    if not isinstance(oracle, Oracle):
        raise TypeError(
            "oracle: expected queries and respond, as in stackjax.games.Oracle, or the methods of "
            f"stackjax.games.AdaptiveOracle, got {oracle!r}"
        )
    queries = tables.asked("oracle.queries", oracle.queries, game.observation_counts[0], 0)
    if queries.ndim != 1 or queries.size == 0:
        raise ValueError(f"oracle.queries: expected at least one observation in one axis, got {queries.shape}")
    _check_policies("oracle.respond", game, oracle.respond(jnp.zeros(queries.shape, jnp.int32)))


def _check_policies(name: str, game: MarkovGame, found: Any) -> None:
    """One policy a follower, of its shape; probabilities, where they are known."""
    shapes = [getattr(x, "shape", None) for x in found] if isinstance(found, tuple | list) else found
    expected = [game.policy_shape(i) for i in game.players[1:]]
    if shapes != expected:
        raise ValueError(f"{name}: expected a tuple of policies of the shapes {expected}, got {shapes}")
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in found):
        return
    for response, shape in zip(found, expected, strict=True):
        check_rows(name, finite_array(name, tables.as_array(name, response), shape))


def _check_adaptive(game: MarkovGame, oracle: AdaptiveOracle) -> None:
    """Whole questions about observations that there are, a memory that keeps its shapes, and policies."""
    model = game.model(1)
    whole("oracle.questions", oracle.questions(model))
    if not checks.flag("oracle.is_random", oracle.is_random) and _uses_key(oracle, model):
        raise ValueError("oracle.is_random: expected True, as its begin uses the key")
    observations = game.observation_counts[0]

    def first(key: PRNGKeyArray) -> tuple[Any, Any, Any, Any]:
        memory = oracle.begin(model, key)
        asked = oracle.ask(model, memory)
        after = oracle.hear(model, memory, jnp.zeros(jnp.shape(asked), jnp.int32))
        return memory, asked, after, oracle.conclude(model, after)

    before, asked, after, policies = eqx.filter_eval_shape(first, jax.random.key(0))
    if getattr(asked, "ndim", None) != 1 or not jnp.issubdtype(asked.dtype, jnp.integer) or asked.shape[0] == 0:
        raise ValueError(f"oracle.ask: expected whole numbers, at least one observation in one axis, got {asked}")
    kept, found = ([(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (before, after))
    if not same_structure(before, after) or kept != found:
        raise ValueError(
            f"oracle.hear: expected a memory of the shapes and types of the one before, {kept}, got {found}"
        )
    _check_policies("oracle.conclude", game, policies)
    if not concrete((game, oracle)):
        return
    _, asked, _, policies = first(jax.random.key(0))
    tables.asked("oracle.ask", asked, observations, 0)
    _check_policies("oracle.conclude", game, policies)
