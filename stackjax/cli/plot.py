"""`stackjax plot`."""

from pathlib import Path

import click

from stackjax.cli._common import figure_name, save_figure, writable


@click.command("plot")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="A .png, .pdf or .svg.  [default: FILE as .png]")
def command(file: Path, out: Path | None) -> None:
    """Draw the figure of the result in FILE again."""
    from stackjax import experiments, plots

    out = file.with_suffix(".png") if out is None else out
    figure_name(out, "--out")
    try:
        dataset = experiments.load(file)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'FILE'") from None
    writable(out.parent, "--out")
    try:
        save_figure(plots.plot_result(dataset), out)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(out)
