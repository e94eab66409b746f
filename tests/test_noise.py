"""The round keys: what they hash, what is identical by construction, and whether the words look random.

Every statistical test has a fixed key, and states the rate at which it would reject a perfect generator for a key drawn
at random: `RATE`, shared by Bonferroni among the statistics that the test computes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax.extend.random import threefry_2x32 as jax_threefry

from stackjax._core.noise import BEFORE, round_key, stream_words, threefry_2x32

pytestmark = pytest.mark.optimized

RATE = 1e-6
STREAMS, ROUNDS, REPLICATES, WORDS = 4, 64, 128, 6


def keys(words, rounds, replicates):
    """Round keys of shape [streams, rounds, replicates]."""
    make = jax.vmap(jax.vmap(jax.vmap(round_key, (None, None, 0)), (None, 0, None)), (0, None, None))
    return make(words, rounds, replicates)


def bits(key, shape=(), dtype=jnp.uint32):
    return np.asarray(jax.random.bits(key, shape, dtype))


def one_key(seed=0, round_=5, replicate=3):
    return round_key(stream_words(jax.random.key(seed), 1)[0], round_, jnp.uint32(replicate))


@functools.cache
def grid():
    """Words `[streams, rounds, replicates, words]` of one run."""
    words = stream_words(jax.random.key(1), STREAMS)
    rounds, replicates = jnp.arange(ROUNDS), jnp.arange(REPLICATES, dtype=jnp.uint32)
    draw = jax.jit(lambda w: jax.vmap(lambda k: jax.random.bits(k, (WORDS,)))(keys(w, rounds, replicates).reshape(-1)))
    return np.asarray(draw(words)).reshape(STREAMS, ROUNDS, REPLICATES, WORDS)


def normal_bound(statistics):
    """What none of so many standard normal statistics exceeds in size, but for the rate."""
    return scipy.stats.norm.isf(RATE / 2 / statistics)


def centred(words):
    """Words as numbers that are uniform on (-1/2, 1/2)."""
    return (words.astype(np.float64) + 0.5) / 2**32 - 0.5


def moment_scores(words):
    """z-scores of the first four moments of uniform numbers."""
    x = centred(words).ravel() * 2  # uniform on (-1, 1): E x^k = 1 / (k + 1) for even k
    expected = {1: 0, 2: 1 / 3, 3: 0, 4: 1 / 5}
    return [(np.mean(x**k) - m) / np.sqrt((1 / (2 * k + 1) - m**2) / x.size) for k, m in expected.items()]


def dependence_scores(a, b):
    """z-scores of the correlation of two sequences of words, and of the number of bits in which they differ."""
    x, y = centred(a).ravel(), centred(b).ravel()
    correlation = np.sum(x * y) * 12 / np.sqrt(x.size)
    bits_ = 32 * x.size
    differ = int(np.sum(np.bitwise_count(np.bitwise_xor(a, b)), dtype=np.int64))
    return [correlation, (differ - bits_ / 2) / np.sqrt(bits_ / 4)]


def byte_statistic(words):
    """The chi-square statistic of the bytes' frequencies, with 255 degrees of freedom."""
    counts = np.bincount(np.ascontiguousarray(words).view(np.uint8).ravel(), minlength=256)
    expected = counts.sum() / 256
    return np.sum((counts - expected) ** 2) / expected


# What is hashed


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_vectors(key, counter, expected):
    out = threefry_2x32(*(jnp.uint32(w) for w in (*key, *counter)))
    assert tuple(int(w) for w in out) == expected


def test_threefry_equals_jaxs_own():
    words = jnp.asarray(np.random.default_rng(0).integers(0, 2**32, (4, 256), dtype=np.uint32))
    ours = jnp.stack(threefry_2x32(*words))
    np.testing.assert_array_equal(ours.T, jax.vmap(jax_threefry)(words[:2].T, words[2:].T))


def test_a_key_draws_the_hash_of_its_round_and_replicate():
    words = stream_words(jax.random.key(0), 1)[0]
    expected = threefry_2x32(words[0], words[1], jnp.uint32(7), jnp.uint32(11))
    np.testing.assert_array_equal(bits(round_key(words, 7, jnp.uint32(11)), (2,)), [int(w) for w in expected])


# What is identical by construction


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.uint16, jnp.uint32])
def test_a_long_draw_starts_with_every_shorter_one(dtype):
    # Up to 8 words are unrolled, more are hashed as a vector: the two must agree.
    sizes = (0, 1, 3, 7, 8, 9, 17, 33, 40)
    *shorter, longest = jax.jit(lambda k: [jax.random.bits(k, (n,), dtype) for n in sizes])(one_key())
    for drawn in shorter:
        np.testing.assert_array_equal(drawn, longest[: drawn.size], err_msg=f"{drawn.size} numbers")


def test_a_long_draw_of_64_bit_words_starts_with_every_shorter_one(x64):
    sizes = (0, 1, 4, 5, 20, 21)
    *shorter, longest = jax.jit(lambda k: [jax.random.bits(k, (n,), jnp.uint64) for n in sizes])(one_key())
    assert longest.dtype == np.uint64
    for drawn in shorter:
        np.testing.assert_array_equal(drawn, longest[: drawn.size], err_msg=f"{drawn.size} numbers")


def test_every_width_cuts_the_same_words(x64):
    words = bits(one_key(), (24,))
    for dtype in (jnp.uint8, jnp.uint16, jnp.uint64):
        count = words.nbytes // np.dtype(dtype).itemsize
        np.testing.assert_array_equal(bits(one_key(), (count,), dtype), words.view(dtype))


def test_a_shape_only_arranges_the_words():
    np.testing.assert_array_equal(bits(one_key(), (2, 3, 4)).ravel(), bits(one_key(), (24,)))
    assert bits(one_key(), ()) == bits(one_key(), (1,))[0]
    assert bits(one_key(), (0, 3)).shape == (0, 3)


def test_noise_is_the_same_in_a_batch_under_jit_and_alone():
    words = stream_words(jax.random.key(2), 2)
    rounds, replicates = jnp.array([0, 3, 2**31 - 1]), jnp.array([0, 5, 2**32 - 1], jnp.uint32)

    def draw(k):
        return jax.random.normal(k, (3,)), jax.random.bits(jax.random.split(jax.random.fold_in(k, 9))[1], (11,))

    batched = jax.jit(jax.vmap(jax.vmap(jax.vmap(draw))))(keys(words, rounds, replicates))
    alone = draw(round_key(words[1], int(rounds[2]), replicates[1]))
    np.testing.assert_array_equal(batched[0][1, 2, 1], alone[0])
    np.testing.assert_array_equal(batched[1][1, 2, 1], alone[1])


def test_the_clock_may_be_python_or_an_array_of_any_integer_type():
    words = stream_words(jax.random.key(0), 1)[0]
    for clock in (41, np.int64(41), jnp.int32(41), jnp.uint32(41)):
        assert bits(round_key(words, clock, jnp.uint32(0))) == bits(round_key(words, 41, jnp.uint32(0)))


def test_adding_players_changes_no_other_players_stream():
    key = jax.random.key(3)
    np.testing.assert_array_equal(stream_words(key, 5)[:2], stream_words(key, 2))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_run_takes_a_key_of_any_implementation(implementation):
    a, b = (stream_words(jax.random.key(seed, impl=implementation), 3) for seed in (0, 1))
    assert len(np.unique(np.concatenate([a, b]), axis=0)) == 6


def test_old_style_keys_have_the_streams_of_the_new_ones():
    np.testing.assert_array_equal(stream_words(jax.random.PRNGKey(8), 3), stream_words(jax.random.key(8), 3))


def test_before_the_first_round_comes_a_key_of_its_own():
    words = stream_words(jax.random.key(0), 1)[0]
    rounds = [BEFORE, 0, 1, 2**31 - 1]
    assert len({int(bits(round_key(words, r, jnp.uint32(0)))) for r in rounds}) == len(rounds)


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: jax.random.normal(k, (3,)),
        lambda k: jax.random.gamma(k, 2.0),
        lambda k: jax.random.permutation(k, 10),
        lambda k: jax.random.choice(k, 10, (3,), replace=False),
        lambda k: jax.random.categorical(k, jnp.zeros(4)),
        lambda k: jax.random.truncated_normal(k, -1.0, 1.0),
        lambda k: jax.random.multivariate_normal(k, jnp.zeros(2), jnp.eye(2)),
        lambda k: jax.random.randint(k, (3,), 0, 10),
    ],
    ids=["normal", "gamma", "permutation", "choice", "categorical", "truncated", "multivariate", "randint"],
)
def test_jax_random_samples_with_round_keys(draw):
    assert np.all(np.isfinite(draw(one_key())))


# Whether it looks random


def test_no_two_draws_of_a_run_are_equal():
    """Pairs of words of all streams, rounds and replicates. False alarms: below 2^-29 (64-bit numbers collide)."""
    pairs = np.ascontiguousarray(grid()).reshape(-1, 2).view(np.uint64).ravel()
    assert np.unique(pairs).size == pairs.size


def test_words_have_the_moments_of_uniform_numbers():
    """Of each word of a key, and of all together. False alarms: 1e-6."""
    columns = [grid()[..., j] for j in range(WORDS)] + [grid()]
    scores = np.array([moment_scores(column) for column in columns])
    assert np.abs(scores).max() < normal_bound(scores.size), scores


def test_bytes_are_uniform():
    """Chi-square over the bytes of each stream, and of each word of a key. False alarms: 1e-6."""
    parts = [*grid(), *(grid()[..., j] for j in range(WORDS))]
    statistics = [byte_statistic(part) for part in parts]
    assert max(statistics) < scipy.stats.chi2.isf(RATE / len(parts), 255), statistics


@pytest.mark.parametrize(
    ("axis", "between"), [(0, "players"), (1, "rounds"), (2, "replicates"), (3, "words")], ids=lambda x: str(x)
)
def test_neighbours_are_independent(axis, between):
    """Correlation and differing bits at lags 1 to 3 along one axis of the grid. False alarms: 1e-6."""
    words = np.moveaxis(grid(), axis, 0)
    scores = [score for lag in (1, 2, 3) for score in dependence_scores(words[:-lag], words[lag:])]
    assert np.abs(scores).max() < normal_bound(len(scores)), (between, scores)


def test_rounds_and_replicates_are_not_exchanged():
    """Round t of replicate r against round r of replicate t. False alarms: 1e-6."""
    square = grid()[:, :, :ROUNDS]
    upper = np.triu_indices(ROUNDS, 1)
    scores = dependence_scores(square[:, upper[0], upper[1]], square[:, upper[1], upper[0]])
    assert np.abs(scores).max() < normal_bound(len(scores)), scores


def test_neighbouring_seeds_are_independent():
    """Runs with the keys 0, 1, 2, ...: the same stream, rounds and replicates. False alarms: 1e-6."""
    words = jnp.stack([stream_words(jax.random.key(seed), 1)[0] for seed in range(8)])
    parents = keys(words, jnp.arange(64), jnp.arange(128, dtype=jnp.uint32))
    drawn = np.asarray(jax.vmap(jax.random.bits)(parents.reshape(-1))).reshape(parents.shape)
    scores = dependence_scores(drawn[:-1], drawn[1:])
    assert np.abs(scores).max() < normal_bound(len(scores)), scores


def test_derived_keys_are_independent_of_each_other_and_of_their_parent():
    """Children of `split` and `fold_in`, their neighbours, grandchildren and parents. False alarms: 1e-6."""
    words = stream_words(jax.random.key(4), 1)
    parents = keys(words, jnp.arange(64), jnp.arange(128, dtype=jnp.uint32)).reshape(-1)

    @jax.jit
    def draw(parents):
        def families(k):
            children = jax.random.split(k, 3)
            folded = [jax.random.fold_in(k, i) for i in (0, 1, 2)]
            again = [jax.random.split(children[0])[0], jax.random.fold_in(folded[0], 0), jax.random.split(folded[0])[0]]
            return jnp.stack([jax.random.bits(x, (2,)) for x in (k, *children, *folded, *again)])

        return jax.vmap(families)(parents)

    drawn = np.asarray(draw(parents))  # [keys, families, 2]
    families = drawn.shape[1]
    scores = [score for i in range(families) for j in range(i) for score in dependence_scores(drawn[:, i], drawn[:, j])]
    assert np.abs(scores).max() < normal_bound(len(scores)), np.abs(scores).max()
    statistics = [byte_statistic(drawn[:, i]) for i in range(families)]
    assert max(statistics) < scipy.stats.chi2.isf(RATE / families, 255), statistics
    pairs = np.ascontiguousarray(drawn).reshape(-1, 2).view(np.uint64)
    assert np.unique(pairs).size == pairs.size


def check_normal(x):
    """z-scores of the moments 1 to 4 of standard normal numbers, and the bound on them."""
    n = x.size
    scores = [
        np.mean(x) * np.sqrt(n),
        (np.mean(x**2) - 1) * np.sqrt(n / 2),
        np.mean(x**3) * np.sqrt(n / 15),
        (np.mean(x**4) - 3) * np.sqrt(n / 96),
    ]
    assert np.abs(scores).max() < normal_bound(len(scores)), scores
    # Kolmogorov-Smirnov, by its exact distribution.
    assert scipy.stats.kstest(x, "norm").pvalue > RATE


def test_normal_numbers_are_normal():
    """Moments 1 to 4, and Kolmogorov-Smirnov. False alarms: 2e-6."""
    drawn = jax.jit(jax.vmap(lambda k: jax.random.normal(k, (3,))))(_some_keys())
    check_normal(np.asarray(drawn, np.float64).ravel())


def test_normal_numbers_are_normal_in_float64(x64):
    """As in float32. False alarms: 2e-6."""
    drawn = jax.jit(jax.vmap(lambda k: jax.random.normal(k, (3,), jnp.float64)))(_some_keys())
    assert drawn.dtype == jnp.float64
    x = np.asarray(drawn).ravel()
    check_normal(x)
    assert np.unique(x).size == x.size  # float32 would have repeated some


def _some_keys():
    return keys(stream_words(jax.random.key(6), 1), jnp.arange(128), jnp.arange(256, dtype=jnp.uint32)).reshape(-1)


def test_these_tests_reject_what_is_not_random():
    """Each statistic, fed with words that have the fault that it is there to find."""
    good = grid()[0, :, :, 0]
    slowly = np.repeat(good[:, ::2], 2, axis=1)  # every replicate twice: correlated neighbours
    assert np.abs(dependence_scores(slowly[:, :-1], slowly[:, 1:])).min() > normal_bound(2)
    skewed = (good.astype(np.uint64) * 7 // 8).astype(np.uint32)  # the highest eighth never appears
    assert np.abs(moment_scores(skewed)).max() > normal_bound(4)
    assert byte_statistic(good & np.uint32(0xFFFFFF7F)) > scipy.stats.chi2.isf(RATE, 255)
