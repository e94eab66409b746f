"""`lead`: leaders of a Markov game against follower oracles, over environment steps and seeds."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from stackjax import _entry
from stackjax.equilibria.leaders import committed_values, ground_truths
from stackjax.experiments import results
from stackjax.experiments._running import check_fits, check_seed, compilation, labels_of, named, progress_bar
from stackjax.games import MarkovGame, Oracle, OracleGame
from stackjax.games.oracle import MOST_PATTERNS
from stackjax.play import play
from stackjax.protocols import Learner, Signal
from stackjax.schedules import number
from stackjax.trace import Record, Status, Trace

if TYPE_CHECKING:
    import xarray

#: What the key of a replicate's training and that of its start are derived from.
_TRAINING, _START = 1, 2
#: Records of a run.
POINTS = 60
_COUPLED = Signal.GRADIENT | Signal.GAME


@dataclass(frozen=True)
class Leading:
    """A leader, its followers, and the rules by which they meet.

    **Attributes:**

    - `leader`: a learner that follows its own gradient plays the one-player `OracleGame`; one that sees only what it
      is paid commits to a policy in every round of `play`, which is one sampled episode.
    - `follower`: an oracle (`queries` and `respond`); a function of the game and a key that trains one, once for each
      replicate; or a learner of `play` that is no oracle, such as `QLearning`, for leaders of the second kind.
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

    @property
    def practises(self) -> bool:
        """Whether the follower learns anew in every round."""
        return isinstance(self.follower, Learner) and not isinstance(self.follower, Oracle)

    def check(self) -> None:
        """Raise a `TypeError` or `ValueError` that names the argument for what doesn't go together."""
        if not isinstance(self.leader, Learner):
            raise TypeError(f"leader: expected a learner, got {self.leader!r}")
        if not isinstance(self.follower, Learner | Oracle) and not callable(self.follower):
            raise TypeError(
                f"follower: expected an oracle, a learner or a function that trains one, got {self.follower!r}"
            )
        if self.ascends and self.practises:
            raise ValueError(
                f"follower: {type(self.leader).__name__} follows the gradient through the answers to an oracle's "
                f"queries, and {type(self.follower).__name__} is no oracle; expected queries and respond"
            )
        switches = not self.visible or self.query_rewards is not None or self.recognisable
        if not self.ascends and (switches or self.episodes is not None):
            raise ValueError(
                "visible, query_rewards, recognisable, episodes: expected none for a leader without a gradient, whose "
                "rounds are plain episodes"
            )


def _check_follower(game: MarkovGame, method: Leading, key: Array) -> None:
    """Before any training: is it an oracle, and can its leaders be valued exactly?"""
    if method.practises:
        return
    found = method.follower
    if not isinstance(found, Learner | Oracle):
        found = eqx.filter_eval_shape(lambda key: method.follower(game, key), key)
        if not isinstance(found, Oracle):
            raise TypeError(f"follower: expected a function that returns an oracle, got one that returns {found!r}")
    if not method.ascends and not isinstance(found, Learner):
        raise ValueError("follower: expected a learner, to be played with, got an oracle that is none")
    queries, actions = int(np.shape(found.queries)[0]), game.action_counts[0]
    if method.ascends and actions**queries > MOST_PATTERNS:
        raise ValueError(
            f"queries: expected at most {MOST_PATTERNS} patterns to value leaders exactly, got {actions}^{queries}; "
            "let the follower ask fewer"
        )


class _Followers:
    """The followers of a method: one for all replicates, or one each, and what they have in common."""

    def __init__(self, game: MarkovGame, method: Leading, keys: Array):
        self.each = not isinstance(method.follower, Learner | Oracle)
        if self.each:
            self.them = jax.block_until_ready(jax.jit(jax.vmap(lambda key: method.follower(game, key)))(keys))
            self.one = jax.tree.map(lambda x: x[0], self.them)
        else:
            self.them = self.one = method.follower
        self.axis = 0 if self.each else None
        self.queries = 0 if method.practises else int(np.shape(self.one.queries)[0])

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
    progress: bool | None = None,
    title: str | None = None,
    states: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    command: str | None = None,
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
    - `progress`: whether to show a progress bar on the standard error; default: if that is a terminal.
    - `title`, `states`, `actions`: what figures call the game, the leader's observations and its actions; `command`:
      the command line, if this is part of one.

    **Returns:** a dataset with the dimensions `methods`, `replicate`, `record`, `observation` and `leader_action`:

    - `policy` `[methods, replicate, record, observation, leader_action]`: the leader's probabilities;
    - `value` `[methods, replicate, record]`: its exact payoff per step in the game that it plays: against an oracle the
      mean over all answers, rewards of queries included; against a learner that against the policy which this one
      played last;
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
    number(spread, "spread", 0.0, open_low=False)
    points = _entry.positive("points", points)
    check_seed(seed)
    shape = game.observation_counts[0], game.action_counts[0]
    count = replicates if isinstance(replicates, int | np.integer) else _entry.replicate_ids(replicates)[0].size
    check_memory(game, len(methods), int(count), points)
    ids, batched = _entry.replicate_ids(replicates)
    if not batched:
        raise ValueError("replicates: expected a number or ids, got None")
    if np.unique(ids).size < ids.size:
        raise ValueError(f"replicates: expected different ids, got {replicates!r}")
    names = labels_of("states", states, [f"observation {i}" for i in range(shape[0])])
    done = labels_of("actions", actions, [f"action {i}" for i in range(shape[1])])
    run_key = jax.random.key(seed) if key is None else key
    _entry.check_key(run_key)

    keys = jax.vmap(lambda i: jax.random.fold_in(run_key, i))(jnp.asarray(ids, jnp.uint32))
    starts = spread * jax.vmap(lambda k: jax.random.normal(k, shape, game.initial.dtype))(_folded(keys, _START))
    policy = jax.ShapeDtypeStruct(shape, game.initial.dtype)
    jax.eval_shape(lambda x: plain.best_response(1, (x, None)), policy)  # it says what a commitment's value needs
    for name, method in methods.items():
        with named(f"the method {name!r}"):
            _check_follower(plain, method, keys[0])
    known = ground_truths(plain) if truths else {}
    trained: dict[int, tuple[_Followers, float]] = {}
    rows = []
    with progress_bar(progress, len(methods) * ids.size, "replicates") as advance:
        for name, method in methods.items():
            advance(name)
            with named(f"the method {name!r}"):
                if id(method.follower) not in trained:
                    began = time.perf_counter()
                    found = _Followers(plain, method, _folded(keys, _TRAINING))
                    trained[id(method.follower)] = found, time.perf_counter() - began
                followers, seconds = trained[id(method.follower)]
                run = _Run(plain, acting, method, followers)
                rows.append(run.played(run_key, ids, many[name], points, starts) | {"training_seconds": seconds})
            advance(name, ids.size, int(np.sum(rows[-1]["status"] != Status.OK)))

    import xarray

    record = ("methods", "replicate", "record")
    dims = {
        "policy": (*record, "observation", "leader_action"),
        **dict.fromkeys(("value", "commitment_value", "environment_steps"), record),
        "rounds": ("methods", "record"),
        **dict.fromkeys(("status", "training_steps"), ("methods", "replicate")),
        **dict.fromkeys(("training_seconds", "seconds", "compile_seconds"), ("methods",)),
    }
    configuration = {
        "game": game,
        "methods": methods,
        "rounds": many,
        "replicates": replicates,
        "spread": spread,
        "points": points,
        "key": run_key,
    }
    length = max(row["rounds"].size for row in rows)
    rows = [_padded(row, dims, length) for row in rows]
    coordinates = {"methods": list(methods), "replicate": ids, "observation": names, "leader_action": done}
    dataset = xarray.Dataset({k: (where, np.stack([r[k] for r in rows])) for k, where in dims.items()}, coordinates)
    return dataset.assign_attrs(
        result="leading",
        title="MarkovGame" if title is None else title,
        ties=game.ties,
        **known,
        **results.provenance(
            configuration, seed=seed if key is None else None, command=command, device=jnp.zeros(()).device
        ),
    )


def check_memory(game: MarkovGame, methods: int, replicates: int, points: int = POINTS) -> None:
    """Would the recorded policies, the followers' among them, take more than half of the machine's memory?

    **Raises:** `ValueError` that names `replicates`.
    """
    numbers = 2 * sum(int(np.prod(game.policy_shape(i))) for i in game.players)
    check_fits({"methods": methods, "replicates": replicates, "records": points}, 8 * numbers)


def _padded(row: Mapping[str, Any], dims: Mapping[str, tuple[str, ...]], length: int) -> dict[str, np.ndarray]:
    """A method's rows with so many records: the last one is repeated."""
    which = np.minimum(np.arange(length), row["rounds"].size - 1)
    arrays = {name: np.asarray(array) for name, array in row.items()}
    records = {name: dims[name].index("record") - 1 for name in row if "record" in dims[name]}
    return arrays | {name: np.take(arrays[name], which, axis) for name, axis in records.items()}


class _Run:
    """A method in a game: how it is played, and what its policies are worth."""

    def __init__(self, plain: MarkovGame, acting: MarkovGame, method: Leading, followers: _Followers):
        self.plain, self.acting, self.method, self.followers = plain, acting, method, followers
        if not method.practises:
            switches = {
                "visible": method.visible,
                "query_rewards": method.query_rewards,
                "recognisable": method.recognisable,
            }
            self.sampled = self._batched(OracleGame(plain, followers.one, episodes=method.episodes, **switches))
            self.exact = self._batched(OracleGame(plain, followers.one, **switches))

    def _batched(self, game: OracleGame) -> OracleGame:
        return eqx.tree_at(lambda g: g.oracle, game, self.followers.them)

    def _axes(self, game: OracleGame) -> OracleGame:
        """Which of the game's parts differ between replicates, as a prefix of its tree."""
        parts = (None, self.followers.axis, None)
        return eqx.tree_at(lambda g: (g.game, g.oracle, g.query_rewards), game, parts, is_leaf=_none)

    def played(self, key: PRNGKeyArray, ids: np.ndarray, rounds: int, points: int, starts: Array) -> dict[str, Any]:
        """The rows of the dataset."""
        method, axis = self.method, self.followers.axis
        options: dict[str, Any] = {
            "key": key,
            "rounds": rounds,
            "replicates": ids.tolist(),
            "record": Record.log_spaced(points, payoffs=None),
        }
        with compilation() as compiled:
            began = time.perf_counter()
            if method.ascends:
                start = jnp.stack([starts, starts], 1) if method.recognisable else starts
                axes = (self._axes(self.sampled), None)
                trace = play(self.sampled, method.leader, start=(start,), in_axes=axes, **options)
            else:
                them = method.follower if method.practises else self.followers.them
                trace = play(
                    self.acting, method.leader, them, start=(starts, None), in_axes=(None, None, axis), **options
                )
            value, commitment, policy = jax.block_until_ready(self._values(trace))
            compiling = compiled()
            seconds = time.perf_counter() - began - compiling
        failed = np.asarray(trace.status) != Status.OK
        training = np.broadcast_to(self.followers.training(), failed.shape)
        found = {
            "policy": policy,
            "value": value,
            "commitment_value": commitment,
            "environment_steps": training[:, None] + self._steps(trace),
        }
        found = {k: np.where(failed.reshape(-1, *[1] * (np.ndim(x) - 1)), np.nan, x) for k, x in found.items()}
        return found | {
            "rounds": trace.rounds,
            "status": np.asarray(trace.status, np.int8),
            "training_steps": training,
            "seconds": seconds,
            "compile_seconds": compiling,
        }

    def _values(self, trace: Trace) -> tuple[Array, Array, Array]:
        """Values, values of commitments `[replicates, K]`, and policies."""
        leader = trace.strategies[0]
        policy = jax.nn.softmax(leader[:, :, 0] if self.method.recognisable else leader)
        flat = policy.reshape(-1, *policy.shape[2:])
        commitment = committed_values(self.plain, flat, self.plain.ties).reshape(policy.shape[:2])
        if self.method.practises:
            return _between(self.plain, policy, trace.actions[1]), commitment, policy
        return _paid(self.exact, self._axes(self.exact), leader), commitment, policy

    def _steps(self, trace: Trace) -> Float[np.ndarray, "#replicates K"]:
        """Environment steps of the rounds."""
        rounds, horizon = np.asarray(trace.rounds, np.float64)[None], self.plain.horizon
        if horizon is None or (self.method.ascends and self.method.episodes is None):
            return np.full_like(rounds, np.nan)
        episodes = self.method.episodes if self.method.ascends else 1
        practice = np.asarray(trace.calls[1].payoffs, np.float64) if self.method.practises else 0
        return rounds * (episodes or 1) * (self.followers.queries + horizon) + practice


@eqx.filter_jit
def _paid(game: OracleGame, axes: OracleGame, leaders: Array) -> Array:
    def one(game: OracleGame, leaders: Array) -> Array:
        return jax.vmap(lambda x: game.payoffs(x)[0])(leaders)

    return jax.vmap(one, (axes, 0))(game, leaders)


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
        return dict.fromkeys(names, _entry.positive("rounds", rounds))
    if set(rounds) != set(names):
        missing, unknown = [n for n in names if n not in rounds], [n for n in rounds if n not in names]
        raise ValueError(f"rounds: expected a number for each method, got none for {missing}, and unknown {unknown}")
    return {name: _entry.positive("rounds", rounds[name]) for name in names}
