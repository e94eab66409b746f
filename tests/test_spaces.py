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


# ---------------------------------------------------------------- bounds on one side, polytopes


def test_samples_between_two_bounds_are_those_of_old_seeds():
    """`low + (high - low) u`, also where other coordinates have other bounds."""
    u = jax.random.uniform(KEY, (4,))
    box = Box(-2.0, 3.0, (4,))
    np.testing.assert_array_equal(box.sample(KEY), -2 + (box.high - box.low) * u)
    np.testing.assert_allclose(SPACES["bounds on one side"].sample(KEY)[3], u[3], rtol=1e-6)


def test_samples_beyond_one_bound_are_exponential_and_without_any_normal():
    """Kolmogorov-Smirnov on each coordinate's 4000 samples. False alarms: 5e-6."""
    from scipy.stats import expon, kstest, norm, uniform

    box = Box(jnp.array([-INF, -1.0, -INF, 0.0]), jnp.array([2.0, INF, INF, 1.0]), (4,))
    drawn = np.asarray(samples(box, 4000), np.float64)
    laws = (lambda x: 1 - expon.cdf(2 - x)), expon(-1).cdf, norm.cdf, uniform.cdf
    for i, law in enumerate(laws):
        assert kstest(drawn[:, i], law).pvalue > 1e-6


def test_bounds_on_one_side():
    box = SPACES["bounds on one side"]
    far = jnp.array([1e30, -1e30, 1e30, 1e30])
    np.testing.assert_array_equal(box.project(far), [2, -1, np.float32(1e30), 1])
    assert bool(box.contains(jnp.array([-1e30, 1e30, -1e30, 0.5]))) and not bool(box.contains(far))
    assert np.isnan(box.project(jnp.full(4, INF))).all() and not bool(box.contains(jnp.full(4, -INF)))
    assert bool(box.fits(0.5)) and not bool(box.fits(0.6))
    np.testing.assert_array_equal(box.shrunk(0.25).project(far), [1.75, -0.75, np.float32(1e30), 0.75])
    batch = jax.vmap(lambda high: Box(0.0, high).sample(KEY))(jnp.array([1.0, INF]))
    assert 0 <= batch[0] <= 1 and batch[1] >= 0


def nearest_of(A, b, point):
    """By SciPy: the least distance as a bounded least-squares problem in the multipliers, over the rows' lengths."""
    from scipy.optimize import nnls

    lengths = np.linalg.norm(A, axis=1)
    rows, bounds = A / lengths[:, None], b / lengths
    slack = bounds - rows @ point
    if (slack >= 0).all():
        return point
    scale = np.max(-slack)
    nu, left = nnls(np.c_[rows, slack / scale].T, np.r_[np.zeros(A.shape[1]), -1])
    assert left > 1e-9  # else there is no such point
    rest = np.c_[rows, slack / scale].T @ nu + np.r_[np.zeros(A.shape[1]), 1]
    return point - scale * rest[:-1] / rest[-1]


@functools.cache
def polytopes():
    """60 of 2 to 9 rows in 3 dimensions about the origin, padded by rows that don't bind; some with rows twice."""
    rng = np.random.default_rng(4)
    A, b = rng.normal(size=(60, 9, 3)), rng.uniform(0.1, 2, (60, 9))
    b[np.arange(9) >= rng.integers(2, 10, (60, 1))] = 1e3
    A[::3, 1], b[::3, 1] = 2 * A[::3, 0], 2 * b[::3, 0]
    A[1::3, 2], b[1::3, 2] = A[1::3, 0] + A[1::3, 1], b[1::3, 0] + b[1::3, 1]  # through the same edge
    points = rng.normal(size=(60, 3)) * 10.0 ** rng.uniform(-1, 2, (60, 1))
    return A, b, points


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_projections_to_polytopes(dtype):
    """Against SciPy and by the conditions for the nearest point: what is left lies in the cone of the bounds."""
    A, b, points = polytopes()
    with jax.enable_x64(dtype == "float64"):
        batch = jax.tree.map(lambda part: jnp.asarray(part, dtype), (A, b, points))
        program = jax.jit(jax.vmap(lambda A, b, z: (Polytope(A, b).project(z), Polytope(A, b).contains(z))))
        nearest, inside = map(np.asarray, program(*batch))
        assert nearest.dtype == dtype
        again, held = map(np.asarray, program(batch[0], batch[1], nearest))
    assert held.all() and 0 < inside.sum() < 60
    expected = np.stack([nearest_of(*each) for each in zip(A, b, points, strict=True)])
    far = np.maximum(1, np.linalg.norm(points, axis=1))[:, None]
    near = 1e-9 if dtype == "float64" else 1e-3
    assert np.abs((nearest - expected) / far).max() < near
    assert np.abs(again - nearest).max() < 10 * near
    np.testing.assert_array_equal(nearest[inside], points[inside].astype(dtype))
    others = np.stack([np.random.default_rng(5).normal(size=(200, 3)) * 0.1] * 60)
    ok = np.all(np.einsum("nmd,nkd->nkm", A, others) <= b[:, None], -1)
    gap = np.linalg.norm(others - points[:, None], axis=-1) - np.linalg.norm(nearest - points, axis=1)[:, None]
    assert gap[ok].min() > -1e-3


def test_a_polytope_that_is_a_box_or_a_simplex(x64):
    points = 3 * np.random.default_rng(6).normal(size=(50, 3))
    rows, bounds = np.concatenate([np.eye(3), -np.eye(3)]), np.array([1, 2, 3, 0.5, 0, 1.0])
    box = Box(-jnp.asarray(bounds[3:]), jnp.asarray(bounds[:3]), (3,))
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-12)
    close(jax.vmap(Polytope(rows, bounds).project)(points), jax.vmap(box.project)(points))
    # Two bounds for what is equal: no interior.
    flat = Polytope(np.concatenate([-np.eye(3), np.ones((1, 3)), -np.ones((1, 3))]), np.array([0.0, 0, 0, 1, -1]))
    close(jax.vmap(flat.project)(points), jax.vmap(Simplex(3).project)(points))


def test_derivatives_of_projections_to_polytopes(x64):
    space, h = SPACES["polytope"], 1e-6
    for point in 5 * np.random.default_rng(7).normal(size=(6, 3)):
        slope = jax.jacfwd(space.project)(point)
        along = [(space.project(point + h * e) - space.project(point - h * e)) / (2 * h) for e in np.eye(3)]
        np.testing.assert_allclose(slope, np.stack(along, 1), atol=1e-6)


def test_polytopes_batch_and_do_not_compile_again():
    @jax.jit
    def projected(space, z):
        return space.project(z)

    one, other = Polytope(PLANES, OFFSETS), Polytope(2 * PLANES, OFFSETS)
    assert projected(one, jnp.full(3, 9.0)).tolist() != projected(other, jnp.full(3, 9.0)).tolist()
    assert projected._cache_size() == 1
    spaces = jax.vmap(lambda b: Polytope(jnp.asarray(PLANES), b))(jnp.stack([OFFSETS, 2 * OFFSETS]))
    both = jax.vmap(lambda space: space.project(jnp.full(3, 9.0)))(spaces)
    np.testing.assert_allclose(both[0], one.project(jnp.full(3, 9.0)), rtol=1e-5)


def test_an_empty_polytope():
    with pytest.raises(ValueError, match=r"^A, b: expected a polytope with a point in it"):
        Polytope([[1.0, 0.0], [-1.0, 0.0]], [-1.0, -1.0])
    with pytest.raises(ValueError, match=r"^A, b: "):
        Polytope([[0.0, 0.0]], [-1.0])
    nothing = jax.jit(lambda b: Polytope(jnp.array([[1.0, 0.0], [-1.0, 0.0]]), b).project(jnp.zeros(2)))
    assert np.isnan(nothing(jnp.array([-1.0, -1.0]))).all() and np.isfinite(nothing(jnp.array([-1.0, 1.0]))).all()
    point = Polytope([[1.0], [-1.0]], [1.0, -1.0])
    np.testing.assert_allclose(point.project(jnp.array([5.0])), [1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("A", "b", "error", "name"),
    [
        ([1.0, 2.0], [1.0], ValueError, "A"),
        (np.zeros((0, 2)), np.zeros(0), ValueError, "A"),
        (np.ones((2, 0)), np.ones(2), ValueError, "A"),
        (np.ones((2, 3)), np.ones(3), ValueError, "b"),
        (np.ones((2, 3)), 1.0, ValueError, "b"),
        (np.full((2, 3), np.nan), np.ones(2), ValueError, "A"),
        (np.ones((2, 3)), np.array([1.0, INF]), ValueError, "b"),
        ("one", [1.0], TypeError, "A"),
        ([[1.0]], "two", TypeError, "b"),
        ([[1.0], [1.0, 2.0]], [1.0], (TypeError, ValueError), "A"),
        (None, [1.0], TypeError, "A"),
    ],
    ids=str,
)
def test_a_polytope_has_a_row_for_each_bound(A, b, error, name):
    with pytest.raises(error, match=f"^{name}: "):
        Polytope(A, b)


def test_gradient_ascent_in_polytopes(x64):
    """In `play`, with settings of its own for each replicate, against NumPy with SciPy's projection."""
    from stackjax import play
    from stackjax.games import from_payoffs
    from stackjax.learners import GradientAscent

    A, b, target = np.array([[1.0, 1.0], [-1.0, 2.0], [0.0, -1.0]]), np.array([1.0, 1.5, 0.5]), np.array([2.0, 1.0])
    spaces = Polytope(A, b), Box(0.0, INF)
    game = from_payoffs(
        lambda x, y: -jnp.sum((x - target) ** 2) - y * x[0], lambda x, y: y * (x[1] - 0.2) - y**2, spaces=spaces
    )
    start = np.array([[0.0, 0.0], [-0.5, 0.4]]), np.array([1.0, 0.1])
    trace = play(game, GradientAscent(0.1), GradientAscent(0.2), key=KEY, rounds=6, start=start, replicates=2)
    for replicate in range(2):
        x, y = (part[replicate] for part in start)
        for n in range(6):
            np.testing.assert_allclose(trace.actions[0][replicate, n], x, atol=1e-12)
            np.testing.assert_allclose(trace.actions[1][replicate, n], y, atol=1e-12)
            by_x, by_y = -2 * (x - target) - y * np.array([1, 0]), x[1] - 0.2 - 2 * y
            x, y = nearest_of(A, b, x + 0.1 * by_x), max(0.0, y + 0.2 * by_y)


# ---------------------------------------------------------------- free directions and bounds as functions


def tangent_part(A, E, vector):
    """The vector's projection to the cone `A d <= 0`, `E d = 0`: over all sets of bounds that hold, the best."""
    import itertools

    best, least = None, np.inf
    for count in range(len(A) + 1):
        for held in itertools.combinations(range(len(A)), count):
            rows = np.concatenate([A[list(held)], E]).reshape(-1, len(vector))
            d = vector - np.linalg.pinv(rows) @ rows @ vector if len(rows) else vector
            if np.all(A @ d <= 1e-9) and np.linalg.norm(d - vector) < least:
                best, least = d, np.linalg.norm(d - vector)
    return best


def corners(name):
    """Points of the boundary, with gradients."""
    rng = np.random.default_rng(8)
    if name == "box":
        space = Box(jnp.array([0.0, -1, -INF, 0]), jnp.array([1.0, INF, 2.0, 1]), (4,))
        low, high = np.array([0.0, -1, -5, 0]), np.array([1.0, 5, 2, 1])
        points = np.where(rng.random((20, 4)) < 0.4, low, np.where(rng.random((20, 4)) < 0.5, high, 0.5))
        rows, equal = np.concatenate([-np.eye(4), np.eye(4)]), np.zeros((0, 4))
        right = np.r_[0, 1, INF, 0, 1, INF, 2, 1]
    elif name == "simplex":
        space, rows, right, equal = Simplex(4), -np.eye(4), np.zeros(4), np.ones((1, 4))
        points = np.where(rng.random((20, 4)) < 0.5, 0, rng.random((20, 4)))
        points[points.sum(1) == 0] = [1, 0, 0, 0]
        points /= points.sum(1, keepdims=True)
    else:
        rows, right, equal = PLANES, OFFSETS, np.zeros((0, 3))
        space = Polytope(PLANES, OFFSETS)
        points = np.stack([nearest_of(rows, right, z) for z in 4 * rng.normal(size=(20, 3))])
    return space, points, rng.normal(size=points.shape), rows, right, equal


@pytest.mark.parametrize("name", ["box", "simplex", "polytope"])
def test_free_directions_are_those_of_the_gradient_in_the_tangent_cone(name, x64):
    """Along the cone's face where the gradient's projection lies: it projects alike, and no direction is lost."""
    space, points, gradients, rows, right, equal = corners(name)
    project = jax.jit(jax.vmap(lambda z, g, v: space.free(z, g).project(v)))
    moved = np.asarray(project(points, gradients, gradients))
    bases = [np.asarray(project(points, gradients, np.broadcast_to(e, points.shape))) for e in np.eye(points.shape[1])]
    seen = 0
    for i, (z, g) in enumerate(zip(points, gradients, strict=True)):
        reached = rows[rows @ z >= right - 1e-9]
        expected = tangent_part(reached, equal, g)
        np.testing.assert_allclose(moved[i], expected, atol=1e-9)
        pressed = reached[np.abs(reached @ expected) < 1e-9]
        held = np.concatenate([pressed, equal]).reshape(-1, len(z))
        P = np.stack([basis[i] for basis in bases])
        np.testing.assert_allclose(P, P.T, atol=1e-9)
        np.testing.assert_allclose(P @ P, P, atol=1e-9)
        np.testing.assert_allclose(
            P, np.eye(len(z)) - np.linalg.pinv(held) @ held if len(held) else np.eye(len(z)), atol=1e-9
        )
        seen += len(pressed) > 0
    assert seen > 5


def test_bounds_that_are_reached_but_not_pressed_against(x64):
    box, simplex = Box(0.0, 1.0, (3,)), Simplex(3)
    free = box.free(jnp.array([0.0, 1.0, 0.5]), jnp.array([0.0, -2.0, 1.0]))
    assert free.mask.tolist() == [True] * 3 and int(free.weakly_active) == 1
    free = simplex.free(jnp.array([0.5, 0.5, 0.0]), jnp.array([1.0, 1.0, 1.0]))
    assert free.mask.tolist() == [True] * 3 and int(free.weakly_active) == 1
    free = Polytope(np.eye(2), np.ones(2)).free(jnp.ones(2), jnp.array([2.0, 0.0]))
    assert free.held.tolist() == [True, False] and int(free.weakly_active) == 1
    for space in ("line", "vector", "network", "angle", "angles"):
        action = SPACES[space].sample(KEY)
        assert SPACES[space].free(action, action) is None


@each_space
def test_inequalities_and_equalities_agree_with_contains(name):
    space, found = said(name)

    def broken(z):
        g, h = space.inequalities(z), space.equalities(z)
        return jnp.max(jnp.concatenate([g, jnp.abs(h), jnp.zeros(1)])), g.shape, h.shape

    shapes = []

    @jax.jit
    @jax.vmap
    def worst(z):
        value, *own = broken(z)
        shapes.append(own)
        return value

    inside, outside, far, _ = parts(found["points"])
    for points, contains in zip((inside, outside, far), parts(found["contains"]), strict=False):
        beyond = np.asarray(worst(points))
        assert np.all(beyond[contains] < 1e-3) and np.all(beyond[~contains] > 0)
    if not space.bounded:
        assert shapes[0] == [(0,), (0,)]
    if isinstance(space, Simplex):
        assert shapes[0] == [(space.size,), (space.size // space.n,)]


def test_a_bound_that_does_not_exist_is_never_reached(x64):
    box = Box(jnp.array([-INF, 0.0]), jnp.array([1.0, INF]), (2,))
    np.testing.assert_array_equal(box.inequalities(jnp.array([-1e9, 1e9])), [-1, -1e9, -1e9 - 1, -1])
    slope = jax.jacfwd(box.inequalities)(jnp.zeros(2))
    np.testing.assert_array_equal(slope, [[0, 0], [0, -1], [1, 0], [0, 0]])
