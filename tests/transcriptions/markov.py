"""Iterated matrix games with a memory-one leader, in plain NumPy, from their description alone.

States: start, CC, CD, DC, DD, the leader's action first; C is action 0. A leader is p `[..., 5]`, its probabilities of
C. Payoffs are per step: the mean of `horizon` steps, or (1 - discount) times the discounted sum.
"""

import itertools

import numpy as np

AFTER = np.array([[1, 2], [3, 4]])  # the state after the leader's row and the follower's column
LEADERS = np.array(list(itertools.product([1, 0], repeat=5)), float)  # in the golden order
TIE = 1e-9


def _step(p, own, ahead):
    """[..., 5 states, 2 follower's actions]: the expected stage payoff, and the expected value of what follows."""
    q = np.stack([p, 1 - p], -1)  # [..., s, a]
    return np.einsum("...sa,ab->...sb", q, np.asarray(own, float)), np.einsum(
        "...sa,...ab->...sb", q, ahead[..., AFTER]
    )


def _choose(values, leaders, sign, scale):
    """The follower's actions: the best, and of those that tie the best (worst) for the leader."""
    ties = values >= values.max(-1, keepdims=True) - TIE * scale
    return np.where(ties, sign * leaders, -np.inf).argmax(-1)


def _pick(x, action):
    return np.take_along_axis(x, action[..., None], -1)[..., 0]


def best_response(p, RL, RF, *, horizon=None, discount=None, sign=1):
    """Policies `[..., H, 5]` or `[..., 5]` of actions, and both values `[..., 2]`; sign 1: ties for the leader."""
    p = np.asarray(p, float)
    zeros = np.zeros(p.shape)
    if horizon is not None:
        scale = np.abs(RF).max() * horizon
        leader, follower, policy = zeros, zeros, []
        for _ in range(horizon):
            own, ahead = _step(p, RF, follower)
            its, later = _step(p, RL, leader)
            action = _choose(own + ahead, its + later, sign, scale)
            follower, leader = _pick(own + ahead, action), _pick(its + later, action)
            policy.append(action)
        return np.stack(policy[::-1], -2), np.stack([leader, follower], -1)[..., 0, :] / horizon
    # The follower's optimal values, then of the actions that tie those that are best for the leader.
    scale = np.abs(RF).max() / (1 - discount)
    follower = zeros
    for _ in range(1000):
        own, ahead = _step(p, RF, follower)
        follower = (own + discount * ahead).max(-1)
    own, ahead = _step(p, RF, follower)
    ties = own + discount * ahead >= follower[..., None] - TIE * scale
    leader = zeros
    for _ in range(1000):
        its, later = _step(p, RL, leader)
        value = np.where(ties, sign * (its + discount * later), -np.inf)
        leader = sign * value.max(-1)
    return value.argmax(-1), np.stack([leader, follower], -1)[..., 0, :] * (1 - discount)


def value(p, policy, RL, RF, *, horizon=None, discount=None):
    """Both values `[2]` of a leader against a follower's probabilities of C, `[H, 5]` or `[5]`."""
    p, state, total = np.asarray(p, float), np.eye(5)[0], np.zeros(2)
    steps = horizon or int(np.ceil(np.log(1e-17) / np.log(discount))) + 1
    for t in range(steps):
        y = np.asarray(policy, float)[t] if np.ndim(policy) == 2 else np.asarray(policy, float)
        joint = np.stack([p, 1 - p], -1)[:, :, None] * np.stack([y, 1 - y], -1)[:, None]  # [s, a, b]
        outcome = np.einsum("s,sab->ab", state, joint)
        weight = 1 / horizon if discount is None else (1 - discount) * discount**t
        total += weight * np.array([np.sum(outcome * RL), np.sum(outcome * RF)])
        state = np.zeros(5)
        np.add.at(state, AFTER, outcome)
    return total


def bits_value(p, RL, RF, *, horizon):
    """What a leader gets whose follower plays a best response to the actions that it sampled, one a state."""
    policies, _ = best_response(LEADERS, RL, RF, horizon=horizon)
    chances = np.prod(np.where(LEADERS == 1, p, 1 - np.asarray(p, float)), -1)
    return sum(c * value(p, 1.0 - y, RL, RF, horizon=horizon)[0] for c, y in zip(chances, policies, strict=True))


def constrained_optimum(RL, RF, *, discount, starts, seed=0):
    """The best stochastic leader, by a search over all stationary deterministic follower policies.

    For each the leader's value is maximised subject to it being a best response (SLSQP, from random starts): no other
    action of the follower is better in any state that is reached, `value >= own + discount * ahead`.
    """
    from scipy.optimize import minimize

    rng, best = np.random.default_rng(seed), (-np.inf, None, None)

    def solved(p, reply, matrix):
        """The values in all states of both fixed policies."""
        q = np.stack([p, 1 - p], -1)
        pay = np.sum(q * np.asarray(matrix, float)[:, reply].T, -1)
        moves = np.zeros((5, 5))
        for s in range(5):
            for a in range(2):
                moves[s, AFTER[a, reply[s]]] += q[s, a]
        return np.linalg.solve(np.eye(5) - discount * moves, (1 - discount) * pay)

    def slack(p, reply):
        v = solved(p, reply, RF)
        own, ahead = _step(p, RF, v)
        other = (1 - discount) * own + discount * ahead
        return v - other[np.arange(5), 1 - reply]

    for reply in map(np.array, itertools.product([0, 1], repeat=5)):
        for _ in range(starts):
            found = minimize(
                lambda p, reply=reply: -solved(p, reply, RL)[0],
                rng.uniform(size=5),
                bounds=[(0, 1)] * 5,
                constraints={"type": "ineq", "fun": lambda p, reply=reply: slack(p, reply)},
                method="SLSQP",
                options={"maxiter": 200},
            )
            p = np.clip(found.x, 0, 1)
            if slack(p, reply).min() > -1e-6 and -found.fun > best[0]:
                best = (-found.fun, p, reply)
    return best
