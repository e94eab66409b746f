"""Bilevel problems as games: the leader chooses what a logistic regression is trained by, and is paid on other data."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Scalar

from stackjax.checks import as_number, concrete, number, whole
from stackjax.games._checks import finite_array
from stackjax.protocols import Action, Game, Noise
from stackjax.spaces import Box, Euclidean

#: Rows of features, and a label for each, one of the whole numbers from 0, as floats.
Data = tuple[Float[Array, "n d"], Float[Array, " n"]]


class _LogisticRegression(Game):
    """A follower who fits coefficients to the training data, and a leader who is paid for the validation data."""

    train: Data
    validation: Data
    batch: int | None = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    levels = ((0,), (1,))

    def __init__(self, train: Any, validation: Any, batch: int | None, classes: int):
        self.classes = whole("classes", classes, 2)
        self.train, self.validation = (
            _data(name, data, self.classes) for name, data in (("train", train), ("validation", validation))
        )
        columns = [data[0].shape[1] for data in (self.train, self.validation)]
        if columns[0] != columns[1]:
            raise ValueError(f"validation: expected {columns[0]} features as in train, got {columns[1]}")
        rows = min(data[1].size for data in (self.train, self.validation))
        self.batch = None if batch is None else whole("batch", batch)
        if self.batch is not None and self.batch > rows:
            raise ValueError(f"batch: expected at most {rows}, the rows of the smaller data set, got {batch}")

    @property
    def recorded_payoffs(self) -> str:  # type: ignore[override]  # an attribute there; it depends on the batch here
        """What is paid; exact payoffs would go through all the data in every round."""
        return "exact" if self.batch is None else "realised"

    @property
    def _coefficients(self) -> Euclidean:
        """The follower's space: a coefficient a feature, `[d]`, or with more than two classes each, `[d, classes]`."""
        d = self.train[0].shape[-1]
        return Euclidean((d,) if self.classes == 2 else (d, self.classes))

    def requires(self) -> dict[str, Any]:
        """Labels of the classes, also in games that were made in a batch."""
        known = {"train": self.train[1], "validation": self.validation[1]}
        text = _expected(self.classes)
        return {f"{name}, labels: expected {text}": _are_labels(each, self.classes) for name, each in known.items()}

    def draw(self, key: PRNGKeyArray) -> Noise:
        """The rows of the mini-batches of both data sets, drawn with replacement; `()` without mini-batches."""
        if self.batch is None:
            return ()
        keys = jax.random.split(key)
        sizes = [data[1].shape[-1] for data in (self.train, self.validation)]
        return tuple(jax.random.randint(k, (self.batch,), 0, n, jnp.int32) for k, n in zip(keys, sizes, strict=True))

    def payoffs(self, *actions: Action) -> tuple[Scalar, ...]:
        """On all the data."""
        return self._paid(self.train, self.validation, None, *actions)

    def realise(self, noise: Noise, *actions: Action) -> tuple[Scalar, ...]:
        """On this round's mini-batches, the same for both players; the mean over rounds is `payoffs`."""
        if self.batch is None:
            return self.payoffs(*actions)
        rows, others = noise
        train, validation = (
            jax.tree.map(lambda a, at=at: a[at], data) for data, at in ((self.train, rows), (self.validation, others))
        )
        return self._paid(train, validation, rows, *actions)

    def _paid(self, train: Data, validation: Data, rows: Array | None, *actions: Action) -> tuple[Scalar, ...]:
        """On these data, which are the `rows` of the training data; None: all of them."""
        raise NotImplementedError


class HyperparameterSelection(_LogisticRegression):
    """The leader chooses one weight decay a feature of a logistic regression, which the follower trains.

    With leader x and follower y, both in R^d, and `l` the mean logistic loss of the coefficients on a data set,
    `f_2 = -l(train, y) - sum_j e^(x_j) y_j^2 / 2` and `f_1 = -l(validation, y)`. With more than two classes the
    follower has a coefficient for each feature and class, y in R^(d x classes), `l` is the softmax loss, and `y_j^2`
    the sum of the squares of row j: a feature's decay is that of all its coefficients. The leader acts on a logarithmic
    scale in a box, so that no weight decay is below its bound: the follower's payoff is strongly concave everywhere.
    In unbounded decays there would be no optimum: those of coefficients that only fit noise would grow for ever.
    (Hyper-parameter selection by implicit gradients: Bengio, 2000; Pedregosa, 2016.)

    The leader's payoff doesn't depend on its own action, so that its partial gradient is 0: it learns by the follower's
    response or not at all.

    **Arguments:**

    - `train`, `validation`: each a pair of features `[n, d]` and labels `[n]`, whole numbers from 0 to `classes - 1`;
      the numbers of rows may differ.
    - `weight_decay`: the lowest and the highest decay that the leader may choose, 0 < low < high.
    - `batch`: how many rows of each are drawn in a round, with replacement; None: all rows, no noise. Static.
    - `classes`: how many, at least 2 (default). Static.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    weight_decay: tuple[Any, Any]

    def __init__(
        self,
        train: Any,
        validation: Any,
        *,
        weight_decay: tuple[Any, Any] = (1e-3, 10.0),
        batch: int | None = None,
        classes: int = 2,
    ):
        super().__init__(train, validation, batch, classes)
        if not isinstance(weight_decay, tuple | list) or len(weight_decay) != 2:
            raise ValueError(f"weight_decay: expected the lowest and the highest, got {weight_decay!r}")
        low, high = map(as_number, weight_decay)
        number(low, "weight_decay", 0.0)
        number(high, "weight_decay", 0.0)
        if concrete(low, high) and not np.all(np.asarray(low) < np.asarray(high)):
            raise ValueError(f"weight_decay: expected the lowest below the highest, got {weight_decay!r}")
        self.weight_decay = low, high

    @staticmethod
    def synthetic(
        key: PRNGKeyArray,
        *,
        rows: tuple[int, int] = (100, 100),
        features: int = 10,
        relevant: int = 3,
        signal: float = 2.0,
        classes: int = 2,
        **options: Any,
    ) -> "HyperparameterSelection":
        """A problem in which few features matter: those should have a low weight decay and all others a high one.

        Features are standard normal; a label is 1 with probability `sigmoid(signal (s_1 z_1 + ... + s_r z_r))` of its
        first `relevant` features z and random signs s. Of more than two classes each has its softmax probability, with
        a random vector of length `signal` for each relevant feature: a coefficient a class, of sum 0. For a batch of
        problems on a leading axis, `vmap` this function over keys, and give `play` the `in_axes`.

        **Arguments:** `key`; `rows` for training and for validation; `features`, `relevant` at most as many; `signal`;
        `classes`; `options`: `weight_decay` and `batch` as in the class.
        """
        classes = whole("classes", classes, 2)
        features, relevant = whole("features", features), whole("relevant", relevant, 0)
        if relevant > features:
            raise ValueError(f"relevant: expected at most {features}, the number of features, got {relevant}")
        keys = jax.random.split(key, 3)
        matters = jnp.arange(features) < relevant
        if classes == 2:
            signs = jnp.where(jax.random.bernoulli(keys[0], 0.5, (features,)), 1.0, -1.0)
            truth = jnp.where(matters, signal * signs, 0.0)
        else:
            normals = jax.random.normal(keys[0], (features, classes))
            apart = normals - jnp.mean(normals, 1, keepdims=True)
            truth = jnp.where(matters[:, None], signal * apart / jnp.linalg.norm(apart, axis=1, keepdims=True), 0.0)
        train, validation = (_drawn(k, n, truth) for k, n in zip(keys[1:], _rows(rows), strict=True))
        return HyperparameterSelection(train, validation, classes=classes, **options)

    @property
    def spaces(self) -> tuple[Box, Euclidean]:
        """The logarithms of the decays, between their bounds; coefficients."""
        d = self.train[0].shape[-1]
        low, high = (jnp.log(jnp.asarray(decay)) for decay in self.weight_decay)
        return Box(low, high, (d,)), self._coefficients

    def _paid(self, train: Data, validation: Data, rows: Array | None, *actions: Action) -> tuple[Scalar, ...]:
        x, y = actions
        decay = jnp.sum(jnp.exp(x) * (y**2 if y.ndim == 1 else jnp.sum(y**2, 1))) / 2
        return -jnp.mean(losses(validation, y)), -jnp.mean(losses(train, y)) - decay


class DataCleaning(_LogisticRegression):
    """The leader chooses how much each row of the training data counts; some of their labels are wrong.

    With leader x in R^n, one number a row, follower y in R^d and `l_i` the logistic loss of the coefficients on row i,
    `f_2 = -mean_i(sigmoid(x_i) l_i(train, y)) - weight_decay |y|^2 / 2` and `f_1 = -mean_i l_i(validation, y)`, on
    validation data whose labels are right. With more than two classes y is in R^(d x classes) and `l_i` the softmax
    loss. The leader has a box `[-limit, limit]^n`: without bounds it would go for
    weights of exactly 0 and 1, which lie at infinity. The follower's payoff is strongly concave, by the weight decay.
    (Data hyper-cleaning: Franceschi et al., 2017, with softmax regression on images.)

    As in `HyperparameterSelection` the leader's partial gradient is 0.

    **Arguments:**

    - `train`, `validation`, `batch`, `classes`: as in `HyperparameterSelection`.
    - `weight_decay` > 0; `limit` > 0: of the leader's logits.
    - `corrupted`: if known, which rows of the training data have a wrong label, `[n]`; no player sees it.

    **Raises:** `ValueError` or `TypeError` that names the argument.
    """

    weight_decay: Any
    limit: Any
    corrupted: Bool[Array, " n"] | None

    def __init__(
        self,
        train: Any,
        validation: Any,
        *,
        weight_decay: Any = 0.01,
        limit: Any = 5.0,
        batch: int | None = None,
        classes: int = 2,
        corrupted: Any = None,
    ):
        super().__init__(train, validation, batch, classes)
        self.weight_decay, self.limit = as_number(weight_decay), as_number(limit)
        number(self.weight_decay, "weight_decay", 0.0)
        number(self.limit, "limit", 0.0)
        self.corrupted = None if corrupted is None else jnp.asarray(corrupted)
        shape = self.train[1].shape
        if self.corrupted is not None and (self.corrupted.dtype != jnp.bool_ or self.corrupted.shape != shape):
            got = f"{self.corrupted.dtype}{list(self.corrupted.shape)}"
            raise ValueError(f"corrupted: expected bool{list(shape)}, one entry a row of train, got {got}")

    @staticmethod
    def synthetic(
        key: PRNGKeyArray,
        *,
        rows: tuple[int, int] = (100, 100),
        features: int = 5,
        corruption: float = 0.3,
        signal: float = 4.0,
        classes: int = 2,
        **options: Any,
    ) -> "DataCleaning":
        """A problem in which the label of each row of the training data is wrong with probability `corruption`.

        Features are standard normal; a label, before that, is 1 with probability `sigmoid(signal u'z)` of its features
        z, u a random unit vector. Of more than two classes each has such a vector of its own, and its softmax
        probability; a wrong label is any of the others with equal probability. For a batch of problems `vmap` it as
        `HyperparameterSelection.synthetic`.

        **Arguments:** `key`; `rows` for training and for validation; `features`; `corruption` in [0, 1); `signal`;
        `classes`; `options`: `weight_decay`, `limit` and `batch` as in the class.
        """
        number(corruption, "corruption", 0.0, open_low=False, high=1.0)
        keys = jax.random.split(key, 4)
        features, classes = whole("features", features), whole("classes", classes, 2)
        direction = jax.random.normal(keys[0], (features,) if classes == 2 else (features, classes))
        truth = signal * direction / jnp.linalg.norm(direction, axis=0, keepdims=True)
        train, validation = (_drawn(k, n, truth) for k, n in zip(keys[1:3], _rows(rows), strict=True))
        wrong = jax.random.bernoulli(keys[3], corruption, train[1].shape)
        further = jax.random.randint(jax.random.fold_in(keys[3], 1), wrong.shape, 1, classes)
        others = jnp.mod(train[1] + further.astype(train[1].dtype), classes)
        train = train[0], jnp.where(wrong, others, train[1])
        return DataCleaning(train, validation, classes=classes, corrupted=wrong, **options)

    @property
    def spaces(self) -> tuple[Box, Euclidean]:
        """The logits of the rows' weights; coefficients."""
        n = self.train[0].shape[-2]
        limit = jnp.asarray(self.limit)
        return Box(-limit, limit, (n,)), self._coefficients

    def _paid(self, train: Data, validation: Data, rows: Array | None, *actions: Action) -> tuple[Scalar, ...]:
        x, y = actions
        weights = jax.nn.sigmoid(x if rows is None else x[rows])
        fit = jnp.mean(weights * losses(train, y)) + self.weight_decay * jnp.sum(y**2) / 2
        return -jnp.mean(losses(validation, y)), -fit


def losses(data: Data, coefficients: Float[Array, "d *classes"]) -> Float[Array, " n"]:
    """`log(1 + e^t) - label t` of each row, `t = features' coefficients`; of several classes `log(sum e^t) - t_label`.

    The first for coefficients `[d]`, the second for `[d, classes]`.
    """
    features, labels = data
    scores = features @ coefficients
    if scores.ndim == 1:
        return jax.nn.softplus(scores) - labels * scores
    chosen = jnp.take_along_axis(scores, labels.astype(jnp.int32)[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(scores, axis=1) - chosen


def _rows(rows: Any) -> tuple[int, int]:
    if not isinstance(rows, tuple | list) or len(rows) != 2:
        raise ValueError(f"rows: expected how many for training and for validation, got {rows!r}")
    return whole("rows", rows[0]), whole("rows", rows[1])


def _drawn(key: PRNGKeyArray, rows: int, truth: Float[Array, "d *classes"]) -> Data:
    """Standard normal features, and labels by a logistic or softmax model with these coefficients."""
    first, second = jax.random.split(key)
    features = jax.random.normal(first, (rows, truth.shape[0]))
    scores = features @ truth
    if scores.ndim == 1:
        labels = jax.random.bernoulli(second, jax.nn.sigmoid(scores))
    else:
        labels = jax.random.categorical(second, scores)
    return features, labels.astype(features.dtype)


def _expected(classes: int) -> str:
    return "0 and 1" if classes == 2 else f"whole numbers from 0 to {classes - 1}"


def _are_labels(labels: Array, classes: int) -> Array:
    return jnp.all((labels == jnp.round(labels)) & (labels >= 0) & (labels < classes))


def _data(name: str, data: Any, classes: int) -> Data:
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(f"{name}: expected a pair of features and labels, got {type(data).__name__}")
    features = finite_array(f"{name}, features", data[0], (None, None))
    labels = jnp.asarray(data[1])
    if labels.shape != features.shape[:1]:
        raise ValueError(f"{name}, labels: expected {features.shape[0]}, one a row of features, got {labels.shape}")
    if concrete(labels) and not np.all(np.isin(np.asarray(labels), np.arange(classes))):
        found = np.unique(np.asarray(labels))[:5].tolist()
        raise ValueError(f"{name}, labels: expected {_expected(classes)}, got {found}")
    return features, labels.astype(features.dtype)
