"""Bilevel games: payoffs by hand, implicit gradients against finite differences of the solved problem, bad data."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, Status, play
from stackjax.equilibria import implicit_gradient
from stackjax.games import DataCleaning, HyperparameterSelection
from stackjax.learners import BestResponse, GradientAscent, HierarchicalAscent

KEY = jax.random.key(0)
MAKE = {
    "selection": lambda **options: HyperparameterSelection.synthetic(KEY, rows=(30, 40), features=4, **options),
    "cleaning": lambda **options: DataCleaning.synthetic(KEY, rows=(12, 40), features=3, **options),
}
GAMES = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def losses(data, y):
    features, labels = (np.asarray(x, np.float64) for x in data)
    scores = features @ y
    return -labels * np.log(1 / (1 + np.exp(-scores))) - (1 - labels) * np.log(1 - 1 / (1 + np.exp(-scores)))


def by_hand(game, x, y):
    """Both payoffs, in NumPy."""
    if isinstance(game, HyperparameterSelection):
        fit = losses(game.train, y).mean() + np.sum(np.exp(x) * y**2) / 2
    else:
        weights = 1 / (1 + np.exp(-x))
        fit = np.mean(weights * losses(game.train, y)) + float(game.weight_decay) * np.sum(y**2) / 2
    return -losses(game.validation, y).mean(), -fit


def fitted(game, x):
    """The follower's best response by Newton's method, in NumPy."""
    features, labels = (np.asarray(a, np.float64) for a in game.train)
    y = np.zeros(features.shape[1])
    selection = isinstance(game, HyperparameterSelection)
    weights = np.ones(len(labels)) if selection else 1 / (1 + np.exp(-x))
    decay = np.exp(x) if selection else np.full(y.size, float(game.weight_decay))
    for _ in range(50):
        p = 1 / (1 + np.exp(-features @ y))
        gradient = features.T @ (weights * (p - labels)) / len(labels) + decay * y
        hessian = (features.T * (weights * p * (1 - p))) @ features / len(labels) + np.diag(decay)
        y = y - np.linalg.solve(hessian, gradient)
    assert np.abs(gradient).max() < 1e-12
    return y


def point(game, scale=1.0):
    rng = np.random.default_rng(1)
    return tuple(scale * rng.normal(size=space.struct(float).shape) for space in game.spaces)


@GAMES
def test_payoffs_are_those_of_a_transcription(x64, make):
    game = make()
    x, y = point(game)
    np.testing.assert_allclose(game.payoffs(jnp.asarray(x), jnp.asarray(y)), by_hand(game, x, y), rtol=1e-10)


@GAMES
def test_the_implicit_gradient_is_that_of_the_solved_problem(x64, make):
    """Central differences of the leader's payoff with the inner problem solved to 1e-12."""
    game = make()
    x = point(game)[0]
    differences = np.zeros_like(x)
    for j in range(x.size):
        h = 1e-5 * np.eye(x.size)[j]
        ahead, behind = (by_hand(game, z, fitted(game, z))[0] for z in (x + h, x - h))
        differences[j] = (ahead - behind) / 2e-5
    found = implicit_gradient(game, jnp.asarray(x), jnp.asarray(fitted(game, x)))
    np.testing.assert_allclose(found, differences, atol=1e-9)
    assert np.abs(differences).max() > 1e-3
    # There is no other gradient: the leader's payoff doesn't depend on its own action.
    assert not np.any(GradientAscent(1.0).direction(game, 0, (jnp.asarray(x), jnp.asarray(fitted(game, x)))))


@GAMES
def test_mini_batches_are_shared_and_have_the_right_mean(x64, make):
    """The mean over 4000 draws of both payoffs to 5 standard errors: false alarms below 3e-6."""
    game = make(batch=8)
    actions = tuple(map(jnp.asarray, point(game)))
    draws = jax.vmap(game.draw)(jax.random.split(KEY, 4000))
    for rows, data in zip(draws, (game.train, game.validation), strict=True):
        assert rows.shape == (4000, 8) and rows.min() == 0 and rows.max() == data[1].size - 1
    paid = np.stack(jax.vmap(lambda rows: game.realise(rows, *actions))(draws))
    assert np.all(np.abs(paid.mean(1) - np.stack(game.payoffs(*actions))) < 5 * paid.std(1) / 4000**0.5)
    assert game.recorded_payoffs == "realised" and make().recorded_payoffs == "exact"
    assert make().draw(KEY) == () and make().realise((), *actions) == game.payoffs(*actions)


@GAMES
def test_a_mini_batch_of_known_rows(x64, make):
    game = make(batch=3)
    rows = jnp.array([4, 4, 0], jnp.int32), jnp.array([1, 2, 3], jnp.int32)
    x, y = point(game)
    paid = game.realise(rows, jnp.asarray(x), jnp.asarray(y))
    chosen = [tuple(np.asarray(a)[np.asarray(r)] for a in d) for d, r in zip((game.train, game.validation), rows)]  # noqa: B905  (two each)
    smaller = type(game)(*chosen)
    of_rows = x if isinstance(game, HyperparameterSelection) else x[np.asarray(rows[0])]
    np.testing.assert_allclose(paid, by_hand(smaller, of_rows, y), rtol=1e-10)


def test_synthetic_problems_are_what_they_say(x64):
    game = DataCleaning.synthetic(jax.random.key(2), rows=(4000, 10), features=3, corruption=0.25)
    share = float(np.mean(game.corrupted))
    assert abs(share - 0.25) < 5 * (0.25 * 0.75 / 4000) ** 0.5  # false alarms below 1e-6
    clean = eqx.tree_at(
        lambda g: g.train, game, (game.train[0], jnp.where(game.corrupted, 1 - game.train[1], game.train[1]))
    )
    all_counted = np.full(4000, 5.0)
    right, wrong = (
        np.mean((np.asarray(game.train[0]) @ fitted(g, all_counted) > 0) == np.asarray(clean.train[1]))
        for g in (clean, game)
    )
    assert right > 0.85 and right >= wrong
    selection = HyperparameterSelection.synthetic(jax.random.key(3), rows=(4000, 10), features=6, relevant=2)
    y = np.abs(fitted(selection, np.full(6, np.log(1e-3))))
    assert y[:2].min() > 1.5 and y[2:].max() < 0.4


@GAMES
def test_the_numerical_best_response_is_newtons(make):
    game = make()
    x = point(game)[0]
    trace = play(
        game,
        HierarchicalAscent(1e-9),
        BestResponse(),
        key=KEY,
        rounds=2,
        start=(jnp.asarray(x, jnp.float32), None),
        record=Record.final(payoffs=None),
    )
    np.testing.assert_allclose(trace.strategies[1][-1], fitted(game, x), atol=2e-3)


@pytest.fixture(scope="module")
def problems():
    """Four problems on a leading axis; a function that plays them and one that puts NaN in a row of the second."""
    games = jax.vmap(lambda key: HyperparameterSelection.synthetic(key, rows=(30, 40), features=4, batch=8))(
        jax.random.split(KEY, 4)
    )

    def run(games):
        return play(
            games,
            HierarchicalAscent(1.0),
            GradientAscent(0.1),
            key=KEY,
            rounds=300,
            replicates=4,
            in_axes=(0, None, None),
            start=(jnp.zeros(4), jnp.zeros(4)),
            record=Record.every(10, payoffs=None),
        )

    broken = eqx.tree_at(lambda g: g.train[0], games, games.train[0].at[1, 7, 2].set(jnp.nan))
    return games, run(games), run(broken)


def test_nan_in_a_mini_batch_ends_its_replicate_alone(problems):
    """A row of 30 is drawn in a round with probability 1 - (29/30)^8; that it isn't in 300 rounds: 1e-35."""
    _, well, broken = problems
    assert not np.any(well.status)
    assert broken.status.tolist() == [Status.OK, Status.NON_FINITE, Status.OK, Status.OK]
    assert broken.failed_at[1] > 0 and np.all(np.isfinite(broken.strategies[0]))
    for a, b in zip(jax.tree.leaves(well.strategies), jax.tree.leaves(broken.strategies), strict=True):
        np.testing.assert_array_equal(np.asarray(a)[[0, 2, 3]], np.asarray(b)[[0, 2, 3]])


def test_a_hierarchical_leader_gains_in_every_problem(problems):
    games, well, _ = problems
    for r in range(4):
        game = jax.tree.map(lambda x, r=r: x[r], games)
        gained = [
            by_hand(game, x, fitted(game, x))[0]
            for x in (np.zeros(4), np.asarray(well.strategies[0][r, -1], np.float64))
        ]
        assert gained[1] > gained[0] + 0.03


# ---------------------------------------------------------------- several classes

CLASSES = 3
SEVERAL = {
    "selection": lambda rows, **options: HyperparameterSelection.synthetic(
        KEY, rows=rows, features=4, classes=CLASSES, **options
    ),
    "cleaning": lambda rows, **options: DataCleaning.synthetic(
        KEY, rows=rows, features=4, classes=CLASSES, corruption=0.4, **options
    ),
}


@pytest.fixture(scope="module")
def several():
    """One game of each kind and of three classes, with mini-batches; each made in one program, to compile faster."""
    return {name: jax.jit(lambda make=make: make((12, 20), batch=3))() for name, make in SEVERAL.items()}


def softmax_by_hand(game, rows, others, x, y):
    """Both payoffs on these rows of the two data sets, in NumPy."""

    def loss(data, at):
        features, labels = np.asarray(data[0], np.float64)[at], np.asarray(data[1]).astype(int)[at]
        odds = np.exp(features @ y)
        return -np.log(odds[np.arange(len(labels)), labels] / odds.sum(1))

    if isinstance(game, HyperparameterSelection):
        fit = loss(game.train, rows).mean() + sum(np.exp(x[j]) * y[j] @ y[j] for j in range(len(x))) / 2
    else:
        fit = np.mean(loss(game.train, rows) / (1 + np.exp(-x[rows]))) + float(game.weight_decay) * np.sum(y**2) / 2
    return -loss(game.validation, others).mean(), -fit


@pytest.mark.parametrize("name", SEVERAL)
def test_softmax_payoffs_are_those_of_a_transcription(several, name):
    game = several[name]
    x, y = point(game)
    assert x.shape == ((4,) if name == "selection" else (12,)) and y.shape == (4, CLASSES)
    assert set(np.unique(game.train[1])) == {0, 1, 2}
    rows, others = np.array([4, 4, 0], np.int32), np.array([1, 2, 3], np.int32)
    actions = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    exact = softmax_by_hand(game, np.arange(12), np.arange(20), x, y)
    np.testing.assert_allclose(game.payoffs(*actions), exact, rtol=2e-5)
    realised = softmax_by_hand(game, rows, others, x, y)
    np.testing.assert_allclose(game.realise((rows, others), *actions), realised, rtol=2e-5)
    # More of one number for every class changes no probability.
    shifted = actions[0], actions[1] + 1.0
    np.testing.assert_allclose(game.payoffs(*shifted)[0], exact[0], rtol=2e-5)


@pytest.mark.parametrize("kind", [HyperparameterSelection, DataCleaning])
def test_two_columns_of_opposite_coefficients_are_one_of_two_classes(several, kind):
    """Softmax of (-t / 2, t / 2) is the logistic probability of t, with half the squares."""
    data = [(game[0], jnp.minimum(game[1], 1)) for game in (several["cleaning"].train, several["cleaning"].validation)]
    two, three = (kind(*data, classes=n) for n in (2, 3))
    x, y = (jnp.asarray(z, jnp.float32) for z in point(two))
    columns = jnp.stack([-y / 2, y / 2, jnp.full_like(y, 0)], axis=1)
    # A third class that is impossible: its score is far below the others' in every row.
    rows = [jnp.concatenate([features, jnp.ones((len(labels), 1))], axis=1) for features, labels in data]
    wide = kind(*[(r, d[1]) for r, d in zip(rows, data, strict=True)], classes=3)
    columns = jnp.concatenate([columns, jnp.array([[0.0, 0.0, -60.0]])])
    np.testing.assert_allclose(
        wide.payoffs(jnp.append(x, -60.0) if kind is HyperparameterSelection else x, columns)[0],
        two.payoffs(x, y)[0],
        rtol=1e-5,
    )
    assert three.spaces[1].shapes == ((4, 3),) and two.spaces[1].shapes == ((4,),)


def test_wrong_labels_are_any_of_the_others():
    """Of 6000 rows: false alarms below 1e-5."""
    keys = jax.random.split(KEY)[0], jax.random.key(5)

    @jax.jit
    def shares(key):
        whole, clean = (
            DataCleaning.synthetic(key, rows=(6000, 2), features=3, classes=4, corruption=c) for c in (0.3, 0.0)
        )
        shift = (whole.train[1] - clean.train[1]) % 4
        return jnp.stack([jnp.mean(shift == k) for k in range(4)]), jnp.all((shift > 0) == whole.corrupted)

    for key in keys:
        found, marked = shares(key)
        assert marked
        np.testing.assert_allclose(found, [0.7, 0.1, 0.1, 0.1], atol=5 * (0.21 / 6000) ** 0.5)


X, LABELS = np.eye(4, 3), np.array([0, 1, 1, 0])
GOOD = (X, LABELS)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"train": X}, "train"),
        ({"train": (X[0], LABELS)}, "train, features"),
        ({"train": (X * np.nan, LABELS)}, "train, features"),
        ({"train": (X, LABELS[:2])}, "train, labels"),
        ({"validation": (X, 2 * LABELS)}, "validation, labels"),
        ({"validation": (X, LABELS * np.nan)}, "validation, labels"),
        ({"validation": (np.eye(4), LABELS)}, "validation"),
        ({"batch": 5}, "batch"),
        ({"batch": 0}, "batch"),
        ({"batch": 2.0}, "batch"),
        ({"classes": 1}, "classes"),
        ({"classes": 3.0}, "classes"),
        ({"classes": 3, "train": (X, 3 * LABELS)}, "train, labels"),
        ({"classes": 3, "train": (X, 0.5 * LABELS)}, "train, labels"),
    ],
)
@pytest.mark.parametrize("kind", [HyperparameterSelection, DataCleaning])
def test_bad_data(kind, change, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
        kind(**{"train": GOOD, "validation": GOOD, **change})


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: HyperparameterSelection(GOOD, GOOD, weight_decay=0.1), "weight_decay"),
        (lambda: HyperparameterSelection(GOOD, GOOD, weight_decay=(0.0, 1.0)), "weight_decay"),
        (lambda: HyperparameterSelection(GOOD, GOOD, weight_decay=(1.0, 0.5)), "weight_decay"),
        (lambda: HyperparameterSelection.synthetic(KEY, relevant=11), "relevant"),
        (lambda: HyperparameterSelection.synthetic(KEY, rows=10), "rows"),
        (lambda: HyperparameterSelection.synthetic(KEY, rows=(10, 0)), "rows"),
        (lambda: DataCleaning(GOOD, GOOD, weight_decay=0.0), "weight_decay"),
        (lambda: DataCleaning(GOOD, GOOD, limit=-1.0), "limit"),
        (lambda: DataCleaning(GOOD, GOOD, corrupted=LABELS), "corrupted"),
        (lambda: DataCleaning.synthetic(KEY, corruption=1.0), "corruption"),
        (lambda: DataCleaning.synthetic(KEY, features=0), "features"),
        (lambda: DataCleaning.synthetic(KEY, classes=1), "classes"),
        (lambda: HyperparameterSelection.synthetic(KEY, classes=2.0), "classes"),
    ],
)
def test_bad_arguments(make, name):
    with pytest.raises((ValueError, TypeError), match=f"^{name}: expected"):
        make()
