"""The contextual follower: one policy for all leaders, whose context is what the leader answers to its queries."""

import itertools
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from stackjax._calculus.consultation import consulted
from stackjax._calculus.distributions import check_rows
from stackjax.checks import as_number, concrete, whole
from stackjax.learners import _episodes
from stackjax.protocols import Action, Dynamics, Learner, Noise, Seen, Signal, View

#: The most contexts of a table.
MOST_CONTEXTS = 65_536


class QueryFollower(Learner):
    """A follower that asks the leader queries, fixed or adaptive, and plays what `respond` makes of the answers.

    Subclasses have `queries`, observations of the leader `[Q]` or, if they depend on the answers, `[Q, A**(Q-1)]`: the
    k-th in the column that the k answers before it say, read as digits; `actions`, how many the leader has; and
    `respond`, one policy a follower. Player 1 plays the first of them. It is an `AdaptiveOracle`.
    """

    queries: eqx.AbstractVar[Any]
    actions: eqx.AbstractVar[int]
    wants = Signal.QUERY
    #: As an oracle: the same answers lead to the same response.
    is_random: ClassVar[bool] = False

    def respond(self, answers: Int[Array, " Q"]) -> tuple[Array, ...]:
        """The followers' policies to the leader's actions in the `queries`."""
        raise NotImplementedError

    def requires(self, view: View) -> dict[str, Any]:
        """A leader with these observations and actions, and a policy of the player's shape."""
        who = f"player {view.player}, {type(self).__name__}"
        if not view.earlier:
            raise ValueError(f"{who}: it is a follower, and nobody moves before it")
        shape: tuple[int, ...] = getattr(jax.tree.leaves(view.earlier[0].struct(view.dtype))[0], "shape", ())
        if len(shape) != 2 or shape[1] != self.actions:
            raise ValueError(f"{who}: actions: the leader's policies have the shape {shape}, not [O, {self.actions}]")
        policies = jax.eval_shape(self.respond, jax.ShapeDtypeStruct(np.shape(self.queries)[:1], jnp.int32))
        mine = view.player - 1
        expected = view.space.struct(view.dtype).shape
        got = policies[mine].shape if mine < len(policies) else None
        if got != expected:
            raise ValueError(f"{who}: policies: expected policies of the shape {expected} for it, got {got}")
        inside = jnp.all((jnp.asarray(self.queries) >= 0) & (jnp.asarray(self.queries) < shape[0]))
        return {f"queries: expected observations of the {shape[0]} that the leader has, counted from 0": inside}

    def init(self, view: View, key: PRNGKeyArray) -> tuple[()]:
        """Nothing to remember."""
        return ()

    # As an oracle

    def questions(self, model: Dynamics) -> int:
        """All queries at once, or one after the other."""
        return 1 if np.ndim(self.queries) == 1 else int(np.shape(self.queries)[0])

    def begin(self, model: Dynamics, key: PRNGKeyArray) -> "Told":
        """No answers yet."""
        return Told(jnp.zeros(np.shape(self.queries)[0], jnp.int32), jnp.int32(0), jnp.int32(0))

    def ask(self, model: Dynamics, memory: "Told") -> Int[Array, " P"]:
        """All queries, or the one that the answers lead to."""
        queries = jnp.asarray(self.queries, jnp.int32)
        return queries if queries.ndim == 1 else queries[memory.k, memory.context][None]

    def hear(self, model: Dynamics, memory: "Told", answers: Int[Array, " P"]) -> "Told":
        """Keep the answers."""
        answers = answers.astype(jnp.int32)
        if np.ndim(self.queries) == 1:
            return memory._replace(answers=answers)
        context = memory.context * self.actions + answers[0]
        return Told(memory.answers.at[memory.k].set(answers[0]), memory.k + 1, context)

    def conclude(self, model: Dynamics, memory: "Told") -> tuple[Array, ...]:
        """What it responds."""
        return self.respond(memory.answers)

    # As a learner

    def act(self, view: View, state: tuple[()], noise: Noise, seen: Seen) -> Action:
        """Ask, and answer. Outside of a round the leader answers by its likeliest actions."""
        unused: Any = None  # no model, and no randomness
        told = consulted(self, unused, unused, lambda asked, k: seen.ask((asked, k))).memory
        return self.respond(told.answers)[view.player - 1].astype(view.dtype)


class Told(NamedTuple):
    """Answers `[Q]`; of adaptive queries, how many there are, and their digits as a number."""

    answers: Int[Array, " Q"]
    k: Int[Array, ""]
    context: Int[Array, ""]


class ContextualFollower(QueryFollower):
    """Plays the policy that a table has for what the leader answered to a fixed set of queries.

    The new member of Gerstgrasser and Parkes' framework (Oracles & Followers, 2023): a follower policy `pi_F(o | c)`
    trained once across random leaders, c the leader's answers, which afterwards responds to any leader in a forward
    pass. It is a query oracle: it sees of the leader's policy only sampled actions. So it answers *them*, and a leader
    who randomises is answered as if it were each of the deterministic ones that its answers look like, at random: the
    best that a leader can do against it may be less than its best commitment. The details of the training are a
    reconstruction.

    **Arguments:**

    - `policies`: a tuple of tables, one a follower, `[contexts, *policy shape]`: probabilities, in the policies' shapes
      of the game, whose last axis sums to 1 (checked unless traced; whole numbers become floating-point ones). A
      context is the answers read as digits, the first the most significant.
    - `actions`: the number of the leader's actions; `contexts = actions ** Q`.
    - `queries`: observations of the leader `[Q]`, whole numbers from 0; default: the first Q of them, in order. Or
      *adaptive* ones, `[Q, actions**(Q-1)]`: query k, counted from 0, is row k's entry in the column of the k answers
      before, read as digits (in the row's first `actions**k` columns; the others aren't used). So it needn't ask what
      those answers make irrelevant.
    - `environment_steps`: what the training cost, queries included, for the record.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` where the leader has no such
    observation, or where the shapes aren't the game's.
    """

    policies: tuple[Any, ...]
    actions: int = eqx.field(static=True)
    queries: Any
    environment_steps: Any

    def __init__(self, policies: Any, actions: int, queries: Any = None, environment_steps: Any = 0):
        tables = policies if isinstance(policies, tuple | list) else (policies,)
        self.policies = tuple(_checked_table(f"policies[{i}]", p) for i, p in enumerate(tables))
        self.actions = whole("actions", actions)
        contexts = {p.shape[0] if p.ndim >= 3 else 0 for p in self.policies}
        if len(contexts) != 1 or 0 in contexts:
            raise ValueError("policies: expected tables [contexts, ..., O, A] of the same number of contexts")
        (found,) = contexts
        asked = round(np.log(found) / np.log(actions)) if queries is None and actions > 1 else 0
        self.queries = _episodes.checked_queries(queries, asked if queries is None else None, self.actions)
        if found != self.actions ** self.queries.shape[0]:
            raise ValueError(
                f"policies: expected actions ** queries = {self.actions}^{self.queries.shape[0]} contexts, got {found}"
            )
        self.environment_steps = environment_steps

    def respond(self, answers: Int[Array, " Q"]) -> tuple[Array, ...]:
        """The policies of the answers' context."""
        context = _episodes.context_of(answers, self.actions)
        return tuple(jnp.asarray(p)[context] for p in self.policies)

    @classmethod
    def exact(cls, game: Any) -> "ContextualFollower":
        """The ideal of training: an exact best response to the deterministic leader that the answers describe.

        All of the leader's observations are asked about. Ties are broken by the game's rule.

        **Arguments:** `game`: a `MarkovGame` of a leader and one follower, who sees the state.
        """
        check_markov(game)
        if len(game.action_counts) != 2:
            raise ValueError(f"game: expected a leader and one follower, got {len(game.action_counts)} players")
        observations, n = game.observation_counts[0], game.action_counts[0]
        _check_contexts(n, observations)
        patterns = np.array(list(itertools.product(range(n), repeat=observations)), np.int32)
        leaders = jax.nn.one_hot(patterns, n)
        if 0 in game.logits:
            leaders = jnp.log(leaders)
        return cls((jax.vmap(lambda x: game.best_response(1, (x, None)))(leaders),), n)

    @classmethod
    def train(
        cls,
        game: Any,
        key: PRNGKeyArray,
        *,
        episodes: int,
        leaders: str = "deterministic",
        queries: Any = None,
        step: Any = 0.5,
        exploration: Any = None,
        parallel: int = 32,
        restarts: Any = 0.3,
        length: int | None = None,
    ) -> "ContextualFollower":
        """Tabular Q-learning across random leaders, each episode with a new one.

        Pure: it jits, and vmaps over keys. Several followers learn at once, each as if the others were a part of the
        environment (independent learning). Nothing guarantees that they end in an equilibrium among themselves: where
        there is none in pure policies they can't, and each learns to answer what the others do *while they explore*.
        So several explore less by default; `equilibria.induced_nash` tells whether what they learned is an equilibrium.

        **Arguments:**

        - `game`: a `MarkovGame`; `key`.
        - `episodes`: how many, a multiple of `parallel`, the number that are played at once.
        - `leaders`: "deterministic", one action an observation, all of them alike; or "uniform", probabilities uniform
          in the simplex, whose answers are sampled. With the former the follower learns a best response to what it was
          answered; with the latter one to the mean of the leaders who may have answered so, probabilities of 2/3 and
          1/3, against whom the prisoner's dilemma has no threats left: so the former is the default.
        - `queries`: which observations of the leader it asks about, as in the class; default: all.
        - `step`: of the values, in (0, 1], a number or a schedule of an entry's earlier updates; a constant suits
          deterministic leaders and transitions.
        - `exploration` in (0, 1]: the probability of a random action; default: 0.7, or 0.1 for several followers.
        - `restarts`: the probability that after a step the episode goes on in a random state, so that the follower
          learns what to do where its leaders wouldn't lead; what leads there is another one, later.
        - `length`: steps after which an episode of a discounted game is cut.

        **Returns:** the follower; `environment_steps` counts the episodes' steps, and a query for each answer.
        """
        check_markov(game)
        schedule = _episodes.learning_rate(step)
        if exploration is None:
            exploration = 0.7 if len(game.action_counts) == 2 else 0.1
        _episodes.check_exploration(exploration)
        _episodes.check_restarts(restarts)
        setting = Setting.of(game, leaders, queries, length, episodes, parallel)
        followers = [game.model(i) for i in range(1, len(game.action_counts))]
        horizon = setting.length if game.horizon is not None else 1
        clocks = [horizon if game.clocked[i] else 1 for i in range(1, len(game.action_counts))]
        tables = [
            _episodes.no_tables(d, i, setting.contexts, c)
            for i, (d, c) in enumerate(zip(followers, clocks, strict=True), start=1)
        ]
        gamma = None if game.horizon is not None else jnp.asarray(game.discount)

        def batch(tables: list[Any], key: PRNGKeyArray) -> tuple[list[Any], None]:
            drawn, _, context = setting.leaders(key)

            def choose(t: Any, seen: list[Array], u: Array) -> list[Array]:
                mine = _episodes.sample(drawn[jnp.arange(parallel), seen[0]], u[0])
                return [mine] + [
                    _episodes.explored(table, context, t, seen[i], u[i], exploration)
                    for i, table in enumerate(tables, start=1)
                ]

            rewards = tuple(d.rewards for d in followers)
            steps = _episodes.rollout(
                followers[0], rewards, choose, jax.random.fold_in(key, 2), parallel, setting.length, restarts
            )
            return [
                _episodes.replayed(table, steps, i, steps.rewards[i - 1], context, schedule, gamma)
                for i, table in enumerate(tables, start=1)
            ], None

        tables = jax.lax.scan(batch, tables, jax.random.split(key, setting.batches))[0]
        policies = tuple(_episodes.greedy(t, c) for t, c in zip(tables, game.clocked[1:], strict=True))
        return cls(policies, game.action_counts[0], setting.queries, setting.environment_steps)


class Setting(eqx.Module):
    """The leaders that a follower is trained across, checked."""

    queries: Array
    kind: str = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)
    length: int = eqx.field(static=True)
    batches: int = eqx.field(static=True)

    @classmethod
    def of(cls, game: Any, kind: str, queries: Any, length: int | None, episodes: Any, parallel: Any) -> "Setting":
        """Check the arguments of a training."""
        if kind not in ("deterministic", "uniform"):
            raise ValueError(f"leaders: expected 'deterministic' or 'uniform', got {kind!r}")
        episodes, parallel = _episodes.counts(episodes, parallel)
        if game.clocked[0]:
            raise ValueError("game: the leader has a clock; followers are trained against memoryless leaders")
        observations, n = game.observation_counts[0], game.action_counts[0]
        asked = _episodes.checked_queries(queries, observations, n)
        _check_contexts(n, asked.shape[0])
        steps = _episodes.episode_length(game.horizon, length)
        dtype = game.model(1).transitions.dtype
        return cls(asked, kind, (parallel, observations, n), dtype, steps, episodes // parallel)

    @property
    def contexts(self) -> int:
        """The number of possible answers."""
        return self.shape[2] ** self.queries.shape[0]

    @property
    def environment_steps(self) -> int:
        """The episodes' steps, and the leader's answers to their queries."""
        return self.shape[0] * self.batches * (self.length + self.queries.shape[0])

    def leaders(self, key: PRNGKeyArray, group: int = 1) -> tuple[Array, Array, Array]:
        """Random policies `[parallel, O, A]`, their answers `[parallel, Q]`, and the contexts `[parallel]`.

        `group` episodes after one another have the same policy and answers.
        """
        parallel, observations, n = self.shape
        policies = _episodes.random_leaders(key, self.kind, (parallel // group, observations, n), self.dtype)
        many = self.queries.shape[0]
        uniform = jax.random.uniform(jax.random.fold_in(key, 1), (policies.shape[0], many), self.dtype)
        if self.queries.ndim == 1:
            answers = _episodes.sample(policies[:, self.queries], uniform)
        else:
            each, context, told = jnp.arange(policies.shape[0]), jnp.zeros(policies.shape[0], jnp.int32), []
            for k in range(many):
                told.append(_episodes.sample(policies[each, self.queries[k, context]], uniform[:, k]))
                context = context * n + told[-1]
            answers = jnp.stack(told, -1)
        policies, answers = jnp.repeat(policies, group, 0), jnp.repeat(answers, group, 0)
        return policies, answers, _episodes.context_of(answers, self.shape[2])


def check_markov(game: Any) -> None:
    """An error unless it has what a Markov game has, and followers with probabilities."""
    if not all(hasattr(game, name) for name in ("observation_counts", "action_counts", "clocked", "horizon")):
        raise TypeError(f"game: expected a MarkovGame, got {game!r}")
    if len(game.action_counts) < 2:
        raise ValueError("game: expected a leader and at least one follower, got a single player")
    if any(player > 0 for player in game.logits):
        raise ValueError(f"game: expected followers who act by probabilities, got logits={game.logits}")


def _checked_table(name: str, table: Any) -> Any:
    """A table of floating-point numbers; where they are known, of probabilities."""
    known = as_number(table if eqx.is_array(table) else np.asarray(table))
    if not jnp.issubdtype(known.dtype, jnp.floating):
        raise TypeError(f"{name}: expected probabilities, got the type {known.dtype}")
    if concrete(known):
        rounded = np.asarray(known, jax.dtypes.canonicalize_dtype(known.dtype))  # as it is computed with
        if not np.all(np.isfinite(rounded)):
            raise ValueError(f"{name}: expected finite probabilities, got {rounded[~np.isfinite(rounded)][0]}")
        check_rows(name, rounded)
    return known


def _check_contexts(actions: int, queries: int) -> None:
    if actions**queries > MOST_CONTEXTS:
        raise ValueError(
            f"queries: expected at most {MOST_CONTEXTS} possible answers, got {actions}^{queries}; ask about fewer "
            "observations, or take a NeuralFollower"
        )
