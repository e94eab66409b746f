"""`sweep`: any number of any game, learner or schedule, times replicates, as one labelled result that survives."""

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
from jaxtyping import Array, PRNGKeyArray

from stackjax import _entry
from stackjax._names import nearest
from stackjax.experiments import results
from stackjax.experiments._assembly import Tables
from stackjax.experiments._engine import finished, here, in_parts
from stackjax.experiments._prepared import prepared
from stackjax.experiments._running import compilation, progress_bar
from stackjax.experiments.axes import Over
from stackjax.experiments.parts import Parts
from stackjax.protocols import Action, Game, Learner
from stackjax.trace import Record

if TYPE_CHECKING:
    import xarray

#: What decides the data beside the configuration, bit for bit.
_ENVIRONMENT = ("stackjax_version", "jax_version", "jaxlib_version", "numpy_version", "platform", "device")
Maker = Callable[..., Any]


def sweep(
    game: Game | Maker | Mapping[str, Game | Maker],
    methods: Sequence[Learner] | Maker | Mapping[str, Sequence[Learner] | Maker],
    over: Mapping[str, Any] | Over | None = None,
    *,
    rounds: int,
    replicates: int | Sequence[int] | Array = 100,
    seed: int = 0,
    key: PRNGKeyArray | None = None,
    common: bool = True,
    start: tuple[Any, ...] | Maker | None = None,
    record: Record | None = None,
    nash: tuple[Action, ...] | list[tuple[Action, ...]] | Maker | None = None,
    stackelberg: tuple[Action, ...] | list[tuple[Action, ...]] | Maker | None = None,
    benchmark: str = "tolerant",
    gamma: float = 0.05,
    keep: Sequence[str] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    budget: int | None = None,
    chunk: int | None = None,
    checkpoint: int | None = None,
    devices: Sequence[Any] | int | None = None,
    skip_phases: bool = False,
    progress: bool | None = None,
    title: str | None = None,
    action_labels: Sequence[str] | None = None,
    payoff_labels: Sequence[str] | None = None,
    units: Mapping[str, str] | None = None,
    command: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> "xarray.Dataset":
    """Play a game with learners in every setting of what is swept, each in many replicates.

    Settings of one structure, which differ in numbers only, are played by one program, along its one batch axis:
    settings x replicates, in chunks that keep to a budget of memory, on all devices. What changes shapes or the
    program (numbers of arms, depths, solvers, other schedules) is compiled once for each value.

    Random numbers: with `common` replicate r meets the same noise in every setting, so that differences between
    settings can be taken within a replicate. They depend neither on chunks nor on devices nor on processes.

    Long sweeps: with `out` finished chunks are written beside that file (`OUT.parts/`), and the same call goes on where
    one that was interrupted or killed had stopped, with the same data in the end. A file or parts of another
    configuration are refused, with the difference. That is of values, and of code: every function, class and global
    value that the computation reaches outside of installed libraries; what can't be looked into is named in a warning.
    Ctrl-C stops at the end of a chunk. Several processes (`jax.distributed.initialize`, one `out` on a file system that
    they share) each play their share of the chunks; the first one writes the file.

    **Arguments:**

    - `game`: a game, or a pure function of swept names that makes one, called once for each set of values that it
      takes; or several by name, a dimension `games`.
    - `methods`: one learner a player, or a function of swept names (and of `game` and `rounds`, if it takes them) that
      makes them; or several by name, a dimension `methods`.
    - `over`: what is swept: name -> values, as in `grid`, or a product of `grid` and `zipped`. A name is a path
      (`"game.demand"`, `"leader.step"`, `"follower.step.exponent"`, `"player 2.step"`) to an argument of a constructor,
      which is called again with that value; or an argument of a function above; or `gamma`.
    - `rounds`, `replicates`, `devices`, `skip_phases`: as in `stackjax.play`; `replicates` is a number or ids,
      `devices` default to all of this process.
    - `seed`: an integer in [0, 2^32); or, instead, `key`: a `jax.random` key.
    - `common`: whether settings share their random numbers; else each has replicates of its own (`replicate_id`).
    - `start`: as in `stackjax.play`, or a function of swept names.
    - `record`: default `Record.log_spaced(30)`.
    - `nash`, `stackelberg`: an equilibrium, a list of them, or a function of swept names that returns these; default:
      those that each setting's game knows.
    - `benchmark`, `gamma`: of Stackelberg bandits, what `regret` is measured against: "tolerant", "self-tolerant" or
      "stackelberg", see `stackjax.equilibria`. A `gamma` that is swept is played once, and measured with each value.
    - `keep`: the variables to keep, beside `status` and `failed_at`; default: all.
    - `out`: the file, in .nc; `overwrite`: whether a result or parts of another configuration there are replaced.
    - `budget`: bytes that the sweep may take, on each device; on a CPU in all, beyond what the process has when it
      begins and beyond the result itself, with all that is compiled. Default: a quarter of a CPU's memory, four fifths
      of an accelerator's, for what is played at once. `chunk`: instead, so many runs at once.
    - `checkpoint`: with `out`, of long runs: they are played in segments of so many rounds, each up to a record point
      (longer where record points are farther apart), and go on from the end of the last segment that was written.
      Data are bit-identical whether they were interrupted or not; equal to rounding with other segments.
    - `progress`: whether to show a progress bar on the standard error; default: if that is a terminal.
    - `title`, and for each player `action_labels` and `payoff_labels` (with units): how figures call them.
    - `units`: swept name -> unit, an attribute of its coordinate.
    - `command`: the command line, if this is part of one; `attributes`: of the result, more of them.

    **Returns:** a dataset with a dimension and a coordinate for each swept name (of a `zipped`: one dimension with
    several coordinates), then `replicate`, `rounds` and `player`, with everything of `Trace.to_xarray`,
    `distance_to_nash`, `distance_to_stackelberg` (each player's, to its part of the nearest equilibrium of its
    setting's game, in its own space), or for bandits `regret` (exact pseudo-regret, NaN where a replicate failed).
    Arrays of settings whose shapes are smaller are filled up with NaN (whole numbers with 0). Attributes: configuration
    (JSON), versions, device, seed, command, date, and `seconds` without and `compile_seconds` of compilation of the
    call that finished it.

    **Raises:** `ValueError` or `TypeError` that names the argument, with a note that names the setting, before anything
    is played; `OtherConfigurationError`, a `ValueError`; `OSError` if a file can't be written: what was finished is
    kept.
    """
    found = prepared(
        game,
        methods,
        over,
        rounds=rounds,
        replicates=replicates,
        seed=seed,
        key=key,
        common=common,
        start=start,
        record=record,
        nash=nash,
        stackelberg=stackelberg,
        benchmark=benchmark,
        gamma=gamma,
        keep=keep,
        devices=devices,
        skip_phases=skip_phases,
        action_labels=action_labels,
        payoff_labels=payoff_labels,
    )
    target = None if out is None else target_of(out)
    if target is None and jax.process_count() > 1:
        raise ValueError("out: expected a file on a file system that all processes share, got None")
    sparing = budget is not None and chunk is None and found.runs.devices[0].platform == "cpu"
    runs = found.runs._replace(sparing=sparing)
    found = found._replace(runs=runs)
    units = check_units(units, found.axes)
    provenance = results.provenance(
        found.said, seed=seed if key is None else None, command=command, device=runs.devices[0]
    )
    configuration = json.loads(provenance["configuration"])

    def there(overwrite: bool = False) -> "xarray.Dataset | None":
        return None if target is None else finished(target, configuration, overwrite)

    for name, value in (("budget", budget), ("chunk", chunk), ("checkpoint", checkpoint)):
        if value is not None:
            _entry.positive(name, value)
    if checkpoint is not None and target is None:
        raise ValueError("checkpoint: expected a file, out, beside which to keep it, got None")
    for name, text in (("title", title), ("command", command)):
        if not isinstance(text, str | None):
            raise TypeError(f"{name}: expected a text, got {text!r}")
    said = _texts("attributes", attributes, "name -> text")
    if own := sorted(said.keys() & {"title", "seconds", "compile_seconds", "seed", "command", "result", *provenance}):
        raise ValueError(f"attributes: expected names that a result doesn't have by itself, got {own}")
    for name, text in {"title": title, "command": command, **said}.items():
        if "\0" in (text or "") or not name or "/" in name or "\0" in name:  # NetCDF has no such names and texts
            raise ValueError(f"{name!r}: expected a name without '/' and a text without NUL, got {text!r}")
    if (whole := there(overwrite)) is not None:
        if progress is not False:
            print(f"{target} is there already, of {whole.attrs.get('date')}: nothing is played", file=sys.stderr)
        return _said_anew(whole, said | ({} if title is None else {"title": title}), units, target)
    with compilation() as compiled, progress_bar(progress, found.total, "runs") as advance:
        began = time.perf_counter()
        if target is None:
            tables: Any = here(runs, found.sizes(chunk, budget).each, advance)
        else:
            with_versions = configuration | {name: provenance[name] for name in _ENVIRONMENT}
            parts = Parts(target, with_versions)
            cut = functools.partial(found.cut, chunk, budget, checkpoint)
            tables = in_parts(runs, cut, parts, there, overwrite, advance)
            if not isinstance(tables, Tables):  # another process wrote the file
                return tables
        compiling = compiled()
        seconds = time.perf_counter() - began - compiling
    dataset = found.dataset(tables).assign_attrs(
        title=found.title if title is None else title,
        seconds=seconds,
        compile_seconds=compiling,
        **said,
        **provenance,
    )
    for name, unit in units.items():
        dataset[name].attrs["units"] = unit
    if target is not None:
        results.save(dataset, target)
        parts.finish()
    return dataset


def check_units(units: Any, over: Over) -> dict[str, str]:
    """Units of swept names, no more.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    found = _texts("units", units, "swept name -> unit")
    for name in found:
        if name not in over.names:
            known = over.names
            raise ValueError(f"units: {nearest('swept name', name, known) if known else f'{name!r} is not swept'}")
    return found


def _texts(name: str, given: Any, expected: str) -> dict[str, str]:
    texts = isinstance(given, Mapping) and all(isinstance(text, str) for pair in given.items() for text in pair)
    if given is not None and not texts:
        raise TypeError(f"{name}: expected a mapping {expected}, got {given!r}")
    return dict(given or {})


def _said_anew(
    dataset: "xarray.Dataset", said: Mapping[str, str], units: Mapping[str, str], target: Path | None
) -> "xarray.Dataset":
    """A result that was there, with the title, the figure, the units that it has now; and so in its file."""
    old = {name: dataset[name].attrs.get("units") for name in units}
    if dict(units) == old and all(dataset.attrs.get(name) == value for name, value in said.items()):
        return dataset
    dataset = dataset.assign_attrs(**said)
    for name, unit in units.items():
        dataset[name].attrs["units"] = unit
    if target is not None and jax.process_index() == 0:
        results.save(dataset, target)
    return dataset


def target_of(out: Any) -> Path:
    """Where a result goes.

    **Raises:** `ValueError` that names `out`.
    """
    path = Path(out) if isinstance(out, str | os.PathLike) else Path()
    if path.suffix != ".nc":
        raise ValueError(f"out: expected a file name in .nc, got {str(out)!r}")
    return path
