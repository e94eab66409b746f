"""Normal numbers in pairs, as plain arithmetic."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

_SQRT_HALF = np.int32(np.float32(math.sqrt(0.5)).view(np.int32))
_ATANH = [1 / (2 * k + 1) for k in range(6)]  # of x^(2k + 1)
# Of x^(2k + 1) and of x^(2k), with the angle x pi / 4.
_SINE = [(-1) ** k * (math.pi / 4) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(5)]
_COSINE = [(-1) ** k * (math.pi / 4) ** (2 * k) / math.factorial(2 * k) for k in range(6)]


def normal_pair(key: PRNGKeyArray) -> tuple[Array, Array]:
    """Two independent standard normals in float32 from two words of the key, by Box and Muller (1958).

    `sqrt(-2 ln u) (cos a, sin a)`, u of 24 bits, so that no number is beyond 5.9. The angle's first two bits are its
    quadrant, the rest an angle up to pi / 4, for which a few terms of the series are exact to rounding. It takes less
    arithmetic than `jax.random.normal`, whose quantile function is a series of its own for each number, and a number
    has the same bits however many are computed beside it: constant factors are powers of two, and no sum has two
    products, so that it doesn't matter how a compiler orders and fuses them.
    """
    return _transformed(*jax.random.bits(key, (2,), jnp.uint32))


def normals(key: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """As many as the shape holds, in pairs likewise."""
    count = math.prod(shape)
    words = jax.random.bits(key, (2, -(-count // 2)), jnp.uint32)
    return jnp.concatenate(_transformed(words[0], words[1]))[:count].reshape(shape)


def _transformed(first: Array, second: Array) -> tuple[Array, Array]:
    u = (first >> np.uint32(8)).astype(jnp.int32).astype(jnp.float32) * np.float32(2**-24) + np.float32(2**-25)
    radius = jnp.sqrt(np.float32(-2) * _log(u))
    x = ((second << np.uint32(2)).astype(jnp.int32) >> 8).astype(jnp.float32) * np.float32(2**-23)
    sine, cosine = x * _series(_SINE, x * x), _series(_COSINE, x * x)
    turned, negative = (second >> np.uint32(30)) & np.uint32(1) == 1, second >> np.uint32(31) == 1
    radius = jnp.where(negative, -radius, radius)
    return radius * jnp.where(turned, sine, cosine), radius * jnp.where(turned, cosine, sine)


def _log(x: Array) -> Array:
    """Of positive normal numbers: `x = 2^n m` with m around 1, and `ln m = 2 atanh((m - 1) / (m + 1))`."""
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    n = (bits - _SQRT_HALF) >> 23
    m = jax.lax.bitcast_convert_type(bits - (n << 23), jnp.float32)
    y = (m - 1) / (m + 1)
    half = y * _series(_ATANH, y * y)
    return n.astype(jnp.float32) * np.float32(math.log(2)) + (half + half)


def _series(coefficients: list[float], x: Array) -> Array:
    """Horner's scheme."""
    total = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + np.float32(c)
    return total
