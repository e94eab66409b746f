"""`stackjax report`."""

import io
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackjax.cli._common import writable

if TYPE_CHECKING:
    import xarray

_WIDTH = 130  # characters of the table
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
pre { overflow-x: auto; font-size: .85rem; line-height: 1.35; }
.figure { background: white; overflow-x: auto; } .figure svg { max-width: 100%; height: auto; }
th { text-align: left; padding-right: 1.5rem; font-weight: normal; opacity: .7; vertical-align: top; }
"""


@click.command("report")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="A .html.  [default: FILE as .html]")
def command(file: Path, out: Path | None) -> None:
    """Write the result in FILE as a page that needs no other file.

    It has what was asked, the table, the figure, how many replicates failed, the versions, and how to run it again.
    """
    from stackjax import experiments
    from stackjax.experiments.results import replacing

    out = file.with_suffix(".html") if out is None else out
    if out.suffix not in (".html", ".htm"):
        raise click.BadParameter(f"expected a .html, got {out.name!r}", param_hint="'--out'")
    try:
        dataset = experiments.load(file)
        page = _page(dataset, file)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="'FILE'") from None
    writable(out.parent, "--out")
    with replacing(out) as part:
        part.write_text(page)
    click.echo(out)


def _page(dataset: "xarray.Dataset", file: Path) -> str:
    from stackjax.plots import plot_result

    attributes = {str(key): str(value) for key, value in dataset.attrs.items()}
    title = attributes.get("title", file.stem)
    figure = io.StringIO()
    plot_result(dataset).savefig(figure, format="svg")
    asked = json.dumps(json.loads(attributes.get("configuration", "{}")), indent=1)
    made = {
        "kind": attributes.get("result"),
        "date": attributes.get("date"),
        "device": attributes.get("device"),
        "seed": attributes.get("seed"),
        "command": attributes.get("command"),
        "again": f"stackjax run {file.name} --out again.nc" if "study" in attributes else None,
        "failed": _failures(dataset),
        **{key.removesuffix("_version"): text for key, text in attributes.items() if key.endswith("_version")},
    }
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<div class="figure">{figure.getvalue()[figure.getvalue().index("<svg") :]}</div>',
        "<h2>Table</h2>",
        f"<pre>{escape(_table(dataset))}</pre>",
        "<h2>How it was made</h2>",
        _rows(made),
        "<h2>What was asked</h2>",
        f"<pre>{escape(asked)}</pre>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body>' + "\n".join(
        [*parts, "</body></html>\n"]
    )


def _table(dataset: "xarray.Dataset") -> str:
    from rich.console import Console

    from stackjax.experiments import table

    text = io.StringIO()
    Console(file=text, width=_WIDTH, force_terminal=False).print(table(dataset, _WIDTH))
    return text.getvalue()


def _failures(dataset: "xarray.Dataset") -> str:
    failed = int((dataset["status"] != 0).sum())
    return f"{failed} of {dataset['status'].size} runs" + (", left out of the medians" if failed else "")


def _rows(values: Mapping[str, Any]) -> str:
    rows = [f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in values.items() if value]
    return f"<table>{''.join(rows)}</table>"
