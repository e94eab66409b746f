"""What a row of the table of claims is, what bears it out, and how the table is made, checked and shown.

A row is a place of a source, what it claims in our words, the verdict that is committed, and its evidence: a function
that measures (at full or reduced size), rows of another script of `benchmarks.papers`, or tests. The verdict isn't
believed: it must follow from the evidence again, and every function has a control that must fail.
"""

import ast
import functools
import importlib
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks.reporting import RESULTS

ROOT = Path(__file__).parents[2]
MODULES = ("hi_c", "fiez", "bandits", "oracles")
PAGE = ROOT / "docs" / "claims.md"

HOLDS, CORRECTED, FALSE, UNMEASURABLE = (
    "holds",
    "holds with a correction",
    "false as printed",
    "not measurable",
)
VERDICTS = (HOLDS, CORRECTED, FALSE, UNMEASURABLE)


class Figure(NamedTuple):
    """A number, and its 95 % interval where it is an estimate."""

    what: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def least(self) -> float:
        """The lower end of the interval, or the number itself."""
        return self.value if self.low is None else self.low

    @property
    def most(self) -> float:
        """The upper end of the interval, or the number itself."""
        return self.value if self.high is None else self.high

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.what} {self.value:.4g}{interval}"


class Finding(NamedTuple):
    """What was measured: whether it bears out what is printed, and what is right instead; did the control fail?"""

    ours: list[Figure]
    printed: bool
    control: bool
    corrected: bool | None = None


class Script(NamedTuple):
    """Rows of another script: those of its claims that begin so, all of which must hold, and those that mustn't."""

    name: str
    claims: tuple[str, ...]
    failing: tuple[str, ...] = ()


class Claim(NamedTuple):
    """A row: `why` is the correction, the counter-example, or the reason why nothing can be measured."""

    place: str
    claim: str
    verdict: str
    evidence: Callable[[bool], Finding] | Script | None = None
    tests: tuple[str, ...] = ()
    why: str = ""


# Figures


def exact(what: str, value: Any) -> Figure:
    """A number without an interval: nothing random is in it, or it is a count."""
    return Figure(what, float(value))


def share(what: str, successes: Any) -> Figure:
    """How many of the replicates, `successes` a boolean each, with the interval of Clopper and Pearson."""
    k, n = int(np.sum(successes)), np.size(successes)
    low = 0.0 if k == 0 else float(stats.beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.ppf(0.975, k + 1, n - k))
    return Figure(what, k / n, low, high)


def mean(what: str, values: Any) -> Figure:
    """The mean over replicates, with its normal interval."""
    x = np.ravel(np.asarray(values, np.float64))
    half = 1.96 * x.std(ddof=1) / math.sqrt(x.size)
    return Figure(what, float(x.mean()), float(x.mean() - half), float(x.mean() + half))


def median(what: str, values: Any) -> Figure:
    """The median over replicates, between the order statistics that hold it with 95 %."""
    x = np.sort(np.ravel(np.asarray(values, np.float64)))
    half = 0.98 * math.sqrt(x.size)
    low, high = max(0, math.floor(x.size / 2 - half)), min(x.size - 1, math.ceil(x.size / 2 + half))
    return Figure(what, float(np.median(x)), float(x[low]), float(x[high]))


def slope(what: str, at: Any, values: Any, average: Callable[..., Any] = np.mean) -> Figure:
    """Of the logarithm of the average over replicates, `values` `[replicates, at]`, with a bootstrap interval."""
    x, y = np.log(np.asarray(at, np.float64)), np.asarray(values, np.float64)

    def fit(chosen: np.ndarray) -> float:
        return float(np.polyfit(x, np.log(average(chosen, axis=0)), 1)[0])

    rng = np.random.default_rng(0)
    found = [fit(y[rng.integers(len(y), size=len(y))]) for _ in range(200)]
    return Figure(what, fit(y), float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975)))


def no_violation(what: str, cases: int, violations: int = 0) -> list[Figure]:
    """How many cases could have refuted it, and how many did."""
    return [exact(f"{what}: cases", cases), exact("against it", violations)]


# The table


def sources() -> dict[str, Sequence[Claim]]:
    """All rows by their source, in the sources' order."""
    modules = [importlib.import_module(f"benchmarks.papers.claims_{name}") for name in MODULES]
    return {module.SOURCE: module.CLAIMS for module in modules}


def test_exists(where: str) -> bool:
    """Whether `tests/FILE.py::NAME` is there."""
    file, _, name = where.partition("::")
    path = ROOT / file
    if not path.is_file():
        return False
    tree = ast.parse(path.read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body)


def faults(tables: dict[str, Sequence[Claim]]) -> list[str]:
    """What is wrong with the table itself, before anything is measured."""
    found, seen = [], set()
    for source, claims in tables.items():
        for c in claims:
            at = f"{source}, {c.place}"
            if (source, c.place, c.claim) in seen:
                found.append(f"{at}: twice")
            seen.add((source, c.place, c.claim))
            if c.verdict not in VERDICTS:
                found.append(f"{at}: no verdict {c.verdict!r}")
            if (c.verdict == UNMEASURABLE) != (c.evidence is None and not c.tests):
                found.append(f"{at}: evidence, unless it isn't measurable")
            if c.verdict != HOLDS and not c.why:
                found.append(f"{at}: no reason given")
            if callable(c.evidence) and not isinstance(c.evidence, Script) and not c.evidence.__doc__:
                found.append(f"{at}: its measurement doesn't say what it measures and what its control is")
            found += [f"{at}: no test {test}" for test in c.tests if not test_exists(test)]
    return found


def stored(name: str) -> list[dict[str, Any]]:
    """The rows that a script committed."""
    return list(_claims_in(json.loads((RESULTS / f"{name}.json").read_text())))


def _claims_in(data: Any) -> Iterable[dict[str, Any]]:
    if isinstance(data, dict) and "claim" in data:
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _claims_in(value)


def of_script(script: Script, rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """The rows that are meant, and whether all came out as they should."""
    chosen = [r for r in rows if str(r["claim"]).startswith(script.claims + script.failing)]
    every = all(any(str(r["claim"]).startswith(begin) for r in rows) for begin in script.claims + script.failing)
    right = all((r["verdict"] == "holds") != str(r["claim"]).startswith(script.failing or ("\0",)) for r in chosen)
    return chosen, every and right


@functools.cache
def _measured(measure: Callable[[bool], Finding], quick: bool) -> Finding:
    return measure(quick)


def record(source: str, c: Claim, quick: bool, rerun: Callable[[str], list[dict[str, Any]]] | None) -> dict[str, Any]:
    """One row with what was found; `rerun` gives the rows of a script measured anew, else the committed ones count."""
    ours: list[dict[str, Any]] = []
    backed, evidence = True, list(c.tests)
    if isinstance(c.evidence, Script):
        rows, backed = of_script(c.evidence, rerun(c.evidence.name) if rerun else stored(c.evidence.name))
        ours = [{"what": r["claim"], "value": r["ours"]} for r in rows]
        evidence.insert(0, f"python -m benchmarks.papers.{c.evidence.name}")
    elif c.evidence is not None:
        found = _measured(c.evidence, quick)
        ours = [{k: v for k, v in figure._asdict().items() if v is not None} for figure in found.ours]
        true = found.printed if c.verdict == HOLDS else not found.printed and found.corrected is not False
        backed = bool(true and found.control)
        evidence.insert(0, f"{c.evidence.__module__.removeprefix('benchmarks.papers.')}.{c.evidence.__name__}")
    return {
        "source": source,
        "place": c.place,
        "claim": c.claim,
        "ours": ours,
        "verdict": c.verdict,
        "why": c.why,
        "evidence": evidence,
        "borne_out": backed,
    }


# The page

_HEAD = """# Every claim

Every definition, algorithm, theorem, proposition, corollary, lemma, figure and remark with measurable content of the
four sources, one row each, with the verdict and what bears it out. `python -m benchmarks.papers` measures, makes this
page and [its data](measured/claims.json), and exits with 1 if a verdict doesn't follow from its evidence; with
`--quick` at reduced size, in minutes, changing no file.

Numbers in brackets are 95 % intervals; numbers without are exact or counts. A function is one of `benchmarks/papers`,
and says what its control is, which has to fail; a command is a script whose own table stands under
[results](results.md); a test is one of this repository, and only its existence is checked here. What is said of all
games or all algorithms is measured on those that are drawn or that are here: "holds" then means that nothing was found
against it by a measurement that could have. What is wrong with the papers is put together under
[errata](explanation/errata.md).
"""


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page of the table."""
    counts = ", ".join(f"{sum(r['verdict'] == verdict for r in rows)} {verdict}" for verdict in VERDICTS)
    lines = [_HEAD, f"{len(rows)} rows: {counts}."]
    for source in dict.fromkeys(r["source"] for r in rows):
        lines += ["", f"## {source}", "", "| place | claim | verdict | ours | evidence |", "|---|---|---|---|---|"]
        for r in (r for r in rows if r["source"] == source):
            verdict = f"**{r['verdict']}**" + (f": {r['why']}" if r["why"] else "")
            cells = (r["place"], r["claim"], verdict, _figures(r["ours"]), _evidence(r["evidence"]))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _evidence(evidence: Sequence[str]) -> str:
    return ", ".join(f"`{e.removeprefix('tests/')}`" for e in evidence)


def _figures(figures: Sequence[dict[str, Any]]) -> str:
    return "; ".join(shown(f) for f in figures)


def shown(figure: dict[str, Any]) -> str:
    """A figure as text."""
    value = figure["value"]
    if isinstance(value, list | bool | str):
        shown = ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in np.ravel(value).tolist()[:6])
        return f"{figure['what']}: {shown}"
    if "low" in figure:
        return str(Figure(**figure))
    return f"{figure['what']} {value:.4g}"
