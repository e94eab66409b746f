"""`lead`: leaders of a Markov game against follower oracles, over environment steps and seeds."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stackjax import checks
from stackjax.equilibria.leaders import committed_values, ground_truths
from stackjax.experiments import results
from stackjax.experiments.memory import check_fits
from stackjax.experiments.progress import named
from stackjax.experiments.run import Experiment, How, Measure, replicate_count, replicate_ids, run, run_key
from stackjax.experiments.settings import Setting
from stackjax.experiments.store import Arrays
from stackjax.games import AdaptiveOracle, MarkovGame, Oracle, OracleGame
from stackjax.games.oracle import MOST_PATTERNS
from stackjax.protocols import Learner, Signal
from stackjax.trace import Record, Trace

if TYPE_CHECKING:
    import xarray

#: What the keys of a replicate's training, of its start and of the responses that value it are derived from.
_TRAINING, _START, _VALUE = 1, 2, 3
#: Responses by which a leader is valued whose oracle is random, or whose answers are too many to sum over.
RESPONSES = 8
#: Records of a run.
POINTS = 60
_COUPLED = Signal.GRADIENT | Signal.GAME


@dataclass(frozen=True)
class Leading:
    """A leader, its followers, and the rules by which they meet.

    **Attributes:**

    - `leader`: a learner that follows its own gradient plays the one-player `OracleGame`; one that sees only what it
      is paid commits to a policy in every round of `play`, which is one sampled episode.
    - `follower`: an oracle (`stackjax.games.Oracle`, or an `AdaptiveOracle` such as `QLearning`); a function of the
      game and a key that trains one, once for each replicate; or a learner of `play` that is no oracle, for leaders of
      the second kind.
    - `visible`, `query_rewards`, `recognisable`, `episodes`: of the `OracleGame`, only for leaders of the first kind.
    """

    leader: Learner
    follower: Any
    visible: bool = True
    query_rewards: Any = None
    recognisable: bool = False
    episodes: int | None = None

    @property
    def ascends(self) -> bool:
        """Whether the leader follows a gradient."""
        return bool(self.leader.wants & _COUPLED)

    def check(self) -> None:
        """Raise a `TypeError` or `ValueError` that names the argument for what doesn't go together."""
        if not isinstance(self.leader, Learner):
            raise TypeError(f"leader: expected a learner, got {self.leader!r}")
        if not isinstance(self.follower, _MADE) and not callable(self.follower):
            raise TypeError(
                f"follower: expected an oracle, a learner or a function that trains one, got {self.follower!r}"
            )
        if self.ascends and isinstance(self.follower, Learner) and not is_oracle(self.follower):
            raise ValueError(
                f"follower: {type(self.leader).__name__} follows the gradient through the answers to an oracle's "
                f"queries, and {type(self.follower).__name__} is no oracle; expected a stackjax.games.Oracle or "
                "AdaptiveOracle"
            )
        if self.ascends and self.episodes is None and getattr(self.follower, "is_random", False):
            raise ValueError(
                f"episodes: {type(self.follower).__name__} is random, so that there is no exact gradient; expected a "
                "number of sampled episodes"
            )
        switches = not self.visible or self.query_rewards is not None or self.recognisable
        if not self.ascends and (switches or self.episodes is not None):
            raise ValueError(
                "visible, query_rewards, recognisable, episodes: expected none for a leader without a gradient, whose "
                "rounds are plain episodes"
            )


#: What a follower is that needn't be trained.
_MADE = (Learner, Oracle, AdaptiveOracle)


def is_oracle(follower: Any) -> bool:
    """Does it answer a leader's answers, fixed or one after the other?"""
    return isinstance(follower, Oracle | AdaptiveOracle)


def _check_follower(game: MarkovGame, method: Leading, key: Array) -> None:
    """Before any training: does it go with the game and the leader?"""
    follower = method.follower
    if not isinstance(follower, _MADE):
        follower = eqx.filter_eval_shape(lambda key: method.follower(game, key), key)
        if not is_oracle(follower):
            raise TypeError(f"follower: expected a function that returns an oracle, got one that returns {follower!r}")
    if not method.ascends and not isinstance(follower, Learner):
        raise ValueError("follower: expected a learner, to be played with, got an oracle that is none")
    if method.ascends:  # it says what the gradient needs
        eqx.filter_eval_shape(lambda f: OracleGame(game, f, episodes=method.episodes), follower)


class _Followers:
    """The followers of a method: one for all replicates, or one each, and what they have in common."""

    def __init__(self, game: MarkovGame, method: Leading, base: Array, ids: np.ndarray):
        keys = _folded(base, _TRAINING)
        self.ids, self.keys = ids, base
        self.each = not isinstance(method.follower, _MADE)
        if self.each:
            self.them = jax.block_until_ready(jax.jit(jax.vmap(lambda key: method.follower(game, key)))(keys))
            self.one = jax.tree.map(lambda x: x[0], self.them)
        else:
            self.them = self.one = method.follower
        self.axis = 0 if self.each else None

    def places(self, ids: Any) -> np.ndarray:
        """Where the followers of these replicates stand among all."""
        order = np.argsort(self.ids)
        return order[np.searchsorted(self.ids, np.asarray(ids), sorter=order)]

    def training(self) -> Float[np.ndarray, " #replicates"]:
        """What the training cost, in environment steps: a number, or one each."""
        return np.asarray(getattr(self.them, "environment_steps", 0), np.float64)


def lead(
    game: MarkovGame,
    methods: Mapping[str, Leading],
    *,
    rounds: int | Mapping[str, int],
    replicates: int | Sequence[int] | Array = 16,
    seed: int = 0,
    key: PRNGKeyArray | None = None,
    spread: float = 0.2,
    points: int = POINTS,
    truths: bool = True,
    states: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    **how: Unpack[How],
) -> "xarray.Dataset":
    """Let leaders learn against follower oracles, and value their policies exactly.

    Common random numbers: every method has the same key, replicates, starts and trained followers. Values are computed
    at the end, from the policies that were recorded.

    **Arguments:**

    - `game`: a `MarkovGame` of a leader without a clock and one follower.
    - `methods`: name -> `Leading`.
    - `rounds`: of each method, or one number for all. A round is a step of a policy gradient, from a number of episodes
      or exact, or one episode of a leader who sees only what it is paid.
    - `replicates`: a number, or different ids; `seed`: an integer in [0, 2^32); or, instead, `key`: a `jax.random` key.
    - `spread`: leaders start from logits that are normal with this standard deviation, 0 being the even policy. From
      far starts more seeds end in local optima.
    - `points`: how many policies are recorded, spaced evenly in the logarithm of rounds.
    - `truths`: whether to compute `stackjax.equilibria.ground_truths`, for the attributes.
    - `states`, `actions`: what figures call the leader's observations and its actions.
    - `how`: where it is kept, in which chunks it is played and on which devices, ...: see `How`. Followers are trained
      again when a run that was killed goes on.

    **Returns:** a dataset with the dimensions `methods`, `replicate`, `record`, `observation` and `leader_action`:

    - `policy` `[methods, replicate, record, observation, leader_action]`: the leader's probabilities;
    - `value` `[methods, replicate, record]`: its payoff per step in the game that it plays: against an oracle the mean
      over all answers, rewards of queries included; against one that is random, or whose answers are too many to sum
      over, an estimate, the mean over 8 responses (which are then valued exactly, without rewards of queries) if the
      leader follows a gradient, else against the policy which it played last, as against any other learner;
    - `commitment_value` likewise: the exact payoff of the policy against a true best response, ties as in the attribute
      `ties`;
    - `rounds` `[methods, record]`, completed (short runs have fewer records, and repeat the last one);
    - `environment_steps` `[methods, replicate, record]`: the steps of all episodes, with queries, and of a follower's
      training and practice; NaN of exact gradients, which sample none;
    - `training_steps` `[methods, replicate]`: those before the first round;
    - `status` `[methods, replicate]`: see `stackjax.Status`; everything else of a replicate that failed is NaN;
    - `training_seconds`, `seconds`, `compile_seconds` `[methods]`: the first with compilation, the second without;
    - attributes: ground truths, ties, configuration (JSON), versions, device, seed, command and date.

    `table` and `stackjax.plots.plot_leading` show it, `steps_to_reach` compares the methods' samples, `save` keeps it.

    **Raises:** `ValueError` or `TypeError` that names the argument, with a note that names the method.
    """
    plain, acting = _as(game, logits=(), sampled=False), _as(game, logits=(0,), sampled=game.horizon is not None)
    if not isinstance(methods, Mapping) or not methods:
        raise ValueError(f"methods: expected at least one name with its Leading, got {methods!r}")
    many = _rounds(rounds, list(methods))
    for name, method in methods.items():
        with named(f"the method {name!r}"):
            if not isinstance(method, Leading):
                raise TypeError(f"methods: expected a Leading, got {method!r}")
            method.check()
    checks.number(spread, "spread", 0.0, open_low=False)
    points = checks.whole("points", points)
    own_seed, key = seed if key is None else None, run_key(seed, key)
    shape = game.observation_counts[0], game.action_counts[0]
    counts = {"methods": len(methods), "replicates": replicate_count(replicates), "records": points}
    numbers = 2 * sum(int(np.prod(game.policy_shape(i))) for i in game.players)  # of policies, the followers' too
    check_fits(counts, 8 * numbers)
    ids = replicate_ids(replicates)
    if np.unique(ids).size < ids.size:
        raise ValueError(f"replicates: expected different ids, got {replicates!r}")
    names = checks.one_each("states", states, [f"observation {i}" for i in range(shape[0])])
    done = checks.one_each("actions", actions, [f"action {i}" for i in range(shape[1])])

    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(ids, jnp.uint32))
    policy = jax.ShapeDtypeStruct(shape, game.initial.dtype)
    jax.eval_shape(lambda x: plain.best_response(1, (x, None)), policy)  # it says what a commitment's value needs
    for name, method in methods.items():
        with named(f"the method {name!r}"):
            _check_follower(plain, method, keys[0])
    played: dict[str, _Method] = {}

    def settings() -> list[Setting]:
        starts = spread * jax.vmap(lambda k: jax.random.normal(k, shape, game.initial.dtype))(_folded(keys, _START))
        trained: dict[int, tuple[_Followers, float]] = {}
        for name, method in methods.items():
            with named(f"the method {name!r}"):
                if id(method.follower) not in trained:
                    began = time.perf_counter()
                    followers = _Followers(plain, method, keys, ids)
                    trained[id(method.follower)] = followers, time.perf_counter() - began
                played[name] = _Method(plain, acting, method, *trained[id(method.follower)])
        return [
            made.setting(name, i, many[name], starts)._replace(values={"method": made})
            for i, (name, made) in enumerate(played.items())
        ]

    def measures(own: Sequence[Setting]) -> list[Measure]:
        (setting,) = own
        return [Measure(_MEASURED, setting.values["method"].measured, complete=True)]

    def finish(dataset: "xarray.Dataset") -> "xarray.Dataset":
        dataset = dataset.drop_vars("rounds", errors="ignore").rename(rounds="record")
        longest = max(Record.log_spaced(points).points(0, n).size for n in many.values())
        sizes = {name: Record.log_spaced(points).points(0, n) for name, n in many.items()}
        which = np.stack([np.minimum(np.arange(longest), sizes[name].size - 1) for name in methods])
        for name in _MEASURED:  # short runs repeat their last record
            array = dataset[name]
            at = which.reshape(len(methods), 1, longest, *[1] * (array.ndim - 3))
            dataset[name] = array.copy(data=np.take_along_axis(array.values, at, axis=2))
        training = np.stack([np.broadcast_to(played[name].training(), ids.shape) for name in methods])
        rounds = np.stack([sizes[name][at] for name, at in zip(methods, which, strict=True)])
        dataset = dataset.drop_vars("failed_at").assign(
            status=dataset["status"].astype(np.int8),
            rounds=(("methods", "record"), rounds),
            training_steps=(("methods", "replicate"), training),
            training_seconds=("methods", [made.training_seconds for made in played.values()]),
            seconds=dataset["seconds"].sum("replicate"),
            compile_seconds=dataset["compile_seconds"].sum("replicate"),
        )
        dataset = dataset.assign_coords(methods=list(methods), observation=names, leader_action=done)
        return dataset.assign_attrs(ties=game.ties, **(ground_truths(plain) if truths else {}))

    experiment = Experiment(
        kind="leading",
        settings=settings,
        dims={"methods": len(methods)},
        ids=ids,
        key=key,
        record=Record.log_spaced(points, payoffs=None),
        configuration={
            "game": game,
            "methods": methods,
            "rounds": many,
            "replicates": replicates,
            "spread": spread,
            "points": points,
            "truths": truths,
            "key": key,
        },
        measures=measures,
        keep=_MEASURED,
        finish=finish,
        seed=own_seed,
        title="MarkovGame",
        words=counts,
    )
    return run(experiment, how)


#: What is measured of each replicate at each record.
_MEASURED = ("policy", "value", "commitment_value", "environment_steps")


class _Method:
    """A method in a game: how it is played, and what its policies are worth."""

    def __init__(
        self, plain: MarkovGame, acting: MarkovGame, method: Leading, followers: _Followers, training_seconds: float
    ):
        self.plain, self.acting, self.method, self.followers = plain, acting, method, followers
        self.training_seconds = training_seconds
        self.asked = 0  # observations that an episode's questions are about
        self.exact: OracleGame | None = None
        if is_oracle(followers.one):
            switches = {
                "visible": method.visible,
                "query_rewards": method.query_rewards,
                "recognisable": method.recognisable,
            }
            episodes = method.episodes if method.ascends else 2 if plain.horizon is not None else None
            sampled = OracleGame(plain, followers.one, episodes=episodes, **switches)
            self.asked = int(np.prod(sampled.asked()))
            self.sampled = self._batched(sampled)
            enumerable = plain.action_counts[0] ** self.asked <= MOST_PATTERNS
            if enumerable and not getattr(followers.one, "is_random", False):
                self.exact = self._batched(OracleGame(plain, followers.one, **switches))

    def _batched(self, game: OracleGame) -> OracleGame:
        return eqx.tree_at(lambda g: g.oracle, game, self.followers.them)

    def _axes(self, game: OracleGame) -> OracleGame:
        """Which of the game's parts differ between replicates, as a prefix of its tree."""
        parts = (None, self.followers.axis, None)
        return eqx.tree_at(lambda g: (g.game, g.oracle, g.query_rewards), game, parts, is_leaf=_none)

    def training(self) -> Float[np.ndarray, " #replicates"]:
        """What the training cost, in environment steps: a number, or one for each replicate."""
        return self.followers.training()

    def setting(self, name: str, i: int, rounds: int, starts: Array) -> Setting:
        """What is played."""
        method, axis = self.method, self.followers.axis
        where: dict[str, Any] = {"label": name, "place": f"the method {name!r}", "apart": (i,)}
        if method.ascends:
            start = jnp.stack([starts, starts], 1) if method.recognisable else starts
            own = (self._axes(self.sampled), None)
            return Setting(self.sampled, (method.leader,), (start,), rounds, in_axes=own, **where)
        them, axes = self.followers.them, (None, None, axis)
        return Setting(self.acting, (method.leader, them), (starts, None), rounds, in_axes=axes, **where)

    def measured(self, game: Any, trace: Trace, at: np.ndarray) -> Arrays:
        """Values, policies and steps, at each record."""
        leader = trace.strategies[0]
        policy = jax.nn.softmax(leader[:, :, 0] if self.method.recognisable else leader)
        flat = policy.reshape(-1, *policy.shape[2:])
        commitment = committed_values(self.plain, flat, self.plain.ties).reshape(policy.shape[:2])
        if self.exact is not None:  # against the followers of these replicates
            exact = eqx.tree_at(lambda g: g.oracle, self.exact, self._followers(trace))
            value = _paid(exact, self._axes(self.exact), leader)
        elif self.method.ascends:
            sampled = eqx.tree_at(lambda g: g.oracle, self.sampled, self._followers(trace))
            keys = _folded(self.followers.keys[self.followers.places(trace.ids)], _VALUE)
            value = _estimated(sampled, self._axes(self.sampled), leader, keys)
        else:
            value = _between(self.plain, policy, trace.actions[1])
        arrays = {
            "policy": (("rounds", "observation", "leader_action"), policy),
            "value": (("rounds",), value),
            "commitment_value": (("rounds",), commitment),
            "environment_steps": (("rounds",), self._steps(trace)),
        }
        return {name: (dims, np.array(array)) for name, (dims, array) in arrays.items()}

    def _followers(self, trace: Trace) -> Any:
        """Those of the replicates of a trace."""
        if not self.followers.each:
            return self.followers.them
        places = self.followers.places(trace.ids)
        return jax.tree.map(lambda x: x[places] if eqx.is_array(x) else x, self.followers.them)

    def _steps(self, trace: Trace) -> Float[np.ndarray, "replicates K"]:
        """Environment steps of the rounds, and of the training before them."""
        rounds, horizon = np.asarray(trace.rounds, np.float64)[None], self.plain.horizon
        shape = (np.size(trace.ids), rounds.size)
        if horizon is None or (self.method.ascends and self.method.episodes is None):
            return np.full(shape, np.nan)
        episodes = self.method.episodes if self.method.ascends else 1
        training = self.training()
        before = training[self.followers.places(trace.ids)] if training.size > 1 else training
        steps = rounds * (episodes or 1) * (self.asked + horizon)
        return np.broadcast_to(np.reshape(before, (-1, 1)) + steps, shape)


@eqx.filter_jit
def _paid(game: OracleGame, axes: OracleGame, leaders: Array) -> Array:
    def one(game: OracleGame, leaders: Array) -> Array:
        return jax.vmap(lambda x: game.payoffs(x)[0])(leaders)

    return jax.vmap(one, (axes, 0))(game, leaders)


@eqx.filter_jit
def _estimated(game: OracleGame, axes: OracleGame, leaders: Array, keys: Array) -> Array:
    """Record by record, as all practice at once would leave the cache."""
    each = jax.vmap(lambda game, x, key: game.estimated(x, key, RESPONSES), (axes, 0, 0))

    def one(record: tuple[Array, Array]) -> Array:
        x, n = record
        return each(game, x, jax.vmap(lambda key: jax.random.fold_in(key, n))(keys))

    numbers = jnp.arange(leaders.shape[1], dtype=jnp.uint32)
    return jax.lax.map(one, (jnp.moveaxis(leaders, 1, 0), numbers)).T


@eqx.filter_jit
def _between(game: MarkovGame, policies: Array, followers: Array) -> Array:
    return jax.vmap(jax.vmap(lambda x, y: game.values(x, y)[0]))(policies, followers)


def _folded(keys: Array, n: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, n))(keys)


def _none(x: Any) -> bool:
    return x is None


def _as(game: Any, **options: Any) -> MarkovGame:
    """The same game with other `logits` and `sampled`."""
    if not isinstance(game, MarkovGame):
        raise TypeError(f"game: expected a MarkovGame, got {game!r}")
    if game.levels != ((0,), (1,)) or game.clocked[0]:
        raise ValueError("game: expected a leader without a clock, and one follower")
    names = ("initial", "horizon", "discount", "observations", "clocked", "ties", "levels")
    return MarkovGame(game.transitions, game.rewards, **{name: getattr(game, name) for name in names} | options)


def _rounds(rounds: Any, names: list[str]) -> dict[str, int]:
    """Each method's number of rounds."""
    if not isinstance(rounds, Mapping):
        return dict.fromkeys(names, checks.whole("rounds", rounds))
    if set(rounds) != set(names):
        missing, unknown = [n for n in names if n not in rounds], [n for n in rounds if n not in names]
        raise ValueError(f"rounds: expected a number for each method, got none for {missing}, and unknown {unknown}")
    return {name: checks.whole("rounds", rounds[name]) for name in names}


def steps_to_reach(dataset: "xarray.Dataset", target: float, variable: str = "value") -> "xarray.DataArray":
    """Environment steps after which a leader's value stays at a target or above it.

    **Arguments:** `dataset`: from `lead`; `target`: in units of payoff; `variable`: "value" or "commitment_value".

    **Returns:** `[methods, replicate]`: the steps at the first record from which on every record reaches the target;
    infinite if the last one doesn't, NaN for replicates that failed or whose steps weren't counted.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    check_leading(dataset)
    if variable not in ("value", "commitment_value"):
        raise ValueError(f"variable: expected 'value' or 'commitment_value', got {variable!r}")
    checks.number(target, "target", -np.inf, high=np.inf)
    if np.ndim(target):
        raise ValueError(f"target: expected one number, got {target!r}")
    reached = (dataset[variable] >= target).transpose("methods", "replicate", "record").values
    stays = np.logical_and.accumulate(reached[..., ::-1], -1)[..., ::-1]
    steps = dataset["environment_steps"].transpose("methods", "replicate", "record").values
    first = np.take_along_axis(steps, np.argmax(stays, -1)[..., None], -1)[..., 0]
    needed = np.where(stays[..., -1] | np.isnan(steps[..., -1]), first, np.inf)
    return dataset["status"].transpose("methods", "replicate").astype(float).copy(data=needed)


def check_leading(dataset: Any) -> None:
    """Is it what `lead` returned?"""
    results.check_from(dataset, "lead", ("methods", "replicate", "record"), ("value", "environment_steps"))
