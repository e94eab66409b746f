"""Stackelberg games with finitely many arms, of which the players learn from noisy rewards."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Scalar

from stackjax._calculus.normal import normal_pair, normals
from stackjax.arms import best, read
from stackjax.checks import as_number, concrete, number
from stackjax.games.bimatrix import payoff_matrices
from stackjax.protocols import Action, Game, Noise
from stackjax.spaces import Arms


class StackelbergBandit(Game):
    """The leader picks an arm a, the follower sees it and picks an arm b; each is paid its own noisy reward.

    The mean rewards are `U_1(a, b)` and `U_2(a, b)`. (The model of Donahue et al., 2024, Impact of Decentralized
    Learning on Player Utilities in Stackelberg Games.) Rewards are normal with standard deviation sigma, or Bernoulli.

    **Arguments:**

    - `leader_means`, `follower_means`: `[A, B]`, in units of reward. `[N, A, B]` is a batch of N instances, which
      `play` plays in N replicates with `in_axes=(0, None, None)`; the methods below need a single one.
    - `noise`: "gaussian" or "bernoulli" (means in [0, 1]), static.
    - `sigma`: >= 0, in units of reward (Gaussian only): a number, which all instances share, or `[N]`.

    **Raises:** `ValueError` or `TypeError` that names the argument; also for a batch that is played without `in_axes`.
    """

    leader_means: Float[Array, "*N A B"]
    follower_means: Float[Array, "*N A B"]
    sigma: Any
    noise: Literal["gaussian", "bernoulli"] = eqx.field(static=True)
    levels = ((0,), (1,))

    def __init__(self, leader_means: Any, follower_means: Any, noise: str = "gaussian", sigma: Any = 1.0):
        names = ("leader_means", "follower_means")
        self.leader_means, self.follower_means = payoff_matrices(
            (leader_means, follower_means), names, jnp.asarray, batch=True
        )
        if noise not in ("gaussian", "bernoulli"):
            raise ValueError(f'noise: expected "gaussian" or "bernoulli", got {noise!r}')
        self.noise = noise  # type: ignore[assignment]  # one of the two, as was just checked
        number(sigma, "sigma", 0.0, open_low=False)
        self.sigma = as_number(sigma)
        for name, means in zip(names, (self.leader_means, self.follower_means), strict=True):
            if noise == "bernoulli" and concrete(means):
                known = np.asarray(means)
                outside = known[(known < 0) | (known > 1)]
                if outside.size:
                    raise ValueError(
                        f"{name}: expected probabilities in [0, 1] for Bernoulli rewards, got {outside[0]}"
                    )

    @property
    def spaces(self) -> tuple[Arms, Arms]:
        """The arms of both."""
        leader, follower = self.leader_means.shape[-2:]
        return Arms(leader), Arms(follower)

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """Mean rewards."""
        leader, follower = self._instance()
        joint = actions[0] * leader.shape[1] + actions[1]
        return read(leader.reshape(-1), joint), read(follower.reshape(-1), joint)

    def draw(self, key: PRNGKeyArray) -> Noise:
        """A standard normal or a uniform number for each player."""
        if self.noise == "gaussian" and self.leader_means.dtype == jnp.float32:
            return normal_pair(key)
        law = jax.random.normal if self.noise == "gaussian" else jax.random.uniform
        return tuple(law(key, (2,), self.leader_means.dtype))

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """Rewards."""
        means = self.payoffs(*actions)
        if self.noise == "gaussian":
            return tuple(m + self.sigma * e for m, e in zip(means, noise, strict=True))
        return tuple((u < m).astype(m.dtype) for m, u in zip(means, noise, strict=True))

    def total(self, key: PRNGKeyArray, counts: Array) -> tuple[Array, ...]:
        """Sums of so many rewards, normal or binomial."""
        means = jnp.stack([self.leader_means, self.follower_means])
        plays = counts.astype(means.dtype)[None]
        if self.noise == "gaussian":
            single = means.dtype == jnp.float32
            noise = normals(key, means.shape) if single else jax.random.normal(key, means.shape, means.dtype)
            return tuple(means * plays + self.sigma * jnp.sqrt(plays) * noise)
        return tuple(jax.random.binomial(key, plays, means, means.shape, means.dtype))

    def best_response(self, player: int, actions: tuple[Action | None, ...]) -> Action | None:
        """The follower's best arm against the leader's, ties to the lowest index; there's none for the leader."""
        return best(self._instance()[1][actions[0]]) if player == 1 else None

    def _instance(self) -> tuple[Array, Array]:
        """The means, of a single instance."""
        shapes = self.leader_means.shape, self.follower_means.shape
        if shapes[0] != self.leader_means.shape[-2:] or shapes[1] != shapes[0]:
            raise ValueError(
                f"leader_means, follower_means: expected matrices [A, B], got the shapes {shapes[0]} and {shapes[1]}; "
                "play a batch of N instances with in_axes=(0, None, None) and replicates=N"
            )
        return self.leader_means, self.follower_means
