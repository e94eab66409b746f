"""Where actions live: sampling, projection, distances and membership, for every kind of action."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax.spaces import Arms, Box, Euclidean, Polytope, Simplex, Space, Torus

KEY = jax.random.key(0)
INF = np.inf
#: Six planes about a point, of which the last is far, and the quarter of space above two planes that meet.
PLANES = np.array([[1.0, 0.5, -0.2], [-1, 0.3, 0.4], [0.1, 1, 0.6], [-0.4, -1, 0.2], [0.2, -0.3, 1], [0, 0, -1]])
OFFSETS = np.array([1.5, 2.0, 1.8, 2.5, 2.0, 30.0])
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
    "policy": Simplex(3, (2, 2)),
    "half-line": Box(0.5, INF),
    "bounds on one side": Box(jnp.array([-INF, -1.0, -INF, 0.0]), jnp.array([2.0, INF, INF, 1.0]), (4,)),
    "polytope": Polytope(PLANES, OFFSETS),
    "wedge": Polytope([[1.0, 1.0, 0.0], [1.0, -1.0, 0.5]], [1.0, 1.5]),
}
each_space = pytest.mark.parametrize("name", SPACES)
BOUNDED = [s for s in SPACES.values() if isinstance(s, Box) and np.isfinite(s.low + s.high).all()]
each_box = pytest.mark.parametrize("box", BOUNDED)
N = 50
NOT_FINITE = (np.nan, np.inf, -np.inf)


def samples(space, n, key=KEY):
    return jax.jit(jax.vmap(space.sample))(jax.random.split(key, n))


def rows(actions):
    """A batch of actions as vectors."""
    return np.concatenate([np.reshape(x, (len(x), -1)) for x in jax.tree.leaves(actions)], axis=1)


@functools.cache
def said(name):
    """What one compiled program says of a space: of samples, far points and points that aren't finite."""
    space = SPACES[name]

    def spoilt(action, bad):
        *leaves, last = jax.tree.leaves(action)
        last = last.ravel().at[0].set(bad).reshape(last.shape)
        return jax.tree.unflatten(jax.tree.structure(action), [*leaves, last])

    @jax.jit
    def program(keys, steps):
        inside = jax.vmap(space.sample)(keys)
        outside, far = (jax.tree.map(lambda x, f=f: f(x), inside) for f in (lambda x: 4 * x - 1.5, lambda x: 50.0 * x))
        one, other = (jax.tree.map(lambda x, i=i: x[i], inside) for i in (0, 1))
        bad = jax.vmap(spoilt, (None, 0))(one, jnp.array(NOT_FINITE))
        points = jax.tree.map(lambda *x: jnp.concatenate(x), inside, outside, far, bad)
        projected = jax.vmap(space.project)(points)
        moved = jax.vmap(space.move, (None, 0))(one, steps)
        return {
            "points": points,
            "contains": jax.vmap(space.contains)(points),
            "projected": projected,
            "contains projected": jax.vmap(space.contains)(projected),
            "twice": jax.vmap(space.project)(projected),
            "difference": space.difference(one, other),
            "distances": [space.distance(one, one), space.distance(one, other)],
            "moved": moved,
            "moved by": jax.vmap(space.distance, (0, None))(moved, one),
        }

    steps = 1e-2 * np.random.default_rng(2).normal(size=(2, space.dimension)).astype(np.float32)
    steps[1] = 0
    found = jax.tree.map(np.asarray, program(jax.random.split(KEY, N), steps))
    return space, found | {"step": np.linalg.norm(steps[0])}


def parts(actions):
    """The samples, those of outside, the far and the spoilt ones."""
    return [jax.tree.map(lambda x, i=i: x[i * N : (i + 1) * N], actions) for i in range(4)]


@each_space
def test_a_sample_is_an_action(name):
    space, found = said(name)
    inside = parts(found["points"])[0]
    struct = space.struct(jnp.float32)
    assert jax.tree.structure(inside) == jax.tree.structure(struct)
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(inside)] == [
        ((N, *s.shape), s.dtype) for s in jax.tree.leaves(struct)
    ]
    assert parts(found["contains"])[0].all()
    assert space.size == rows(inside).shape[1]


@each_space
def test_samples_differ(name):
    for leaf in jax.tree.leaves(parts(said(name)[1]["points"])[0]):
        eight = leaf[:8].reshape(8, -1)
        assert np.unique(eight, axis=0).shape[0] == 8
        assert np.unique(eight[0]).size == eight[0].size  # coordinates are drawn independently


@each_space
def test_samples_are_float64_where_asked(name, x64):
    def types(dtype=None):
        return {x.dtype for x in jax.tree.leaves(jax.eval_shape(lambda k: SPACES[name].sample(k, dtype), KEY))}

    assert [types(dtype) for dtype in (jnp.float32, jnp.float64, None)] == [
        {jnp.dtype(x)} for x in (jnp.float32, jnp.float64, jnp.float64)
    ]


@each_space
def test_projection_leaves_the_space_alone_and_is_idempotent(name):
    space, found = said(name)
    rounding = np.zeros(3)
    if isinstance(space, Simplex):
        rounding = np.array([3e-7, 3e-7, 3e-6])  # of its sum
    if isinstance(space, Polytope):
        rounding = np.array([3e-6, 3e-6, 3e-5])
    inside, *_ = parts(found["points"])
    once, twice, contains = (parts(found[key]) for key in ("projected", "twice", "contains projected"))
    np.testing.assert_allclose(rows(once[0]), rows(inside), rtol=0, atol=rounding[0])
    for i in range(3):  # the last are up to 50 times as large
        assert contains[i].all()
        np.testing.assert_allclose(rows(twice[i]), rows(once[i]), rtol=0, atol=rounding[i])


@pytest.mark.parametrize("name", [name for name, space in SPACES.items() if space.bounded])
def test_projection_finds_the_nearest_action(name):
    _, found = said(name)
    others, outside, *_ = map(rows, parts(found["points"]))
    nearest = np.linalg.norm(outside - rows(parts(found["projected"])[1]), axis=1)
    assert np.all(nearest[:, None] <= np.linalg.norm(outside[:, None] - others, axis=-1) + 1e-6)


@each_space
def test_what_is_not_finite_is_no_action_and_does_not_become_one(name):
    _, found = said(name)
    bad = rows(parts(found["points"])[3])
    assert np.count_nonzero(~np.isfinite(bad), axis=1).tolist() == [1] * len(NOT_FINITE)
    for contains in ("contains", "contains projected"):
        assert not parts(found[contains])[3].any()


@each_space
def test_difference_and_distance(name):
    space, found = said(name)
    inside = parts(found["points"])[0]
    assert jax.tree.structure(found["difference"]) == jax.tree.structure(inside)
    one, other, *_ = rows(inside)
    plain = one - other
    if isinstance(space, Torus):
        plain = np.angle(np.exp(1j * plain))
    np.testing.assert_allclose(
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(found["difference"])]), plain, rtol=1e-5
    )
    np.testing.assert_allclose(found["distances"], [0.0, np.linalg.norm(plain)], rtol=1e-5)


@each_box
def test_a_box_ends_at_its_bounds(box):
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), box.shape) for bound in (box.low, box.high))
    assert bool(box.contains(low)) and bool(box.contains(high))
    assert bool(box.contains(np.nextafter(high, np.float32(np.inf))))  # rounding isn't leaving
    for bound, sign in ((low, -1), (high, 1)):
        for i in range(bound.size):  # one coordinate is enough
            beyond = bound.copy()
            beyond.flat[i] += sign * np.float32(1e-3)
            assert not bool(box.contains(beyond))


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
def test_moves_go_along_the_space_by_their_own_length(name):
    space, found = said(name)
    inside = parts(found["points"])[0]
    assert jax.tree.structure(found["moved"]) == jax.tree.structure(inside)
    np.testing.assert_allclose(found["moved by"], [found["step"], 0.0], rtol=1e-3, atol=1e-6)
    moved, unmoved = rows(found["moved"])
    np.testing.assert_allclose(unmoved, rows(inside)[0], rtol=0, atol=1e-6)
    if isinstance(space, Simplex):
        assert space.dimension == space.size - space.size // space.n
        np.testing.assert_allclose(np.sum(moved.reshape(-1, space.n), axis=1), 1.0, atol=1e-6)
    else:
        assert space.dimension == space.size


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


def test_the_rows_of_a_policy_are_simplices_of_their_own():
    policies, simplex = SPACES["policy"], Simplex(3)
    points = np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    rows = points.reshape(4, 3)
    nearest = jax.vmap(simplex.project)(rows).reshape(2, 2, 3)
    np.testing.assert_allclose(policies.project(points), nearest, rtol=0, atol=1e-6)
    good = np.asarray(policies.project(points))
    assert bool(policies.contains(good))
    for i, j in np.ndindex(2, 2):  # one row is enough
        bad = good.copy()
        bad[i, j] += [0.1, 0.0, -0.1] if good[i, j, 2] == 0 else [0.1, 0.1, 0.0]
        assert not bool(policies.contains(bad))
    assert Simplex(3, ()).sample(KEY).tolist() == simplex.sample(KEY).tolist()


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
    everything = np.array([-(2**31), *range(-3, n + 3), 2**31 - 1], np.int32)
    contains, projected = jax.jit(jax.vmap(lambda arm: (arms.contains(arm), arms.project(arm))))(everything)
    np.testing.assert_array_equal(contains, (everything >= 0) & (everything < n))
    np.testing.assert_array_equal(projected, np.clip(everything, 0, n - 1))
    assert projected.dtype == np.int32
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
    with pytest.raises(ValueError, match=r"^shape"):
        Simplex(2, shape)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1.0, 0.0),
        (1.0, 1.0),
        (np.inf, np.inf),
        (-np.inf, -np.inf),
        (np.inf, -np.inf),
        (np.nan, 1.0),
        (np.zeros(2), np.array([1.0, 0.0])),
        ("a", "b"),
    ],
)
def test_a_box_has_bounds_in_order(low, high):
    with pytest.raises((ValueError, TypeError), match=r"^low, high"):
        Box(low, high)


def test_a_space_without_a_margin_says_so():
    class Circle(Space):
        def struct(self, dtype):
            return jax.ShapeDtypeStruct((), dtype)

    with pytest.raises(ValueError, match="Circle has no margin"):
        Circle().shrunk(0.1)
