"""`stackjax run`."""

import functools
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from stackjax.cli import _how
from stackjax.cli._common import Command, Option, Whole, nearest
from stackjax.cli._studies import studies


class StudyFile(click.Path):
    """A file, or the name of a study that comes with the library."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The studies' names, or else files."""
        own = [CompletionItem(name) for name in studies() if name.startswith(incomplete)]
        return own or super().shell_complete(ctx, param, incomplete)


_of_several = functools.partial(click.option, cls=Option, group="On several nodes")


@click.command("run", cls=Command)
@click.argument("file", type=StudyFile())
@_how.options("results/FILE.nc")
@_of_several("--distributed", is_flag=True, help="This is one of several processes, as Slurm or MPI starts them.")
@_of_several("--coordinator", metavar="HOST:PORT", help="Of several processes that something else starts: the first,")
@_of_several("--processes", type=Whole(1, 2**16), help="... how many there are,")
@_of_several("--process", type=Whole(0, 2**16), help="... and which one this is, from 0.")
def command(
    file: Path,
    distributed: bool,
    coordinator: str | None,
    processes: int | None,
    process: int | None,
    how: _how.How,
) -> None:
    """Do what the configuration FILE (TOML) says: a sweep, a comparison, regrets, a meta-game, leaders and oracles.

    A FILE in .nc is a result, whose configuration is run again; FILE may also be a name of stackjax list studies.

    Finished chunks are kept beside the result. Killed, or stopped by Ctrl-C, it goes on when the same command is
    given again. A result of another configuration under the same name is not replaced.

    On several nodes (say, `srun stackjax run study.toml --distributed`, one process a GPU) every process
    plays its share on the devices that it sees, and the first one writes the result: --out must be on a file system
    that all of them share.
    """
    from stackjax import experiments

    _join(distributed, coordinator, processes, process)
    named = None if file.is_file() else studies().get(str(file))
    if named is None and not file.suffix and not file.is_file():
        said = f"there is no file {file}; {nearest('study', str(file), studies())}"
        raise click.BadParameter(said, param_hint="'FILE'")
    try:
        study = experiments.read_study(file if named is None else named)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'FILE'") from None
    if how.out is None and file.suffix == ".nc":
        raise click.UsageError("--out: expected a name for what a result's configuration gives again")
    out = _how.target(how, Path("results", file.stem + ".nc"))
    _how.perform(study.play, ["run", str(file)], how, out, usage=False)


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
