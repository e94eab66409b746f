"""Follow the ridge: a follower who moves along its best responses as the leader moves."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from stackjax._calculus.linear import Effort, solve
from stackjax._calculus.shaping import arrays, free_of, plus, slopes
from stackjax.checks import number
from stackjax.learners._coupled import Solving
from stackjax.protocols import Action, Calls, Game, View, partial_gradient
from stackjax.schedules import Schedule, as_schedule


class FollowTheRidge(Solving):
    """A follower's ascent that also makes up for the leader's step, so that it stays on its ridge. Coupled.

    The direction is `grad_y f2 - (leader_step / step) H_yy^-1 H_yx d`, with `H_yy = d2 f2 / dy2`,
    `H_yx = d(grad_y f2) / dx` and d the direction in which the leader is taken to step: its total derivative
    `grad_x f1 - H_yx^T H_yy^-T grad_y f1`, or its partial gradient. Wang, Zhang & Ba (2020, On Solving Minimax
    Optimization Locally: A Follow-the-Ridge Approach), Algorithm 1 (`total=False`) for zero-sum games, and their
    extension to general sums. Several leaders of the first level enter together, and so do several followers of the
    second, by the joint Jacobian of their first-order conditions instead of `H_yy`. Up to 48 unknowns (the followers'
    coordinates) that matrix is formed and solved; beyond, BiCGStab gets by with products.

    **Arguments:**

    - `step`: a number or a schedule of the learner's own counter, in units of action / gradient.
    - `leader_step`: the leader's, likewise; None (default) if it is the same.
    - `total`: whether the leader is taken to follow its total derivative (default) or its partial gradient, static.
    - `tolerance`, `max_steps`: of BiCGStab, the former relative (default: the 3/4th power of the floating-point
      resolution). The iterations of a round and its largest relative residual are in the trace's reports.
    - `noise_variance`: as in `GradientAscent`.

    At a bound that a gradient presses against players stay: the system is that of the free directions, and a leader who
    can't move draws nobody along.

    A singular `H_yy` that is solved densely gives a direction that isn't finite: the replicate ends with that status.

    **Raises:** `ValueError` or `TypeError` that names the argument; a `ValueError` for a player who isn't in the second
    of two levels.
    """

    leader_step: Schedule | None
    total: bool = eqx.field(static=True)

    def __init__(
        self,
        step: Any,
        leader_step: Any = None,
        *,
        total: bool = True,
        tolerance: Any = None,
        max_steps: int = 100,
        noise_variance: Any = 0.0,
    ):
        super().__init__(step, tolerance=tolerance, max_steps=max_steps, noise_variance=noise_variance)
        if not (leader_step is None or callable(leader_step)):
            number(leader_step, "leader_step", 0.0)
        if not isinstance(total, bool):
            raise TypeError(f"total: expected True or False, got {total!r}")
        self.leader_step = None if leader_step is None else as_schedule(leader_step, "leader_step")
        self.total = total

    def _solved(self, game: Game, player: int, actions: tuple[Action, ...], n: Any) -> tuple[Action, Effort]:
        _second_of_two(game, player)
        assert self.step is not None  # it is a required argument
        z = arrays(actions)
        leaders, followers = game.levels

        def conditions(x: tuple[Action, ...], y: tuple[Action, ...]) -> tuple[Action, ...]:
            new = dict(zip((*leaders, *followers), (*x, *y), strict=True))
            joint = tuple(new[j] for j in range(len(z)))
            return tuple(partial_gradient(game, j, joint) for j in followers)

        x, y = tuple(z[j] for j in leaders), tuple(z[j] for j in followers)
        own, by_x = jax.linearize(lambda x: conditions(x, y), x)
        _, by_y = jax.linearize(lambda y: conditions(x, y), y)
        efforts = []
        frees = [free_of(game, j, z[j], slope) for j, slope in zip(followers, own, strict=True)]

        def project(u: tuple[Action, ...]) -> tuple[Action, ...]:
            return tuple(f(a) for f, a in zip(frees, u, strict=True))

        def solved(apply: Any, b: Any) -> Any:
            """On the followers' free directions; what is held stays."""

            def on_free(u: Any) -> Any:
                along = project(u)
                return plus(project(apply(along)), 1, plus(along, -1, u))

            bounded = any(game.spaces[j].bounded for j in followers)
            found, effort = solve(on_free if bounded else apply, project(b), self.tolerance, self.max_steps)
            efforts.append(effort)
            return found

        if self.total:
            pull_x, pull_y = jax.linear_transpose(by_x, x), jax.linear_transpose(by_y, y)
            d = []
            for i, j in enumerate(leaders):
                slope = slopes(game, j, z)
                answer = solved(lambda u: pull_y(u)[0], tuple(slope[k] for k in followers))
                d.append(plus(slope[j], -1, pull_x(answer)[0][i]))
        else:
            d = [partial_gradient(game, j, z) for j in leaders]
        d = [free_of(game, j, z[j], each)(each) for j, each in zip(leaders, d, strict=True)]
        drift = solved(by_y, by_x(tuple(d)))
        ratio = 1 if self.leader_step is None else self.leader_step(n) / self.step(n)
        mine = followers.index(player)
        iterations, residuals = zip(*efforts, strict=True)
        return plus(own[mine], -ratio, drift[mine]), (sum(iterations), jnp.stack(residuals).max())

    def _unknowns(self, game: Game, player: int) -> int:
        _second_of_two(game, player)
        return sum(game.spaces[j].size for j in game.levels[1])

    def requires(self, view: View) -> dict[str, Any]:
        """A follower of two levels, spaces with a tangent, and positive first steps."""
        _second_of_two(view.game, view.player)
        found = super().requires(view)
        if self.leader_step is not None:
            found["leader_step: expected a positive step"] = self.leader_step(jnp.int32(0)) > 0
        return found

    def calls(self, view: View, before: Any, after: Any) -> Calls:
        """A gradient a player; a Hessian-vector product a follower for each product with a Jacobian; the solves.

        With total derivatives a solve a leader, and one more.
        """
        leaders, followers = (len(level) for level in view.game.levels)
        solves = 1 + (leaders if self.total else 0)
        unknowns = self._unknowns(view.game, view.player)
        products = solves * unknowns if after.memory == () else 2 * after.memory.iterations + solves
        return Calls(
            gradients=leaders + followers,
            hessian_vector_products=followers * (products + solves),
            solves=solves,
        )


def _second_of_two(game: Game, player: int) -> None:
    if len(game.levels) != 2 or player not in game.levels[1]:
        raise ValueError(
            f"levels: FollowTheRidge expected a player of the second of two levels, got player {player} "
            f"in {game.levels}"
        )
