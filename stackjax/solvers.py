"""How a leader's implicit gradient solves for its followers' response.

The hierarchical gradient needs `u = (F_y - damping I)^-T grad_y f1`, F the first-order conditions of the players of
later levels and F_y their Jacobian: the Hessian H_yy of a single follower, or a matrix that isn't symmetric where
several followers move together or followers have followers. A solver is the `solver` of `HierarchicalAscent` and of
`equilibria.implicit_gradient`; None there takes `Dense` for few unknowns and else `CG` or `BiCGStab` with their
defaults.
"""

from typing import Any, ClassVar

import equinox as eqx
import numpy as np

from stackjax._calculus.linear import (
    MAX_STEPS,
    Method,
    Past,
    Solution,
    System,
    bicgstab,
    conjugate_gradients,
    is_small,
    solve_automatically,
    solve_dense,
    solve_iteratively,
)
from stackjax.checks import as_number, number

__all__ = ["CG", "BiCGStab", "Dense", "Solver", "chosen"]


class Solver(eqx.Module):
    """A way to solve the linear system of an implicit gradient."""

    def solve(self, system: System, past: Past | None = None) -> Solution:
        """The solution, the iterations and the relative residual.

        `past`: solutions of similar systems and their images, for an iterative solver to start from.
        """
        raise NotImplementedError

    def check(self, symmetric: bool) -> None:
        """A `ValueError` if it can't solve systems of which it is known, or not, that they are symmetric."""


class Dense(Solver):
    """Form the matrix, a product for each column, and eliminate. Of a singular one the shortest solution, if any.

    Exact, and of a cost that grows with the number of the followers' coordinates d as d gradients and d^3 operations.
    """

    def solve(self, system: System, past: Past | None = None) -> Solution:
        """By elimination."""
        return solve_dense(system)


class Iterative(Solver):
    """Products with the matrix alone, none of which forms it. Subclasses give the `_method`."""

    tolerance: Any = eqx.field(default=None, converter=as_number)
    max_steps: Any = MAX_STEPS
    history: int = eqx.field(default=4, static=True)

    def __check_init__(self) -> None:
        if self.tolerance is not None:
            number(self.tolerance, "tolerance", 0.0)
        number(self.max_steps, "max_steps", 1, open_low=False, whole=True)
        if not isinstance(self.history, int | np.integer) or isinstance(self.history, bool):
            raise TypeError(f"history: expected a whole number, got {self.history!r}")
        number(self.history, "history", 0, open_low=False)

    #: Products with the matrix that an iteration takes.
    products: ClassVar[int]

    @property
    def _method(self) -> Method:
        raise NotImplementedError

    def solve(self, system: System, past: Past | None = None) -> Solution:
        """By iterations."""
        return solve_iteratively(self._method, system, past, self.tolerance, self.max_steps)


class CG(Iterative):
    """Conjugate gradients, for a single follower whose payoff is concave around its answer: a product an iteration.

    Hestenes & Stiefel (1952). Iterations grow with the square root of the Hessian's condition number. Where the Hessian
    isn't negative definite the residual may stay large, which the reports tell, or the method break down, which gives
    NaN. Where it is singular and grad_y f1 isn't in its range there is no solution to find: damping makes one. That is
    told, by NaN, where the iterations break down, believe to be there, or have taken four times as many steps as there
    are unknowns, and leave more than a tenth of the right-hand side all the same.

    **Arguments:**

    - `tolerance`: of the residual, relative to the right-hand side; default: the 3/4th power of the floating-point
      resolution.
    - `max_steps`: at most so many iterations (default 100); what the last one reached is used, and its residual
      reported.
    - `history`: how many past solutions a learner remembers (default 4), static. It starts from their
      combination in which the past right-hand sides combine to the present one, which costs a product. Where leader and
      follower move smoothly that is far nearer to the solution than the last one alone; 0 starts from 0.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    products = 1

    @property
    def _method(self) -> Method:
        return conjugate_gradients

    def check(self, symmetric: bool) -> None:
        """A `ValueError` for a matrix that isn't symmetric."""
        if not symmetric:
            raise ValueError(
                "solver: CG is for symmetric systems, and the Jacobian of several followers' first-order conditions "
                "isn't symmetric; expected BiCGStab(...) or Dense()"
            )


class BiCGStab(Iterative):
    """Stabilised biconjugate gradients, for several followers or chains of them: two products an iteration.

    Van der Vorst (1992). A breakdown gives NaN: a singular matrix may end in one, and so does one without a symmetric
    part, as of followers in a zero-sum game without curvature of their own; `Dense` solves that, and damping mends it.

    **Arguments:** as in `CG`. **Raises:** likewise.
    """

    products = 2

    @property
    def _method(self) -> Method:
        return bicgstab


class _ByDefaultCG(CG):
    def solve(self, system: System, past: Past | None = None) -> Solution:
        return solve_automatically(system, past)


class _ByDefaultBiCGStab(BiCGStab):
    def solve(self, system: System, past: Past | None = None) -> Solution:
        return solve_automatically(system, past)


def chosen(solver: Solver | None, unknowns: int, symmetric: bool) -> Solver:
    """The solver, or the one that None stands for.

    For a symmetric system that is `Dense` up to 6 unknowns, else `CG`; for another `Dense` up to 48, else `BiCGStab`.
    Where these two fail systems of up to 256 unknowns are solved densely after all.

    **Raises:** `ValueError` if the solver that is asked for can't solve such systems.
    """
    if solver is None:
        return Dense() if is_small(unknowns, symmetric) else _ByDefaultCG() if symmetric else _ByDefaultBiCGStab()
    solver.check(symmetric)
    return solver


def check_solver(solver: Any) -> None:
    """A `TypeError` unless it is a solver or None."""
    if not (solver is None or isinstance(solver, Solver)):
        raise TypeError(f"solver: expected Dense(), CG(...), BiCGStab(...) or None, got {solver!r}")
