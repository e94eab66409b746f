"""The table of claims of the four sources: `python -m benchmarks.papers [--quick]`.

Measures every claim that a function of `claims_*.py` measures, and takes the others from the files that the scripts of
this folder committed to `benchmarks/results`, or from the tests that are named. Writes `benchmarks/results/claims.json`
and `docs/claims.md`. `--quick` measures at reduced size, runs the scripts, too, except for what takes hours
(`claims_oracles`: sample efficiency, which stays the committed one), and writes nothing. `--page` makes the page anew
from the file. Exits with 1 if a verdict doesn't follow from its evidence.
"""

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
from rich.console import Console

from benchmarks.papers import bandits, claims, duopoly, oracles, stability, torus
from benchmarks.reporting import RESULTS, Row, write

REPLICATES, SEEDS, GAMES = 20, 8, 150


def _stability() -> list[Row]:
    with jax.enable_x64(True):
        return stability.propositions(GAMES)


def _bandits() -> list[Row]:
    return [claim for measure in bandits.ROWS.values() for claim in measure(REPLICATES).claims]


def _oracles() -> list[Row]:
    measured = oracles.dilemma(SEEDS)[0]
    names = {r["claim"] for r in measured}
    return measured + [r for r in claims.stored("oracles") if r["claim"] not in names]


RERUN: dict[str, Callable[[], list[Row]]] = {
    "bandits": _bandits,
    "duopoly": lambda: duopoly.two_timescale() + duopoly.baseline() + duopoly.short_commitments(),
    "oracles": _oracles,
    "stability": _stability,
    "torus": lambda: torus.equilibria() + torus.statistics(1),
}


def table(tables: dict[str, Any], quick: bool) -> list[dict[str, Any]]:
    """All rows with what was found."""
    rerun = functools.lru_cache(maxsize=None)(lambda name: RERUN[name]()) if quick else None
    rows = []
    for source, each in tables.items():
        print(source, flush=True)
        for c in each:
            begin = time.perf_counter()
            rows.append(claims.record(source, c, quick, rerun))
            mark = "" if rows[-1]["borne_out"] else "  NOT BORNE OUT"
            print(f"  {c.place}: {c.verdict} ({time.perf_counter() - begin:.1f} s){mark}", flush=True)
    return rows


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers")
    parser.add_argument("--quick", action="store_true", help="at reduced size, in minutes; writes nothing")
    parser.add_argument(
        "--only", nargs="+", choices=claims.MODULES, help="some sources; the other rows stay as they are"
    )
    parser.add_argument("--page", action="store_true", help="only make the page from the file")
    options = parser.parse_args()
    if options.page:
        claims.PAGE.write_text(claims.page(json.loads((RESULTS / "claims.json").read_text())["results"]))
        return 0
    faults = claims.faults(claims.sources())
    if faults:
        raise SystemExit("\n".join(faults))
    begin = time.perf_counter()
    tables = claims.sources()
    chosen = [claims.MODULES.index(name) for name in options.only or claims.MODULES]
    rows = table({s: tables[s] for i, s in enumerate(tables) if i in chosen}, options.quick)
    wrong = [r for r in rows if not r["borne_out"]]
    Console().print(f"{len(rows)} rows, {len(wrong)} not borne out, {time.perf_counter() - begin:.0f} s")
    for r in wrong:
        print(
            f"{r['source']}, {r['place']}: {r['verdict']}, but found", *(claims.shown(f) for f in r["ours"]), sep="\n  "
        )
    if not options.quick:
        path = RESULTS / "claims.json"
        known = json.loads(path.read_text())["results"] if options.only and path.exists() else []
        measured = {r["source"] for r in rows}
        merged = [r for source in tables for r in (rows if source in measured else known) if r["source"] == source]
        write("claims", merged, "python -m benchmarks.papers")
        claims.PAGE.write_text(claims.page(merged))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
