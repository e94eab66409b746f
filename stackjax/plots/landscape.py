"""The leader's payoff over both actions, the follower's best answers in it, and what the leader is paid along them."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from stackjax._constraints import of_game
from stackjax._core.entry import common_float
from stackjax.checks import whole
from stackjax.equilibria._local import in_float64
from stackjax.plots import _plane
from stackjax.plots._plane import Plane
from stackjax.plots._style import COLOURS, FAINT, INK, gridded, plain, roles
from stackjax.protocols import Game

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ANSWERS = 801  # actions of the follower among which its best is looked for
_SECTIONS = 60  # golden sections of the interval around it
_JUMP = 0.02  # of the follower's range: a larger change between neighbours that steps don't explain is a jump
_HELD = 1e-6  # of the range: so near a bound an answer is held there
_TIED = 1e-12  # relative: so much less is paid as much
_ALLOWED = 1e-9  # by how much a constraint may be exceeded
_MARKERS = {"Nash and Stackelberg": ("*", 14.0), "Nash": ("o", 8.0), "Stackelberg": ("D", 7.0)}


class Answers(NamedTuple):
    """The follower's globally best answers to a row of the leader's actions.

    **Attributes:** `x`, `y` and the leader's `value` there, NaN where no answer is allowed; `held`: whether the answer
    lies at a bound of its space or of a constraint; `jumps`: the indices before which it jumps.
    """

    x: np.ndarray
    y: np.ndarray
    value: np.ndarray
    held: np.ndarray
    jumps: np.ndarray


def plot_landscape(
    game: Game,
    *,
    limits: Any = None,
    equilibria: Any = None,
    resolution: int = 241,
    title: str | None = None,
    action_labels: Sequence[str] | None = None,
    payoff_label: str = "payoff of the leader",
) -> "Figure":
    """What a leader climbs: its payoff over both actions, the follower's answers, and below, what these make it worth.

    Above, over the leader's action (right) and the follower's (up), contours of the leader's payoff f1 and the
    follower's best answer r(x), by global search: the curve is broken where it jumps, and dashed where a bound of the
    space or an inequality of the game holds it; of tied answers it is the one that pays the leader most. Below, the
    leader's value V(x) = f1(x, r(x)) where it keeps to its own inequalities, its maximum, and the equilibria by their
    kind. A leader that takes the follower's action as given climbs the contours to the right or to the left; one that
    foresees the answer climbs V.

    **Arguments:**

    - `game`: of a leader and a follower whose actions are numbers or of shape (1,), each in a `Box`, a `Torus` or a
      `Euclidean` space; with exact payoffs.
    - `limits`, `equilibria`: as in `plot_portrait`. The answers are looked for within the limits.
    - `resolution`: how many of the leader's actions.
    - `title`; `action_labels`: what the axes are called, with units, one a player; `payoff_label` likewise.

    **Returns:** a Matplotlib figure; `figure.savefig(path)` writes it.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """
    from matplotlib.figure import Figure

    _plane.check_spaces(game)
    if tuple(map(tuple, game.levels)) != ((0,), (1,)):
        raise ValueError(f"game: expected a leader and a follower, got the levels {game.levels}")
    if _has_equalities(game):
        raise ValueError("game: expected inequalities at most; on a grid no action fulfils an equality")
    resolution = whole("resolution", resolution, 2)
    labels = [f"action of {role}" for role in roles(game.levels)] if action_labels is None else list(action_labels)
    if isinstance(action_labels, str) or len(labels) != 2:
        raise ValueError(f"action_labels: expected one label for each of the two players, got {action_labels!r}")
    marks = [mark for mark in _plane.marks(game, equilibria) if mark.kind != "neither"]
    where = _plane.plane(game, limits, marks)
    found = answers(where, resolution)
    if not np.isfinite(found.value).any():
        raise ValueError("game: no answer of the follower within the limits is allowed and paid a finite number")

    figure = Figure(figsize=(6.4, 6.8 + (0.3 if title else 0.0)), dpi=150)
    figure.set_layout_engine("constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _contours(figure, upper, where, payoff_label)
    for part in _parts(found):
        for held, line in _runs(found, part):
            dash: Any = (0, (4, 1.6)) if held else "-"
            name = "its best answer, held" if held else "the follower's best answer"
            upper.plot(found.x[line], found.y[line], color=INK, linestyle=dash, linewidth=2.2, label=name)
        lower.plot(found.x[part], found.value[part], color=COLOURS[0], linewidth=2.0)
    for j in found.jumps:
        upper.plot(found.x[j - 1 : j + 1], found.y[j - 1 : j + 1], color=INK, linestyle=(0, (1, 2)), linewidth=1.0)
        lower.plot(found.x[j - 1 : j + 1], found.value[j - 1 : j + 1], color=COLOURS[0], linestyle=(0, (1, 2)))
    best = int(np.nanargmax(found.value))
    lower.axvline(found.x[best], color=FAINT, linewidth=0.8)
    lower.annotate(
        f"largest: {found.value[best]:.4g} at {found.x[best]:.4g}",
        (found.x[best], found.value[best]),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        fontsize=9,
        color=INK,
    )
    for mark in marks:
        marker, size = _MARKERS[mark.kind]
        look: dict[str, Any] = {"marker": marker, "markersize": size, "linestyle": "", "markeredgecolor": "white"}
        upper.plot(*mark.at, color=COLOURS[1], label=f"{mark.kind} equilibrium", zorder=5, **look)
        paid = _leader(where.game, np.array([mark.at[0]]), np.array([mark.at[1]]))
        lower.plot(mark.at[0], paid[0], color=COLOURS[1], zorder=5, **look)
    upper.set(xlim=where.limits[0], ylim=where.limits[1])
    upper.set_ylabel(labels[1], color=INK)
    lower.set_xlabel(labels[0], color=INK)
    lower.set_ylabel(f"{payoff_label}\nif answered", color=INK)
    lower.margins(y=0.18)
    plain(upper)
    gridded(lower)
    handles = dict(zip(*reversed(upper.get_legend_handles_labels()), strict=True))
    upper.legend(
        handles.values(), handles.keys(), loc="lower left", bbox_to_anchor=(0, 1.01), ncols=2, frameon=False, fontsize=9
    )
    if title:
        figure.suptitle(title, x=0.02, ha="left", fontsize=14, color=INK)
    return figure


def _has_equalities(game: Game) -> bool:
    structs = [space.struct(common_float(game, None)) for space in game.spaces]
    dtype = structs[0].dtype
    own = jax.eval_shape(lambda *z: [of_game(game, i, z, dtype).equalities for i in range(len(z))], *structs)
    return any(each.size for each in own)


def answers(where: Plane, n: int) -> Answers:
    """To `n` actions of the leader, from end to end."""
    xs = where.grid(n)[0]
    low, high = where.limits[1]
    with jax.enable_x64(True):
        y, allowed, edge = (np.asarray(v) for v in _best(in_float64(where.game), xs, np.linspace(low, high, _ANSWERS)))
    y = np.where(allowed, y, np.nan)
    value = np.where(_keeps(where.game, xs, y), _leader(where.game, xs, y), np.nan)
    wide = high - low
    held = edge | (np.minimum(y - low, high - y) <= _HELD * wide) & (where.periods[1] is None)
    change = np.abs(_plane.wrapped(np.diff(y), where.periods[1]))
    steady = np.minimum(np.append(change[1:], change[-1:]), np.append(change[:1], change[:-1]))
    jumps = np.flatnonzero((change > _JUMP * wide) & (change > 4 * steady)) + 1
    seams = np.flatnonzero(np.abs(np.diff(y)) > 0.5 * wide) + 1 if where.periods[1] else np.zeros(0, int)
    return Answers(xs, y, value, held, np.union1d(jumps, seams))


def _parts(found: Answers) -> list[slice]:
    """The pieces on which the answer is continuous and allowed."""
    breaks = np.union1d(found.jumps, np.flatnonzero(np.diff(np.isfinite(found.y).astype(int))) + 1)
    ends = [0, *breaks.tolist(), len(found.x)]
    return [slice(a, b) for a, b in itertools.pairwise(ends) if np.isfinite(found.y[a])]


def _runs(found: Answers, part: slice) -> list[tuple[bool, slice]]:
    """The pieces of a piece on which the answer is held, and those on which it isn't; neighbours share a point."""
    held = found.held[part]
    ends = [0, *(np.flatnonzero(np.diff(held.astype(int))) + 1).tolist(), len(held)]
    last = part.stop
    return [(bool(held[a]), slice(part.start + a, min(part.start + b + 1, last))) for a, b in itertools.pairwise(ends)]


def _contours(figure: "Figure", ax: "Axes", where: Plane, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    xs, ys = where.grid(161)
    payoffs = _leader(where.game, *(g.ravel() for g in np.meshgrid(xs, ys))).reshape(len(ys), len(xs))
    shown = np.ma.masked_invalid(payoffs)
    if shown.count() == 0:
        return
    low, high = (float(v) for v in np.percentile(shown.compressed(), (3, 100)))  # else one steep corner takes it all
    if low >= high:
        return
    levels = MaxNLocator(12).tick_values(low, high)
    filled = ax.contourf(xs, ys, shown, levels, cmap="Blues", alpha=0.75, extend="min")
    ax.contour(xs, ys, shown, levels, colors="white", linewidths=0.6, linestyles="solid")
    figure.colorbar(filled, ax=ax, label=label, pad=0.01, aspect=30)


def _leader(game: Game, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The leader's exact payoffs."""
    with jax.enable_x64(True):
        return np.asarray(_paid(in_float64(game), x, y, 0))


def _keeps(game: Game, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where the leader keeps to its own constraints."""
    with jax.enable_x64(True):
        return np.asarray(_excess_of(in_float64(game), x, y, 0)) <= _ALLOWED


@eqx.filter_jit
def _excess_of(game: Game, x: Float[Any, " n"], y: Float[Any, " n"], player: int) -> Float[Array, " n"]:
    return jax.vmap(lambda x, y: _excess(game, x, y, player))(x, y)


def _excess(game: Game, x: Any, y: Any, player: int) -> Array:
    """The largest of a player's inequalities, minus infinity without any."""
    return jnp.max(of_game(game, player, _actions(game, x, y), jnp.float64).inequalities, initial=-jnp.inf)


@eqx.filter_jit
def _paid(game: Game, x: Float[Any, " n"], y: Float[Any, " n"], player: int) -> Float[Array, " n"]:
    return jax.vmap(lambda x, y: _payoff(game, x, y, player))(x, y)


def _payoff(game: Game, x: Any, y: Any, player: int) -> Array:
    return jnp.asarray(game.payoffs(*_actions(game, x, y))[player], jnp.float64)


def _actions(game: Game, x: Any, y: Any) -> tuple[Array, ...]:
    return tuple(jnp.reshape(a, _plane.shape_of(space)) for a, space in zip((x, y), game.spaces, strict=True))


@eqx.filter_jit
def _best(game: Game, xs: Float[Any, " n"], ys: Float[Any, " m"]) -> tuple[Array, Array, Array]:
    """The best of the follower's actions that are allowed, refined; whether one is, and whether a constraint holds it.

    Of those that are tied, of the grid's, the one that pays the leader most.
    """

    def excess(x: Array, y: Array) -> Array:
        return _excess(game, x, y, 1)

    def paid(x: Array, y: Array) -> Array:
        worth = _payoff(game, x, y, 1)
        return jnp.where((excess(x, y) <= _ALLOWED) & ~jnp.isnan(worth), worth, -jnp.inf)

    def one(x: Array) -> tuple[Array, Array, Array]:
        worth = jax.vmap(lambda y: paid(x, y))(ys)
        most = jnp.max(worth)
        tied = worth >= most - _TIED * (1 + jnp.abs(most))
        top = jnp.argmax(jnp.where(tied, jax.vmap(lambda y: _payoff(game, x, y, 0))(ys), -jnp.inf))
        ends = ys[jnp.maximum(top - 1, 0)], ys[jnp.minimum(top + 1, ys.shape[0] - 1)]
        ratio = (5**0.5 - 1) / 2

        def section(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            a, b = high - ratio * (high - low), low + ratio * (high - low)
            # Where neither is allowed what is allowed lies on the side of the grid's best.
            left = jnp.where(jnp.isneginf(paid(x, a)) & jnp.isneginf(paid(x, b)), ys[top] < a, paid(x, a) >= paid(x, b))
            return jnp.where(left, low, a), jnp.where(left, b, high)

        low, high = jax.lax.fori_loop(0, _SECTIONS, section, ends)
        candidates = jnp.stack([ys[top], low, (low + high) / 2, high])  # the first one, if it is as good
        y = candidates[jnp.argmax(jax.vmap(lambda y: paid(x, y))(candidates))]
        width = ys[1] - ys[0]
        held = (excess(x, y + 1e-4 * width) > _ALLOWED) | (excess(x, y - 1e-4 * width) > _ALLOWED)
        return y, worth[top] > -jnp.inf, held

    return jax.lax.map(one, xs, batch_size=32)
