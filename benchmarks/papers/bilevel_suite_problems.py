"""Formulas of bilevel problems: checked, evaluated by NumPy, and as games of which those of a size share a program.

A formula is rewritten as a polynomial in the variables and in `specials`: functions (exp, reciprocals, ...) of
polynomials in the variables and in specials of earlier layers. Its numbers are leaves of the game, so that all problems
of one size compile once.
"""

import ast
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from stackjax.protocols import Action, Game
from stackjax.spaces import Euclidean, Space

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": jnp.exp,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "log": jnp.log,
    "sqrt": jnp.sqrt,
    "abs": jnp.abs,
}
#: What a special may be: a function of a formula, a reciprocal, or a polynomial itself, lest powers be multiplied out.
KINDS: dict[str, Callable[..., Any]] = {"same": lambda p: p, "reciprocal": lambda p: 1.0 / p, **FUNCTIONS}
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.USub, ast.UAdd)


def checked(formula: str, dims: tuple[int, int]) -> ast.expr:
    """A formula's tree, after a look at all that stands in it. **Raises:** `ValueError` for anything else."""
    tree = ast.parse(formula, mode="eval").body

    def check(node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            if not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS and len(node.args) == 1):
                raise ValueError(f"{formula}: expected a function of one argument out of {list(FUNCTIONS)}")
            check(node.args[0])
        elif isinstance(node, ast.Subscript):
            name = node.value.id if isinstance(node.value, ast.Name) else None
            size = dict(zip("xy", dims, strict=True)).get(name or "", 0)
            index = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if not isinstance(index, int) or not 0 <= index < size:
                raise ValueError(f"{formula}: expected x[i] or y[j] within {dims}")
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float):
                raise ValueError(f"{formula}: expected numbers, got {node.value!r}")
        elif isinstance(node, ast.Name):
            if node.id != "pi":
                raise ValueError(f"{formula}: unknown name {node.id}")
        elif isinstance(node, ast.BinOp | ast.UnaryOp) and isinstance(node.op, _OPERATORS):
            for child in (node.left, node.right) if isinstance(node, ast.BinOp) else (node.operand,):
                check(child)
        else:
            raise ValueError(f"{formula}: {type(node).__name__} isn't part of a formula")

    check(tree)
    return tree


#: A monomial is a sorted tuple of variables, as often as they are multiplied; a polynomial its coefficients.
Monomial = tuple[Any, ...]
Polynomial = dict[Monomial, float]


class Specials:
    """The specials of a problem: `("s", i)` is `entries[i]`, a kind and a polynomial, of layer `layers[i]`."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Polynomial]] = []
        self.layers: list[int] = []

    def variable(self, kind: str, inner: Polynomial) -> Polynomial:
        """A special as a polynomial; a constant's is a constant."""
        if set(inner) <= {()}:
            return {(): float(1 / inner[()] if kind == "reciprocal" else getattr(math, kind)(inner.get((), 0.0)))}
        if (kind, inner) not in self.entries:
            below = [self.layers[v[1]] for monomial in inner for v in monomial if v[0] == "s"]
            self.entries.append((kind, inner))
            self.layers.append(1 + max(below, default=-1))
        return {(("s", self.entries.index((kind, inner))),): 1.0}

    def polynomial(self, node: ast.expr) -> Polynomial:
        """A formula as a polynomial; `checked` has seen to it that its nodes are of these kinds alone."""
        if isinstance(node, ast.Constant):
            return {(): float(node.value)}
        if isinstance(node, ast.Name):
            return {(): math.pi}
        if isinstance(node, ast.Subscript):
            return {((node.value.id, node.slice.value),): 1.0}
        if isinstance(node, ast.Call):
            return self.variable(node.func.id, self.polynomial(node.args[0]))
        if isinstance(node, ast.UnaryOp):
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return {m: sign * c for m, c in self.polynomial(node.operand).items()}
        assert isinstance(node, ast.BinOp)
        left, right = self.polynomial(node.left), self.polynomial(node.right)
        if isinstance(node.op, ast.Add | ast.Sub):
            sign = -1.0 if isinstance(node.op, ast.Sub) else 1.0
            found = dict(left)
            for m, c in right.items():
                found[m] = found.get(m, 0.0) + sign * c
            return {m: c for m, c in found.items() if c != 0}
        if isinstance(node.op, ast.Mult):
            return _product(left, right)
        if isinstance(node.op, ast.Div):
            if set(right) <= {()}:
                return {m: c / right[()] for m, c in left.items()}
            return _product(left, self.variable("reciprocal", right))
        return self.power(left, right)

    def power(self, base: Polynomial, exponent: Polynomial) -> Polynomial:
        """Whole powers, and half ones as roots."""
        if set(exponent) - {()}:
            raise ValueError("expected constant exponents")
        n = exponent.get((), 0.0)
        if 2 * n != round(2 * n):
            raise ValueError(f"expected whole or half exponents, got {n}")
        if n < 0:
            return self.power(self.variable("reciprocal", base), {(): -n})
        if n != round(n):
            return self.power(self.variable("sqrt", base), {(): 2 * n})
        if len(base) > 1 and n > 2:
            base = self.variable("same", base)
        found: Polynomial = {(): 1.0}
        for _ in range(round(n)):
            found = _product(found, base)
        return found


def _product(left: Polynomial, right: Polynomial) -> Polynomial:
    found: Polynomial = {}
    for m, c in left.items():
        for n, d in right.items():
            both = tuple(sorted((*m, *n)))
            found[both] = found.get(both, 0.0) + c * d
    return found


@dataclass(frozen=True)
class Problem:
    """A problem of the file.

    **Attributes:** `name`; `dims` of x and y; `start` (x, y), or None; `best` known costs of leader and follower, None
    where unknown; `status` (1 optimal, 2 best known, 0 unknown) and `kind`, as the file says; `codes`: cost of the
    leader, of the follower, and their constraints, at least 0; `polynomials`: the same, with their `specials`.
    """

    name: str
    dims: tuple[int, int]
    start: tuple[np.ndarray, np.ndarray] | None
    best: tuple[float | None, ...]
    status: int
    kind: str
    codes: tuple[Any, ...]
    polynomials: tuple[list[Polynomial], ...]
    specials: Specials

    @property
    def depth(self) -> int:
        """How many layers of specials there are."""
        return max(self.specials.layers, default=-1) + 1

    def evaluate(self, which: int, x: Any, y: Any) -> Any:
        """By NumPy, from the formula as it stands: cost (0, 1) or constraints (2, 3) of the leader and the follower."""
        names = {name: getattr(np, name) for name in FUNCTIONS}
        scope = {"__builtins__": {}, "pi": math.pi, "x": x, "y": y, **names}
        values = [eval(code, scope) for code in self.codes[which]]  # `checked` looked at them
        return values[0] if which < 2 else np.array(values, float)

    def affine(self, which: int) -> list[tuple[np.ndarray, float] | None]:
        """Of each cost or constraint: its slope in (x, y) and its constant, or None if it isn't affine."""
        found: list[tuple[np.ndarray, float] | None] = []
        for polynomial in self.polynomials[which]:
            if any(len(m) > 1 or (m and m[0][0] == "s") for m in polynomial):
                found.append(None)
                continue
            slope = np.zeros(sum(self.dims))
            for m, c in polynomial.items():
                if m:
                    slope[m[0][1] + (self.dims[0] if m[0][0] == "y" else 0)] += c
            found.append((slope, polynomial.get((), 0.0)))
        return found


def read(path: Path) -> tuple[list[Problem], dict[str, str]]:
    """The problems of a file, and for those that aren't expressible why not."""
    problems, failures = [], {}
    for raw in json.loads(path.read_text())["problems"]:
        try:
            problems.append(_problem(raw))
        except (ValueError, SyntaxError, KeyError) as error:
            failures[str(raw.get("name", "?"))] = str(error)
    return problems, failures


def _problem(raw: dict[str, Any]) -> Problem:
    dims = (int(raw["dims"][0]), int(raw["dims"][1]))
    formulas = [[raw["leader_cost"]], [raw["follower_cost"]], raw["leader_constraints"], raw["follower_constraints"]]
    trees = [[checked(formula, dims) for formula in some] for some in formulas]
    codes = tuple(
        tuple(compile(ast.fix_missing_locations(ast.Expression(t)), "<formula>", "eval") for t in some)
        for some in trees
    )
    specials = Specials()
    polynomials = tuple([specials.polynomial(t) for t in some] for some in trees)
    start = None
    if raw["start"] is not None and len(raw["start"]) >= sum(dims):
        numbers = np.asarray(raw["start"], float)
        start = numbers[: dims[0]], numbers[dims[0] : sum(dims)]
    best = tuple(None if b is None else float(b) for b in raw["best"])
    return Problem(raw["name"], dims, start, best, int(raw["status"]), raw["kind"], codes, polynomials, specials)


class Layer(eqx.Module):
    """Rows of polynomials: `rows @ monomials`, each the product of the variables that `factors` picks.

    **Attributes:** `factors` `[degree, terms, variables]`, one of each row of the last axis 1 and the others 0
    (XLA compiles products much sooner than gathers and their derivatives); `rows`: arrays `[n, terms]`, of which
    each is asked for by itself; `kinds` `[n]`, which of the static `functions` a row goes through.
    """

    factors: np.ndarray
    rows: tuple[np.ndarray, ...]
    kinds: np.ndarray
    functions: tuple[str, ...] = eqx.field(static=True)

    def __call__(self, variables: jax.Array, which: int = 0) -> jax.Array:
        """The rows' values."""
        factors = jnp.asarray(self.factors) @ variables
        term = factors[0]
        for i in range(1, self.factors.shape[0]):
            term = term * factors[i]
        values = jnp.asarray(self.rows[which]) @ term
        if not self.functions or self.functions == ("same",):
            return values
        found = jnp.zeros_like(values)
        for k, name in enumerate(self.functions):
            mine = self.kinds == k
            found = jnp.where(mine, KINDS[name](jnp.where(mine, values, 1.0)), found)  # 1 is in all domains
        return found


class FormulaGame(Game):
    """A problem as a game: costs negated, constraints at most 0."""

    layers: tuple[Layer, ...]
    dims: tuple[int, int] = eqx.field(static=True)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All numbers: bounds are among the constraints."""
        return tuple(Euclidean((n,)) for n in self.dims)

    @property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """A leader and a follower."""
        return (0,), (1,)

    def values(self, which: int, x: Any, y: Any) -> jax.Array:
        """Both costs (0), or the constraints, at least 0, of the leader (1) or the follower (2)."""
        x, y = jnp.asarray(x), jnp.asarray(y)
        variables = jnp.concatenate([jnp.ones((1,), x.dtype), x, y])
        for layer in self.layers[:-1]:
            variables = jnp.concatenate([variables, layer(variables)])
        return self.layers[-1](variables, which)

    def payoffs(self, *actions: Action) -> tuple[Any, ...]:
        """Negated costs."""
        values = self.values(0, *actions)
        return -values[0], -values[1]

    def inequalities(self, player: int, actions: tuple[Action, ...]) -> Any:
        """Negated constraints, then numbers below 0 where other problems of the size have more."""
        return -self.values(player + 1, *actions)


def games(problems: list[Problem]) -> dict[str, FormulaGame]:
    """The games, by name; those of the same `dims` and `depth` have the same structure."""
    found = {}
    for dims, depth in sorted({(p.dims, p.depth) for p in problems}):
        some = [p for p in problems if (p.dims, p.depth) == (dims, depth)]
        counts = tuple(max(len(p.polynomials[i]) for p in some) for i in (2, 3))
        widths = [max(p.specials.layers.count(i) for p in some) for i in range(depth)]
        kinds = [
            sorted({k for p in some for (k, _), i in zip(p.specials.entries, p.specials.layers, strict=True) if i == d})
            for d in range(depth)
        ]
        rows = {p.name: _rows(p, widths, (counts[0], counts[1])) for p in some}
        for p in some:
            layers, variables = [], 1 + sum(dims)
            for d in range(depth + 1):
                together = [_terms(rows[q.name][0][d]) for q in some]
                size = (max(1, max(len(m) for terms in together for m in terms)), max(map(len, together)), variables)
                functions = tuple(kinds[d]) if d < depth else ()
                parts = (2, *counts) if d == depth else (widths[d],)
                layers.append(_layer(rows[p.name][0][d], rows[p.name][1], size, functions, parts))
                variables += widths[d] if d < depth else 0
            found[p.name] = FormulaGame(tuple(layers), dims)
    return found


Row = tuple[str, Polynomial]


def _rows(p: Problem, widths: list[int], counts: tuple[int, int]) -> tuple[list[list[Row]], dict[Any, int]]:
    """The rows of each layer, padded, and where each variable stands."""
    at = {("x", i): 1 + i for i in range(p.dims[0])} | {("y", j): 1 + p.dims[0] + j for j in range(p.dims[1])}
    first, layers = 1 + sum(p.dims), []
    for d, width in enumerate(widths):
        mine = [i for i, layer in enumerate(p.specials.layers) if layer == d]
        at |= {("s", i): first + k for k, i in enumerate(mine)}
        first += width
        some = [p.specials.entries[i] for i in mine]
        layers.append([*some, *[("", {(): 1.0})] * (width - len(mine))])
    last = [("", poly) for which in (0, 1) for poly in p.polynomials[which]]
    for which, count in zip((2, 3), counts, strict=True):
        some = [("", poly) for poly in p.polynomials[which]]
        last += [*some, *[("", {(): 1.0})] * (count - len(some))]
    return [*layers, last], at


def _terms(rows: list[Row]) -> list[Monomial]:
    return sorted({m for _, polynomial in rows for m in polynomial})


def _layer(
    rows: list[Row], at: dict[Any, int], size: tuple[int, ...], functions: tuple[str, ...], parts: tuple[int, ...]
) -> Layer:
    terms = _terms(rows)
    factors, matrix = np.zeros(size), np.zeros((len(rows), size[1]))
    for k in range(size[1]):
        monomial = terms[k] if k < len(terms) else ()
        for i in range(size[0]):
            factors[i, k, at[monomial[i]] if i < len(monomial) else 0] = 1
    for i, (_, polynomial) in enumerate(rows):
        for m, c in polynomial.items():
            matrix[i, terms.index(m)] = c
    kinds = np.array([functions.index(k) if k else -1 for k, _ in rows], np.int32) if functions else np.zeros(0)
    return Layer(factors, tuple(np.split(matrix, np.cumsum(parts)[:-1].tolist())), kinds, functions)
