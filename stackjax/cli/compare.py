"""`stackjax compare`."""

import shlex
from pathlib import Path

import click

from stackjax.cli._common import Whole, deliver, game_entry, nearest, seed_option, writable


@click.command("compare")
@click.argument("game")
@click.option(
    "--replicates",
    type=Whole(1, 2**32 - 1),
    help="How many runs of each method; default as in stackjax list.",
)
@click.option("--rounds", type=Whole(1, 2**31 - 1), help="How many rounds a run has; default likewise.")
@seed_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for comparison.nc and comparison.png, which are replaced.  [default: results/GAME]",
)
@click.option("--methods", help="Which methods, separated by commas; stackjax list shows them.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
def command(
    game: str,
    replicates: int | None,
    rounds: int | None,
    seed: int,
    out: Path | None,
    methods: str | None,
    quiet: bool,
) -> None:
    """Compare methods in GAME: a table, a figure and a NetCDF file with the data.

    Every method plays the same replicates: equal starts, equal noise.
    """
    entry = game_entry(game)
    names = list(entry.default)
    if methods is not None:
        names = list(dict.fromkeys(name.strip() for name in methods.split(",") if name.strip()))
        for name in names:
            if name not in entry.methods:
                raise click.BadParameter(nearest("method", name, entry.methods), param_hint="'--methods'")
        if not names:
            raise click.BadParameter("no method given", param_hint="'--methods'")
    replicates = entry.replicates if replicates is None else replicates
    rounds = entry.rounds if rounds is None else rounds
    from stackjax import experiments
    from stackjax.experiments.compare import check_memory

    try:
        check_memory(entry.make(), len(names), rounds, replicates)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    out = Path("results", game) if out is None else out
    writable(out, "--out")

    command = ["stackjax", "compare", game, "--replicates", str(replicates), "--rounds", str(rounds)]
    command += ["--seed", str(seed), "--methods", ",".join(names)]
    dataset = experiments.compare(
        entry.make(),
        {name: entry.methods[name]() for name in names},
        rounds=rounds,
        replicates=replicates,
        seed=seed,
        start=entry.start,
        progress=False if quiet else None,
        title=entry.title,
        action_labels=entry.actions,
        payoff_labels=entry.payoffs,
        command=shlex.join(command),
    )
    deliver(dataset, out / "comparison", None if quiet else f"[bold]{entry.title}[/bold]: {entry.summary}")
