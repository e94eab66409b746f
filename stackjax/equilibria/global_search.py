"""The leader's best action against the follower's globally best answer, for leaders of one or two dimensions."""

import functools
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Scalar

from stackjax._calculus.programme import minimise
from stackjax._constraints import Constraints, check_constraints, of_player
from stackjax._core.entry import check_key, check_levels
from stackjax.checks import number
from stackjax.equilibria import _local
from stackjax.equilibria._relaxation import relaxed
from stackjax.equilibria._text import Printed
from stackjax.equilibria.certify import Certificate, certify
from stackjax.protocols import Action, Game
from stackjax.spaces import Arms, Box, Simplex, Space, Torus

_BATCH = 64  # leader's actions a call: one program serves all
_CELLS = 4  # that are searched more finely, at once
_POOL = 16  # random actions of the follower for each start that is taken from them
_FINEST = 1e-10  # relative to the range of a coordinate
_KEPT = 1e-7  # a constraint that is violated by less is kept
_JUMPS = 8  # at most
_AGREED = 3  # searches that end with the same payoff show it, where none of them converges
_APART = 1e-3  # answers that differ by more, relative to their sizes, may be on both sides of a jump
_NEAR = 1e-6  # of a range: so near to a jump is at it
_STEPS = 60  # of a search for an answer
_WIDER = 100.0  # times the tolerance: ties to compare with


class Jump(NamedTuple):
    """Where the follower's best answer changes at once: between `x - width` and `x + width` from `before` to `after`.

    In the units of the actions; `before` and `after` are the answers on the side of smaller and of larger x.
    """

    x: float
    before: Any
    after: Any
    width: float


@dataclass(frozen=True)
class GlobalStackelberg(Printed):
    """What `global_stackelberg` found; `str` makes it readable.

    **Attributes:**

    - `actions`, the leader's and the follower's; `payoffs` `[2]`.
    - `tie`, the rule. `attained`: False if the payoff is a supremum that other actions near `actions[0]` approach and
      none attains (the follower, with a weak tie, answers worse at the jump itself).
    - `limits` `[d, 2]`, between which the leader's coordinates were searched; `evaluated`, how many of its actions;
      `unanswered`, at how many of them no answer was found, so that they don't count; `infeasible`, at how many the
      answers kept the leader from its own constraints.
    - `starts`: the answers are globally best among so many searches at each of the leader's actions. `tolerance`:
      answers that pay the follower less than the best by at most that, relative to that payoff or 1, are tied.
    - `jumps` of the answer that were located, for leaders of one dimension.
    - `others`: leader's actions away from this one (by 1/1000 of the range) that pay as much to 1e-6, relatively.
    - `notes`: sentences about what makes the result doubtful.
    """

    actions: tuple[Any, Any]
    payoffs: np.ndarray
    tie: str
    attained: bool
    limits: np.ndarray
    evaluated: int
    unanswered: int
    infeasible: int
    starts: int
    tolerance: float
    jumps: tuple[Jump, ...]
    others: tuple[Any, ...]
    notes: tuple[str, ...]
    game: Game = field(repr=False)

    @functools.cached_property
    def certificate(self) -> Certificate:
        """What the point is locally (see `certify`); made when it is first asked for."""
        return certify(self.game, *self.actions)

    def __str__(self) -> str:
        """The result as text."""
        first = "the leader's best payoff" if self.attained else "a supremum that no action of the leader's attains"
        rule = {"strong": "the best", "weak": "the worst"}[self.tie]
        lines = [
            f"{type(self.game).__name__}: {first} against globally best answers, {self.tie} ties",
            f"  leader    action {_text(self.actions[0])}  payoff {self.payoffs[0]:.9g}",
            f"  follower  action {_text(self.actions[1])}  payoff {self.payoffs[1]:.9g}",
            f"  searched: {self.evaluated} actions of the leader between {_text(self.limits[:, 0])} and "
            f"{_text(self.limits[:, 1])},",
            f"    the follower's answer globally best among {self.starts} searches at each; among answers whose "
            f"payoffs are within {self.tolerance:.3g} of it, {rule} for the leader",
        ]
        for jump in self.jumps:
            lines.append(f"  the answer jumps at {jump.x:.9g}: from {_text(jump.before)} to {_text(jump.after)}")
        if self.others:
            lines.append(f"  as good: {', '.join(_text(x) for x in self.others)}")
        if self.infeasible:
            lines.append(f"  against its own constraints: {self.infeasible} of the leader's actions")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def _text(action: Any) -> str:
    numbers = [f"{x:.9g}" for x in np.ravel(ravel_pytree(action)[0]).tolist()]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


class _Answers(NamedTuple):
    """To each of the leader's actions: the follower's answer, both payoffs, whether it was found, what it violates.

    The violation is of the leader's constraints.
    """

    y: Any
    leader: Any
    follower: Any
    found: Any
    violation: Any


class _Known(NamedTuple):
    """All that was evaluated, in NumPy arrays with a leading axis."""

    u: np.ndarray
    answers: _Answers

    def joined(self, u: np.ndarray, answers: _Answers) -> "_Known":
        return _Known(np.concatenate([self.u, u]), _Answers(*map(np.concatenate, zip(self.answers, answers))))  # noqa: B905

    @property
    def good(self) -> np.ndarray:
        return self.answers.found & (self.answers.violation <= _KEPT)

    @property
    def worth(self) -> np.ndarray:
        """Two columns to sort by: how little constraints are violated, and the leader's payoff."""
        violation = np.where(self.answers.violation <= _KEPT, 0.0, self.answers.violation)
        violation = np.where(self.answers.found, violation, np.inf)
        return np.stack([-violation, np.where(violation == 0, self.answers.leader, -np.inf)], 1)

    @property
    def order(self) -> np.ndarray:
        """Indices, the best first."""
        worth = self.worth
        return np.lexsort((-worth[:, 1], -worth[:, 0]))


def global_stackelberg(
    game: Game,
    key: PRNGKeyArray,
    tie: Literal["strong", "weak"] = "strong",
    *,
    limits: Any = None,
    starts: int = 8,
    grid: int | None = None,
    tolerance: float = 1e-8,
    follower_limits: Any = None,
    polish: bool | None = None,
) -> GlobalStackelberg:
    """The leader's best payoff against the follower's globally best answer, for leaders of one or two dimensions.

    `max over x of f1(x, y)`, y in `argmax over y of f2(x, y)`, both within their constraints. The leader's actions are
    a grid between `limits`, and then ever finer ones around the best few cells, so that kinks and jumps do no harm. At
    each the follower's answer is searched from many starts, among them the answers to actions nearby, by an
    interior-point method. In one dimension the jumps of the answer are located.

    Ties: of the globally best answers the follower takes the one that is best for the leader (strong, or optimistic;
    of those with which the leader keeps its own constraints, if it has such as involve the answer) or worst for it
    (weak, or pessimistic; the leader's constraints must then be kept whichever answer was found to be tied). If the
    best answers are a continuum, such as a face of a polytope, a second search over all of them finds that one.

    That the result is the global optimum is likely with many starts and a fine grid, and never certain. In two
    dimensions an optimum on a curve along which the answer jumps comes out to about 1/1000 of the range. Everything is
    computed in float64, whatever JAX's default type is.

    **Arguments:**

    - `game`: a leader and one follower, with payoffs that have two derivatives in the follower's action.
    - `key` draws the starts. `tie`: "strong" or "weak".
    - `limits`: (low, high) or one such pair for each coordinate of the leader's, in the units of its action, between
      which it is searched; default: its space's bounds. Needed where it has none.
    - `starts`: searches from random actions of the follower's, of which half are the best of 16 times as many.
    - `grid`: actions of the leader a coordinate; default: 128, or 24 for two.
    - `tolerance`: how much less than the best, relative to that payoff or 1, a tied answer may pay the follower.
    - `follower_limits`: (low, high) or one such pair for each coordinate: where its starts are drawn uniformly;
      default: samples of its space, and where that has no bounds some that are 10 and 100 times as far away.
    - `polish`: whether local searches on the follower's first-order conditions start from the best cells too (Scholtes
      relaxation; payoffs need three derivatives); default: for two dimensions, where grids alone are too coarse.

    **Returns:** a `GlobalStackelberg`.

    **Raises:** `ValueError` or `TypeError` that names the argument; `ValueError` if at no action of the leader's an
    answer was found with which the leader keeps its constraints.
    """
    check_levels(game)
    check_key(key)
    if tuple(map(len, game.levels)) != (1, 1):
        raise ValueError(f"game: expected a leader and one follower, levels ((0,), (1,)), got {tuple(game.levels)}")
    for player, space in enumerate(game.spaces):
        if isinstance(space, Arms):
            raise ValueError(f"game: player {player} has arms; `pure_commitment` solves games of arms")
    if tie not in ("strong", "weak"):
        raise ValueError(f"tie: expected 'strong' or 'weak', got {tie!r}")
    number(starts, "starts", 1, open_low=False, whole=True)
    number(tolerance, "tolerance", 0.0)
    dimension = game.spaces[0].dimension
    if dimension not in (1, 2):
        raise ValueError(f"game: expected a leader of one or two dimensions, got {dimension}")
    grid = (128 if dimension == 1 else 24) if grid is None else grid
    number(grid, "grid", 3, open_low=False, whole=True)
    with jax.enable_x64(True):
        wide = _local.in_float64(game)
        check_constraints(wide, jnp.float64)
        bounds = _bounds(wide.spaces[0], limits)
        drawn = _drawn(wide.spaces[1], key, starts, follower_limits)
        search = _Search(wide, bounds, drawn, starts, tolerance, tie == "strong")
        search.cover(grid)
        jumps, dropped = search.jumps() if dimension == 1 else ((), 0)
        if dimension == 2 if polish is None else polish:
            search.polish()
        search.zoom(grid)
        return search.result(game, tie, jumps, dropped)


def _pairs(given: Any, size: int, name: str) -> np.ndarray:
    try:
        pairs = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected numbers (low, high), got {given!r}") from None
    if pairs.shape not in ((2,), (size, 2)) or not np.all(pairs[..., 0] < pairs[..., 1]):
        raise ValueError(
            f"{name}: expected (low, high) with low < high, or one such pair for each of {size} coordinates, "
            f"got {given!r}"
        )
    if not np.all(np.isfinite(pairs)):
        raise ValueError(f"{name}: expected finite numbers, got {given!r}")
    return np.broadcast_to(pairs, (size, 2)).copy()


def _bounds(space: Space, limits: Any) -> np.ndarray:
    """Between which the coordinates of the leader's tangent are searched `[d, 2]`."""
    d = space.dimension
    own = np.tile([-np.inf, np.inf], (d, 1))
    if isinstance(space, Box):
        own = np.stack([np.ravel(np.broadcast_to(b, space.shape)) for b in (space.low, space.high)], 1)
    elif isinstance(space, Torus):
        own = np.tile([-np.pi, np.pi], (d, 1))
    elif isinstance(space, Simplex):
        own = np.tile([-1.0, 1.0], (d, 1))
    if limits is not None:
        pairs = _pairs(limits, d, "limits")
        own = np.stack([np.maximum(own[:, 0], pairs[:, 0]), np.minimum(own[:, 1], pairs[:, 1])], 1)
        if not np.all(own[:, 0] < own[:, 1]):
            raise ValueError(f"limits: expected some that meet the leader's space, got {limits!r}")
    if not np.all(np.isfinite(own)):
        raise ValueError(
            "limits: the leader's space has no bounds on both sides, so expected limits (low, high) between which to "
            "search"
        )
    return own


def _drawn(space: Space, key: PRNGKeyArray, starts: int, limits: Any) -> Float[Array, "n d"]:
    """Actions of the follower's from which starts are taken."""
    n, keys = _POOL * starts, jax.random.split(key, 2)
    if limits is not None:
        pairs = _pairs(limits, space.size, "follower_limits")
        shape = (n, space.size)
        return jax.random.uniform(keys[0], shape, jnp.float64, jnp.asarray(pairs[:, 0]), jnp.asarray(pairs[:, 1]))
    samples = jax.vmap(lambda k: space.sample(k, jnp.float64))(jax.random.split(keys[0], n))
    scales = jnp.asarray([1.0, 10.0, 100.0])[jax.random.randint(keys[1], (n,), 0, 3)]

    def far(sample: Action, scale: Scalar) -> Array:
        return ravel_pytree(space.project(jax.tree.map(lambda a: a * scale, sample)))[0]

    if space.bounded and not (isinstance(space, Box) and space._open):
        return jax.vmap(lambda a: ravel_pytree(a)[0])(samples)
    return jax.vmap(far)(samples, scales)


def _center(space: Space) -> Any:
    """From which the leader's coordinates count: 0, or for probabilities their mean."""
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), space.struct(jnp.float64))
    return space.project(blank) if isinstance(space, Simplex) else blank


def _stacked(of: Any, rows: np.ndarray) -> Any:
    """The actions that rows of numbers are, with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *map(of, rows))


def _rows(actions: Any) -> np.ndarray:
    """The numbers of actions with a leading axis, one row each."""
    return np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(actions)], axis=1)


@eqx.filter_jit
def _answered(
    game: Game,
    u: Any,  # [n, d1]
    near: Any,  # [n, k, d2]
    drawn: Float[Array, "m d2"],
    tolerance: Any,
    strong: Any,
    starts: int,
) -> _Answers:
    """Answers to a batch of the leader's actions, from `near` and from starts among `drawn`."""
    return jax.vmap(lambda u, y: _answer(game, u, y, drawn, tolerance, strong, starts))(u, near)


def _answer(
    game: Game, u: Array, near: Array, drawn: Array, tolerance: Any, strong: Bool[Array, ""], starts: int
) -> _Answers:
    x = game.spaces[0].move(_center(game.spaces[0]), u)
    blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), game.spaces[1].struct(jnp.float64))
    of_y = ravel_pytree(blank)[1]
    sign = jnp.where(strong, 1.0, -1.0)

    def parts(y: Array) -> tuple[Any, Any, Constraints, Constraints]:
        actions = x, of_y(y)
        first, second = game.payoffs(*actions)
        return jnp.asarray(first), jnp.asarray(second), of_player(game, 1, actions), of_player(game, 0, actions)

    def measured(y: Array) -> tuple[Any, Any, Any, Any]:
        first, second, own, mine = parts(y)
        return first, second, own.violation, mine.violation

    # Half of the starts are the best ones that were drawn, half the first ones.
    _, worth, broken, _ = jax.vmap(measured)(drawn)
    worth = worth - 1e3 * broken
    half = starts // 2
    chosen = jnp.argsort(-jnp.where(jnp.isfinite(worth), worth, -jnp.inf))[: starts - half]
    begin = jnp.concatenate([near, drawn[chosen], drawn[:half]])

    # First the follower's best answers; then, over all that pay it almost as much, the leader's best or worst. Both in
    # one program, half of which would otherwise be compiled twice.
    def searched(y: Array, floor: Any, steps: Any, ties: Bool[Array, ""]) -> Any:
        def cost(y: Array) -> Any:
            first, second, *_ = parts(y)
            return jnp.where(ties, -sign * first, -second)

        def constraints(y: Array) -> Constraints:
            _, second, own, mine = parts(y)
            less = jnp.where(ties, floor - second, -1)[None]
            inequalities = [own.inequalities, less, jnp.where(ties & strong, mine.inequalities, -1)]
            equalities = [own.equalities, jnp.where(ties & strong, mine.equalities, 0)]
            return Constraints(jnp.concatenate(inequalities), jnp.concatenate(equalities))

        end = minimise(cost, constraints, y, max_steps=steps)
        return (end.x, end.converged, *measured(end.x)), (end.nu, end.mu)

    def isolated(y: Array, nu: Array, mu: Array) -> Bool[Array, ""]:
        # Payoffs fall in all directions along the constraints that are pressed against.
        def lagrangian(y: Array) -> Any:
            _, second, own, _ = parts(y)
            return -second + nu[: own.inequalities.size] @ own.inequalities + mu[: own.equalities.size] @ own.equalities

        def pressed(y: Array) -> Array:
            own = parts(y)[2]
            held = nu[: own.inequalities.size] > 1e-6 * (1 + jnp.max(nu, initial=0.0))
            return jnp.concatenate([jnp.where(held, own.inequalities, 0), own.equalities])

        rows, curvature = jax.jacfwd(pressed)(y), jax.hessian(lagrangian)(y)
        size = 1 + jnp.max(jnp.abs(curvature))
        values = jnp.linalg.eigvalsh(curvature + size * rows.T @ rows)
        return values[0] > 1e-4 * size

    count = begin.shape[0]

    def stage(carry: tuple[Array, Array, Array], ties: Bool[Array, ""]) -> tuple[tuple[Array, Array, Array], Any]:
        found, (nu, mu) = jax.vmap(searched, (0, 0, 0, None))(*carry, ties)
        y, converged, first, second, over, broken = found
        best = _best_of(y, converged, first, second, over, broken, tolerance, strong)
        apart = jnp.sum(jnp.square(y - y[best.top][None]), 1)
        ends = jnp.stack([best.top, jnp.argmax(jnp.where(best.tied, apart, -1))])
        two = y[ends]
        steps = jnp.where(jnp.all(jax.vmap(isolated)(two, nu[ends], mu[ends])), 0, _STEPS)
        lanes = jnp.arange(count)
        floors = best.value - best.slack * jnp.where(lanes // 2 % 2 == 0, 1.0, _WIDER)
        return (two[lanes % 2], floors, jnp.broadcast_to(steps, count)), (found, best)

    first_of_all = begin, jnp.zeros(count), jnp.full(count, _STEPS)
    _, (found, best) = jax.lax.scan(stage, first_of_all, jnp.asarray([False, True]))
    best = jax.tree.map(lambda a: a[0], best)
    y, _, first, second, _, broken = (a[0] for a in found)
    ends, converged, first_, second_, over_, broken_ = (a[1] for a in found)

    # Where the search over ties moves less the less it is allowed to, there is no continuum of ties.
    away = jnp.sum(jnp.square(ends[:, None] - y[None]), -1)
    moved = jnp.sqrt(jnp.min(jnp.where(best.tied[None], away, jnp.inf), -1))
    narrow = jnp.arange(count) // 2 % 2 == 0
    wide = jnp.zeros(count).at[:2].set(moved[2:4])  # of the same starts, allowed more
    flat = narrow & (jnp.arange(count) < 2) & (moved > _APART * (1 + jnp.max(jnp.abs(ends), axis=1)))
    flat = flat & (moved > 0.5 * wide)
    good = flat & (second_ >= best.value - 2 * best.slack) & (over_ <= _KEPT) & (~strong | (broken_ <= _KEPT))
    good = good & jnp.isfinite(first_) & (converged | (sign * first_ > best.worth))
    wider = jnp.where(good, sign * first_, -jnp.inf)
    pick = jnp.argmax(wider)
    take = wider[pick] > best.worth
    end = jnp.where(take, ends[pick], y[best.top])
    leader, follower, violation = (
        jnp.where(take, b[pick], a[best.top]) for a, b in ((first, first_), (second, second_), (broken, broken_))
    )
    # Weak ties must keep the leader's constraints, whichever comes.
    worst = jnp.maximum(jnp.max(jnp.where(best.tied, broken, 0.0)), violation)
    return _Answers(end, leader, follower, best.found, jnp.where(strong, violation, worst))


class _Best(NamedTuple):
    """Of several searches: the follower's best payoff, what is tied with it, and which of these the rule takes."""

    value: Any
    slack: Any
    tied: Any
    top: Any
    worth: Any
    found: Any


def _best_of(
    y: Array, converged: Array, first: Array, second: Array, over: Array, broken: Array, tolerance: Any, strong: Any
) -> _Best:
    finite = jnp.isfinite(second) & jnp.isfinite(first) & (over <= _KEPT)
    ok = finite & converged
    # Without a constraint qualification no search ends where first-order conditions hold: then agreement counts.
    highest = jnp.max(jnp.where(finite, second, -jnp.inf))
    agreed = finite & (second >= highest - 1e-6 * jnp.maximum(1, jnp.abs(highest)))
    ok = jnp.where(jnp.any(ok) | (jnp.sum(agreed) < _AGREED), ok, agreed)
    value = jnp.max(jnp.where(ok, second, -jnp.inf))
    slack = tolerance * jnp.maximum(1, jnp.abs(value))
    # A search that didn't converge but came to something better shows that the best isn't known.
    found = jnp.isfinite(value) & ~jnp.any(finite & (over <= 1e-9) & (second > value + slack))
    tied = ok & (second >= value - slack)
    count = jnp.where(strong, tied & (broken <= _KEPT), tied)
    worth = jnp.where(count, jnp.where(strong, first, -first), -jnp.inf)
    most = jnp.max(worth)
    # Where the leader doesn't care either, always the same one, lest answers seem to jump.
    same = worth >= most - 32 * jnp.finfo(worth.dtype).eps * jnp.maximum(1, jnp.abs(most))
    rank = y @ jnp.cos(jnp.arange(y.shape[1], dtype=y.dtype))
    chosen = jnp.argmax(jnp.where(same & count, rank, -jnp.inf))
    top = jnp.where(jnp.any(count), chosen, jnp.argmin(jnp.where(tied, broken, jnp.inf)))
    return _Best(value, slack, tied, top, most, found)


class _Search:
    """The state of one search: what was evaluated, and how to evaluate more."""

    def __init__(self, game: Game, bounds: np.ndarray, drawn: Array, starts: int, tolerance: float, strong: bool):
        self.game, self.bounds, self.drawn = game, bounds, drawn
        self.starts, self.tolerance, self.strong = starts, tolerance, jnp.asarray(strong)
        self.range = bounds[:, 1] - bounds[:, 0]
        self.d = len(bounds)
        self.neighbours = 3 if self.d == 1 else 5
        self.polished: list[int] = []  # indices of known actions where conditions hold to rounding
        d2 = drawn.shape[1]
        zero = np.zeros((0,))
        self.known = _Known(np.zeros((0, self.d)), _Answers(np.zeros((0, d2)), zero, zero, np.zeros((0,), bool), zero))

    def evaluate(self, u: np.ndarray, extra: np.ndarray | None = None) -> _Answers:
        """Answers to the leader's coordinates `[n, d]`, with `extra` starts `[n, d2]`; they become known."""
        near = self.near(u)
        if extra is not None:
            near[:, -1] = extra
        parts = []
        for i in range(0, len(u), _BATCH):
            some, starts = u[i : i + _BATCH], near[i : i + _BATCH]
            lack = _BATCH - len(some)
            some, starts = (np.concatenate([a, np.repeat(a[-1:], lack, 0)]) for a in (some, starts))
            found = _answered(self.game, some, starts, self.drawn, self.tolerance, self.strong, self.starts)
            parts.append(_Answers(*(np.asarray(x)[: _BATCH - lack] for x in found)))
        answers = _Answers(*map(np.concatenate, zip(*parts)))  # noqa: B905
        self.known = self.known.joined(u, answers)
        return answers

    def near(self, u: np.ndarray) -> np.ndarray:
        """The answers to the nearest known actions `[n, k, d2]`; drawn ones where there are too few."""
        k, old = self.neighbours, np.flatnonzero(self.known.answers.found)
        filler = np.broadcast_to(np.asarray(self.drawn)[-k:], (len(u), k, self.drawn.shape[1])).copy()
        if len(old) < k:
            return filler
        apart = np.sum(np.square((u[:, None] - self.known.u[old][None]) / self.range), -1)
        nearest = np.argpartition(apart, k - 1, axis=1)[:, :k]
        return self.known.answers.y[old][nearest].copy()

    def cover(self, grid: int) -> None:
        """The grid, twice: the second time from the answers of neighbours too."""
        axes = [np.linspace(low, high, grid) for low, high in self.bounds]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, self.d)
        self.evaluate(points)
        first = self.known.answers
        again = self.evaluate(points)
        # The better answer of both counts.
        n, slack = len(points), self.tolerance * np.maximum(1, np.abs(again.follower))
        new = again.found & ~(first.found & (first.follower > again.follower + slack))
        old = first.found & ~new
        pick = np.where(old, np.arange(n), n + np.arange(n))
        known = self.known
        self.known = _Known(known.u[pick], _Answers(*(a[pick] for a in known.answers)))

    def jumps(self) -> tuple[tuple[Jump, ...], int]:
        """Where the answer of a leader of one dimension jumps, and how many more such places there may be."""
        order = np.argsort(self.known.u[:, 0])
        order = order[self.known.answers.found[order]]
        u, y = self.known.u[order, 0], self.known.answers.y[order]
        gaps = np.max(np.abs(np.diff(y, axis=0)), axis=1, initial=0.0)
        sizes = 1 + np.max(np.abs(y), axis=1, initial=0.0)
        # A jump is more than what goes before it and after it.
        padded = np.concatenate([[np.inf], gaps, [np.inf]])
        usual = np.minimum(padded[:-2], padded[2:])
        large = np.flatnonzero((gaps > 1e-2 * np.maximum(sizes[1:], sizes[:-1])) & (gaps > 2 * usual))
        large = large[np.argsort(-gaps[large])]
        dropped, large = max(0, len(large) - _JUMPS), large[:_JUMPS]
        if not len(large):
            return (), 0
        low, high, before, after = u[large], u[large + 1], y[large], y[large + 1]
        first = gaps[large]
        inner = _BATCH // _JUMPS
        shares = np.arange(1, inner + 1) / (inner + 1)
        alive = np.ones(len(large), bool)
        for step in range(14):
            active = np.flatnonzero(alive & (high - low > _FINEST * 1e-2 * self.range[0]))
            if not active.size:
                break
            points = low[active, None] + (high - low)[active, None] * shares
            found = self.evaluate(points.reshape(-1, 1))
            answers = found.y.reshape(len(active), inner, -1)
            fine = found.found.reshape(len(active), inner)
            for k, i in enumerate(active):
                line = np.concatenate([before[i][None], answers[k][fine[k]], after[i][None]])
                at = np.concatenate([[low[i]], points[k][fine[k]], [high[i]]])
                steps = np.max(np.abs(np.diff(line, axis=0)), axis=1)
                j = int(np.argmax(steps))
                low[i], high[i], before[i], after[i] = at[j], at[j + 1], line[j], line[j + 1]
                if step >= 2 and steps[j] < 0.2 * first[i] * 0.9**step:
                    alive[i] = False
        gap = np.max(np.abs(after - before), axis=1)
        alive &= gap > 1e-3 * (1 + np.max(np.abs(before), axis=1))
        of_y = self.of_y
        places = np.flatnonzero(alive)
        places = places[np.argsort(low[places])]
        found_ = [
            Jump(float((low[i] + high[i]) / 2), of_y(before[i]), of_y(after[i]), float((high[i] - low[i]) / 2))
            for i in places
        ]
        return tuple(found_), dropped

    def of_x(self, u: np.ndarray) -> Any:
        space = self.game.spaces[0]
        return jax.tree.map(np.asarray, space.move(_center(space), jnp.asarray(u)))

    def of_y(self, y: np.ndarray) -> Any:
        blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), self.game.spaces[1].struct(jnp.float64))
        return jax.tree.map(np.asarray, ravel_pytree(blank)[1](jnp.asarray(y)))

    def best(self, count: int, apart: Any) -> np.ndarray:
        """Indices of the best known actions that are so far apart from each other, relative to the ranges."""
        chosen: list[int] = []
        known = self.known
        left = known.order[: 64 * count]
        for i in left:
            if not known.answers.found[i]:
                break
            if all(np.max(np.abs(known.u[i] - known.u[j]) / self.range) > apart for j in chosen):
                chosen.append(int(i))
            if len(chosen) == count:
                break
        return np.asarray(chosen, int)

    def polish(self, count: int = 8, rounds: int = 2) -> None:
        """From the best cells to where the leader's conditions hold with the follower's; the answers checked globally.

        Where the follower would rather do something else, that becomes a cut of the next round.
        """
        chosen = self.best(count, 0.05)
        if not chosen.size:
            return
        chosen = np.resize(chosen, count)
        u, y = self.known.u[chosen], self.known.answers.y[chosen]
        cuts = np.full((count, 2, y.shape[1]), np.nan)
        for _ in range(rounds):
            wanted = _stacked(self.of_y, cuts.reshape(-1, cuts.shape[-1]))
            wanted = jax.tree.map(lambda a: a.reshape(count, -1, *a.shape[1:]), wanted)
            found, ok = relaxed(self.game, (_stacked(self.of_x, u), _stacked(self.of_y, y)), answers=wanted)
            flat_x, flat_y = map(_rows, found)
            new = np.stack([self.coordinates(x) for x in flat_x])
            inside = ok & np.all(np.isfinite(new), 1)
            new = np.clip(np.where(inside[:, None], new, u), *self.bounds.T)
            self.polished += list(len(self.known.u) + np.flatnonzero(inside))
            flat_y = np.where(np.isfinite(flat_y), flat_y, y)
            # A little inwards too: at the very edge the follower may have one action left, and a search no room.
            pulled = self.evaluate(np.concatenate([new, new + 1e-7 * (u - new)]), np.concatenate([flat_y, flat_y]))
            answers = _Answers(*(a[:count] for a in pulled))
            sham = inside & answers.found & (np.max(np.abs(answers.y - flat_y), 1) > _APART)
            if not sham.any():
                break
            cuts = np.where(sham[:, None, None], np.stack([answers.y, cuts[:, 0]], 1), cuts)
            u, y = np.where(sham[:, None], u, new), np.where(sham[:, None], y, answers.y)

    def coordinates(self, flat: np.ndarray) -> np.ndarray:
        """Of a leader's action, in the tangent."""
        space = self.game.spaces[0]
        center = np.asarray(ravel_pytree(_center(space))[0])
        if space.dimension == space.size:
            return flat - center
        basis = np.stack(
            [
                np.asarray(ravel_pytree(space.move(_center(space), jnp.asarray(e)))[0]) - center
                for e in np.eye(space.dimension)
            ],
            1,
        )
        return basis.T @ (flat - center)

    def zoom(self, grid: int) -> None:
        """Ever finer grids around the best cells."""
        side = 16 if self.d == 1 else 4
        width = 1.0 / (grid - 1)
        offsets = np.linspace(-1, 1, side)
        cell = np.stack(np.meshgrid(*[offsets] * self.d, indexing="ij"), -1).reshape(-1, self.d)
        shrink = 2.5 / (side - 1) if self.d == 1 else 0.5
        fitted = False
        rng = np.random.default_rng(0)
        while width > _FINEST:
            chosen = self.best(_CELLS, 1.5 * width)
            if not chosen.size:
                return
            # In two dimensions a turned grid in each round, lest an edge that runs askew be missed for good.
            turned = cell
            if self.d == 2:
                angle = rng.uniform(0, np.pi / 2)
                turned = cell @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            points = (self.known.u[chosen][:, None] + width * self.range * turned).reshape(-1, self.d)
            self.evaluate(np.clip(points, *self.bounds.T))
            if self.d == 1 and not fitted and width < 1e-5:
                fitted = True
                self.fit(width)
            width *= shrink
            if self.d == 2 and (width < 1e-7 or (width < 1e-2 and self.is_polished())):
                break

    def is_polished(self) -> bool:
        """Whether nothing is better than a point where conditions hold to rounding."""
        best = self.known.answers.leader[self.known.order[0]]
        wrong = 2 * self.tolerance * max(1.0, abs(best))
        return any(self.known.good[i] and self.known.answers.leader[i] >= best - wrong for i in self.polished)

    def fit(self, width: float) -> None:
        """The vertex of the parabola through the values around the best action, where that is a parabola."""
        best = self.known.order[0]
        if not self.known.good[best]:
            return
        near = self.known.good & (np.abs(self.known.u - self.known.u[best])[:, 0] <= 1.01 * width * self.range[0])
        t = (self.known.u[near, 0] - self.known.u[best, 0]) / (width * self.range[0])
        v = self.known.answers.leader[near]
        if len(t) < 5 or t.min() > -0.3 or t.max() < 0.3:
            return
        a, b, c = np.polyfit(t, v - v.max(), 2)
        rest = np.max(np.abs(np.polyval([a, b, c], t) - (v - v.max())))
        if a >= 0 or rest > 1e-3 * abs(a) + 1e-14 * np.abs(v).max():
            return
        vertex = self.known.u[best, 0] - b / (2 * a) * width * self.range[0]
        if self.bounds[0, 0] < vertex < self.bounds[0, 1] and abs(b / (2 * a)) <= 1:
            self.vertex = vertex
            self.evaluate(np.array([[vertex]]))

    vertex: float | None = None

    def result(self, game: Game, tie: str, jumps: tuple[Jump, ...], dropped: int) -> GlobalStackelberg:
        """What came out."""
        known = self.known
        if not known.good.any():
            answered = int(known.answers.found.sum())
            raise ValueError(
                f"game: no action of the leader's was found that has an answer with which it keeps its constraints: "
                f"{answered} of {len(known.u)} actions have an answer"
            )
        best = int(known.order[0])
        if self.vertex is not None:
            # Values around a smooth peak differ by rounding only: the vertex is nearer to it.
            i = int(np.flatnonzero(known.u[:, 0] == self.vertex)[0])
            rounding = 64 * np.finfo(float).eps * max(1.0, abs(known.answers.leader[best]))
            if known.good[i] and known.answers.leader[i] >= known.answers.leader[best] - rounding:
                best = i
        # So do points on kinks, by what answers are wrong.
        wrong = 2 * self.tolerance * max(1.0, abs(known.answers.leader[best]))
        for i in self.polished:
            close = np.max(np.abs(known.u[i] - known.u[best]) / self.range) <= 1e-3
            if close and known.good[i] and known.answers.leader[i] >= known.answers.leader[best] - wrong:
                best = i
                break
        u, value = known.u[best], float(known.answers.leader[best])
        notes = []
        if dropped:
            notes.append(f"the answer may jump at {dropped} more places between points of the grid")
        # A step to each side: does the answer jump here?
        steps = np.concatenate([s * _NEAR * np.diag(self.range) for s in (1, -1)])
        beside = np.clip(u + steps, *self.bounds.T)
        around = self.evaluate(beside)
        y = known.answers.y[best]
        far = around.found & (np.max(np.abs(around.y - y), 1) > _APART * 10 * (1 + np.max(np.abs(y))))
        at_jump = bool(far.any())
        attained = not (at_jump and tie == "weak")
        if at_jump and attained:
            notes.append("the follower's answer jumps here: it is tied, and a little to the side it is another")
        if not attained:
            notes.append(
                "the follower's answer jumps here; at the jump itself it is tied and worse for the leader, who gets as "
                "near to this payoff as it likes, but never quite"
            )
        edge = np.isclose(u, self.bounds[:, 0], atol=0, rtol=0) | np.isclose(u, self.bounds[:, 1], atol=0, rtol=0)
        space = self.game.spaces[0]
        if edge.any() and not isinstance(space, Box | Torus | Simplex):
            notes.append("the leader's action is at the edge of the limits: beyond them there may be better ones")
        unanswered = int((~known.answers.found).sum())
        if unanswered:
            notes.append(f"at {unanswered} of {len(known.u)} of the leader's actions no answer was found; not counted")
        gap = 1e-6 * max(1.0, abs(value))
        near = known.good & (known.answers.leader >= value - gap)
        others: list[np.ndarray] = []
        for i in known.order[: int(near.sum())]:
            if near[i] and all(np.max(np.abs(known.u[i] - w) / self.range) > 1e-3 for w in [u, *others]):
                others.append(known.u[i])
        payoffs = np.asarray([value, float(known.answers.follower[best])])
        return GlobalStackelberg(
            (self.of_x(u), self.of_y(y)),
            payoffs,
            tie,
            attained,
            self.bounds,
            len(known.u),
            unanswered,
            int((known.answers.found & ~known.good).sum()),
            self.starts + self.neighbours,
            self.tolerance,
            jumps,
            tuple(self.of_x(w) for w in others[:16]),
            tuple(notes),
            game,
        )
