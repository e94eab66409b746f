"""The recurrent follower: it plays with a leader to find out who it is, and its memory is the context."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from stackjax._calculus.consultation import consulted
from stackjax.checks import flag, number, whole
from stackjax.learners import _episodes
from stackjax.learners._inner_loop import shape_of
from stackjax.learners.contextual_follower import check_markov
from stackjax.protocols import Action, Calls, Dynamics, Learner, Noise, Seen, Signal, View


class Head(eqx.Module):
    """A layer of tanh units, and logits; its leaves are arrays alone, so that a training jits."""

    first: eqx.nn.Linear
    second: eqx.nn.Linear

    def __init__(self, inputs: int, units: int, outputs: int, dtype: Any, key: PRNGKeyArray):
        keys = jax.random.split(key)
        self.first = eqx.nn.Linear(inputs, units, dtype=dtype, key=keys[0])
        self.second = eqx.nn.Linear(units, outputs, dtype=dtype, key=keys[1])

    def __call__(self, x: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        """The logits."""
        return self.second(jnp.tanh(self.first(x)))


class Networks(eqx.Module):
    """The parts: `cell` reads a step of practice; `probe` chooses an action in it; `reply` is the policy in play.

    `probe` has the memory and the one-hot observation as inputs, `reply` the one-hot time, too.
    """

    cell: eqx.nn.GRUCell
    probe: Head
    reply: Head


class Met(NamedTuple):
    """Where a practice with P leaders is: `hidden [P, units]`, the steps done `k`, the episodes' states and the key."""

    hidden: Float[Array, "P units"]
    k: Int[Array, ""]
    now: _episodes.Now
    key: PRNGKeyArray


class RecurrentFollower(Learner):
    """Plays some episodes with a leader, remembers them, and responds with the policy that a network reads from this.

    The meta-learned member of the oracle framework (Gerstgrasser & Parkes, Oracles & Followers, 2023): trained once
    across random leaders, it then needs no learning against a new one, and unlike a `ContextualFollower` it isn't told
    what to ask: it asks what the leader does where practice leads, and it chooses the actions that lead there. The
    memory is a gated recurrent unit's (Cho et al., 2014), as in RL^2 (Duan et al., 2016). The network and its training
    are a reconstruction. It sees the leader's actions, not its policy: see `ContextualFollower` on leaders who
    randomise.

    **Arguments:** made by `train`.

    - `networks`: `Networks`.
    - `episodes`: of practice (static); `length`: their steps in a discounted game (static).
    - `greedy`: whether it then plays the likeliest action instead of the probabilities (static).
    - `environment_steps`: what the training cost, for the record.

    **Raises:** `ValueError` or `TypeError` that names the argument; from `play` for a leader, for several followers,
    and where the networks aren't of the game's shapes.
    """

    networks: Networks
    environment_steps: Any
    episodes: int = eqx.field(static=True)
    length: int | None = eqx.field(static=True)
    greedy: bool = eqx.field(static=True)
    wants = Signal.QUERY | Signal.OWN_PAYOFF
    #: As an oracle: its actions in practice, and where they lead, are random.
    is_random: ClassVar[bool] = True

    def __init__(
        self,
        networks: Networks,
        episodes: int,
        *,
        length: int | None = None,
        greedy: bool = True,
        environment_steps: Any = 0,
    ):
        if not isinstance(networks, Networks):
            raise TypeError(f"networks: expected Networks, made by train, got {networks!r}")
        self.networks, self.episodes = networks, whole("episodes", episodes)
        self.length = None if length is None else whole("length", length)
        self.greedy, self.environment_steps = flag("greedy", greedy), environment_steps

    # As an oracle

    def questions(self, model: Dynamics) -> int:
        """One for each step of practice."""
        return self.episodes * _episodes.episode_length(model.horizon, self.length)

    def begin(self, model: Dynamics, key: PRNGKeyArray) -> Met:
        """No memory, in the first state."""
        _check_networks(self.networks, model)
        return self._met(model, key, 1)

    def ask(self, model: Dynamics, memory: Met) -> Int[Array, " P"]:
        """What the leader observes."""
        return memory.now.seen[0]

    def hear(self, model: Dynamics, memory: Met, answers: Int[Array, " P"]) -> Met:
        """A step of practice, in which the leader does as it answered, and what is remembered of it."""
        return self._practised(model, memory, answers)[0]

    def conclude(self, model: Dynamics, memory: Met) -> tuple[Array, ...]:
        """The policy that the memory says."""
        logits = _replies(self.networks, model, memory.hidden)[0]
        best = jax.nn.one_hot(jnp.argmax(logits, -1), logits.shape[-1], dtype=logits.dtype)
        policy = best if self.greedy else jax.nn.softmax(logits)
        return (policy if model.clocked[1] else policy[0],)

    def _met(self, model: Dynamics, key: PRNGKeyArray, parallel: int) -> Met:
        hidden = jnp.zeros((parallel, self.networks.cell.hidden_size), model.transitions.dtype)
        return Met(hidden, jnp.int32(0), _episodes.begun(model, jax.random.fold_in(key, 0), parallel), key)

    def _practised(self, model: Dynamics, met: Met, answers: Array) -> tuple[Met, tuple[Array, Array, Array]]:
        """A step with P leaders; beside, what it saw, did, and remembers of it."""
        length = _episodes.episode_length(model.horizon, self.length)
        parallel, key = answers.shape[0], jax.random.fold_in(met.key, 2 * met.k + 1)
        uniform = _episodes.uniforms(model, key, parallel, 1)[0]
        seen = met.now.seen[1]
        logits = _probing(self.networks, model, met.hidden, seen)
        actions = _episodes.sample(jax.nn.softmax(logits), _episodes.acting(model, uniform)[1])
        now, step = _episodes.stepped(model, (model.rewards,), met.now, (answers, actions), uniform, 0.0)
        ended = (met.k + 1) % length == 0
        again = _episodes.begun(model, jax.random.fold_in(met.key, 2 * met.k + 2), parallel)
        now = jax.tree.map(lambda new, old: jnp.where(ended, new, old), again, now)
        known = _remembered(model, step, ended)
        hidden = jax.vmap(self.networks.cell)(known, met.hidden)
        return Met(hidden, met.k + 1, now, met.key), (seen, actions, known)

    # As a learner

    def requires(self, view: View) -> dict[str, Any]:
        """One follower, of the networks' shapes."""
        who = f"player {view.player}, RecurrentFollower"
        if not view.earlier:
            raise ValueError(f"{who}: it is a follower, and nobody moves before it")
        if len(view.dynamics.observations) != 2:
            raise ValueError(f"{who}: expected no other followers")
        _check_networks(self.networks, view.dynamics)
        return {}

    def init(self, view: View, key: PRNGKeyArray) -> Action:
        """The policy that no memory says."""
        model = view.dynamics
        return self.conclude(model, self._met(model, key, 1))[0].astype(view.dtype)

    def draw(self, view: View, key: PRNGKeyArray) -> Array:
        """The words of the key of a round's practice."""
        return jax.random.bits(key, (2,), jnp.uint32)

    def act(self, view: View, state: Action, noise: Array, seen: Seen) -> Action:
        """Practise, and play what the memory says."""
        key = jax.random.wrap_key_data(noise, impl="threefry2x32")
        found = consulted(self, view.dynamics, key, lambda asked, k: seen.ask((asked, k)))
        return self.conclude(view.dynamics, found.memory)[0].astype(view.dtype)

    def strategy(self, view: View, state: Action, seen: Seen) -> Action:
        """The policy that was played last."""
        return state

    def update(self, view: View, state: Action, noise: Noise, signals: Any) -> Action:
        """Keep what was played."""
        return signals.own

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """The payoffs of its practice, one an environment step."""
        return Calls(payoffs=self.questions(view.dynamics))

    @classmethod
    def train(
        cls,
        game: Any,
        key: PRNGKeyArray,
        *,
        meetings: int,
        episodes: int = 1,
        leaders: str = "deterministic",
        hidden: int = 32,
        step: Any = 0.01,
        entropy: Any = 0.5,
        parallel: int = 64,
        group: int = 8,
        restarts: Any = 0.1,
        length: int | None = None,
        greedy: bool = True,
    ) -> "RecurrentFollower":
        """Policy gradient (REINFORCE; Williams, 1992) across random leaders, through the memory.

        A meeting with a leader is `episodes` episodes of practice and one of play, which alone counts: actions in play
        are weighted by what follows them there, those of practice by the whole of it, each less the mean over the other
        meetings with the same leader. Pure: it jits, and vmaps over keys.

        **Arguments:**

        - `game`: a `MarkovGame` of a leader and one follower; `key`.
        - `meetings`: how many, a multiple of `parallel`, which is one of `group` >= 2, the meetings with each leader.
        - `leaders`: as for `ContextualFollower.train`.
        - `hidden`: the number of units of the memory, and of the networks beside it.
        - `step`: of Adam (Optax), after gradients are clipped to norm 1; `entropy` >= 0: the weight of the policies'
          entropy in play and practice, in units of payoff, falling to 0 over the training.
        - `restarts`: the probability that after a step of play it goes on in a random state.
        - `length`: steps after which an episode of a discounted game is cut; `greedy`: as in the class.

        **Returns:** the follower; `environment_steps` counts the steps of practice and play.
        """
        check_markov(game)
        if len(game.action_counts) != 2:
            raise ValueError(f"game: expected a leader and one follower, got {len(game.action_counts)} players")
        if game.clocked[0]:
            raise ValueError("game: the leader has a clock; followers are trained against memoryless leaders")
        if leaders not in ("deterministic", "uniform"):
            raise ValueError(f"leaders: expected 'deterministic' or 'uniform', got {leaders!r}")
        number(step, "step", 0.0)
        number(entropy, "entropy", 0.0, open_low=False)
        _episodes.check_restarts(restarts)
        meetings, parallel = whole("meetings", meetings), whole("parallel", parallel)
        group, hidden, episodes = whole("group", group, 2), whole("hidden", hidden), whole("episodes", episodes)
        if meetings % parallel or parallel % group:
            raise ValueError(
                f"meetings: expected a multiple of parallel={parallel}, and that one of group={group}, got {meetings}"
            )
        model = game.model(1)
        steps_each = _episodes.episode_length(game.horizon, length)
        gamma = 1.0 if game.horizon is not None else jnp.asarray(game.discount)
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(step))
        shape = (parallel // group, game.observation_counts[0], game.action_counts[0])
        each, batches = jnp.arange(parallel), meetings // parallel
        start = _untrained(model, key, hidden)

        def batch(carry: Any, xs: Any) -> Any:
            networks, memory = carry
            key, n = xs
            weight = entropy * (1 - n / batches)
            me = cls(networks, episodes, length=length)
            drawn = _episodes.random_leaders(key, leaders, shape, model.transitions.dtype)
            drawn = jnp.repeat(drawn, group, 0)
            answering = jax.random.uniform(jax.random.fold_in(key, 1), (me.questions(model), parallel), drawn.dtype)

            def practise(met: Met, uniform: Array) -> Any:
                return me._practised(model, met, _episodes.sample(drawn[each, met.now.seen[0]], uniform))

            met, (seen, actions, known) = jax.lax.scan(
                practise, me._met(model, jax.random.fold_in(key, 2), parallel), answering
            )
            now = jax.nn.softmax(_replies(networks, model, met.hidden))

            def choose(t: Any, looking: list[Array], u: Array) -> list[Array]:
                rows = now[each, t if now.shape[1] > 1 else 0, looking[1]]
                return [_episodes.sample(drawn[each, looking[0]], u[0]), _episodes.sample(rows, u[1])]

            steps = _episodes.rollout(
                model, (model.rewards,), choose, jax.random.fold_in(key, 3), parallel, steps_each, restarts
            )
            returns = _episodes.until_restart(steps.rewards[0], steps.jumped, gamma)
            later = _episodes.above_the_others(returns, group)
            whole_return = _episodes.above_the_others(jnp.sum(steps.rewards[0], 0, keepdims=True), group)

            def loss(networks: Networks) -> Array:
                def read(hidden: Array, xs: Any) -> Any:
                    looked, known = xs
                    log = jax.nn.log_softmax(_probing(networks, model, hidden, looked))
                    return jax.vmap(networks.cell)(known, hidden), log

                last, probing = jax.lax.scan(read, jnp.zeros_like(met.hidden), (seen, known))
                log = jax.nn.log_softmax(_replies(networks, model, last))
                t = jnp.arange(steps_each)[:, None] if log.shape[1] > 1 else jnp.zeros((1, 1), jnp.int32)
                playing = log[
                    jnp.broadcast_to(each[None], later.shape),
                    jnp.broadcast_to(t, later.shape),
                    steps.observations[1],
                ]
                found = jnp.zeros((), later.dtype)
                pairs = ((playing, steps.actions[1], later), (probing, actions, whole_return))
                for rows, taken, advantage in pairs:
                    chosen = jnp.take_along_axis(rows, taken[..., None], -1)[..., 0]
                    spread = -jnp.sum(jnp.exp(rows) * rows, -1)
                    found -= jnp.mean(jnp.broadcast_to(advantage, chosen.shape) * chosen + weight * spread)
                return found

            with jax.numpy_dtype_promotion("standard"):  # Optax multiplies floats by its integer counters
                change, memory = optimizer.update(jax.grad(loss)(networks), memory, networks)
            return (optax.apply_updates(networks, change), memory), None

        xs = (jax.random.split(key, batches), jnp.arange(batches, dtype=model.transitions.dtype))
        networks = jax.lax.scan(batch, (start, optimizer.init(start)), xs)[0][0]
        cost = meetings * steps_each * (episodes + 1)
        return cls(networks, episodes, length=length, greedy=greedy, environment_steps=cost)


def _untrained(model: Dynamics, key: PRNGKeyArray, hidden: int) -> Networks:
    times, seen, actions = shape_of(model, 1)
    dtype = model.transitions.dtype
    keys = jax.random.split(jax.random.fold_in(key, 1), 3)
    cell = eqx.nn.GRUCell(_inputs(model), hidden, dtype=dtype, key=keys[0])
    of_probe, of_reply = hidden + seen, hidden + seen + times
    probe = Head(of_probe, hidden, actions, dtype, keys[1])
    return Networks(cell, probe, Head(of_reply, hidden, actions, dtype, keys[2]))


def _inputs(model: Dynamics) -> int:
    """How many numbers a step of practice is: both observations and actions one-hot, what it paid, whether it ended."""
    return sum(shape_of(model, i)[1] + shape_of(model, i)[2] for i in (0, 1)) + 2


def _remembered(model: Dynamics, step: _episodes.Steps, ended: Array) -> Float[Array, "P inputs"]:
    """What the memory reads of a step; payoffs in units of the largest."""
    dtype = model.transitions.dtype
    parts = []
    for i in (0, 1):
        _, seen, actions = shape_of(model, i)
        parts += [jax.nn.one_hot(step.observations[i], seen, dtype=dtype)]
        parts += [jax.nn.one_hot(step.actions[i], actions, dtype=dtype)]
    largest = jnp.max(jnp.abs(model.rewards))
    paid = step.rewards[0] / jnp.where(largest > 0, largest, 1)
    parts += [paid[:, None].astype(dtype), jnp.broadcast_to(ended, (paid.shape[0], 1)).astype(dtype)]
    return jnp.concatenate(parts, -1)


def _probing(networks: Networks, model: Dynamics, hidden: Array, seen: Array) -> Float[Array, "P A"]:
    """The logits of its actions in practice."""
    one = jax.nn.one_hot(seen, shape_of(model, 1)[1], dtype=hidden.dtype)
    return jax.vmap(networks.probe)(jnp.concatenate([hidden, one], -1))


def _replies(networks: Networks, model: Dynamics, hidden: Array) -> Float[Array, "P clock O A"]:
    """The logits of its actions in play, everywhere."""
    times, seen, _ = shape_of(model, 1)
    t, o = jnp.eye(times, dtype=hidden.dtype), jnp.eye(seen, dtype=hidden.dtype)

    def one(hidden: Array) -> Array:
        return jax.vmap(lambda t: jax.vmap(lambda o: networks.reply(jnp.concatenate([hidden, o, t])))(o))(t)

    return jax.vmap(one)(hidden)


def _check_networks(networks: Networks, model: Dynamics) -> None:
    times, seen, actions = shape_of(model, 1)
    units = networks.cell.hidden_size
    expected = (_inputs(model), units + seen, units + seen + times, actions, actions)
    heads = (networks.probe, networks.reply)
    got = (networks.cell.input_size, *(h.first.in_features for h in heads), *(h.second.out_features for h in heads))
    if got != expected:
        raise ValueError(
            "networks: they were trained for another game: expected inputs of the cell, probe and reply and outputs of "
            f"{expected}, got {got}"
        )
