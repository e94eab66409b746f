"""A linear system that two players steer, each with its own quadratic cost: equilibria by linear algebra."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from stackjax.checks import as_number, number, whole
from stackjax.games._checks import check_definite, finite_array
from stackjax.games.quadratic import Quadratic
from stackjax.protocols import Action, Game, Noise
from stackjax.spaces import Euclidean


class LinearQuadratic(Game):
    """Two players plan all their inputs to a linear system at the start; the leader announces its plan first.

    The state goes from `s_0` by `s_(t+1) = A s_t + B_1 u_t + B_2 v_t + w_t` through `stages` stages, with the leader's
    inputs `u` and the follower's `v`. Player i is paid
    `-(1/2) sum_t [(s_(t+1) - z_i)' Q_i (s_(t+1) - z_i) + (input_t)' R_i (input_t)]`, `z_i` where it wants the state and
    the input its own. These are the open-loop strategies of Simaan & Cruz (1973, On the Stackelberg Strategy in
    Nonzero-Sum Games), in discrete time; their costs are negated here. The payoffs are quadratic in the plans, and with
    positive definite `R_i` there is one best response and one Stackelberg equilibrium.

    **Arguments:**

    - `dynamics`: A `[n, n]`; `inputs`: (B_1 `[n, m_1]`, B_2 `[n, m_2]`); `initial`: s_0 `[n]`.
    - `state_costs`: (Q_1, Q_2), positive semi-definite `[n, n]`; `input_costs`: (R_1, R_2), positive definite
      `[m_i, m_i]`; both symmetric.
    - `targets`: (z_1, z_2), each `[n]`; default: the origin for both.
    - `stages`: how many, at least 1, static.
    - `disturbance_variance` >= 0: of each coordinate of `w_t`, normal and new in each round (default 0: none is drawn).
      The exact payoffs are means over it.

    **Raises:** `ValueError` or `TypeError` that names the argument.

    An action is a plan `[stages, m_i]`.
    """

    dynamics: Float[Array, "n n"]
    inputs: tuple[Float[Array, "n m1"], Float[Array, "n m2"]]
    initial: Float[Array, " n"]
    state_costs: tuple[Float[Array, "n n"], Float[Array, "n n"]]
    input_costs: tuple[Float[Array, "m1 m1"], Float[Array, "m2 m2"]]
    targets: tuple[Float[Array, " n"], Float[Array, " n"]]
    disturbance_variance: Any
    stages: int = eqx.field(static=True)
    levels = ((0,), (1,))

    def __init__(
        self,
        dynamics: Any,
        inputs: Sequence[Any],
        initial: Any,
        *,
        state_costs: Sequence[Any],
        input_costs: Sequence[Any],
        targets: Sequence[Any] | None = None,
        stages: int = 5,
        disturbance_variance: Any = 0.0,
    ):
        self.stages = whole("stages", stages)
        self.initial = finite_array("initial", initial, (None,))
        n = self.initial.shape[0]
        self.dynamics = finite_array("dynamics", dynamics, (n, n))
        self.inputs = _pair("inputs", inputs, ((n, None),) * 2)
        m = [b.shape[1] for b in self.inputs]
        self.state_costs = _pair("state_costs", state_costs, ((n, n),) * 2)
        self.input_costs = _pair("input_costs", input_costs, ((m[0], m[0]), (m[1], m[1])))
        zero = jnp.zeros_like(self.initial)
        self.targets = _pair("targets", (zero, zero) if targets is None else targets, ((n,),) * 2)
        for name, pair, strictly in (("state_costs", self.state_costs, False), ("input_costs", self.input_costs, True)):
            for cost in pair:
                check_definite(name, cost, strictly=strictly)
        number(disturbance_variance, "disturbance_variance", 0.0, open_low=False)
        nothing = isinstance(disturbance_variance, int | float) and disturbance_variance == 0
        self.disturbance_variance = None if nothing else as_number(disturbance_variance)

    @property
    def spaces(self) -> tuple[Euclidean, Euclidean]:
        """Plans of inputs."""
        first, second = (Euclidean((self.stages, b.shape[-1])) for b in self.inputs)
        return first, second

    def states(self, *actions: Action, disturbances: Array | None = None) -> Float[Array, "stages n"]:
        """The states `s_1, ..., s_stages` under both plans, with or without disturbances `[stages, n]`."""
        w = jnp.zeros((self.stages, *self.initial.shape), self.initial.dtype) if disturbances is None else disturbances
        (first, second), (u, v) = self.inputs, actions
        push = u @ first.T + v @ second.T + w

        def step(s: Array, pushed: Array) -> tuple[Array, Array]:
            after = self.dynamics @ s + pushed
            return after, after

        return jax.lax.scan(step, self.initial, push)[1]

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """The negated costs, in the mean over the disturbances."""
        paid = self._paid(self.states(*actions), actions)
        if self.disturbance_variance is None:
            return paid

        def step(covariance: Array, _: None) -> tuple[Array, Array]:
            after = self.dynamics @ covariance @ self.dynamics.T + jnp.eye(self.initial.size, dtype=self.initial.dtype)
            return after, after

        zero = jnp.zeros_like(self.dynamics)
        spread = self.disturbance_variance * jnp.sum(jax.lax.scan(step, zero, None, length=self.stages)[1], axis=0)
        return tuple(p - jnp.sum(q * spread) / 2 for p, q in zip(paid, self.state_costs, strict=True))

    def draw(self, key: PRNGKeyArray) -> Noise:
        """Standard normal disturbances `[stages, n]`; `()` without variance."""
        if self.disturbance_variance is None:
            return ()
        return jax.random.normal(key, (self.stages, *self.initial.shape), self.initial.dtype)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """The negated costs under this round's disturbances."""
        if self.disturbance_variance is None:
            return self.payoffs(*actions)
        w = jnp.sqrt(jnp.asarray(self.disturbance_variance)) * noise
        return self._paid(self.states(*actions, disturbances=w), actions)

    def _paid(self, states: Array, actions: tuple[Action, ...]) -> tuple[Scalar, ...]:
        parts = zip(self.targets, self.state_costs, self.input_costs, actions, strict=True)
        return tuple(-(_weighted(states - z[None], q) + _weighted(own, r)) / 2 for z, q, r, own in parts)

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Array:
        """The plan at which the own gradient vanishes."""
        flat = tuple(None if a is None else jnp.ravel(jnp.asarray(a)) for a in actions)
        return self.as_quadratic().best_response(player, flat).reshape(self.stages, -1)

    def nash(self) -> tuple[Array, ...]:
        """The pair of plans at which both own gradients vanish."""
        return self._plans(self.as_quadratic().nash())

    def stackelberg(self) -> tuple[Array, ...]:
        """The leader's best plan, given that the follower's is the best response to it, and that response."""
        return self._plans(self.as_quadratic().stackelberg())

    def _plans(self, flat: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(plan.reshape(self.stages, -1) for plan in flat)

    def as_quadratic(self) -> Quadratic:
        """The same game as a `Quadratic` in the plans, one stage's inputs after the other; constants are left out.

        All states are `S = G_1 u + G_2 v + d`, where the block of `G_i` in row t and column k is `A^(t-k) B_i` for
        k <= t, else 0, and `d_t = A^(t+1) s_0`.
        """
        quadratic, linear = self._matrices()
        return Quadratic(quadratic, linear, [self.stages * b.shape[1] for b in self.inputs])

    @jax.jit
    def _matrices(self) -> tuple[list[Array], list[Array]]:
        powers = [jnp.eye(self.initial.size, dtype=self.dynamics.dtype)]
        for _ in range(self.stages):
            powers.append(powers[-1] @ self.dynamics)
        alone = jnp.concatenate([power @ self.initial for power in powers[1:]])
        times = range(self.stages)
        spread = jnp.concatenate(
            [
                jnp.block([[powers[t - k] @ b if k <= t else jnp.zeros_like(b) for k in times] for t in times])
                for b in self.inputs
            ],
            axis=1,
        )
        each = jnp.eye(self.stages, dtype=spread.dtype)
        dims = [self.stages * b.shape[1] for b in self.inputs]
        quadratic, linear = [], []
        for i, (q, r, z) in enumerate(zip(self.state_costs, self.input_costs, self.targets, strict=True)):
            pull = spread.T @ jnp.kron(each, q)
            own = [jnp.kron(each, r) if j == i else jnp.zeros((d, d), spread.dtype) for j, d in enumerate(dims)]
            quadratic.append(pull @ spread + jax.scipy.linalg.block_diag(*own))
            linear.append(pull @ (jnp.tile(z, self.stages) - alone))
        return quadratic, linear


def _weighted(rows: Float[Array, "t n"], weights: Float[Array, "n n"]) -> Scalar:
    """`sum_t rows_t' weights rows_t`."""
    return jnp.sum(rows * (rows @ weights))


def _pair(name: str, values: Any, shapes: tuple[tuple[int | None, ...], ...]) -> tuple[Array, Array]:
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
        raise ValueError(f"{name}: expected one array for each of the two players, got {values!r}")
    first, second = (finite_array(name, value, shape) for value, shape in zip(values, shapes, strict=True))
    return first, second
