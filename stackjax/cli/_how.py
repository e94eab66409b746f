"""How commands play experiments: the options that they share, and what becomes of a result or an error."""

import functools
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from stackjax.cli._common import Option, Real, Whole, save_figure, terminal

if TYPE_CHECKING:
    import xarray

    from stackjax.experiments import Estimate

_NOTES = 2  # shown at most: tables have what they are about


class How(NamedTuple):
    """How an experiment is played, as options say: their values, by their names."""

    out: Path | None
    dry_run: bool
    overwrite: bool
    budget: float | None
    checkpoint: int | None
    quiet: bool
    as_json: bool


_option = functools.partial(click.option, cls=Option, group="The result, and how it is played")


def options(default: str, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a command that plays an experiment, which gets them as one argument, `how`.

    **Arguments:** `default`: where its result goes; `name`: of the result in a folder, for commands that take one.
    """
    where = f"The result, a name in .nc; its figure goes beside it.  [default: {default}]"
    if name is not None:
        where = (
            f"Folder for {name}.nc and {name}.png, which are replaced if they are of another configuration; or a name "
            f"in .nc, which isn't.  [default: {default}]"
        )
    given = (
        _option("--out", type=click.Path(path_type=Path), help=where),
        _option("--dry-run", is_flag=True, help="Say what would be done, how long and how large, and do nothing."),
        _option("--overwrite", is_flag=True, help="Replace a result of another configuration."),
        _option(
            "--budget",
            type=Real(0.0, min_open=True),
            help="GiB that what is played at once may take, on each device.  "
            "[default: 1/4 of a CPU's memory, 4/5 of an accelerator's]",
        ),
        _option(
            "--checkpoint",
            type=Whole(1, 2**31 - 1),
            metavar="ROUNDS",
            help="Of long runs, keep also segments of so many rounds.  [default: whole runs]",
        ),
        _option("--quiet", is_flag=True, help="Print nothing but errors."),
        _option("--json", "as_json", is_flag=True, help="Print what the table says as JSON, and nothing else."),
    )

    def added(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**arguments: Any) -> None:
            function(how=How(**{name: arguments.pop(name) for name in How._fields}), **arguments)

        wrapped: Callable[..., None] = command
        for option in reversed(given):
            wrapped = option(wrapped)
        return wrapped

    return added


class Target(NamedTuple):
    """The result's file, and whether another one is replaced there: in a folder that was named it is."""

    path: Path
    overwrite: bool
    folder: bool = False


def target(how: How, default: Path, name: str | None = None) -> Target:
    """Where a result goes.

    **Arguments:** `name`: of the result in a folder, for commands that take one.
    """
    out = default if how.out is None else how.out
    if out.suffix == ".nc":
        return Target(out, how.overwrite)
    if name is None:
        raise click.BadParameter(f"expected a name in .nc, got {out}", param_hint="'--out'")
    return Target(out / f"{name}.nc", True, folder=True)


def perform(
    driver: Callable[..., "xarray.Dataset"],
    words: Sequence[str],
    how: How,
    out: Target,
    heading: str | None = None,
    notes: Sequence[str] = (),
    usage: bool = True,
) -> None:
    """Play an experiment, or say what that would be; write its figure, and print its table.

    **Arguments:** `driver`: a function of the keywords `experiments.How`; `words`: the command, without `how`; `out`:
    as `target` says; `heading`: of the table, default the result's title; `usage`: whether a value that is refused is
    the command line's.
    """
    from stackjax.experiments import Interrupted
    from stackjax.experiments.estimate import estimated
    from stackjax.experiments.run import planned

    budget = None if how.budget is None else max(int(how.budget * 2**30), 1)
    try:
        if how.dry_run:
            _show(estimated(*planned(driver, budget=budget)), how.as_json)
            return
        words = ["stackjax", *words] + ([] if out.folder else ["--out", str(out.path)])
        words += [] if how.checkpoint is None else ["--checkpoint", str(how.checkpoint)]
        dataset = driver(
            out=out.path,
            overwrite=out.overwrite,
            budget=budget,
            checkpoint=how.checkpoint,
            progress=False if how.quiet else None,
            command=shlex.join(words),
        )
    except Interrupted as stopped:
        click.echo(f"\n{stopped}", err=True)
        raise SystemExit(130) from None
    except (OSError, TypeError, ValueError) as error:
        places = [note for note in getattr(error, "__notes__", []) if note.startswith("(in ")]  # JAX adds other ones
        text = " ".join([str(error), *places])
        if out.folder and text.startswith("can't write in the folder"):
            raise click.BadParameter(text, param_hint="'--out'") from None
        refused = usage and not isinstance(error, OSError)
        raise (click.UsageError(text) if refused else click.ClickException(text)) from None
    import jax

    if jax.process_index() == 0:
        _deliver(dataset, out.path, how, heading, notes)


def _deliver(dataset: "xarray.Dataset", out: Path, how: How, heading: str | None, notes: Sequence[str]) -> None:
    """The figure beside the result, unless it is there, and the table with the first notes."""
    figure = out.with_suffix(".png")
    try:
        if not _is_of(figure, out):
            from stackjax import plots  # here, as it takes long to import

            save_figure(plots.plot_result(dataset), figure)
        message = f"figure {figure}"
    except (OSError, ValueError) as error:  # too many panels, say: the data are there
        message = f"no figure: {error}"
    from stackjax import experiments
    from stackjax.experiments.records import plain, records

    if how.as_json:
        written = {"data": str(out), "figure": str(figure) if message.startswith("figure") else None}
        said = {name: plain(value) for name, value in dataset.attrs.items()}
        said["configuration"] = json.loads(said["configuration"])
        click.echo(json.dumps(said | written | {"notes": list(notes), "tables": records(dataset)}))
    if how.as_json or how.quiet:
        return
    console = terminal()
    console.print(f"\n[bold]{dataset.attrs['title']}[/bold]" if heading is None else f"\n{heading}")
    console.print(experiments.table(dataset, console.width))
    for note in [*notes[:_NOTES], *[f"{len(notes) - _NOTES} more like it"] * (len(notes) > _NOTES)]:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False)
    console.print(f"data   {out}\n{message}", highlight=False, soft_wrap=True)


def _is_of(figure: Path, out: Path) -> bool:
    """Whether a figure was drawn after the data were written."""
    return figure.exists() and figure.stat().st_mtime >= out.stat().st_mtime


def _show(estimate: "Estimate", as_json: bool) -> None:
    """What a run would do."""
    if as_json:
        click.echo(json.dumps(estimate._asdict(), default=str))
        return
    from stackjax.experiments.memory import size_text

    axes = " x ".join(f"{size} {name}" for name, size in estimate.axes.items()) or "1 setting"
    lines = [
        f"settings  {axes}: {estimate.settings}, each in {estimate.replicates} replicates of {estimate.rounds} rounds",
        f"programs  {estimate.programs}, compiled in {estimate.compile_seconds:.1f} s",
        f"chunks    {estimate.chunks} of up to {estimate.chunk} of the {estimate.runs} runs",
        f"memory    {size_text(estimate.chunk_bytes)} for a chunk",
        f"time      about {_duration(estimate.seconds)} (from a sample of {estimate.sample_rounds} rounds)",
        f"data      about {size_text(estimate.result_bytes)} in memory",
        f"devices   {', '.join(estimate.devices)}",
    ]
    click.echo("\n".join(lines))


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} seconds"
