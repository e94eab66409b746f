"""`stackjax plot`."""

from pathlib import Path

import click

from stackjax.cli._common import figure_name, save_figure, writable


@click.command("plot")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="A .png, .pdf or .svg.  [default: FILE as .png]")
@click.option("--variable", help="Of a sweep or a comparison: what is shown, such as payoffs or distance_to_nash.")
@click.option("--x", help="Over which swept value, or over rounds.")
@click.option("--colour", help="Which dimension has the colours.")
@click.option("--column", help="Which dimension has the columns.")
@click.option("--pool", multiple=True, help="A dimension whose settings count as replicates; may be given repeatedly.")
def command(
    file: Path,
    out: Path | None,
    variable: str | None,
    x: str | None,
    colour: str | None,
    column: str | None,
    pool: tuple[str, ...],
) -> None:
    """Draw the figure of the result in FILE again.

    That of a sweep has a panel for each player and for each combination of the swept values that neither the axis nor
    the colours show.
    """
    from stackjax import experiments, plots

    out = file.with_suffix(".png") if out is None else out
    figure_name(out, "--out")
    try:
        dataset = experiments.load(file)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'FILE'") from None
    writable(out.parent, "--out")
    try:
        given = {"variable": variable, "x": x, "colour": colour, "column": column, "pool": pool or None}
        options = {name: value for name, value in given.items() if value is not None}
        save_figure(plots.plot_result(dataset, **options), out)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(out)
