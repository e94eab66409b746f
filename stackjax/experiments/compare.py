"""`compare`: several methods in one game, from the same starts and under the same noise."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax import _entry
from stackjax.experiments import results
from stackjax.experiments._measures import distances, known, stacked
from stackjax.experiments._running import (
    check_fits,
    check_seed,
    compilation,
    labels_of,
    named,
    progress_bar,
    roles_of,
)
from stackjax.play import play
from stackjax.protocols import Action, Calls, Game, Learner
from stackjax.trace import Record, Status, Trace

if TYPE_CHECKING:
    import xarray

#: Replicates at once on a CPU: more don't run faster there, and progress is shown after each piece. An
#: accelerator takes all of them at once.
_PIECE = 250


def compare(
    game: Game,
    methods: Mapping[str, Sequence[Learner]],
    *,
    rounds: int,
    replicates: int | Sequence[int] | Array = 100,
    seed: int = 0,
    key: PRNGKeyArray | None = None,
    start: tuple[Any, ...] | None = None,
    record: Record | None = None,
    nash: tuple[Action, ...] | list[tuple[Action, ...]] | None = None,
    stackelberg: tuple[Action, ...] | list[tuple[Action, ...]] | None = None,
    devices: Sequence[Any] | int | None = None,
    progress: bool | None = None,
    title: str | None = None,
    action_labels: Sequence[str] | None = None,
    payoff_labels: Sequence[str] | None = None,
    command: str | None = None,
) -> "xarray.Dataset":
    """Play a game with several methods, and measure their distances to its equilibria.

    Common random numbers: every method has the same key and the same replicates, so that in replicate r they
    meet the same noise of the game, and players who sample their start or their estimator noise in the same
    way draw the same. Differences between methods can then be taken within a replicate.

    **Arguments:**

    - `game`; `methods`: name -> one learner a player, in order of play.
    - `rounds`, `replicates`, `start`, `devices`: as in `stackjax.play`; `replicates` is a number or ids.
    - `seed`: an integer in [0, 2^32); or, instead, `key`: a `jax.random` key.
    - `record`: default `Record.log_spaced(150)`. `strategies=False` leaves out the distances too.
    - `nash`, `stackelberg`: an equilibrium as a joint action (a tuple), or a list of them; default: those that the
      game knows.
    - `progress`: whether to show a progress bar on the standard error; default: if that is a terminal.
    - `title`, and for each player `action_labels` and `payoff_labels` (with units): how figures call them.
    - `command`: the command line, if this is part of one.

    **Returns:** a dataset with the dimensions `methods`, `replicate`, `rounds` (completed, at the record
    points) and `player` ("leader", "follower", or "player 0", ...), with

    - everything of `Trace.to_xarray`: `strategy_0`, `action_0`, ..., `payoffs`, `status`, `failed_at`, oracle
      calls, ...;
    - `distance_to_nash`, `distance_to_stackelberg` `[methods, replicate, rounds, player]` where the
      equilibria are known: how far each player's strategy is from its part of the equilibrium, in its own
      space. (They aren't joined into one number: a follower that tracks a perturbed leader would hide how
      close the leader is.) Of several equilibria the one nearest to the joint strategy counts. `nash_0`,
      `nash_payoffs` `[player]`, ... are the equilibria and the exact payoffs there, with a leading dimension
      `nash_equilibrium`, ... if there are several;
    - `seconds` `[methods]`, the wall time without compilation, and `compile_seconds` `[methods]`, the wall
      time that JAX reports for tracing, lowering and compiling. A program that was compiled before costs no
      time again;
    - attributes: configuration (JSON), versions, device, seed, command and date. `stackjax.experiments.save`
      keeps all of it in a file.

    Pick a method by `dataset.sel(methods=name)`. (The plural, because `sel(method=...)` is an option of
    xarray's own.)

    **Raises:** `ValueError` or `TypeError` that names the argument, with a note that names the method; before
    anything is played also if the recorded data would take more than half of the machine's memory.
    """
    if not isinstance(methods, Mapping) or not methods:
        raise ValueError(f"methods: expected at least one name with its learners, got {methods!r}")
    for name, learners in methods.items():
        if not isinstance(learners, Sequence) or isinstance(learners, str):
            raise TypeError(
                f"methods: {name!r}: expected one learner a player, as in (leader, follower), got {learners!r}"
            )
    chosen = {str(name): tuple(learners) for name, learners in methods.items()}
    for name, learners in chosen.items():
        with named(f"the method {name!r}"):
            _entry.check_players(game, learners)
    rounds = _entry.positive("rounds", rounds)
    record = Record.log_spaced(150) if record is None else record
    _entry.check_record(record)
    number = replicates if isinstance(replicates, int | np.integer) else _entry.replicate_ids(replicates)[0].size
    check_memory(game, len(chosen), rounds, number, record)
    ids, batched = _entry.replicate_ids(replicates)
    if not batched:
        raise ValueError("replicates: expected a number or ids, got None")
    check_seed(seed)
    roles = roles_of(game)
    actions = labels_of("action_labels", action_labels, [f"action of {role}" for role in roles])
    payoffs = labels_of("payoff_labels", payoff_labels, [f"payoff of {role}" for role in roles])
    given = {"nash": nash, "stackelberg": stackelberg}
    equilibria = {name: found for name, points in given.items() if (found := known(game, name, points))}

    run_key = jax.random.key(seed) if key is None else key
    where = _entry.device_list(devices) or (jnp.zeros(()).device,)
    pieces = -(-ids.size // (_PIECE * len(where))) if where[0].platform == "cpu" else 1
    size = -(-ids.size // pieces)
    done = []
    with progress_bar(progress, len(chosen) * ids.size, "replicates") as advance:
        for name, learners in chosen.items():
            advance(name)
            parts, seconds, compiling = [], 0.0, 0.0
            for first in range(0, ids.size, size):
                # Copies of the last replicate fill up the last piece: one program serves all pieces.
                part = np.minimum(np.arange(first, first + size), ids.size - 1)
                with named(f"the method {name!r}"), compilation() as compiled:
                    began = time.perf_counter()
                    trace = play(
                        game,
                        *learners,
                        key=run_key,
                        rounds=rounds,
                        replicates=ids[part].tolist(),
                        start=_cut(game, start, ids.size, part),
                        record=record,
                        devices=devices,
                    )
                    jax.block_until_ready(trace)
                    seconds += time.perf_counter() - began - compiled()
                    compiling += compiled()
                parts.append(_dataset(game, trace, equilibria).isel(replicate=slice(0, ids.size - first)))
                played = parts[-1]["status"].values
                advance(name, played.size, int(np.sum(played != Status.OK)))
            whole = _concat(parts, "replicate", "minimal")
            done.append(whole.assign(seconds=seconds, compile_seconds=compiling))

    result = _concat(done, "methods", "all")
    result = results.labelled(result.assign_coords(methods=list(chosen), player=roles), actions, payoffs)
    for name, equilibrium in equilibria.items():
        result = result.assign(_equilibrium_variables(game, name, equilibrium))
    configuration = {
        "game": game,
        "methods": chosen,
        "rounds": rounds,
        "replicates": replicates,
        "start": start,
        "record": record,
        "key": run_key,
    }
    return result.assign_attrs(
        result="comparison",
        title=type(game).__name__ if title is None else title,
        **results.provenance(configuration, seed=seed if key is None else None, command=command, device=where[0]),
    )


def check_memory(
    game: Game, methods: int, rounds: int, replicates: int, record: Record | None = None, what: str = "methods"
) -> None:
    """Would what a comparison records take more than half of the machine's memory? A rough estimate.

    It leaves out what learners report, and copies: hence the half. `what`: of what there are so many `methods`.

    **Raises:** `ValueError` that names `replicates`.
    """
    size, points = record_bytes(game, rounds, Record.log_spaced(150) if record is None else record)
    check_fits({what: methods, "replicates": replicates, "records": points}, size)


def record_bytes(game: Game, rounds: int, record: Record) -> tuple[int, int]:
    """About how many bytes a record of one replicate has, and how many records there are."""
    points = {"every": -(-rounds // record.number), "log_spaced": min(record.number, rounds)}.get(record.kind, 1)
    players, each = len(game.spaces), jnp.zeros(()).dtype.itemsize
    actions = tuple(space.struct(jnp.float32) for space in game.spaces)
    values = players * (record.payoffs is not None)
    if record.strategies:  # strategies, actions, and the distances to both equilibria
        values += 2 * sum(space.size for space in game.spaces) + 2 * players
    if record.metrics is not None:
        with contextlib.suppress(Exception):  # `play` says better what is wrong with them
            values += sum(x.size for x in jax.tree.leaves(jax.eval_shape(record.metrics, *actions)))
    return each * values + 8 * players * len(Calls._fields), points


def _concat(parts: "list[xarray.Dataset]", dim: str, data_vars: Literal["all", "minimal"]) -> "xarray.Dataset":
    import xarray

    return xarray.concat(parts, dim, data_vars=data_vars, coords="minimal", compat="override", join="exact")


def _cut(game: Game, start: Any, replicates: int, part: np.ndarray) -> Any:
    """The starts of some replicates: leaves with one start a replicate are cut, `play` checks the rest."""
    if not isinstance(start, tuple | list) or len(start) != len(game.spaces):
        return start

    def cut(leaf: Any, struct: Any) -> Any:
        return jnp.asarray(leaf)[part] if np.shape(leaf) == (replicates, *struct.shape) else leaf

    entries = []
    for action, space in zip(start, game.spaces, strict=True):
        with contextlib.suppress(ValueError):  # of another structure than the space's
            action = None if action is None else jax.tree.map(cut, action, space.struct(jnp.float32))
        entries.append(action)
    return tuple(entries)


def _dataset(game: Game, trace: Trace, equilibria: Mapping[str, list[tuple[Action, ...]]]) -> "xarray.Dataset":
    """A trace as a dataset, with the distances."""
    dataset = trace.to_xarray()
    if not jax.tree.leaves(trace.strategies):
        return dataset
    for name, points in equilibria.items():
        runs = np.zeros(trace.status.shape[0], int)  # all of the same game
        each = jax.tree.map(lambda x, runs=runs: x[runs], stacked([points]))
        dataset[f"distance_to_{name}"] = (("replicate", "rounds", "player"), distances(game, trace.strategies, each))
    return dataset


def _equilibrium_variables(game: Game, name: str, points: list[tuple[Action, ...]]) -> dict[str, Any]:
    """`nash_0`, ..., named like the strategies, and `nash_payoffs` unless the game has no exact payoffs."""
    found: dict[str, Any] = {}
    several = (f"{name}_equilibrium",) if len(points) > 1 else ()

    def put(variable: str, dims: tuple[str, ...], values: list[Any]) -> None:
        found[variable] = (several + dims, np.stack(values) if several else np.asarray(values[0]))

    for i in range(len(game.spaces)):
        for path, leaf in jax.tree_util.tree_flatten_with_path(points[0][i])[0]:
            at = jax.tree_util.keystr(path)
            leaves = [dict(jax.tree_util.tree_flatten_with_path(point[i])[0])[path] for point in points]
            put(f"{name}_{i}{at}", tuple(f"strategy_{i}{at}_{j}" for j in range(leaf.ndim)), leaves)
    with contextlib.suppress(NotImplementedError):
        put(f"{name}_payoffs", ("player",), [np.asarray([float(p) for p in game.payoffs(*point)]) for point in points])
    return found
