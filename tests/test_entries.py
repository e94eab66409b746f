"""A program evaluated entry by entry computes what it computes on arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, games, learners, play, schedules
from stackjax._core import entry, loop
from stackjax._core.dependence import Traced
from stackjax._core.entries import ByEntry, UnfitError
from stackjax._core.noise import round_key

MATRIX = np.linspace(-1.0, 2.0, 12).reshape(3, 4) ** 3 + 0.1
VECTOR = np.array([0.3, -1.2, 2.0, 0.7])


def at(x, y):
    i = (y[0] > 0).astype(jnp.int32) + (y[1] > 0).astype(jnp.int32)
    return x[i], x.at[i].add(y), x.at[i, 1].set(y[0]), x.at[i, 2].multiply(2.0), x.at[:, i].get()


def slices(x, y):
    i = (y[2] > 0).astype(jnp.int32)
    part = jax.lax.dynamic_slice(x, (i, i + 1), (2, 2))
    return part, jax.lax.dynamic_update_slice(x, part, (i + 5, i - 1)), x[::-1, ::2], jnp.flip(y), x[5, 0]


def out_of_bounds(x, y):
    i = jnp.where(y[0] > 0, 7, -9)
    return x.at[i].get(), x.at[i].get(mode="clip"), x.at[i].add(y), x.at[i].get(mode="fill", fill_value=3.0)


def shapes(x, y):
    stacked = jnp.stack([y, 2 * y], axis=1)
    return (
        x.T,
        jnp.concatenate([x, y[None]]),
        stacked,
        jnp.pad(y, (2, 1)),
        jnp.split(y, 2),
        x[None] + y[None, None],
        jnp.ravel(x),
    )


def reductions(x, y):
    with_nan = jnp.where(y > 1, jnp.nan, y)
    return (
        x.sum(0), x.max(1), x.min(), x.prod(1), jnp.any(x > 1, 0), jnp.all(x > -2), x.argmax(1), x.argmin(0),
        jnp.argmax(with_nan), jnp.cumsum(x, 1), jnp.cumprod(y), jax.lax.cummax(y, reverse=True), jnp.linalg.norm(y),
    )  # fmt: skip


def products(x, y):
    return x @ y, x @ x.T, jnp.einsum("ij,ik->jk", x, x), y @ y, jnp.outer(y, y), jnp.tensordot(x, x, 2)


def control(x, y):
    def grow(k, z):
        return z + k * y[0]

    chosen = jax.lax.cond(y[0] > 0, lambda z: z + 1, lambda z: 2 * z, y)
    shared = jax.lax.switch(1, [jnp.sin, jnp.cos], y)
    long = jax.lax.while_loop(lambda z: z[0] < 50, lambda z: 1.5 * z + 1, y)
    return chosen, shared, jax.lax.fori_loop(0, 3, grow, x), long, jnp.sort(y), jax.lax.map(jnp.sum, x)


def derivatives(x, y):
    def value(y):
        return jnp.sum(jax.nn.sigmoid(x @ y) ** 3) + jnp.logaddexp(y[0], y[1])

    system = 3 * jnp.eye(4) + jnp.outer(y, y)
    return jax.grad(value)(y), jax.hessian(value)(y), jnp.linalg.solve(system, y), jax.jvp(value, (y,), (y,))


def noise(x, y):
    key = round_key(jnp.array([3, 5], jnp.uint32), 7, (y[3] * 100).astype(jnp.uint32))
    one, other = jax.random.split(key)
    many = jax.random.split(jax.random.fold_in(key, 4), 3)
    chosen = jnp.where(y[0] > 0, one, many[(y[1] > 0).astype(jnp.int32)])
    return (
        jax.random.normal(one, (3,), x.dtype), jax.random.uniform(other, (11,), x.dtype),
        jax.random.rademacher(one, (2,), x.dtype), jax.random.uniform(chosen, (), x.dtype),
        jax.vmap(lambda k: jax.random.bits(k))(many),
    )  # fmt: skip


def kinds(x, y):
    whole = jnp.round(3 * y).astype(jnp.int32)
    return whole // 2, whole % 3, whole << 2, ~(y > 0), jnp.clip(y, -1, x[0]), jnp.where(y > 0, x, 0), (y > 0) & (y < 1)


def nothing(x, y):
    none = y[:0]
    sorted_ = jnp.sort(none)
    return none + 1, jnp.sum(none), jnp.concatenate([sorted_, y]), x[:, :0] @ none, jnp.sum(x[:0], 0), jnp.any(none > 0)


PROGRAMS = [nothing, at, slices, out_of_bounds, shapes, reductions, products, control, derivatives, noise, kinds]


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("captures", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_entries_give_what_arrays_give(function, captures):
    """To rounding, over a batch, with the matrix an argument or a captured value."""
    with jax.enable_x64(True):
        x, batch = jnp.asarray(MATRIX), jnp.asarray(VECTOR * np.array([[1.0], [-0.7], [0.9]]))

        @jax.jit
        def both(x, batch):
            def f(*arguments):
                return function(*(arguments if len(arguments) == 2 else (x, *arguments)))

            arguments = (batch,) if captures else (jnp.stack([x] * 3), batch)
            traced = Traced(f, *(a[0] for a in arguments))
            by_entry = ByEntry(traced, "cpu", 20_000)
            numbers = jnp.concatenate([a.reshape(3, -1) for a in arguments], axis=1)
            found = jax.vmap(by_entry)(*numbers.T)
            expected = jax.vmap(f)(*arguments)
            return jnp.stack([each.astype(float) for each in found]), expected

        found, expected = both(x, batch)
    flat = np.concatenate([np.asarray(e, float).reshape(3, -1) for e in jax.tree.leaves(expected)], axis=1)
    np.testing.assert_allclose(np.asarray(found).T, flat, rtol=1e-12, atol=1e-12)


def test_too_many_operations_and_numbers_are_refused():
    with pytest.raises(UnfitError):
        ByEntry(Traced(lambda x: jnp.sin(x) @ x, jnp.ones(20)), "cpu", 30)
    with pytest.raises(UnfitError):
        ByEntry(Traced(jnp.sin, jnp.ones(1000)), "cpu", 10_000)


def test_keys_of_another_type_are_refused():
    def draw(x):
        return x + jax.random.normal(jax.random.fold_in(jax.random.key(3), x.astype(jnp.int32)[0]), (2,))

    with pytest.raises(UnfitError):
        ByEntry(Traced(draw, jnp.ones(2)), "cpu", 10_000)


def test_custom_derivatives_are_passed_by():
    """A rule of one's own is for whoever differentiates; the values are the function's."""

    @jax.custom_vjp
    def doubled(x):
        return 2 * x

    doubled.defvjp(lambda x: (2 * x, None), lambda _, g: (5 * g,))

    def both(x):
        return jax.checkpoint(doubled)(x), jax.grad(lambda x: doubled(x).sum())(x)

    found = ByEntry(Traced(both, jnp.ones(2)), "cpu", 100)(jnp.float32(1.0), jnp.float32(3.0))
    assert [float(x) for x in found] == [2.0, 6.0, 5.0, 5.0]


def test_what_is_computed_twice_stands_once():
    def twice(x):
        return jnp.sin(x) + jnp.sin(x), jnp.sin(x)

    assert ByEntry(Traced(twice, jnp.ones(5)), "cpu", 100).operations == 10


def pairs():
    """A game with its learners, and whether some of its replicates fail."""
    dilemma = games.IteratedMatrixGame.prisoners_dilemma(0.9)
    quadratic = games.Quadratic.random(jax.random.key(2), (2, 2))
    hi_c = learners.HiC(schedules.PowerLaw(0.5, 1.0, 10.0), schedules.PowerLaw(0.5, 1 / 6), 10)
    bandits = games.bandit_instances.uniform(jax.random.key(0), 2, 2, noise="gaussian", sigma=1.0)
    return {
        "lola": (dilemma, learners.LOLA(0.1, 0.5), learners.GradientAscent(0.1)),
        "hi-c": (games.Noisy(quadratic, 0.1), hi_c, learners.GradientAscent(0.1)),
        "failing": (quadratic, learners.GradientAscent(3.0), learners.GradientAscent(2.0)),
        "bandits": (bandits, *(learners.UCB.tuned(300, 2, 2, role) for role in ("leader", "follower"))),
    }


@pytest.mark.parametrize(
    "pair", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("lola", "hi-c")), "failing", "bandits"]
)
def test_play_is_the_same_by_entries_and_at_a_known_pace(pair, monkeypatch):
    """To rounding in float64: strategies, records, calls, visits, states, and which replicates failed when."""
    with jax.enable_x64(True):
        game, *players = pairs()[pair]
        found = {}
        for record in (Record.log_spaced(20), Record.every(70)):
            for platform, most in (("cpu", 0), ("gpu", 0), ("gpu", 10_000), ("cpu", 10_000)):
                if most and record.kind == "every":
                    continue
                monkeypatch.setattr(loop, "_PAYS", {name: (0, most) for name in ("cpu", "gpu")})
                monkeypatch.setattr(entry, "platform", lambda devices, platform=platform: platform)
                options = {"key": jax.random.key(1), "rounds": 260, "replicates": 5, "record": record, "kernel": False}
                found[platform, most, record.kind] = play(game, *players, **options)
    for (platform, most, kind), trace in found.items():
        assert (pair == "failing") == bool(np.any(np.asarray(trace.status) != 0))
        if (platform, most) != ("cpu", 0):
            expected = found["cpu", 0, kind]
            for a, b in zip(*(jax.tree.leaves(_numbers(t)) for t in (trace, expected)), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def _numbers(t):
    played = t.rounds, t.initial, t.strategies, t.actions, t.payoffs, t.reports, t.state
    return *played, t.status, t.failed_at, t.calls, t.visits


def test_the_pace_reaches_every_point():
    for begin, end in ((0, 1), (0, 97), (0, 10_000), (123, 4567), (0, 100_000)):
        for record in (Record.log_spaced(200), Record.log_spaced(7), Record.every(100), Record.every(997)):
            points = record.points(begin, end)
            pace = loop.pace(begin, points)
            reached = np.cumsum([begin, *[1] * pace.singles, *[pace.length] * pace.parts])
            assert reached[-1] == end and set(points) <= set(reached)
    assert loop.pace(0, Record.log_spaced(200).points(0, 10_000)).parts <= 10_000 / 64


def test_log_spaced_points_stay_near_the_logarithmic_ones():
    for rounds in (100, 1000, 10_000, 1_000_000):
        points = Record.log_spaced(200).points(0, rounds)
        ideal = np.unique(np.rint(np.geomspace(1, rounds, 200)))
        nearest = np.abs(points[:, None] - ideal).min(1)
        assert points[-1] == rounds and np.all(nearest <= (32 if rounds >= 8192 else 0))
