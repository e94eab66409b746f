"""The linear-quadratic game: closed forms against hand calculation, Riccati's recursion and first-order conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, play
from stackjax.equilibria import implicit_gradient
from stackjax.games import LinearQuadratic
from stackjax.learners import BestResponse, GradientAscent, HierarchicalAscent

RNG = np.random.default_rng(0)
MATRICES = {
    "dynamics": RNG.normal(size=(3, 3)) / 2,
    "inputs": (RNG.normal(size=(3, 2)), RNG.normal(size=(3, 1))),
    "initial": RNG.normal(size=3),
    "state_costs": (np.eye(3), np.diag([2.0, 1.0, 0.0])),
    "input_costs": (np.array([[1.0, 0.3], [0.3, 0.5]]), 0.4 * np.eye(1)),
    "targets": (RNG.normal(size=3), RNG.normal(size=3)),
}


def game(**changes):
    return LinearQuadratic(**{**MATRICES, "stages": 4, **changes})


def partial(made, player, actions):
    return GradientAscent(1.0).direction(made, player, actions)


def test_one_stage_in_one_dimension_by_hand(x64):
    a, b1, b2, s0, q1, q2, r1, r2, z1, z2 = 0.9, 0.7, -1.1, 2.0, 1.5, 0.8, 0.3, 0.6, 0.5, -1.0
    one = lambda x: np.array([[x]])  # noqa: E731
    made = LinearQuadratic(
        one(a),
        (one(b1), one(b2)),
        np.array([s0]),
        state_costs=(one(q1), one(q2)),
        input_costs=(one(r1), one(r2)),
        targets=(np.array([z1]), np.array([z2])),
        stages=1,
    )
    k = b2**2 * q2 / (r2 + q2 * b2**2)
    u = -(1 - k) * b1 * q1 * ((1 - k) * a * s0 + k * z2 - z1) / (r1 + q1 * (1 - k) ** 2 * b1**2)
    v = -b2 * q2 * (a * s0 + b1 * u - z2) / (r2 + q2 * b2**2)
    np.testing.assert_allclose([float(x[0, 0]) for x in made.stackelberg()], [u, v], rtol=1e-12)
    s1 = a * s0 + b1 * u + b2 * v
    costs = [(q1 * (s1 - z1) ** 2 + r1 * u**2) / 2, (q2 * (s1 - z2) ** 2 + r2 * v**2) / 2]
    np.testing.assert_allclose(made.payoffs(*made.stackelberg()), np.negative(costs), rtol=1e-12)


def test_the_states_and_the_payoffs_are_those_of_a_plain_loop(x64):
    made = game()
    plans = [RNG.normal(size=(4, m)) for m in (2, 1)]
    s, costs = MATRICES["initial"], np.zeros(2)
    for t in range(4):
        s = MATRICES["dynamics"] @ s + sum(b @ p[t] for b, p in zip(MATRICES["inputs"], plans, strict=True))
        np.testing.assert_allclose(made.states(*map(jnp.asarray, plans))[t], s, rtol=1e-12)
        for i in (0, 1):
            off, own = s - MATRICES["targets"][i], plans[i][t]
            costs[i] += (off @ MATRICES["state_costs"][i] @ off + own @ MATRICES["input_costs"][i] @ own) / 2
    np.testing.assert_allclose(made.payoffs(*map(jnp.asarray, plans)), -costs, rtol=1e-12)


def test_the_equilibria_meet_their_first_order_conditions(x64):
    made = game()
    nash, stackelberg = made.nash(), made.stackelberg()
    for player in (0, 1):
        np.testing.assert_allclose(partial(made, player, nash), 0, atol=1e-10)
    np.testing.assert_allclose(implicit_gradient(made, *stackelberg), 0, atol=1e-10)
    np.testing.assert_allclose(stackelberg[1], made.best_response(1, (stackelberg[0], None)), atol=1e-10)
    np.testing.assert_allclose(partial(made, 1, stackelberg), 0, atol=1e-10)
    # Neither is the other: to lead pays here.
    assert np.abs(implicit_gradient(made, *nash)).max() > 0.01 < np.abs(partial(made, 0, stackelberg)).max()
    assert made.payoffs(*stackelberg)[0] > made.payoffs(*nash)[0] + 1e-3


def test_the_quadratic_game_is_the_same_up_to_constants(x64):
    made = game()
    same = made.as_quadratic()
    first, second = ([jnp.asarray(RNG.normal(size=(4, m))) for m in (2, 1)] for _ in range(2))
    change = np.subtract(made.payoffs(*first), made.payoffs(*second))
    flat = [[x.ravel() for x in plans] for plans in (first, second)]
    np.testing.assert_allclose(np.subtract(same.payoffs(*flat[0]), same.payoffs(*flat[1])), change, rtol=1e-10)


def test_a_leader_alone_is_the_linear_quadratic_regulator(x64):
    """Where the follower's input moves nothing the leader's plan is the feedback of Riccati's recursion, played out."""
    a, b = MATRICES["dynamics"], MATRICES["inputs"][0]
    q, r = MATRICES["state_costs"][0], MATRICES["input_costs"][0]
    made = game(inputs=(b, np.zeros((3, 1))), targets=None)
    gains, p = [], q
    for _ in range(4):
        gains.append(np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a))
        p = q + a.T @ p @ (a - b @ gains[-1])
    s, plan = MATRICES["initial"], []
    for gain in reversed(gains):
        plan.append(-gain @ s)
        s = a @ s + b @ plan[-1]
    for point in (made.nash(), made.stackelberg()):
        np.testing.assert_allclose(point[0], plan, atol=1e-10)
        np.testing.assert_allclose(point[1], 0, atol=1e-10)


def test_disturbances_change_the_payoffs_by_a_constant_and_leave_the_mean(x64):
    """The mean over 4000 draws to 5 standard errors: false alarms below 2e-6."""
    made, still = game(disturbance_variance=0.5), game()
    actions = still.stackelberg()
    np.testing.assert_allclose(partial(made, 0, actions), partial(still, 0, actions), rtol=1e-10)
    np.testing.assert_allclose(made.stackelberg()[0], actions[0], rtol=1e-12)
    draws = jax.vmap(made.draw)(jax.random.split(jax.random.key(0), 4000))
    paid = np.stack(jax.vmap(lambda w: made.realise(w, *actions))(draws))
    error = paid.std(axis=1) / 4000**0.5
    assert np.all(np.abs(paid.mean(axis=1) - np.stack(made.payoffs(*actions))) < 5 * error)
    assert np.all(np.subtract(still.payoffs(*actions), made.payoffs(*actions)) > 5 * error)
    assert still.draw(jax.random.key(0)) == () and still.realise((), *actions) == still.payoffs(*actions)


def test_a_hierarchical_leader_goes_from_nash_to_stackelberg():
    made = game(disturbance_variance=1e-4)
    trace = play(
        made,
        HierarchicalAscent(0.05),
        BestResponse(),
        key=jax.random.key(0),
        rounds=500,
        start=made.nash(),
        record=Record.final(payoffs=None),
    )
    apart = [float(space.distance(a, b)) for space, a, b in zip(made.spaces, made.nash(), made.stackelberg())]  # noqa: B905  (two players each)
    left = [
        float(space.distance(a[-1], b))
        for space, a, b in zip(made.spaces, trace.strategies, made.stackelberg())  # noqa: B905  (likewise)
    ]
    assert np.all(np.array(left) < 0.05 * np.array(apart))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"dynamics": np.eye(2)}, "dynamics"),
        ({"dynamics": np.full((3, 3), np.nan)}, "dynamics"),
        ({"initial": np.ones((3, 1))}, "initial"),
        ({"inputs": (np.eye(3),)}, "inputs"),
        ({"inputs": (np.eye(3), np.ones((2, 1)))}, "inputs"),
        ({"state_costs": (np.eye(3), -np.eye(3))}, "state_costs"),
        ({"state_costs": (np.eye(3), np.triu(np.ones((3, 3))))}, "state_costs"),
        ({"input_costs": (np.eye(2), np.zeros((1, 1)))}, "input_costs"),
        ({"targets": (np.zeros(3), np.zeros(2))}, "targets"),
        ({"stages": 0}, "stages"),
        ({"stages": 2.0}, "stages"),
        ({"disturbance_variance": -1.0}, "disturbance_variance"),
    ],
)
def test_bad_arguments(changes, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
        game(**changes)
