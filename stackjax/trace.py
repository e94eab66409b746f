"""What a run records and what it returns: `Record`, `Trace`, `Status`."""

import enum
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree

from stackjax._core import loop
from stackjax.protocols import Calls, Game

if TYPE_CHECKING:
    import xarray


class Status(enum.IntEnum):
    """How a replicate ended. A replicate that failed is frozen at the state before the round in which it failed."""

    OK = loop.OK
    NON_FINITE = loop.NON_FINITE  #: a state or an action was NaN or infinite
    LEFT_SPACE = loop.LEFT_SPACE  #: an action lay outside its space
    DIVERGED = loop.DIVERGED  #: an action in a Euclidean space had a coordinate beyond 1e7 in absolute value


class FailedReplicatesError(RuntimeError):
    """Some replicates failed; the message says how many, why and when."""


class Record(eqx.Module):
    """When and what `play` records: a value, apart from the loop. Make one with `every`, `log_spaced` or `final`.

    **Arguments of all three:**

    - `metrics`: a function of one replicate's strategies, one argument a player, that returns a dictionary of arrays.
      Define it once: a new function object compiles a new program.
    - `strategies`: whether to record strategies and last actions (default True).
    - `visits`: whether to record how often each joint action was played, in games of arms (default True).
    - `payoffs`: "exact", "realised" or None: payoffs at the actions that were played, averaged over the rounds since
      the last record point. Default: the game's own `recorded_payoffs`.

    The last round is always recorded.
    """

    kind: str = eqx.field(static=True)
    number: int = eqx.field(static=True)
    metrics: Callable[..., dict[str, Any]] | None = eqx.field(static=True, default=None)
    strategies: bool = eqx.field(static=True, default=True)
    payoffs: Literal["game", "exact", "realised"] | None = eqx.field(static=True, default="game")
    visits: bool = eqx.field(static=True, default=True)

    def __check_init__(self) -> None:
        if self.metrics is not None and not callable(self.metrics):
            raise TypeError(f"metrics: expected a function of the strategies or None, got {self.metrics!r}")
        if self.payoffs not in ("game", "exact", "realised", None):
            raise ValueError(f'payoffs: expected "exact", "realised" or None, got {self.payoffs!r}')
        if isinstance(self.number, bool) or not isinstance(self.number, int | np.integer) or self.number < 1:
            raise ValueError(f"Record: expected a positive integer, got {self.number!r}")

    @classmethod
    def every(cls, rounds: int, **options: Any) -> "Record":
        """At every multiple of `rounds`, counted from round 0. With `final`, what `jax.grad` goes through."""
        return cls("every", rounds, **options)

    @classmethod
    def log_spaced(cls, points: int, **options: Any) -> "Record":
        """At up to `points` rounds, spaced evenly in the logarithm of the round.

        In runs of 2048 rounds and more, points beyond the first hundred or so are multiples of 4, 16 or (from 8192 on)
        64 rounds apart, so that a GPU plays them in loops whose length is known.
        """
        return cls("log_spaced", points, **options)

    @classmethod
    def final(cls, **options: Any) -> "Record":
        """At the end only."""
        return cls("final", 1, **options)

    def points(self, begin: int, end: int) -> Int[np.ndarray, " K"]:
        """The numbers of completed rounds, above `begin` and up to `end`, at which a run records."""
        if self.kind == "every":
            points = np.arange(self.number, end + 1, self.number)
        elif self.kind == "log_spaced":
            first = 1 if self.number > 1 else end
            points = np.rint(np.geomspace(first, end, self.number)).astype(np.int64)
            grid = 4 ** int(np.clip(np.log2(end / 1024), 0, 3))
            coarse = end - grid * np.rint((end - points) / grid).astype(np.int64)  # from the end, which is a point
            points = np.unique(np.where(points > 2 * grid + end % grid, coarse, points))
        else:
            points = np.array([end])
        points = points[points > begin]
        return points if points.size and points[-1] == end else np.append(points, end)


class Trace(eqx.Module):
    """What `play` returns: a pytree of arrays with leading axes `[replicates, K]`, K the number of record points.

    With `replicates=None` the axis of replicates is absent everywhere.

    **Attributes:**

    - `rounds [K]`: completed rounds at each record point.
    - `initial`: strategies before the first round, one entry a player, each a pytree `[replicates, ...]`.
    - `strategies`, `actions`: reported strategies and last played actions, one entry a player, `[replicates, K, ...]`.
    - `payoffs [replicates, K, players]`: means over the rounds since the last record point, with `Record.final` over
      all of them; `payoffs_of_strategies` are those of the strategies (a payoff that isn't
      finite shows, and ends a replicate only with the state of a learner that uses it); NaN once a replicate
      failed. In float32 at least, whatever the type of the run.
    - `metrics`: what `Record(metrics=...)` returned, `[replicates, K, ...]`.
    - `reports`: the learners' diagnostics, one dictionary a player, `[replicates, K]`; of a player that the game
      constrains also the largest `violation` of its constraints by the strategies, in the constraints' units.
    - `status [replicates]`: see `Status`; `failed_at [replicates]`: the first invalid recorded round, else -1.
    - `in_kernel [replicates]`: whether its rounds were played in one kernel (`play`'s `kernel`).
    - `state`: the learners' final states; `key`, `ids [replicates]`: what `play(resume=trace)` goes on with.
    - `visits`: of a game of arms, how often each joint action was played since round 0, `[replicates, K, A, B]`; None
      if it wasn't recorded, also before an interruption.
    - `calls`: cumulative oracle calls, one `Calls` a player, each entry `[replicates, K]`.
    """

    rounds: Int[np.ndarray, " K"]
    initial: tuple[PyTree, ...]
    strategies: tuple[PyTree, ...]
    actions: tuple[PyTree, ...]
    payoffs: Array | None
    metrics: dict[str, PyTree]
    reports: tuple[dict[str, Array], ...]
    status: Int[Array, " replicates"]
    failed_at: Int[Array, " replicates"]
    in_kernel: Bool[Array, " replicates"]
    state: tuple[PyTree, ...]
    key: PRNGKeyArray
    ids: Any
    block_visits: Any  # of each block
    visits_before: Any
    block_calls: Any  # of each block, in thousands and the rest; [K] where all replicates have the same
    calls_before: tuple[Calls, ...] | None
    structure: tuple[str, ...] = eqx.field(static=True)
    batched: bool = eqx.field(static=True)

    @property
    def calls(self) -> tuple[Calls, ...]:
        """Cumulative oracle calls: one `Calls` a player, each entry `[replicates, K]`."""
        shape = (*np.shape(self.status), len(self.rounds))

        def total(many: Array, rest: Array, before: Any = None) -> Array:
            xp, kind = (jnp, jnp.int32) if isinstance(rest, jax.core.Tracer) else (np, np.int64)
            blocks = xp.asarray(many).astype(kind) * loop.THOUSAND + xp.asarray(rest).astype(kind)
            found = xp.broadcast_to(xp.cumsum(blocks, -1), shape)
            return found if before is None else found + xp.asarray(before)[..., None]

        return jax.tree.map(total, *self.block_calls, *([] if self.calls_before is None else [self.calls_before]))

    @property
    def visits(self) -> Any:
        """How often each joint action was played since round 0, `[replicates, K, A, B]`, None if not recorded."""
        if self.block_visits is None:
            return None
        axis = int(self.batched)
        xp, kind = (jnp, jnp.int32) if isinstance(self.block_visits, jax.core.Tracer) else (np, np.int64)
        total = xp.cumsum(xp.asarray(self.block_visits).astype(kind), axis=axis)
        return total if self.visits_before is None else total + xp.expand_dims(xp.asarray(self.visits_before), axis)

    def payoffs_of_strategies(self, game: Game, *, in_axes: Any = None) -> Array:
        """The exact payoffs of the strategies at the record points, `[replicates, K, players]`.

        `payoffs` are means over rounds, of what was played; these are what the players would be paid now, and in a
        replicate that failed at the strategies at which it was frozen.

        **Arguments:** `game`, as it was played; `in_axes`: as its entry in `play`'s.
        """

        def of_one(game: Game, *strategies: Any) -> Array:
            return jnp.stack([jnp.asarray(paid) for paid in game.payoffs(*strategies)])

        each = jax.vmap(of_one, (None, *(0 for _ in self.strategies)))
        if self.batched:
            each = jax.vmap(each, (in_axes, *(0 for _ in self.strategies)))
        return each(game, *self.strategies)

    def raise_if_failed(self) -> "Trace":
        """The trace itself; a `FailedReplicatesError` if any replicate failed."""
        status, at = np.atleast_1d(np.asarray(self.status)), np.atleast_1d(np.asarray(self.failed_at))
        failed = np.flatnonzero(status)
        if failed.size:
            names = ", ".join(f"{np.sum(status == s)} {Status(s).name}" for s in np.unique(status[failed]))
            ids = np.atleast_1d(np.asarray(self.ids))[failed]
            raise FailedReplicatesError(
                f"{failed.size} of {status.size} replicates failed ({names}); the first are replicates "
                f"{ids[:5].tolist()}, invalid from the records at rounds {at[failed][:5].tolist()} on"
            )
        return self

    def to_xarray(self) -> "xarray.Dataset":
        """The trace as a labelled `xarray.Dataset` with the dimensions `replicate`, `rounds` and `player`.

        Strategies and actions become `strategy_0`, `action_0`, ...; a pytree's leaves are told apart by their paths.
        """
        import xarray

        coordinates = {"rounds": np.asarray(self.rounds)}
        if self.batched:
            coordinates["replicate"] = np.asarray(self.ids)
        return xarray.Dataset(self.variables(), coordinates)

    def variables(self, keep: Container[str] | None = None) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """The variables of `to_xarray`: name -> (dimensions, array).

        **Arguments:** `keep`: names; others are left out. Default: all.
        """
        lead = ("replicate", "rounds") if self.batched else ("rounds",)
        found: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
        reserved = {"payoffs", "visits", "status", "failed_at", "rounds", "replicate"}
        reserved |= {f"{kind}_calls" for kind in Calls._fields}

        def kept(name: str) -> bool:
            return keep is None or name in keep

        def add(name: str, tree: PyTree, dims: tuple[str, ...]) -> None:
            for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
                full = name + jax.tree_util.keystr(path)
                if full in found or full in reserved:
                    raise ValueError(f"metrics, reports: the name {full!r} is taken; choose another")
                if kept(full):
                    array = np.asarray(leaf)
                    found[full] = (dims + tuple(f"{full}_{i}" for i in range(array.ndim - len(dims))), array)

        for i, strategy in enumerate(self.strategies):
            add(f"strategy_{i}", strategy, lead)
        for i, strategy in enumerate(self.initial):
            add(f"initial_{i}", strategy, lead[:-1])
        for i, action in enumerate(self.actions):
            add(f"action_{i}", action, lead)
        for name, value in self.metrics.items():
            add(name, value, lead)
        for i, report in enumerate(self.reports):
            for name, value in report.items():
                add(f"{name}_{i}", value, lead)
        if self.block_visits is not None and kept("visits"):
            visits = self.visits
            found["visits"] = ((*lead, *(f"arm_{i}" for i in range(visits.ndim - len(lead)))), visits)
        if self.payoffs is not None and kept("payoffs"):
            found["payoffs"] = ((*lead, "player"), np.asarray(self.payoffs))
        counted = self.calls if any(kept(f"{kind}_calls") for kind in Calls._fields) else ()
        for kind in Calls._fields if counted else ():
            values = [np.asarray(getattr(calls, kind)) for calls in counted]
            found[kind + "_calls"] = ((*lead, "player"), _side_by_side(values, self.batched))
        found["status"] = (lead[:-1], np.asarray(self.status))
        found["failed_at"] = (lead[:-1], np.asarray(self.failed_at))
        return {name: entry for name, entry in found.items() if kept(name)}

    def ending(self) -> "Trace":
        """The trace without its records: all that `play(resume=...)` goes on from, off the device."""
        last = jax.tree.map(_off_the_device, (self.state, self.status, self.failed_at))
        calls = jax.tree.map(lambda x: np.asarray(x)[..., -1], self.calls)
        visits = None if self.block_visits is None else np.take(np.asarray(self.visits), -1, int(self.batched))
        return ended(self.structure, self.key, self.ids, int(self.rounds[-1]), last, calls, visits, self.batched)


def ended(
    structure: Any, key: Any, ids: Any, rounds: int, last: Any, calls: Any, visits: Any, batched: bool = True
) -> Trace:
    """A trace of so many rounds that has no records: what `play(resume=...)` goes on from.

    **Arguments:** `last`: the states, the statuses and where replicates failed; `calls`, `visits`: at the end.
    """
    state, status, failed_at = last
    none = np.zeros(1, np.int32)  # of the one record point that it has
    return Trace(
        rounds=np.asarray([rounds]),
        initial=(),
        strategies=(),
        actions=(),
        payoffs=None,
        metrics={},
        reports=(),
        status=status,
        failed_at=failed_at,
        in_kernel=jnp.zeros(np.shape(status), bool),
        state=state,
        key=key,
        ids=np.asarray(ids),
        block_visits=jax.tree.map(lambda x: np.expand_dims(np.zeros_like(x), int(batched)), visits),
        visits_before=visits,
        block_calls=jax.tree.map(lambda _: none, (calls, calls)),
        calls_before=calls,
        structure=structure,
        batched=batched,
    )


def blank(program: jax.stages.Lowered) -> Trace:
    """What a program of `play` records, with zeros, of one replicate at one record point: for the names."""

    def cut(x: Any, at: tuple[int, ...]) -> np.ndarray:
        return np.zeros((*at, *x.shape[len(at) :]), x.dtype)

    initial, rows, calls, (_, status, *_) = program.out_info
    rows = jax.tree.map(lambda x: cut(x, (1, 1)), rows)
    none: Any = cut(status, (1,))
    return Trace(
        **rows,
        rounds=np.ones(1, np.int64),
        initial=jax.tree.map(lambda x: cut(x, (1,)), initial),
        status=none,
        failed_at=none,
        in_kernel=none,
        state=(),
        key=none,
        ids=none,
        visits_before=None,
        block_calls=jax.tree.map(lambda x: cut(x, (1,) * x.ndim), calls),
        calls_before=None,
        structure=(),
        batched=True,
    )


def _off_the_device(x: Any) -> Any:
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)  # NumPy has no keys


def _side_by_side(values: list[np.ndarray], batched: bool) -> np.ndarray:
    """Stacked along a last axis; what is the same in all replicates is kept once, as a view that repeats it."""
    if not batched or any(value.strides[0] for value in values):
        return np.stack(values, -1)
    return np.broadcast_to(np.stack([value[0] for value in values], -1), (*values[0].shape, len(values)))
