"""`stackjax run`."""

import functools
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from stackjax.cli._common import Real, Whole, save_figure, terminal

if TYPE_CHECKING:
    from stackjax.experiments import Estimate, Study


class How(NamedTuple):
    """How a study is played, as options say: their values, by their names."""

    out: Path | None
    dry_run: bool
    overwrite: bool
    budget: float | None
    checkpoint: int | None
    quiet: bool


def options(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a command that plays a study, which gets them as one argument, `how`.

    **Arguments:** `default`: where its result goes.
    """
    given = (
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            help=f"The result, a name in .nc; its figure goes beside it.  [default: {default}]",
        ),
        click.option("--dry-run", is_flag=True, help="Say what would be done, how long and how large, and do nothing."),
        click.option("--overwrite", is_flag=True, help="Replace a result of another configuration."),
        click.option(
            "--budget",
            type=Real(0.0, min_open=True),
            help="GiB that it may take beside its result, on each device.  "
            "[default: 1/4 of a CPU's memory, 4/5 of an accelerator's]",
        ),
        click.option(
            "--checkpoint",
            type=Whole(1, 2**31 - 1),
            metavar="ROUNDS",
            help="Of long runs, keep also segments of so many rounds.  [default: whole runs]",
        ),
        click.option("--quiet", is_flag=True, help="Print nothing but errors."),
    )

    def added(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**said: Any) -> None:
            function(how=How(**{name: said.pop(name) for name in How._fields}), **said)

        found: Callable[..., None] = command
        for option in reversed(given):
            found = option(found)
        return found

    return added


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@options("results/FILE.nc")
@click.option("--distributed", is_flag=True, help="This is one of several processes, as Slurm or MPI starts them.")
@click.option("--coordinator", metavar="HOST:PORT", help="Of several processes that something else starts: the first,")
@click.option("--processes", type=Whole(1, 2**16), help="... how many there are,")
@click.option("--process", type=Whole(0, 2**16), help="... and which one this is, from 0.")
def command(
    file: Path,
    distributed: bool,
    coordinator: str | None,
    processes: int | None,
    process: int | None,
    how: How,
) -> None:
    """Do what the configuration FILE (TOML) says: a sweep or a comparison.

    A FILE in .nc is a result, whose configuration is run again.

    A sweep's finished chunks are kept beside its result. Killed, or stopped by Ctrl-C, it goes on when the same command
    is given again. A result of another configuration under the same name is not replaced.

    On several nodes (say, `srun stackjax run study.toml --distributed`, one process a GPU) every process
    plays its share on the devices that it sees, and the first one writes the result: --out must be on a file system
    that all of them share.
    """
    from stackjax import experiments

    _join(distributed, coordinator, processes, process)
    try:
        study = experiments.read_study(file)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'FILE'") from None
    if how.out is None and file.suffix == ".nc":
        raise click.UsageError("--out: expected a name for what a result's configuration gives again")
    perform(study, Path("results", file.stem + ".nc"), ["run", str(file)], how)


def perform(study: "Study", default: Path, said: Sequence[str], how: How) -> None:
    """Play a study, or say what that would be.

    **Arguments:** `default`: where the result goes if nothing else is asked for; `said`: the command, without `how`.
    """
    from stackjax.experiments._engine import Interrupted

    out = default if how.out is None else how.out
    if out.suffix != ".nc":
        raise click.BadParameter(f"expected a name in .nc, got {out}", param_hint="'--out'")
    limit = None if how.budget is None else max(int(how.budget * 2**30), 1)
    if study.kind != "sweep":
        for option, value in (("--checkpoint", how.checkpoint), ("--budget", None if how.dry_run else how.budget)):
            if value is not None:
                raise click.UsageError(f"{option}: expected a sweep; this is a comparison, which is played as a whole")
    try:
        if how.dry_run:
            _show(study.estimate(budget=limit))
            return
        words = ["stackjax", *said, "--out", str(out)]
        words += [] if how.checkpoint is None else ["--checkpoint", str(how.checkpoint)]
        more: dict[str, Any] = {"progress": False if how.quiet else None, "command": shlex.join(words)}
        if study.kind == "sweep":
            more |= {"overwrite": how.overwrite, "budget": limit, "checkpoint": how.checkpoint}
        dataset = study.play(out, **more)
    except Interrupted as stopped:
        click.echo(f"\n{stopped}", err=True)
        raise SystemExit(130) from None
    except (OSError, TypeError, ValueError) as error:
        places = [note for note in getattr(error, "__notes__", []) if note.startswith("(in ")]  # JAX adds other ones
        raise click.ClickException(" ".join([str(error), *places])) from None
    import jax

    if jax.process_index() == 0:
        _deliver(dataset, out, how.quiet)


def _join(distributed: bool, coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Be one of several processes, if asked to."""
    given = [value is not None for value in (coordinator, processes, process)]
    if any(given) and not all(given):
        raise click.UsageError("--coordinator, --processes, --process: expected all three or none")
    if not distributed and not any(given):
        return
    import jax

    try:
        if any(given):
            jax.distributed.initialize(coordinator, processes, process)
        else:
            jax.distributed.initialize()
    except (RuntimeError, ValueError) as error:
        raise click.ClickException(f"no several processes: {error}") from None


def _deliver(dataset: Any, out: Path, quiet: bool) -> None:
    """The figure beside the result, and the table."""
    from stackjax import plots

    figure = out.with_suffix(".png")
    try:
        save_figure(plots.plot_result(dataset), figure)
        said = f"figure {figure}"
    except (OSError, ValueError) as error:  # too many panels, say: the data are there
        said = f"no figure: {error}"
    if quiet:
        return
    from stackjax import experiments

    console = terminal()
    console.print(f"\n[bold]{dataset.attrs['title']}[/bold]")
    console.print(experiments.table(dataset, console.width))
    console.print(f"data   {out}\n{said}", highlight=False, soft_wrap=True)


def _show(found: "Estimate") -> None:
    """What a run would do."""
    from stackjax.experiments._memory import size_text

    axes = " x ".join(f"{size} {name}" for name, size in found.axes.items()) or "1 setting"
    chunks = f"{found.chunks} of up to {found.chunk} of the {found.runs} runs"
    beside = f", beside {size_text(found.held_bytes)} for programs and what goes with them" if found.held_bytes else ""
    lines = [
        f"settings  {axes}: {found.settings}, each in {found.replicates} replicates of {found.rounds} rounds",
        f"programs  {found.programs}, compiled in {found.compile_seconds:.1f} s",
        f"chunks    {chunks}",
        f"memory    {size_text(found.chunk_bytes)} for a chunk{beside}",
        f"time      about {_duration(found.seconds)} (from a sample of {found.sample_rounds} rounds)",
        f"data      about {size_text(found.result_bytes)} in memory",
        f"devices   {', '.join(found.devices)}",
    ]
    click.echo("\n".join(lines))


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} seconds"
