"""Where actions live: sampling, projection, distances and membership, for every kind of action."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.spaces import Arms, Box, Euclidean, Simplex, Space, Torus

KEY = jax.random.key(0)
SPACES = {
    "line": Euclidean(()),
    "vector": Euclidean((3,)),
    "network": Euclidean({"w": (2, 3), "b": ((2,), ())}),
    "interval": Box(-2.0, 3.0),
    "cube": Box(0.0, 1.0, (4,)),
    "bounds of its own for each coordinate": Box(jnp.array([-1.0, 0.0]), jnp.array([1.0, 10.0]), (2,)),
    "angle": Torus(),
    "angles": Torus((2, 2)),
    "simplex": Simplex(4),
}
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
each_box = pytest.mark.parametrize("box", [s for s in SPACES.values() if isinstance(s, Box)])


def samples(space, n, key=KEY, dtype=None):
    return jax.vmap(lambda k: space.sample(k, dtype))(jax.random.split(key, n))


def scaled(action, factor):
    return jax.tree.map(lambda x: x * factor, action)


@each_space
def test_a_sample_is_an_action(space):
    action = space.sample(KEY)
    struct = space.struct(jnp.float32)
    assert jax.tree.structure(action) == jax.tree.structure(struct)
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(action)] == [
        (s.shape, s.dtype) for s in jax.tree.leaves(struct)
    ]
    assert bool(space.contains(action))
    assert space.size == sum(x.size for x in jax.tree.leaves(action))


@each_space
def test_samples_differ(space):
    for leaf in jax.tree.leaves(samples(space, 8)):
        rows = np.asarray(leaf).reshape(8, -1)
        assert np.unique(rows, axis=0).shape[0] == 8
        assert np.unique(rows[0]).size == rows[0].size  # coordinates are drawn independently


@each_space
def test_samples_are_float64_where_asked(space, x64):
    for dtype in (jnp.float32, jnp.float64):
        assert {x.dtype for x in jax.tree.leaves(space.sample(KEY, dtype))} == {jnp.dtype(dtype)}
    assert {x.dtype for x in jax.tree.leaves(space.sample(KEY))} == {jnp.dtype(jnp.float64)}


@each_space
def test_projection_leaves_the_space_alone_and_is_idempotent(space):
    rounding = 3e-7 if isinstance(space, Simplex) else 0.0  # of its sum
    action = space.sample(KEY)
    for got, expected in zip(jax.tree.leaves(space.project(action)), jax.tree.leaves(action), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=rounding)
    once = space.project(scaled(action, 50.0))
    assert bool(space.contains(once))
    for got, expected in zip(jax.tree.leaves(space.project(once)), jax.tree.leaves(once), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("space", [s for s in SPACES.values() if s.bounded], ids=str)
def test_projection_finds_the_nearest_action(space):
    outside = jax.tree.map(lambda x: 4 * x - 1.5, samples(space, 50))
    others = samples(space, 50, jax.random.key(1))

    @jax.jit
    def distances(a, b):  # [50, 50]
        return jax.vmap(jax.vmap(lambda x, y: jnp.linalg.norm(jnp.ravel(x - y)), (None, 0)), (0, None))(a, b)

    nearest = jnp.diagonal(distances(outside, jax.vmap(space.project)(outside)))
    assert bool(jnp.all(nearest[:, None] <= distances(outside, others) + 1e-6))


@each_space
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_is_no_action_and_does_not_become_one(space, bad):
    leaves, structure = jax.tree.flatten(space.sample(KEY))
    leaves[-1] = leaves[-1].ravel().at[0].set(bad).reshape(leaves[-1].shape)
    action = jax.tree.unflatten(structure, leaves)
    assert not bool(space.contains(action))
    assert not bool(space.contains(space.project(action)))


@each_space
def test_difference_and_distance(space):
    a, b = space.sample(KEY), space.sample(jax.random.key(1))
    difference = space.difference(a, b)
    assert jax.tree.structure(difference) == jax.tree.structure(a)
    flat = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (a, b, difference)]
    plain = flat[0] - flat[1]
    if isinstance(space, Torus):
        plain = np.angle(np.exp(1j * plain))
    np.testing.assert_allclose(flat[2], plain, rtol=1e-5)
    np.testing.assert_allclose(space.distance(a, b), np.linalg.norm(plain), rtol=1e-5)
    assert float(space.distance(a, a)) == 0


@each_box
def test_a_box_ends_at_its_bounds(box):
    low, high = (jnp.broadcast_to(bound, box.shape) for bound in (box.low, box.high))
    assert bool(box.contains(low)) and bool(box.contains(high))
    assert bool(box.contains(jnp.nextafter(high, jnp.inf)))  # rounding isn't leaving
    for bound, sign in ((low, -1), (high, 1)):
        if bound.ndim == 0:
            assert not bool(box.contains(bound + sign * 1e-3))
        else:  # one coordinate is enough
            for i in range(bound.size):
                assert not bool(box.contains(bound.at[i].add(sign * 1e-3)))


def test_box_samples_are_uniform():
    """Kolmogorov-Smirnov on each coordinate's 4000 samples. False alarms: 2e-6."""
    from scipy.stats import kstest, uniform

    box = SPACES["bounds of its own for each coordinate"]
    drawn = np.asarray(samples(box, 4000), np.float64)
    for i in range(2):
        low, high = float(box.low[i]), float(box.high[i])
        assert kstest(drawn[:, i], uniform(low, high - low).cdf).pvalue > 1e-6


def test_euclidean_samples_are_normal():
    """Kolmogorov-Smirnov on 6000 samples of a pytree with leaves of their own keys. False alarms: 1e-6."""
    from scipy.stats import kstest

    drawn = samples(SPACES["network"], 700)
    x = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(drawn)])
    assert kstest(x, "norm").pvalue > 1e-6


@each_box
def test_a_shrunk_box_leaves_room_for_the_margin(box):
    shrunk = box.shrunk(0.25)
    for corner in (shrunk.low, shrunk.high):
        for sign in (-1, 1):
            assert bool(box.contains(jnp.broadcast_to(corner, box.shape) + sign * 0.25))
    assert not bool(shrunk.contains(jnp.broadcast_to(box.high, box.shape)))


def test_euclidean_space_has_no_boundary_to_shrink():
    assert SPACES["vector"].shrunk(3.0) is SPACES["vector"]


@each_space
def test_moves_go_along_the_space_by_their_own_length(space):
    action, u = space.sample(KEY), 1e-2 * jax.random.normal(jax.random.key(2), (space.dimension,))
    moved = space.move(action, u)
    assert jax.tree.structure(moved) == jax.tree.structure(action)
    np.testing.assert_allclose(space.distance(moved, action), np.linalg.norm(u), rtol=1e-3)
    if isinstance(space, Simplex):
        assert space.dimension == space.size - 1
        np.testing.assert_allclose(jnp.sum(moved), 1.0, atol=1e-6)
    else:
        assert space.dimension == space.size
    unmoved = space.move(action, jnp.zeros(space.dimension))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(unmoved), jax.tree.leaves(action), strict=True))


def test_angles_know_no_seam():
    torus = Torus()
    np.testing.assert_allclose(torus.project(jnp.pi + 0.1), -jnp.pi + 0.1, atol=1e-6)
    np.testing.assert_allclose(torus.project(-7 * jnp.pi / 2), jnp.pi / 2, atol=1e-6)
    np.testing.assert_allclose(torus.difference(3.0, -3.0), 6 - 2 * jnp.pi, atol=1e-6)
    np.testing.assert_allclose(torus.distance(-jnp.pi, jnp.pi), 0.0, atol=1e-6)
    assert bool(torus.contains(100.0))  # it is an angle, not in its normal form
    assert float(jax.grad(torus.project)(4.0)) == 1.0
    assert torus.shrunk(1.0) is torus and bool(torus.fits(3.0)) and not bool(torus.fits(4.0))


def test_simplex_samples_are_uniform():
    """A coordinate of a uniform point of a simplex is Beta(1, n - 1). False alarms: 4e-6."""
    from scipy.stats import beta, kstest

    drawn = np.asarray(samples(Simplex(4), 3000), np.float64)
    for i in range(4):
        assert kstest(drawn[:, i], beta(1, 3).cdf).pvalue > 1e-6


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "3"], ids=str)
def test_a_simplex_has_a_whole_number_of_outcomes(n):
    with pytest.raises(ValueError, match=r"^n: "):
        Simplex(n)


def test_one_outcome_is_certain():
    one = Simplex(1)
    assert one.dimension == 0 and float(one.sample(KEY)[0]) == 1.0
    np.testing.assert_array_equal(one.project(jnp.array([7.0])), [1.0])


def test_perturbed_play_has_no_room_in_a_simplex():
    with pytest.raises(ValueError, match="Simplex has no margin"):
        Simplex(3).shrunk(0.1)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_arms_are_whole_numbers_below_n(n, x64):
    arms = Arms(n)
    assert arms.struct(jnp.float64) == jax.ShapeDtypeStruct((), jnp.int32)
    drawn = np.asarray(samples(arms, 200))
    assert drawn.dtype == np.int32 and np.unique(drawn).tolist() == list(range(n))  # misses an arm: 3e-13
    everything = jnp.arange(-3, n + 3, dtype=jnp.int32)
    inside = (everything >= 0) & (everything < n)
    np.testing.assert_array_equal(jax.vmap(arms.contains)(everything), inside)
    np.testing.assert_array_equal(jax.vmap(arms.project)(everything), np.clip(everything, 0, n - 1))
    assert arms.project(jnp.int32(2**31 - 1)).dtype == np.int32
    for extreme in (-(2**31), 2**31 - 1):
        assert not bool(arms.contains(jnp.int32(extreme)))
    assert arms.size == 1 and arms.dimension == 0


def test_arms_are_sampled_uniformly():
    """Chi-squared on 5000 draws of 5 arms. False alarms: 1e-6."""
    from scipy.stats import chisquare

    assert chisquare(np.bincount(samples(Arms(5), 5000), minlength=5)).pvalue > 1e-6


@pytest.mark.parametrize(("action", "is_arm"), [(0.0, True), (2.0, True), (0.5, False), (3.0, False), (jnp.nan, False)])
def test_a_number_is_an_arm_if_it_is_whole(action, is_arm):
    assert bool(Arms(3).contains(action)) == is_arm


def test_arms_have_no_order_and_no_tangent():
    arms = Arms(5)
    assert [float(arms.distance(a, b)) for a, b in ((0, 1), (0, 4), (4, 0), (3, 3))] == [1.0, 1.0, 1.0, 0.0]
    with pytest.raises(ValueError, match="no tangent"):
        arms.move(0, jnp.zeros(0))
    with pytest.raises(ValueError, match="Arms has no margin"):
        arms.shrunk(0.1)


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "3"], ids=str)
def test_a_number_of_arms_is_whole(n):
    with pytest.raises(ValueError, match=r"^n: "):
        Arms(n)


def test_bounds_are_leaves():
    @jax.jit
    def clipped(box, action):
        return box.project(action)

    assert float(clipped(Box(0.0, 1.0), 9.0)) == 1
    assert float(clipped(Box(0.0, 5.0), 9.0)) == 5
    assert clipped._cache_size() == 1
    boxes = jax.vmap(lambda high: Box(0.0, high))(jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(jax.vmap(lambda box: box.project(7.0))(boxes), [1.0, 2.0])


def test_bounds_broadcast_to_the_shape():
    box = Box(jnp.zeros(3), jnp.array([1.0, 2.0, 3.0]), (2, 3))
    action = box.sample(KEY)
    assert action.shape == (2, 3) and bool(box.contains(action))
    np.testing.assert_array_equal(box.project(jnp.full((2, 3), 9.0)), [[1.0, 2.0, 3.0]] * 2)


def test_a_box_takes_whole_numbers_for_what_they_are():
    box = Box(0.5, 5.0)
    assert bool(box.contains(2)) and not bool(box.contains(0))
    assert float(box.project(0)) == 0.5


@pytest.mark.parametrize("shape", [3, [3], (2.0,), "ab", (-1,), {"w": 3}], ids=str)
def test_a_euclidean_shape_is_tuples_of_integers(shape):
    with pytest.raises(ValueError, match=r"^shape"):
        Euclidean(shape)


@pytest.mark.parametrize("shape", [3, [3], (2.0,), (-1,), {"w": (3,)}], ids=str)
def test_a_shape_is_a_tuple_of_integers(shape):
    with pytest.raises(ValueError, match=r"^shape"):
        Box(0.0, 1.0, shape)
    with pytest.raises(ValueError, match=r"^shape"):
        Torus(shape)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1.0, 0.0),
        (1.0, 1.0),
        (0.0, np.inf),
        (-np.inf, 0.0),
        (np.nan, 1.0),
        (np.zeros(2), np.array([1.0, 0.0])),
        ("a", "b"),
    ],
)
def test_a_box_has_finite_bounds_in_order(low, high):
    with pytest.raises((ValueError, TypeError), match=r"^low, high"):
        Box(low, high)


def test_a_space_without_a_margin_says_so():
    class Circle(Space):
        def struct(self, dtype):
            return jax.ShapeDtypeStruct((), dtype)

    with pytest.raises(ValueError, match="Circle has no margin"):
        Circle().shrunk(0.1)
