"""Tabular Markov games between memoryless policies: exact values, exact best responses, sampled episodes, queries."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree, Scalar

from stackjax import checks
from stackjax._calculus import markov, rollouts
from stackjax._calculus.distributions import are_rows
from stackjax.games import _tables as tables
from stackjax.games.iterated import IteratedMatrixGame
from stackjax.protocols import Action, Dynamics, Game, Noise, one_leader
from stackjax.spaces import Euclidean, Simplex

_SIGNS = {"optimistic": 1, "pessimistic": -1}


class MarkovGame(Game):
    """A Markov game with finitely many states, in which an action is a whole memoryless policy and a round an episode.

    In every step each player sees its observation of the state and chooses an action by its policy; all are paid, and
    the next state is drawn. Payoffs are *per step*, in the units of the rewards: the mean over a `horizon`, or
    `(1 - discount) sum_t discount^t r_t`. The definition is Definition 1 of Gerstgrasser & Parkes, Oracles & Followers
    (2023), with observations of the state alone.

    A policy is `[O_i, A_i]`, probabilities of the actions in each observation, and `[H, O_i, A_i]` for a `clocked`
    player, who knows the time.

    **Arguments:** S states, N players, A_i actions and O_i observations of player i.

    - `transitions`: `[S, A_0, ..., A_{N-1}, S]`, the next state's distribution.
    - `rewards`: one array `[S, A_0, ..., A_{N-1}]` a player, as a tuple or stacked.
    - `initial`: the first state's distribution `[S]`; default: state 0.
    - `horizon`: a whole number of steps, static; or `discount` in [0, 1), a leaf. Exactly one of them.
    - `observations`: one entry a player: None if it sees the state, `[S, O_i]` distributions of its observation, or
      whole numbers `[S]`. Default: everybody sees the state.
    - `clocked`: one entry a player, whether it knows the time. Default: with a horizon, all but the first level.
    - `logits`: the players whose actions are logits of their policies, in all of R^d, instead of probabilities.
    - `ties`: which of its best actions a best response takes: the best ones for player 0 ("optimistic", the strong
      Stackelberg equilibrium) or the worst ones ("pessimistic", the weak one).
    - `sampled`: whether a round pays what one sampled episode pays; needs a horizon. Its gradient is then that of the
      score-function estimate (Williams, 1992), without baseline.
    - `levels`: who moves together; default: player 0 leads, and all the others follow together.

    Every array is a leaf: for a batch of games on a leading axis, `vmap` the constructor, and give `play` the
    `in_axes`. Of what is mapped or traced, the constructor checks the shapes and no values; `play` looks for rows that
    don't sum to 1.

    **Raises:** `ValueError` or `TypeError` that names the argument.

    >>> import jax.numpy as jnp
    >>> from stackjax.games import IteratedMatrixGame, MarkovGame
    >>> game = MarkovGame.repeated(IteratedMatrixGame.prisoners_dilemma(), horizon=10)
    >>> p = jnp.array([0.0, 1.0, 0.0, 1.0, 0.0])  # defect first, then copy the other
    >>> leader = jnp.stack([p, 1 - p], axis=-1)
    >>> response = game.best_response(1, (leader, None))
    >>> [round(float(payoff), 3) for payoff in game.payoffs(leader, response)]
    [-1.1, -1.1]
    """

    transitions: Float[Array, "..."]
    rewards: tuple[Float[Array, "..."], ...]
    initial: Float[Array, " S"]
    discount: Any
    observations: tuple[Float[Array, "S O"] | None, ...]
    horizon: int | None = eqx.field(static=True)
    clocked: tuple[bool, ...] = eqx.field(static=True)
    logits: tuple[int, ...] = eqx.field(static=True)
    ties: str = eqx.field(static=True)
    sampled: bool = eqx.field(static=True)
    levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __init__(
        self,
        transitions: Any,
        rewards: Any,
        initial: Any = None,
        *,
        horizon: int | None = None,
        discount: Any = None,
        observations: Sequence[Any] | None = None,
        clocked: Sequence[bool] | None = None,
        logits: Sequence[int] = (),
        ties: str = "optimistic",
        sampled: bool = False,
        levels: Sequence[Sequence[int]] | None = None,
    ):
        self.transitions = tables.transitions("transitions", transitions)
        players = self.transitions.ndim - 2
        states = self.transitions.shape[-1]
        self.rewards = tables.rewards("rewards", rewards, self.transitions.shape[:-1])
        self.initial = tables.initial("initial", initial, states, self.transitions.dtype)
        self.horizon, self.discount = tables.time(horizon, discount)
        self.observations = tables.observations("observations", observations, players, states, self.transitions.dtype)
        self.levels = one_leader(players) if levels is None else tables.levels("levels", levels, players)
        timed = tuple(self.horizon is not None and i not in self.levels[0] for i in range(players))
        self.clocked = timed if clocked is None else tables.flags("clocked", clocked, players)
        if self.horizon is None and any(self.clocked):
            raise ValueError("clocked: expected no clocks with a discount: a policy would be infinite; give a horizon")
        self.logits = tables.players("logits", logits, players)
        self._sign(ties)
        self.ties, self.sampled = ties, checks.flag("sampled", sampled)
        if self.sampled and self.horizon is None:
            raise ValueError("sampled: expected a horizon: a discounted episode has no end")

    @classmethod
    def repeated(
        cls, stage: IteratedMatrixGame, *, horizon: int | None = None, discount: Any = None, **options: Any
    ) -> "MarkovGame":
        """A 2x2 game repeated between players who remember its last outcome: states start, CC, CD, DC, DD.

        The leader's action comes first, and action 0 is C, as in `stage`, whose discount is taken if neither `horizon`
        nor `discount` is given. `options`: as in the class.
        """
        if not isinstance(stage, IteratedMatrixGame):
            raise TypeError(f"stage: expected an IteratedMatrixGame, got {stage!r}")
        if horizon is None and discount is None:
            discount = stage.discount
        moves = np.zeros((5, 2, 2, 5))
        for a, b in np.ndindex(2, 2):
            moves[:, a, b, 1 + 2 * a + b] = 1
        paid = [jnp.asarray(m, jnp.result_type(float)) for m in (stage.leader_payoffs, stage.follower_payoffs)]
        rewards = tuple(jnp.broadcast_to(m[None], (5, 2, 2)) for m in paid)
        return cls(moves, rewards, horizon=horizon, discount=discount, **options)

    @property
    def players(self) -> range:
        """The players, 0 to N - 1."""
        return range(len(self.rewards))

    @property
    def action_counts(self) -> tuple[int, ...]:
        """The number of actions A_i of each player."""
        return tuple(self.rewards[0].shape[-len(self.rewards) :])

    @property
    def observation_counts(self) -> tuple[int, ...]:
        """The number of observations O_i of each player."""
        states: int = self.transitions.shape[-1]
        return tuple(states if e is None else e.shape[-1] for e in self.observations)

    @property
    def spaces(self) -> tuple[Simplex | Euclidean, ...]:
        """The policies of each player, as probabilities or as logits."""
        return tuple(self._space(i) for i in self.players)

    def _space(self, player: int) -> Simplex | Euclidean:
        *rows, actions = self.policy_shape(player)
        return Euclidean((*rows, actions)) if player in self.logits else Simplex(actions, tuple(rows))

    def _player(self, player: int) -> int:
        return tables.player(player, len(self.rewards))

    def policy_shape(self, player: int) -> tuple[int, ...]:
        """The shape of a player's policy: `(O_i, A_i)`, or `(H, O_i, A_i)` if it knows the time."""
        player = self._player(player)
        shape = self.observation_counts[player], self.action_counts[player]
        return (self.horizon, *shape) if self.clocked[player] and self.horizon is not None else shape

    def policy(self, player: int, action: Action) -> Array:
        """The probabilities that an action stands for; a `ValueError` for a known one that isn't in its space."""
        return tables.policy(player, action, self.policy_shape(player), player in self.logits)

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """Exact payoffs per step, by following the states' distribution or by a linear solve. Differentiable."""
        return self.values(*self._policies(actions))

    def values(self, *policies: Array | None) -> tuple[Scalar, ...]:
        """The same of policies that are all given as probabilities, even those of players who act by logits."""
        acting = self._in_states(policies)
        return markov.payoffs(self.initial, self.transitions, self.rewards, acting, self.horizon, self.discount)

    def values_of_many(self, leader: Array, followers: tuple[Array, ...]) -> Float[Array, " P"]:
        """Player 0's exact payoffs, if it plays its policy `leader`, for P joint policies of the others.

        **Arguments:** probabilities; those of a follower with a leading axis of length P.

        **Raises:** `ValueError` for other shapes, a leader with a clock, or a game of one player.
        """
        if self.clocked[0]:
            raise ValueError("leader: expected one without a clock")
        leader = tables.shaped("leader", leader, self.policy_shape(0), "a policy")
        followers = tuple(tables.as_array("followers", p) for p in followers)
        expected = [self.policy_shape(i) for i in self.players[1:]]
        lengths = {p.shape[:1] for p in followers}
        if not expected or [p.shape[1:] for p in followers] != expected or len(lengths) != 1 or lengths == {(0,)}:
            raise ValueError(
                f"followers: expected as many policies of each follower, of the shapes {expected}, got arrays of the "
                f"shapes {[p.shape for p in followers]}"
            )
        others = [None] * len(followers)
        acting = self._in_states((leader, *others))
        moves, rewards = markov.average(self.transitions, acting, 1), markov.average(self.rewards[0], acting)
        pairs = zip(followers, self.observations[1:], strict=True)
        many = [jnp.moveaxis(markov.state_policy(p, e), 0, -1) for p, e in pairs]
        return markov.values_of_many(self.initial, moves, rewards, many, self.horizon, self.discount)

    def states(self, *actions: Action) -> Float[Array, " S"]:
        """How often each state is visited, discounted like the payoffs; they sum to 1."""
        return jnp.mean(self._visits(self._in_states(self._policies(actions))), 0)

    def best_response(self, player: int, actions: tuple[Action | None, ...], ties: str | None = None) -> Action:
        """The best policy against the others' `actions`, deterministic: exact, by dynamic programming.

        By backward induction over a horizon, by policy iteration with a discount. Actions tie whose values differ by no
        more than 1e-9 (float32: 1e-5) of the largest value that the game can have for the player; among those it
        chooses as `ties` says, the game's if it is None. Its own entry in `actions` is ignored.

        **Raises:** `ValueError` for a player that there isn't, who isn't alone in the last level, doesn't see the state
        (its best memoryless policy isn't found by dynamic programming), has no clock although there is a horizon
        (likewise), or acts by logits (which would be infinite).
        """
        player = self._player(player)
        self._check_alone(player)
        others = [None if i == player else action for i, action in enumerate(actions)]
        # A best response is constant in the actions, but for jumps.
        acting = jax.lax.stop_gradient(self._in_states(self._policies(others, player)))
        moves, own, leader = jax.lax.stop_gradient((self.transitions, self.rewards[player], self.rewards[0]))
        response = markov.Response(
            markov.average(moves, acting, 1),
            markov.average(own, acting),
            markov.average(leader, acting),
            self._sign(self.ties if ties is None else ties),
        )
        if self.horizon is None:
            return markov.policy_iteration(response, jax.lax.stop_gradient(jnp.asarray(self.discount)))
        return markov.backward_induction(response, self.horizon)

    def _sign(self, ties: str) -> int:
        if not isinstance(ties, str) or ties not in _SIGNS:
            raise ValueError(f"ties: expected one of {list(_SIGNS)}, got {ties!r}")
        return _SIGNS[ties]

    def _check_alone(self, player: int) -> None:
        reasons = {
            "isn't alone in the last level, so its best response depends on players who answer it": self.levels[-1]
            != (player,),
            "doesn't see the state: dynamic programming would need it": self.observations[player] is not None,
            "has no clock: over a horizon the best policy depends on the time": self.horizon is not None
            and not self.clocked[player],
            "acts by logits: those of a best response are infinite": player in self.logits,
        }
        for reason, holds in reasons.items():
            if holds:
                raise ValueError(f"best_response: player {player} {reason}")

    def _policies(self, actions: Sequence[Action | None], unknown: int | None = None) -> list[Array | None]:
        """Everybody's policies; None for the player whose action is unknown."""
        if len(actions) != len(self.rewards):
            raise ValueError(f"actions: expected one a player ({len(self.rewards)}), got {len(actions)}")
        missing = [i for i, action in enumerate(actions) if action is None and i != unknown]
        if missing:
            raise ValueError(f"actions: expected those of players {missing} too, got None")
        return [None if action is None else self.policy(i, action) for i, action in enumerate(actions)]

    def _in_states(self, policies: Sequence[Array | None]) -> list[Array | None]:
        """What everybody does in each state, `[..., S, A_i]`."""
        pairs = zip(policies, self.observations, strict=True)
        return [None if p is None else markov.state_policy(p, e) for p, e in pairs]

    def _visits(self, acting: Sequence[Array | None]) -> Array:
        moves = markov.average(self.transitions, acting, 1)
        return markov.visits(self.initial, moves, self.horizon, self.discount)

    @property
    def recorded_payoffs(self) -> str:  # type: ignore[override]  # an attribute there; it depends on `sampled` here
        """What is paid; exact payoffs would cost another round."""
        return "realised" if self.sampled else "exact"

    def draw(self, key: PRNGKeyArray) -> Noise:
        """The key of the answers to queries and, of a sampled game, the uniform numbers of an episode."""
        asked = jax.random.fold_in(key, 1)
        return asked, self.uniforms(key) if self.sampled else ()

    def uniforms(self, key: PRNGKeyArray) -> rollouts.Uniforms:
        """The uniform numbers of one episode."""
        if self.horizon is None:
            raise ValueError("uniforms: expected a game with a horizon: a discounted episode has no end")
        return rollouts.draw_uniforms(key, self.horizon, len(self.rewards), self.transitions.dtype)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """The exact payoffs, or what one sampled episode pays per step."""
        if not self.sampled:
            return self.payoffs(*actions)
        policies = [self.policy(i, action) for i, action in enumerate(actions)]
        episode = self.episode(noise[1], *policies)
        paid = [rollouts.rewards_of(episode, r) for r in self.rewards]
        logs = sum(rollouts.log_probabilities(episode, i, p) for i, p in enumerate(policies))
        scores = [jnp.mean(logs * jax.lax.stop_gradient(rollouts.still_to_come(r))) for r in paid]
        return tuple(rollouts.with_score(jnp.mean(r), score) for r, score in zip(paid, scores, strict=True))

    def episode(self, uniforms: rollouts.Uniforms, *policies: Array) -> rollouts.Episode:
        """An episode between policies that are given as probabilities, from uniform numbers."""
        known = jax.lax.stop_gradient(policies)
        return rollouts.rollout(uniforms, self.initial, self.transitions, known, self.observations)

    def answer(self, noise: Noise, player: int, action: Action, observations: PyTree) -> Int[Array, "..."]:
        """Actions of `player` in its `observations`, sampled from its policy; outside of a round, its likeliest ones.

        **Arguments:** `observations`: whole numbers, in any shape, or a pair of those and a whole number `when`. The
        answers in one array are independent of one another; asked again, with the same `when`, it answers the same. The
        observation of a `clocked` player is `time * O_i + observation`.

        **Raises:** `ValueError` for a known observation that the player doesn't have, `TypeError` for no whole numbers.
        """
        where, when = observations if isinstance(observations, tuple) else (observations, 0)
        policy = self.policy(player, action)
        rows = jnp.reshape(policy, (-1, policy.shape[-1]))
        where = tables.asked("observations", where, rows.shape[0], player)
        if isinstance(noise, tuple) and not noise:
            return jnp.argmax(rows, -1).astype(jnp.int32)[where]
        key = jax.random.fold_in(jax.random.fold_in(noise[0], player), when)
        return rollouts.inverse_cdf(rows[where], jax.random.uniform(key, where.shape, rows.dtype))

    def requires(self) -> dict[str, Any]:
        """Distributions, also in games that were made in a batch."""
        seen = {f"observations[{i}]": each for i, each in enumerate(self.observations) if each is not None}
        known = {"transitions": self.transitions, "initial": self.initial} | seen
        return {f"{name}: expected rows that sum to 1": are_rows(each) for name, each in known.items()}

    def model(self, player: int) -> Dynamics:
        """What `player` may simulate by itself."""
        player = self._player(player)
        time = self.horizon, self.discount
        return Dynamics(self.initial, self.transitions, self.rewards[player], *time, self.observations, self.clocked)
