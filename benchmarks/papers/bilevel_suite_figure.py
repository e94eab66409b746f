"""The figure of `benchmarks.papers.bilevel_suite`: what each method solves, and how far it is from the best known."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stackjax.plots._style import COLOURS, FAINT, INK, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(results: dict[str, Any], methods: list[str]) -> "Figure":
    """Left: problems solved by each method and by any. Right: the share of problems within a gap of the best known.

    **Arguments:** `results[problem]` with `best` and `methods[method]` (`solved`, `valid`, `gap`).

    **Returns:** a Matplotlib figure.
    """
    from matplotlib.figure import Figure

    known = {name: r for name, r in results.items() if r["best"][0] is not None}
    figure = Figure(figsize=(10.5, 3.8), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    names = [*methods, "any of them"]
    gaps: dict[str, np.ndarray] = {}
    for method in methods:
        found = [r["methods"].get(method, {}) for r in known.values()]
        gaps[method] = np.array([max(f["gap"], 0.0) if f.get("valid") else np.inf for f in found])
    gaps["any of them"] = np.min(np.stack(list(gaps.values())), axis=0)
    for i, name in enumerate(names):
        tried = len(known) if name == names[-1] else sum(name in r["methods"] for r in known.values())
        solved = sum(
            any(m["solved"] for k, m in r["methods"].items() if name in (k, names[-1])) or False for r in known.values()
        )
        if name == names[-1]:
            solved = sum(any(m["solved"] for m in r["methods"].values()) for r in known.values())
        colour = INK if name == names[-1] else COLOURS[i]
        left.barh(i, tried, color=colour, alpha=0.15)
        left.barh(i, solved, color=colour)
        left.text(tried + 1, i, f"{solved} of {tried}", va="center", color=INK, fontsize=9)
        at = np.logspace(-8, 1, 200)
        share = np.mean(gaps[name][:, None] <= at, axis=0)
        right.plot(at, share, color=colour, linewidth=1.8, label=name)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set_xlim(0, 1.25 * len(known))
    left.set_xlabel("problems with a best known value", color=INK)
    right.axvline(1e-3, color=INK, linestyle=(0, (6, 2.5)), linewidth=1)
    right.set_xscale("log")
    right.set_ylim(0, 1)
    right.set_xlabel("gap of the leader's cost to the best known, relative or of 1", color=INK)
    right.set_ylabel("share of the problems", color=INK)
    right.legend(frameon=False, fontsize=9)
    for ax in (left, right):
        plain(ax)
    figure.suptitle(
        "Pale: tried. Solved: within the dashed gap, constraints kept, the follower's answer globally best (SciPy)",
        color=FAINT,
        fontsize=10,
    )
    return figure
