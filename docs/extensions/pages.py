"""Hooks of MkDocs: mathematics as MathML, doctests as code, and tables of claims from `benchmarks/results`."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import latex2mathml.converter
from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

MATHEMATICS = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
CLAIMS = re.compile(r"^<!-- claims: (\S+) -->$", re.MULTILINE)
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


def _table(found: re.Match[str]) -> str:
    rows = ["| claim | measured | verdict |", "|---|---|---|"]
    for claim in _claims(json.loads((RESULTS / f"{found[1]}.json").read_text())):
        verdict = claim["verdict"] + " (control)" * claim["control"]
        cells = (claim["claim"], _shown(claim["ours"]), verdict)
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows)


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """A line `<!-- claims: NAME -->` is the table of the claims in `benchmarks/results/NAME.json`."""
    return CLAIMS.sub(_table, markdown)
