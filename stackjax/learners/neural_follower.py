"""The contextual follower as a small network, trained by policy gradient."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from stackjax.checks import as_number, concrete, number, whole
from stackjax.learners import _episodes
from stackjax.learners.contextual_follower import QueryFollower, Setting, check_markov

#: Weights `[inputs, outputs]` and biases of a network's layers.
Layers = tuple[tuple[Array, Array], ...]


class NeuralFollower(QueryFollower):
    """A contextual follower whose policy is a network's: it needs no table of all answers, and generalises over them.

    The network's inputs are the observation, the time where the follower has a clock, and the answers to the queries,
    each one-hot; its outputs are logits of the actions; between are layers of tanh units. See `ContextualFollower`,
    whose every word on what the answers say of the leader is true here too. Gerstgrasser and Parkes (2023); the
    network and its training are a reconstruction.

    **Arguments:**

    - `networks`: one a follower: a tuple of layers, each a pair of weights `[inputs, outputs]` and biases `[outputs]`.
    - `actions`: the number of the leader's actions; `queries`: observations of the leader `[Q]`.
    - `clocks`: for each follower the number of times of its clock, None without one.
    - `greedy`: whether it plays the likeliest action instead of the probabilities (static).
    - `environment_steps`: what the training cost, queries included, for the record.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` where the leader has no such
    observation, or where the shapes aren't the game's.
    """

    networks: tuple[Layers, ...]
    actions: int = eqx.field(static=True)
    queries: Any
    clocks: tuple[int, ...] = eqx.field(static=True)
    timed: tuple[bool, ...] = eqx.field(static=True)
    greedy: bool = eqx.field(static=True)
    environment_steps: Any

    def __init__(
        self,
        networks: Any,
        actions: int,
        queries: Any,
        clocks: tuple[int | None, ...],
        *,
        greedy: bool = True,
        environment_steps: Any = 0,
    ):
        self.actions = whole("actions", actions)
        self.queries = _episodes.checked_queries(queries, None, self.actions)
        if not isinstance(networks, tuple | list) or not networks:
            raise ValueError(f"networks: expected a tuple of networks, one a follower, got {networks!r}")
        self.networks = tuple(_checked_layers(f"networks[{i}]", layers) for i, layers in enumerate(networks))
        if not isinstance(clocks, tuple | list) or len(clocks) != len(self.networks):
            raise ValueError(f"clocks: expected one a network, {len(self.networks)} in all, got {clocks!r}")
        self.timed = tuple(c is not None for c in clocks)
        self.clocks = tuple(1 if c is None else whole(f"clocks[{i}]", c) for i, c in enumerate(clocks))
        for i, layers in enumerate(self.networks):
            if self._observations(i) < 1:
                raise ValueError(
                    f"networks: the first layer has {layers[0][0].shape[0]} inputs, too few for {self.clocks[i]} times "
                    f"and the answers to {self.queries.shape[0]} queries"
                )
        self.greedy, self.environment_steps = bool(greedy), environment_steps

    def _observations(self, i: int) -> int:
        return self.networks[i][0][0].shape[0] - self.clocks[i] - self.queries.shape[0] * self.actions

    def _logits(self, i: int, answers: Int[Array, " Q"]) -> Float[Array, "clock O A"]:
        """A follower's logits everywhere. The first layer's inputs being one-hot, it is a sum of its rows."""
        (weights, bias), *rest = self.networks[i]
        times, seen = self.clocks[i], self._observations(i)
        of_time, of_seen, of_answers = jnp.split(weights, [times, times + seen])
        asked = np.arange(self.queries.shape[0], dtype=np.int32) * self.actions
        told = jnp.sum(of_answers[answers.astype(jnp.int32) + asked], 0) + bias
        x = of_time[:, None, :] + of_seen[None] + told[None, None]
        for w, b in rest:
            x = jnp.tanh(x) @ w + b[None, None]
        return x

    def respond(self, answers: Int[Array, " Q"]) -> tuple[Array, ...]:
        """The policies that the networks give for the answers."""
        found = []
        for i, timed in enumerate(self.timed):
            logits = self._logits(i, answers)
            n = logits.shape[-1]
            best = jax.nn.one_hot(jnp.argmax(logits, -1), n, dtype=logits.dtype)
            policy = best if self.greedy else jax.nn.softmax(logits)
            found.append(policy if timed else policy[0])
        return tuple(found)

    @classmethod
    def train(
        cls,
        game: Any,
        key: PRNGKeyArray,
        *,
        episodes: int,
        leaders: str = "deterministic",
        queries: Any = None,
        hidden: tuple[int, ...] = (64,),
        step: Any = 0.01,
        entropy: Any = None,
        parallel: int = 64,
        group: int = 8,
        restarts: Any = 0.1,
        length: int | None = None,
        greedy: bool = True,
    ) -> "NeuralFollower":
        """Policy gradient (REINFORCE; Williams, 1992) across random leaders.

        Each leader is met in `group` episodes at once; an action's weight is what its follower got from then on, less
        the mean of that over the other episodes of the same leader at the same time. Pure: it jits, and vmaps over
        keys. Several followers learn at once, with as little of a guarantee as in `ContextualFollower.train`: each
        answers policies that the entropy keeps random, so with much of it they may all take what is best against
        anybody, and with none they may stop to explore before they settled on an equilibrium.

        **Arguments:** as for `ContextualFollower.train`, and

        - `hidden`: the numbers of units of the layers.
        - `step`: of Adam (Optax).
        - `entropy` >= 0: the weight of the policies' entropy, in units of payoff; default: 0.5, or 0.1 for several
          followers. It should be small beside what a follower loses by a wrong action.
        - `parallel`: episodes of a step; a multiple of `group` >= 2. `episodes` is a multiple of `parallel`.
        - `restarts`: as there; rewards after a restart are no consequence of the actions before, and not counted.

        **Returns:** the follower; `environment_steps` counts the episodes' steps, and a query for each answer.
        """
        check_markov(game)
        number(step, "step", 0.0)
        if entropy is None:
            entropy = 0.5 if len(game.action_counts) == 2 else 0.1
        number(entropy, "entropy", 0.0, open_low=False)
        _episodes.check_restarts(restarts)
        episodes, parallel = _episodes.counts(episodes, parallel)
        group = whole("group", group, 2)
        if parallel % group:
            raise ValueError(f"group: expected parallel={parallel} to be a multiple of it, got {group}")
        if not isinstance(hidden, tuple | list):
            raise ValueError(f"hidden: expected a tuple of numbers of units, one a layer, got {hidden!r}")
        hidden = tuple(whole(f"hidden[{i}]", n) for i, n in enumerate(hidden))
        setting = Setting.of(game, leaders, queries, length, episodes, parallel)
        players = range(1, len(game.action_counts))
        followers = [game.model(i) for i in players]
        gamma = 1.0 if game.horizon is not None else jnp.asarray(game.discount)
        untrained = cls._untrained(game, key, setting, hidden)
        optimizer = optax.adam(step)

        def batch(carry: Any, key: PRNGKeyArray) -> Any:
            networks, memory = carry
            drawn, answers, _ = setting.leaders(key, group)

            def policies(networks: Any) -> list[Array]:
                me = eqx.tree_at(lambda f: f.networks, untrained, networks)
                return [
                    jax.vmap(lambda a, i=i: jax.nn.log_softmax(me._logits(i, a)))(answers) for i in range(len(players))
                ]

            now = [jnp.exp(p) for p in policies(networks)]
            each = jnp.arange(parallel)

            def choose(t: Any, seen: list[Array], u: Array) -> list[Array]:
                rows = [drawn[each, seen[0]]]
                rows += [p[each, t if p.shape[1] > 1 else 0, seen[i]] for i, p in enumerate(now, start=1)]
                return [_episodes.sample(row, v) for row, v in zip(rows, u, strict=True)]

            rewards = tuple(d.rewards for d in followers)
            again = jax.random.fold_in(key, 2)
            steps = _episodes.rollout(followers[0], rewards, choose, again, parallel, setting.length, restarts)
            weights = [
                _episodes.above_the_others(_episodes.until_restart(r, steps.jumped, gamma), group)
                for r in steps.rewards
            ]

            def loss(networks: Any) -> Array:
                total = jnp.zeros(())
                for i, (log, weight) in enumerate(zip(policies(networks), weights, strict=True), start=1):
                    t = jnp.arange(setting.length)[:, None] if log.shape[1] > 1 else jnp.zeros((1, 1), jnp.int32)
                    met = log[
                        jnp.broadcast_to(each[None], weight.shape),
                        jnp.broadcast_to(t, weight.shape),
                        steps.observations[i],
                    ]
                    taken = jnp.take_along_axis(met, steps.actions[i][..., None], -1)[..., 0]
                    spread = -jnp.sum(jnp.exp(met) * met, -1)
                    total -= jnp.mean(weight * taken + entropy * spread)
                return total

            with jax.numpy_dtype_promotion("standard"):  # Optax multiplies floats by its integer counters
                change, memory = optimizer.update(jax.grad(loss)(networks), memory, networks)
            return (optax.apply_updates(networks, change), memory), None

        start = (untrained.networks, optimizer.init(untrained.networks))
        networks = jax.lax.scan(batch, start, jax.random.split(key, setting.batches))[0][0]
        trained = eqx.tree_at(lambda f: f.networks, untrained, networks)
        return cls(
            trained.networks,
            untrained.actions,
            untrained.queries,
            tuple(c if timed else None for c, timed in zip(untrained.clocks, untrained.timed, strict=True)),
            greedy=greedy,
            environment_steps=setting.environment_steps,
        )

    @classmethod
    def _untrained(cls, game: Any, key: PRNGKeyArray, setting: Setting, hidden: tuple[int, ...]) -> "NeuralFollower":
        """Weights normal with the variance 1 / inputs (LeCun), of the last layer a hundredth of them; biases 0."""
        networks, clocks = [], []
        for i in range(1, len(game.action_counts)):
            clocks.append(setting.length if game.clocked[i] else None)
            inputs = (clocks[-1] or 1) + game.observation_counts[i] + setting.queries.shape[0] * setting.shape[2]
            sizes = (inputs, *hidden, game.action_counts[i])
            keys = jax.random.split(jax.random.fold_in(key, i), len(sizes) - 1)
            layers: list[tuple[Array, Array]] = []
            for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=True):
                scale = (0.01 if len(layers) == len(hidden) else 1.0) / m**0.5
                layers.append((scale * jax.random.normal(k, (m, n), setting.dtype), jnp.zeros(n, setting.dtype)))
            networks.append(tuple(layers))
        return cls(networks, setting.shape[2], setting.queries, tuple(clocks))


def _checked_layers(name: str, layers: Any) -> Layers:
    """Pairs of weights and biases, each layer's inputs the outputs of the one before; finite where they are known."""
    pairs = isinstance(layers, tuple | list) and all(isinstance(p, tuple | list) and len(p) == 2 for p in layers)
    if not pairs or not layers:
        raise ValueError(f"{name}: expected layers, pairs of weights and biases, got {layers!r}")
    found = tuple((as_number(jnp.asarray(w)), as_number(jnp.asarray(b))) for w, b in layers)
    shapes = [(w.shape, b.shape) for w, b in found]
    chained = all(len(w) == 2 and w[1] > 0 and b == w[1:] for w, b in shapes)
    if not chained or any(w[1] != v[0] for (w, _), (v, _) in itertools.pairwise(shapes)):
        raise ValueError(f"{name}: expected weights [inputs, outputs] and biases [outputs] that chain, got {shapes}")
    if concrete(found) and not all(np.all(np.isfinite(np.asarray(x))) for x in jax.tree.leaves(found)):
        raise ValueError(f"{name}: expected finite weights and biases")
    return found
