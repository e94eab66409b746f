"""The phase portrait of two one-dimensional players."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from stackjax._core.entry import check_key
from stackjax.checks import whole
from stackjax.learners import BestResponse
from stackjax.plots import _field, _plane, _runs
from stackjax.plots._plane import Mark, Plane
from stackjax.plots._style import COLOURS, FAINT, INK, roles
from stackjax.protocols import Game, Learner

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

#: How a kind is marked: the marker and its size.
_MARKERS = {
    "Nash and Stackelberg": ("*", 15.0),
    "Nash": ("o", 8.0),
    "Stackelberg": ("D", 7.0),
    "neither": ("X", 7.0),
}
_NAMES = {"neither": "other critical point"} | {
    kind: f"{kind} equilibrium" for kind in _plane.KINDS if kind != "neither"
}
_ZEROS: tuple[Any, Any] = ("-", (0, (3.5, 1.6)))
_BREAK: Any = (0, (0.8, 1.4))
_LOST = "#5A5A5A"
#: How much of its colour a basin has: green and pink have one hue for some eyes, and so differ in lightness.
_TINTS = (0.36, 0.34, 0.52, 0.28, 0.6, 0.6)
_SIDE, _GAP, _LEFT, _RIGHT, _BAR, _BELOW, _ROW = 3.6, 0.45, 0.85, 0.15, 1.0, 0.62, 0.21  # inches
_BASINS = 90  # starts a side
_FIELD = 112  # points a side of the grid from which streamlines are interpolated


@dataclass
class _Panel:
    """What one pair's portrait shows."""

    name: str
    vectors: np.ndarray | None  # [y, x, 2]
    zeros: list[tuple[str, list[np.ndarray]]]
    breaks: list[np.ndarray]  # of any direction
    paths: list[np.ndarray]
    ends: np.ndarray  # of the paths: indices of marks, or -1
    basins: np.ndarray | None  # [y, x]
    marks: list[tuple[int, Mark]]
    undefined: list[str]  # directions that are finite nowhere


def plot_portrait(
    game: Game,
    learners: Sequence[Learner] | Mapping[str, Sequence[Learner]],
    *,
    limits: Any = None,
    equilibria: Any = None,
    paths: int | Any = 6,
    basins: bool | int = True,
    rounds: int = 2000,
    key: PRNGKeyArray | None = None,
    title: str | None = None,
    action_labels: Sequence[str] | None = None,
) -> "Figure":
    """The phase portrait of two one-dimensional players, for any pair of learners; of several pairs side by side.

    It shows, over the leader's action (right) and the follower's (up),

    - the field: both players' `direction`s, each times its learner's first step, as streamlines; without basins their
      colour tells the field's length;
    - the zero sets of both directions; where they cross, the field rests. A pole, such as a hierarchical direction has
      where the follower's curvature vanishes, changes a sign too, and is no zero: it is drawn as a dotted line;
    - paths that `stackjax.play` plays from a few starts (dots), as the learners are;
    - equilibria by their kind, and the other critical points of this pair's field;
    - basins: a grid of starts, one replicate each, coloured by the equilibrium (or other critical point) that is
      nearest at the end, by the distance of the spaces; white where none is within 2 % of the plane's diagonal, or the
      replicate failed. Learners play without their `noise_variance` for this; those that are random otherwise, such as
      Hi-C, show what happened to each start once.

    A learner without `direction` has no zero set, and the field is left out; paths and basins are there. A
    `BestResponse` as a follower shows its answers instead of a zero set.

    Figs. 2a-b of Fiez et al. (2019) are such portraits, without basins.

    **Arguments:**

    - `game`: of two players whose actions are numbers or of shape (1,), each in a `Box`, a `Torus` or a `Euclidean`
      space.
    - `learners`: one a player, or a dictionary of such pairs by their names, each of which gets a panel.
    - `limits`: `((x low, x high), (y low, y high))`; default: the box, a turn of the torus from -pi to pi, or in a
      Euclidean space the surroundings of the equilibria.
    - `equilibria`: what `stackjax.equilibria.find` returned, or a sequence of certificates, or of pairs of a joint
      action and its kind, `((x, y), "Nash")` (or "Stackelberg", "Nash and Stackelberg", "neither"); default: those that
      the game knows.
    - `paths`: how many paths, or their starts `[number, 2]`.
    - `basins`: whether to show basins, or how many starts a side (True: 90). Without any equilibria there are none.
    - `rounds`: how long paths and basins are played.
    - `key`: a `jax.random` key for whatever is random; default `jax.random.key(0)`.
    - `title`; `action_labels`: what the axes are called, with units, one a player.

    **Returns:** a Matplotlib figure; `figure.savefig(path)` writes it.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    from matplotlib.figure import Figure

    pairs = {str(name): pair for name, pair in learners.items()} if isinstance(learners, Mapping) else {"": learners}
    if not pairs or not all(isinstance(pair, Sequence) for pair in pairs.values()):
        raise TypeError(f"learners: expected one learner a player, or a dictionary of such pairs, got {learners!r}")
    for pair in pairs.values():
        _plane.check_game(game, pair)
    rounds = whole("rounds", rounds)
    key = jax.random.key(0) if key is None else key
    check_key(key)
    labels = [f"action of {role}" for role in roles(game.levels)] if action_labels is None else list(action_labels)
    if isinstance(action_labels, str) or len(labels) != 2:
        raise ValueError(f"action_labels: expected one label for each of the two players, got {action_labels!r}")
    resolution = (_BASINS if basins else 0) if isinstance(basins, bool) else whole("basins", basins)
    marks = _plane.marks(game, equilibria)
    where = _plane.plane(game, limits, marks)
    starts = _starts(where, paths)

    panels = [_panel(name, where, pair, marks, starts, resolution, rounds, key) for name, pair in pairs.items()]
    entries = _entries(panels)
    width = _LEFT + len(panels) * (_SIDE + _GAP) - _GAP + (_RIGHT if resolution and marks else _BAR)
    columns = max(1, int((width - 0.2) / (0.6 + 0.068 * max(map(len, entries), default=1))))
    below = _BELOW + _ROW * -(-len(entries) // columns)
    height = below + _SIDE + (0.3 if any(pairs) else 0.1) + (0.42 if title else 0.0)
    figure = Figure(figsize=(width, height), dpi=150)
    colours, lengths = _colours(panels), _lengths(panels)
    for k, panel in enumerate(panels):
        left = (_LEFT + k * (_SIDE + _GAP)) / width
        ax = figure.add_axes((left, below / height, _SIDE / width, _SIDE / height))
        _draw(ax, where, panel, colours, lengths, bar=k + 1 == len(panels))
        ax.set_xlabel(labels[0], color=INK)
        ax.tick_params(labelleft=k == 0)
    figure.axes[0].set_ylabel(labels[1], color=INK)
    if title:
        figure.text(_LEFT / width, 1 - 0.12 / height, title, fontsize=13, color=INK, va="top")
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="lower center",
        bbox_to_anchor=(0.5, 0.06 / height),
        ncols=columns,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=2.4,
        columnspacing=1.4,
        borderaxespad=0,
        borderpad=0,
    )
    return figure


def check_drawable(game: Game) -> None:
    """Has the game a phase portrait?

    **Raises:** `ValueError` that says why not.
    """
    _plane.check_spaces(game)


def _starts(where: Plane, paths: Any) -> np.ndarray:
    if isinstance(paths, int | np.integer) and not isinstance(paths, bool):
        if paths < 0:
            raise ValueError(f"paths: expected a number of paths or starts [number, 2], got {paths}")
        return _runs.spread(where, int(paths))
    try:
        starts = np.asarray(paths, np.float64)
    except (TypeError, ValueError):
        starts = np.zeros(0)
    if starts.ndim != 2 or starts.shape[1] != 2 or not np.isfinite(starts).all():
        raise ValueError(f"paths: expected a number of paths or starts [number, 2], got {paths!r}")
    return starts


def _panel(
    name: str,
    where: Plane,
    learners: Sequence[Learner],
    marks: list[Mark],
    starts: np.ndarray,
    resolution: int,
    rounds: int,
    key: PRNGKeyArray,
) -> _Panel:
    field = _field.field_of(where.game, learners)
    known = [_field.directed(learner) for learner in learners]
    names = roles(where.game.levels)
    xs, ys = where.grid(_FIELD, centres=True)
    coarse = field(np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2))
    zeros, breaks = [], []
    for i, changes in enumerate(_field.sign_changes(where, field)):
        breaks += changes.breaks
        if known[i]:
            zeros.append((f"{names[i]}'s direction is 0", changes.zeros))
        elif i == 1 and isinstance(learners[i], BestResponse):
            zeros.append((f"{names[i]}'s best response", _runs.responses(where, learners[i], key)))  # type: ignore[arg-type]
        else:
            zeros.append(("", []))
    typical = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in np.abs(coarse).T])
    shown = [
        (j, mark) for j, mark in enumerate(marks) if mark.kind != "neither" or _field.at_rest(field, mark, typical)
    ]
    lines = _runs.paths(where, learners, starts, rounds, key) if len(starts) else []
    ends = np.array([line[-1] for line in lines]).reshape(-1, 2)
    reached = _runs.reached(where, ends, shown)
    coloured = _runs.basins(where, learners, shown, resolution, rounds, key) if resolution and marks else None
    vectors = coarse.reshape(len(ys), len(xs), 2) * _field.weights(learners)
    vectors = vectors if np.isfinite(vectors).all(axis=-1).any() else None
    undefined = [name for i, name in enumerate(names) if known[i] and not np.isfinite(coarse[:, i]).any()]
    return _Panel(name, vectors, zeros, breaks, lines, reached, coloured, shown, undefined)


def _colours(panels: list[_Panel]) -> dict[int, str]:
    """The marks that are reached, in order, with their colours."""
    reached: list[int] = []
    for panel in panels:
        seen = {int(j) for j in (panel.ends if panel.basins is None else np.append(panel.basins, panel.ends))}
        reached += [j for j in sorted(seen - {-1}) if j not in reached]
    return {j: COLOURS[k % len(COLOURS)] for k, j in enumerate(reached)}


def _lengths(panels: list[_Panel]) -> "Normalize":
    """The scale of colours for the field's length: from its 2nd to its 98th percentile, logarithmic."""
    from matplotlib.colors import LogNorm

    norms = [np.hypot(*np.moveaxis(panel.vectors, -1, 0)).ravel() for panel in panels if panel.vectors is not None]
    lengths = np.concatenate([*norms, np.zeros(0)])
    lengths = lengths[np.isfinite(lengths) & (lengths > 0)]
    low, high = np.percentile(lengths, [2, 98]) if lengths.size else (1.0, 2.0)
    return LogNorm(low, max(high, 1.01 * low))


def _draw(ax: "Axes", where: Plane, panel: _Panel, colours: dict[int, str], lengths: "Normalize", *, bar: bool) -> None:
    from matplotlib import patheffects
    from matplotlib.colors import to_rgb

    (x0, x1), (y0, y1) = where.limits
    ax.set_xlim(x0, x1)
    ax.set_ylim(y0, y1)
    if panel.basins is not None:
        image = np.ones((*panel.basins.shape, 3))
        for j, colour in colours.items():
            tint = _TINTS[COLOURS.index(colour)]
            image[panel.basins == j] = tint * np.array(to_rgb(colour)) + 1 - tint
        ax.imshow(image, extent=(x0, x1, y0, y1), origin="lower", aspect="auto", interpolation="nearest", zorder=0)
    if panel.vectors is not None:
        _stream(ax, where, panel, lengths, bar)
    for (_, lines), dash in zip(panel.zeros, _ZEROS, strict=True):
        for line in lines:
            ax.plot(*line.T, color="black", linestyle=dash, linewidth=1.6, zorder=3)
    for line in panel.breaks:
        ax.plot(*line.T, color="black", linestyle=_BREAK, linewidth=1.3, zorder=2.5)
    halo = [patheffects.withStroke(linewidth=3.4, foreground="white")]
    for path, end in zip(panel.paths, panel.ends, strict=True):
        colour = colours.get(int(end), _LOST)
        for line in where.copies(path):
            ax.plot(*line.T, color=colour, linewidth=1.7, path_effects=halo, zorder=4, solid_joinstyle="round")
        for start in where.copies(path[:1]):
            ax.plot(*start.T, marker="o", markersize=4.5, color=colour, markeredgecolor="white", zorder=5)
    for j, mark in panel.marks:
        marker, size = _MARKERS[mark.kind]
        face = colours.get(j, "white")
        for at in where.copies(np.array([mark.at])):
            ax.plot(
                *at.T,
                marker=marker,
                markersize=size,
                color=face,
                markeredgecolor="black",
                markeredgewidth=1.1,
                zorder=6,
                clip_on=False,
            )
    for axis, (low, high), period in zip((ax.xaxis, ax.yaxis), where.limits, where.periods, strict=True):
        if period is not None:
            halves = np.arange(np.ceil(2 * low / np.pi - 1e-9), np.floor(2 * high / np.pi + 1e-9) + 1)
            axis.set_ticks(list(halves * np.pi / 2), [_angle(int(n)) for n in halves])
    ax.tick_params(colors=FAINT, labelcolor=INK)
    for spine in ax.spines.values():
        spine.set_color(FAINT)
    if panel.undefined:
        message = f"{' and '.join(panel.undefined)}'s direction isn't defined"
        box = {"facecolor": "white", "edgecolor": "none", "pad": 3.0}
        ax.text(0.5, 0.96, message, transform=ax.transAxes, ha="center", va="top", fontsize=9, color=INK, bbox=box)
    if panel.name:
        ax.set_title(panel.name, loc="left", fontsize=11, color=INK)


def _stream(ax: "Axes", where: Plane, panel: _Panel, lengths: "Normalize", bar: bool) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import LogLocator, NullFormatter

    assert panel.vectors is not None
    xs, ys = where.grid(len(panel.vectors), centres=True)
    vectors = panel.vectors.copy()
    for line in panel.breaks:  # no streamline crosses a break, along which the sides would pull it to and fro
        columns, rows = (np.clip(np.searchsorted(c, line[:, i]), 1, len(c) - 1) for i, c in enumerate((xs, ys)))
        for j, k in ((0, 0), (0, 1), (1, 0), (1, 1)):
            vectors[rows - j, columns - k] = np.nan
    u, v = np.ma.masked_invalid(vectors[..., 0]), np.ma.masked_invalid(vectors[..., 1])
    look: dict[str, Any] = {"color": "#4D4D4D", "linewidth": 0.55}
    if panel.basins is None:
        shades = ListedColormap(colormaps["viridis_r"](np.linspace(0.15, 1.0, 200)))  # the lightest can't be seen
        look = {"color": np.ma.hypot(u, v), "norm": lengths, "cmap": shades, "linewidth": 0.9}
    drawn = ax.streamplot(xs, ys, u, v, density=1.3, arrowsize=0.7, zorder=2, **look)
    if panel.basins is None and bar:
        scale = ax.inset_axes((1.03, 0.0, 0.035, 1.0))
        ax.figure.colorbar(
            drawn.lines, cax=scale, ticks=LogLocator(subs=(1, 2, 5)), format="{x:g}"
        ).outline.set_visible(False)
        scale.yaxis.set_minor_formatter(NullFormatter())
        scale.set_ylabel("length of the field", color=INK)
        scale.tick_params(colors=FAINT, which="both", labelcolor=INK)


def _angle(halves: int) -> str:
    """So many quarters of a turn."""
    if halves == 0:
        return "0"
    sign, n = "−" if halves < 0 else "", abs(halves)
    whole = f"{'' if n // 2 == 1 else n // 2}π"
    return sign + (whole if n % 2 == 0 else f"{'' if n == 1 else n}π/2")


def _entries(panels: list[_Panel]) -> dict[str, Any]:
    """What the legend explains: text -> something drawn."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    entries: dict[str, Any] = {}
    for i, dash in enumerate(_ZEROS):
        for name in dict.fromkeys(panel.zeros[i][0] for panel in panels if panel.zeros[i][1]):
            entries[name] = Line2D([], [], color="black", linestyle=dash, linewidth=1.6)
    if any(panel.breaks for panel in panels):
        entries["pole or jump of a direction"] = Line2D([], [], color="black", linestyle=_BREAK, linewidth=1.3)
    kinds = {mark.kind for panel in panels for _, mark in panel.marks}
    for kind, (marker, size) in _MARKERS.items():
        if kind in kinds:
            look: dict[str, Any] = {
                "marker": marker,
                "markersize": 0.9 * size,
                "markeredgecolor": "black",
                "linestyle": "none",
            }
            entries[_NAMES[kind]] = Line2D([], [], color="white", **look)
    if any(panel.paths for panel in panels):
        look = {"marker": "o", "markevery": [0], "markersize": 4.5, "linewidth": 1.7}
        entries["path from its start"] = Line2D([0, 1], [0, 0], color=_LOST, **look)
    if any(panel.basins is not None and (panel.basins < 0).any() for panel in panels):
        entries["none of the marked points reached"] = Patch(facecolor="white", edgecolor=FAINT)
    return entries
