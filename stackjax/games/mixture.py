"""A generative adversarial network that learns a mixture of normal distributions: strategies are small networks."""

import itertools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Scalar

from stackjax.checks import as_number, number, whole
from stackjax.protocols import Action, Game, Noise
from stackjax.spaces import Euclidean

#: A layer a dictionary, with its `weight [to, from]` and `bias [to]`.
Network = tuple[dict[str, Array], ...]


class MixtureGAN(Game):
    """A generator (leader) learns normal modes on a ring in the plane, against a discriminator (follower).

    With the generator `G`, the discriminator `D`, data s and latent z, `f_1 = E[log sigmoid(D(G(z)))]` and
    `f_2 = E[log sigmoid(D(s))] + E[log sigmoid(-D(G(z)))] - weight_decay |y|^2 / 2`: the "non-saturating" payoffs of
    Goodfellow et al. (2014), on the data of Metz et al. (2017). Every round draws fresh data and z, the same for both
    players; there are no exact payoffs.

    A strategy is a network with tanh units, as a tuple of layers `{"bias": [to], "weight": [to, from]}`. A weight
    enters divided by the square root of `from`, so that a sample of the space, standard normal, is a network to start
    from. The follower's payoff isn't concave, and permuting the units of a layer changes nothing: there is no isolated
    equilibrium, and a hierarchical leader needs damping.

    **Arguments:**

    - `modes`: how many, evenly on a ring; `latent`: the dimension of z, standard normal; `batch`: how many data and how
      many z a round; whole numbers of at least 1, static.
    - `radius` of the ring and `sd` of each mode in each direction, > 0, in the units of the data.
    - `generator`, `discriminator`: the numbers of hidden units, one a layer, static.
    - `weight_decay` >= 0, of the discriminator.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    radius: Any
    sd: Any
    weight_decay: Any
    modes: int = eqx.field(static=True)
    latent: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    generator: tuple[int, ...] = eqx.field(static=True)
    discriminator: tuple[int, ...] = eqx.field(static=True)
    levels = ((0,), (1,))
    recorded_payoffs = "realised"

    def __init__(
        self,
        modes: int = 8,
        *,
        radius: Any = 1.0,
        sd: Any = 0.1,
        latent: int = 2,
        batch: int = 64,
        generator: Sequence[int] = (16,),
        discriminator: Sequence[int] = (16,),
        weight_decay: Any = 1e-3,
    ):
        number(radius, "radius", 0.0)
        number(sd, "sd", 0.0)
        number(weight_decay, "weight_decay", 0.0, open_low=False)
        self.radius, self.sd, self.weight_decay = map(as_number, (radius, sd, weight_decay))
        self.modes, self.latent = whole("modes", modes), whole("latent", latent)
        self.batch = whole("batch", batch)
        self.generator, self.discriminator = _units("generator", generator), _units("discriminator", discriminator)

    @property
    def spaces(self) -> tuple[Euclidean, Euclidean]:
        """The layers of both networks."""
        return _network(self.latent, *self.generator, 2), _network(2, *self.discriminator, 1)

    @property
    def centres(self) -> Float[Array, "modes 2"]:
        """Of the modes."""
        dtype = jnp.result_type(self.radius)
        angle = jnp.arange(self.modes, dtype=dtype) * (2 * jnp.pi / self.modes)
        return self.radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)

    def draw(self, key: PRNGKeyArray) -> Noise:
        """Fresh data `[batch, 2]` and z `[batch, latent]`."""
        keys = jax.random.split(key, 3)
        centres = self.centres
        near = jax.random.normal(keys[0], (self.batch, 2), centres.dtype)
        mode = jax.random.randint(keys[1], (self.batch,), 0, self.modes, jnp.int32)
        return centres[mode] + self.sd * near, jax.random.normal(keys[2], (self.batch, self.latent), centres.dtype)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """On this round's data and z."""
        data, latent = noise
        generator, discriminator = actions
        fake = run(discriminator, run(generator, latent))[:, 0]
        real = run(discriminator, data)[:, 0]
        fooled = jnp.mean(jax.nn.log_sigmoid(fake))
        told_apart = jnp.mean(jax.nn.log_sigmoid(real)) + jnp.mean(jax.nn.log_sigmoid(-fake))
        size = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(discriminator))
        return fooled, told_apart - self.weight_decay * size / 2

    def coverage(self, generator: Network, key: PRNGKeyArray, samples: int = 512) -> tuple[Scalar, Scalar]:
        """How well a generator covers the mixture, by so many of its samples.

        **Returns:** the share of the samples that lie within 3 `sd` of a centre; and the number of modes, of which each
        has at least a quarter of its due there (`samples / modes / 4`).
        """
        points = run(generator, jax.random.normal(key, (samples, self.latent), jnp.result_type(self.radius)))
        apart = jnp.linalg.norm(points[:, None] - self.centres[None], axis=-1)
        nearest, close = jnp.argmin(apart, axis=1), jnp.min(apart, axis=1) <= 3 * self.sd
        held = jnp.sum((nearest[:, None] == jnp.arange(self.modes)[None]) & close[:, None], axis=0)
        return jnp.mean(close.astype(points.dtype)), jnp.sum(held * (4 * self.modes) >= samples)


def run(network: Network, points: Float[Array, "n from"]) -> Float[Array, "n to"]:
    """The outputs of a network of tanh units, with a linear last layer."""
    for i, layer in enumerate(network):
        weight = layer["weight"] / layer["weight"].shape[1] ** 0.5
        points = (jnp.tanh(points) if i else points) @ weight.T + layer["bias"][None]
    return points


def _network(*units: int) -> Euclidean:
    shapes: PyTree = tuple({"bias": (n,), "weight": (n, m)} for m, n in itertools.pairwise(units))
    return Euclidean(shapes)


def _units(name: str, units: Any) -> tuple[int, ...]:
    if not isinstance(units, Sequence) or isinstance(units, str):
        raise TypeError(f"{name}: expected the numbers of hidden units, one a layer, as in (16, 16), got {units!r}")
    return tuple(whole(name, n) for n in units)
