"""Round keys: `jax.random` keys whose four words are (stream, stream, round, replicate).

The noise of a round is a function of the run's key, of whose noise it is, of the round and of the replicate's id, and
of nothing else, so no chunk, recording interval, device count or interruption can change a bit of it. Making a
key costs nothing (the words are put side by side), and one Threefry-2x32 hash, unrolled so that XLA fuses it with its
consumer, yields two words. Threefry: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl
from jaxtyping import Array, PRNGKeyArray, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_UNROLLED_WORDS = 8  # more words than this are hashed as a vector: the program stays small
# Hashing for `split`, `fold_in` and `bits` happens in families of their own, told apart by a word of the key.
_SPLIT, _FOLD = np.uint32(0x9E3779B9), np.uint32(0x85EBCA6B)
#: The round number that stands for "before the first round"; rounds are int32, so none collides with it.
BEFORE = np.uint32(2**32 - 1)


def threefry_2x32(k0: Any, k1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Threefry-2x32 with 20 rounds: two hashed words from a two-word key and a two-word counter (all uint32)."""
    keys = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for i in range(5):
        for r in _ROTATIONS[i % 2]:
            x0 = x0 + x1
            x1 = ((x1 << np.uint32(r)) | (x1 >> np.uint32(32 - r))) ^ x0
        x0, x1 = x0 + keys[(i + 1) % 3], x1 + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x0, x1


def bits(key: UInt32[Array, "4"], width: int, shape: tuple[int, ...]) -> Array:
    """Unsigned numbers of `width` bits from the words of a round key."""
    count = math.prod(shape)
    words = -(-count * width // 32)
    j: Array | int
    if words == 0:
        return jnp.zeros(shape, f"uint{width}")
    if words <= _UNROLLED_WORDS:
        out: list[Array] = []
        for j in range(-(-words // 2)):
            out += threefry_2x32(key[0], key[1] ^ np.uint32(j), key[2], key[3])
        flat = out[0][None] if words == 1 else jnp.stack(out[:words])
    else:
        j = jnp.arange(-(-words // 2), dtype=jnp.uint32)
        flat = jnp.stack(threefry_2x32(key[0], key[1] ^ j, key[2], key[3]), -1).reshape(-1)[:words]
    if width != 32:
        flat = flat if width < 32 else flat.reshape(-1, 2)
        flat = jax.lax.bitcast_convert_type(flat, f"uint{width}").reshape(-1)[:count]
    return flat.reshape(shape)


def split(key: UInt32[Array, "4"], shape: tuple[int, ...]) -> Array:
    """The words of new keys."""
    h0, h1 = threefry_2x32(key[0] ^ _SPLIT, key[1], key[2], key[3])
    count = math.prod(shape)
    i = jnp.arange(count, dtype=jnp.uint32)
    return jnp.stack([jnp.full(count, h0), jnp.full(count, h1), i, jnp.zeros_like(i)], -1).reshape(*shape, 4)


def fold_in(key: UInt32[Array, "4"], data: Any) -> Array:
    """The words of a new key."""
    h0, h1 = threefry_2x32(key[0] ^ _FOLD, key[1], key[2], key[3])
    return jnp.stack([h0, h1, jnp.asarray(data).astype(jnp.uint32).reshape(()), jnp.zeros_like(h0)])


def _seed(seed: Array) -> Array:
    seed = seed.astype(jnp.uint32)
    return jnp.stack([jnp.zeros_like(seed), seed, jnp.zeros_like(seed), jnp.zeros_like(seed)])


ROUND_KEYS = define_prng_impl(
    key_shape=(4,), seed=_seed, split=split, random_bits=bits, fold_in=fold_in, name="stackjax_round", tag="sjr"
)


@functools.partial(jax.jit, static_argnums=1)
def stream_words(key: PRNGKeyArray, streams: int) -> UInt32[Array, "streams 2"]:
    """Two words for each of a run's streams of noise (its game, its players), from a key of any implementation."""
    # One after the other, and not side by side: JAX's own hash then stands once in the program.
    return jax.lax.map(lambda i: jax.random.bits(jax.random.fold_in(key, i), (2,), jnp.uint32), jnp.arange(streams))


def round_key(words: UInt32[Array, "2"], round_: Array | int, replicate: Array) -> PRNGKeyArray:
    """The key of one stream, one round and one replicate."""
    parts = [words[0], words[1], jnp.asarray(round_).astype(jnp.uint32), replicate.astype(jnp.uint32)]
    return jax.random.wrap_key_data(jnp.stack(parts), impl=ROUND_KEYS)


def computed_once(values: Any, round_: Array, *, everything: bool = False) -> Any:
    """The same values, which on a CPU are computed here and not again in whatever uses them. Changes no number.

    XLA:CPU puts a producer into each of its consumers; of an array of noise the hash and the normal distribution's
    quantiles are then computed several times for each entry. A branch whose condition is known only at run time (rounds
    aren't negative) ends that. A number alone fuses well: for it the branch would cost more than it saves, unless it
    has many consumers (`everything`).
    """

    def held(leaves: list[Array]) -> list[Array]:
        return jax.lax.cond(round_ >= 0, lambda x: x, lambda x: jax.tree.map(jnp.zeros_like, x), leaves)

    leaves, structure = jax.tree.flatten(values)
    arrays = [
        i for i, x in enumerate(leaves) if everything or (jnp.size(x) > 1 and jnp.issubdtype(x.dtype, jnp.floating))
    ]
    if arrays:
        kept = jax.lax.platform_dependent([leaves[i] for i in arrays], cpu=held, default=lambda x: x)
        for i, x in zip(arrays, kept, strict=True):
            leaves[i] = x
    return jax.tree.unflatten(structure, leaves)
