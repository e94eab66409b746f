"""`stackjax run`."""

from pathlib import Path

import click

from stackjax.cli import _how
from stackjax.cli._common import Whole


@click.command("run")
@click.argument("file", type=click.Path(path_type=Path))
@_how.options("results/FILE.nc")
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
    how: _how.How,
) -> None:
    """Do what the configuration FILE (TOML) says: a sweep, a comparison, regrets, a meta-game, leaders and oracles.

    A FILE in .nc is a result, whose configuration is run again.

    Finished chunks are kept beside the result. Killed, or stopped by Ctrl-C, it goes on when the same command is
    given again. A result of another configuration under the same name is not replaced.

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
