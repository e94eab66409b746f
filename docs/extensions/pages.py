"""Hooks of MkDocs: mathematics as MathML, doctests as code, and tables of what is in `benchmarks/results`."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import latex2mathml.converter
from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

MATHEMATICS = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
CLAIMS = re.compile(r"^<!-- claims: (\S+) -->$", re.MULTILINE)
KERNELS = re.compile(r"^<!-- kernels: (\S+) -->$", re.MULTILINE)
RESULTS = Path("benchmarks/results")


class _Doctests(Preprocessor):
    """Fences around the examples of docstrings, which Markdown would take for quotations."""

    def run(self, lines: list[str]) -> list[str]:
        found: list[str] = []
        inside = fenced = False
        for line in lines:
            fenced ^= line.lstrip().startswith("```")
            if not inside and not fenced and line.startswith(">>> "):
                found.append("```pycon")
                inside = True
            elif inside and not line.strip():
                found.append("```")
                inside = False
            found.append(line)
        return [*found, "```"] if inside else found


class _DoctestExtension(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Doctests(md), "doctests", 40)  # before fences are read


def on_config(config: Any) -> Any:
    """Docstrings are read with the extensions of the pages."""
    config.markdown_extensions.append(_DoctestExtension())
    return config


def _mathml(found: re.Match[str]) -> str:
    display = "block" if found[2] == "[" else "inline"
    return latex2mathml.converter.convert(html.unescape(found[3].strip()), display=display)


def on_page_content(content: str, **kwargs: Any) -> str:
    """Browsers show MathML by themselves, so that no script and no font is needed."""
    return MATHEMATICS.sub(_mathml, content)


def _claims(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict) and "claim" in data:
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _claims(value)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value[:6])) + (", ..." if len(value) > 6 else "")
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in row) + " |" for row in lines)


def _table(found: re.Match[str]) -> str:
    claims = _claims(json.loads((RESULTS / f"{found[1]}.json").read_text()))
    rows = ((c["claim"], _shown(c["ours"]), c["verdict"] + " (control)" * c["control"]) for c in claims)
    return _markdown(("claim", "measured", "verdict"), rows)


def _range(values: list[float]) -> str:
    return " to ".join(dict.fromkeys(f"{value:.2g}" for value in values))


def _compiled(kernels: dict[str, Any]) -> str:
    rates = ("100000", "1000")
    header = ("pair", "registers", "instructions", *(f"rounds/s, {n}" for n in rates), "scan's", "scan's")
    rows = []
    for name, row in kernels.items():
        predicted = [row["prediction"][n] for n in rates]
        kernel, scan = ([_range(p[f"{how}_rounds_per_second"]) for p in predicted] for how in ("kernel", "scan"))
        instructions = " to ".join(dict.fromkeys(map(str, row["instructions_per_round"])))
        rows.append((f"`{name}`", str(row["registers"]), instructions, *kernel, *scan))
    return _markdown(header, rows)


def _fitting(catalogue: dict[str, dict[str, str | None]]) -> str:
    rows = []
    for game, methods in catalogue.items():
        reasons = {why: [f"`{m}`" for m, w in methods.items() if w == why] for why in methods.values()}
        without = "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items() if why)
        rows.append((f"`{game}`", ", ".join(reasons.get(None, [])), without))
    return _markdown(("game", "in a kernel", "scanned, because"), rows)


def _kernels(found: re.Match[str]) -> str:
    results = json.loads((RESULTS / "h200_kernels.json").read_text())["results"]
    return _compiled(results["kernels"]) if found[1] == "compiled" else _fitting(results["catalogue"])


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """A line `<!-- claims: NAME -->` is the table of the claims in `benchmarks/results/NAME.json`.

    `<!-- kernels: compiled -->` and `<!-- kernels: catalogue -->` are the tables of `h200_kernels.json`.
    """
    return KERNELS.sub(_kernels, CLAIMS.sub(_table, markdown))
