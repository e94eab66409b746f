"""`compare`: several methods in one game, from the same starts and under the same noise."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from stackjax import checks
from stackjax._core import entry
from stackjax.experiments import results
from stackjax.experiments.measure import EQUILIBRIA, distances_to, known
from stackjax.experiments.memory import check_fits, record_bytes
from stackjax.experiments.progress import named
from stackjax.experiments.run import Experiment, How, replicate_count, replicate_ids, roles_of, run, run_key
from stackjax.experiments.settings import Setting
from stackjax.games import Noisy
from stackjax.learners import Every
from stackjax.protocols import Action, Game, Learner, Signal
from stackjax.trace import Record

if TYPE_CHECKING:
    import xarray

#: What is recorded if nothing else is asked for.
RECORD = Record.log_spaced(150)


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
    action_labels: Sequence[str] | None = None,
    payoff_labels: Sequence[str] | None = None,
    **how: Unpack[How],
) -> "xarray.Dataset":
    """Play a game with several methods, and measure their distances to its equilibria.

    Common random numbers: every method has the same key and the same replicates, so that in replicate r they
    meet the same noise of the game, and players who sample their start or their estimator noise in the same
    way draw the same. Differences between methods can then be taken within a replicate.

    **Arguments:**

    - `game`; `methods`: name -> one learner a player, in order of play.
    - `rounds`, `replicates`, `start`: as in `stackjax.play`; `replicates` is a number or ids.
    - `seed`: an integer in [0, 2^32); or, instead, `key`: a `jax.random` key.
    - `record`: default `Record.log_spaced(150)`. `strategies=False` leaves out the distances too.
    - `nash`, `stackelberg`: an equilibrium as a joint action (a tuple), or a list of them; default: those that the
      game knows.
    - for each player `action_labels` and `payoff_labels` (with units): how figures call them.
    - `how`: where it is kept, in which chunks it is played, on which devices, ...: see `How`. `title`: default the
      game's class.

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
    anything is played also if the recorded data would take more than half of the machine's memory. It warns
    (`UserWarning`) where a player reads noisy payoffs in one method and has exact gradients in another.
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
            entry.check_players(game, learners)
    _warn_of_exact_gradients(game, chosen)
    rounds = checks.whole("rounds", rounds)
    record = RECORD if record is None else record
    entry.check_record(record)
    size, points = record_bytes(game, record, rounds)
    check_fits({"methods": len(chosen), "replicates": replicate_count(replicates), "records": points}, size)
    roles = roles_of(game)
    labels = (
        checks.one_each("action_labels", action_labels, [f"strategy of {role}" for role in roles]),
        checks.one_each("payoff_labels", payoff_labels, [f"payoff of {role}" for role in roles]),
    )
    given = {"nash": nash, "stackelberg": stackelberg}
    equilibria = {name: joint_actions for name in EQUILIBRIA if (joint_actions := known(game, name, given[name]))}
    own_seed, key = seed if key is None else None, run_key(seed, key)
    start = (None,) * len(game.spaces) if start is None else start

    def finish(dataset: "xarray.Dataset") -> "xarray.Dataset":
        dataset = dataset.assign_coords(methods=list(chosen))
        dataset = dataset.assign({name: dataset[name].sum("replicate") for name in ("seconds", "compile_seconds")})
        for name, points in equilibria.items():
            dataset = dataset.assign(_equilibrium_variables(game, name, points))
        return results.labelled(dataset, *labels)

    return run(
        Experiment(
            kind="comparison",
            settings=[
                Setting(game, learners, start, rounds, name, f"the method {name!r}", apart=(i,))
                for i, (name, learners) in enumerate(chosen.items())
            ],
            dims={"methods": len(chosen)},
            ids=replicate_ids(replicates),
            key=key,
            record=record,
            configuration={
                "game": game,
                "methods": chosen,
                "rounds": rounds,
                "replicates": replicates,
                "start": start,
                "record": record,
                "nash": nash,
                "stackelberg": stackelberg,
                "key": key,
            },
            measures=lambda settings: distances_to(settings, given, list(equilibria)) if record.strategies else [],
            finish=finish,
            seed=own_seed,
            title=type(game).__name__,
            words={"methods": len(chosen)},
        ),
        how,
    )


def _warn_of_exact_gradients(game: Game, methods: Mapping[str, tuple[Learner, ...]]) -> None:
    """`Noisy` is noise on payoffs: a player who reads payoffs in one method may have exact gradients in another."""
    if not isinstance(game, Noisy) or not checks.concrete(game.payoff_variance) or not np.any(game.payoff_variance):
        return
    for i in range(len(game.spaces)):
        wants = {name: learners[i].wants for name, learners in methods.items()}
        reads = [name for name, signals in wants.items() if Signal.PAYOFF in signals]
        exact = [
            name
            for name, signals in wants.items()
            if signals & (Signal.GRADIENT | Signal.GAME) and _is_exact(methods[name][i])
        ]
        if reads and exact:
            warnings.warn(
                f"methods: the payoffs that player {i} reads in {reads[0]!r} are noisy, its gradients in {exact[0]!r} "
                "are exact: Noisy doesn't reach gradients; for noisy ones give the learner a noise_variance",
                stacklevel=3,
            )


def _is_exact(learner: Learner) -> bool:
    """Whether it could have noise in its gradients, and has none."""
    inner = learner.learner if isinstance(learner, Every) else learner
    return getattr(inner, "noise_variance", 0.0) is None


def _equilibrium_variables(game: Game, name: str, points: list[tuple[Action, ...]]) -> dict[str, Any]:
    """`nash_0`, ..., named like the strategies, and `nash_payoffs` unless the game has no exact payoffs."""
    variables: dict[str, Any] = {}
    several = (f"{name}_equilibrium",) if len(points) > 1 else ()

    def put(variable: str, dims: tuple[str, ...], values: list[Any]) -> None:
        variables[variable] = (several + dims, np.stack(values) if several else np.asarray(values[0]))

    for i in range(len(game.spaces)):
        for path, leaf in jax.tree_util.tree_flatten_with_path(points[0][i])[0]:
            at = jax.tree_util.keystr(path)
            leaves = [dict(jax.tree_util.tree_flatten_with_path(point[i])[0])[path] for point in points]
            put(f"{name}_{i}{at}", tuple(f"strategy_{i}{at}_{j}" for j in range(leaf.ndim)), leaves)
    with contextlib.suppress(NotImplementedError):
        put(f"{name}_payoffs", ("player",), [np.asarray([float(p) for p in game.payoffs(*point)]) for point in points])
    return variables
