"""Whether a change of a script is seen: every edit that can change data, and none that can't."""

import operator
import sys
import types
import warnings

import numpy as np
import optax
import pytest
from scipy.interpolate import CubicSpline

from stackjax.experiments.identity import codes

HELPER = """
RATE = 2.0

def squared(x):
    return RATE * x**2

def unused(x):
    return x
"""

SCRIPT = '''
"""A study."""
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import identity_helper as helper
from stackjax import Game, Record
from stackjax.learners import GradientAscent, HiC
from stackjax.spaces import Box

WEIGHT = 0.5
TABLE = {"a": np.array([1.0, 2.0])}
UNUSED = 3


def cost(x, y):
    return WEIGHT * (x - y) ** 2


@jax.jit
def jitted(x):
    return x * 4


@functools.partial(jax.custom_jvp)
def custom(x):
    return x * 5


@custom.defjvp
def _(primals, tangents):
    return custom(*primals), 6 * tangents[0]


def wrapped(f):
    @functools.wraps(f)
    def inner(*a):
        return f(*a) + 7
    return inner


@wrapped
def decorated(x):
    return x * 8


def scaled(x, by=9.0, *, more=10.0):
    return x * by * more


class Slope:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return self.k * x + 11


class Layer(eqx.Module):
    def __call__(self, x):
        return jnp.tanh(x) + 12


class Holder:
    def method(self, x):
        return x + 13


class Base(Game):
    spaces = (Box(0.0, 14.0), Box(0.0, 1.0))
    levels = ((0,), (1,))

    def shifted(self, x):
        return x + 15

    @property
    def half(self):
        return 0.25

    @staticmethod
    def fixed(x):
        return x - 16


def nested(x):
    """What it does."""
    def inside(z):
        return z + 17
    return inside(x)


def made(k):
    return lambda x: x + k


closed = made(18)
slope, layer, held = Slope(19.0), Layer(), Holder().method
half = functools.partial(scaled, by=20.0)


class Mine(Base):
    def payoffs(self, x, y):
        """Both."""
        first = cost(x, y) + helper.squared(x) + jitted(x) + custom(x) + decorated(x) + scaled(x) + closed(x)
        second = slope(x) + layer(x) + held(y) + self.shifted(y) + self.half + self.fixed(x) + nested(y) + half(x)
        return -first + TABLE["a"][0], -second  # a comment


class Steps(GradientAscent):
    def direction(self, *args, **options):
        return 21 * super().direction(*args, **options)


def distance(x, y):
    return {"d": abs(x - 22)}


def equilibrium(game):
    return (23.0, 1.0)


roots = {
    "game": Mine(), "methods": {"a": (Steps(0.1), HiC(0.1, 0.1, 2))}, "record": Record.final(metrics=distance),
    "nash": equilibrium, "maker": lambda step: GradientAscent(step * 24),
}
'''


def found(script=SCRIPT, helper=HELPER, name="identity_script"):
    """The digests of a script that imports a helper."""
    modules = {"identity_helper": helper, name: script}
    try:
        for title, source in modules.items():
            sys.modules[title] = module = types.ModuleType(title)
            module.__file__ = f"/somewhere/{title}.py"
            exec(compile(source, module.__file__, "exec"), vars(module))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return codes(sys.modules[name].roots)
    finally:
        for title in modules:
            sys.modules.pop(title, None)


@pytest.fixture(scope="module")
def before():
    return found()


EDITS = {
    "a method": ("-second  # a", "-2 * second  # a", "Mine.payoffs"),
    "a global number": ("WEIGHT = 0.5", "WEIGHT = 0.6", "WEIGHT"),
    "an array in a global": ("np.array([1.0, 2.0])", "np.array([1.5, 2.0])", "TABLE"),
    "a helper function": ("return WEIGHT * (x - y) ** 2", "return WEIGHT * (x - y) ** 4", "cost"),
    "a jitted function": ("x * 4", "x * 4.5", "jitted"),
    "a function with its own derivative": ("x * 5", "x * 5.5", "custom"),
    "the derivative": ("6 * tangents", "6.5 * tangents", "_"),
    "a decorator": ("f(*a) + 7", "f(*a) + 7.5", "wrapped.<locals>.inner"),
    "what is decorated": ("x * 8", "x * 8.5", "decorated"),
    "a default": ("by=9.0", "by=9.5", "scaled"),
    "a keyword's default": ("more=10.0", "more=10.5", "scaled"),
    "a callable's body": ("self.k * x + 11", "self.k * x + 11.5", "Slope.__call__"),
    "a callable's attribute": ("Slope(19.0)", "Slope(19.5)", "slope.k"),
    "a module's call": ("jnp.tanh(x) + 12", "jnp.tanh(x) + 12.5", "Layer.__call__"),
    "a bound method": ("x + 13", "x + 13.5", "Holder.method"),
    "a method of a base class": ("x + 15", "x + 15.5", "Base.shifted"),
    "a property": ("0.25", "0.75", "Base.half"),
    "a static method": ("x - 16", "x - 16.5", "Base.fixed"),
    "a function inside": ("z + 17", "z + 17.5", "nested"),
    "a closure's number": ("made(18)", "made(18.5)", "made.<locals>.<lambda>: k"),
    "a partial's keyword": ("by=20.0", "by=20.5", "half"),
    "a learner's method": ("21 * super", "21.5 * super", "Steps.direction"),
    "a metric": ("abs(x - 22)", "abs(x - 22.5)", "distance"),
    "a maker of equilibria": ("23.0, 1.0", "23.5, 1.0", "equilibrium"),
    "a maker of learners": ("step * 24", "step * 24.5", "<lambda>"),
    "a class attribute": ("Box(0.0, 14.0)", "Box(0.0, 14.5)", "Base.spaces"),
}


@pytest.mark.parametrize(("old", "new", "names"), EDITS.values(), ids=EDITS)
def test_an_edit_is_seen_and_named(before, old, new, names):
    assert SCRIPT.count(old) == 1
    after = found(SCRIPT.replace(old, new))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    assert names in changed and len(changed) <= 2, changed


@pytest.mark.parametrize(
    ("old", "new", "name"), [("RATE = 2.0", "RATE = 3.0", "RATE"), ("x**2", "x**3", "squared")], ids=["number", "body"]
)
def test_a_module_beside_the_script_counts(before, old, new, name):
    after = found(helper=HELPER.replace(old, new))
    assert [k for k in before if before[k] != after[k]] == [name]


SAME = {
    "a comment": ("# a comment", "# another comment, longer"),
    "formatting": ("return -first + TABLE", "\n        return  (-first)  +  TABLE"),
    "an unused global": ("UNUSED = 3", "UNUSED = 4"),
    "a docstring": ('"""Both."""', '"""Both of them."""'),
    "the docstring of a function inside": ('"""What it does."""', '"""What it may do."""'),
    "an unused function": ("closed = made(18)", "def other(x):\n    return x\n\n\nclosed = made(18)"),
}


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_does_not_matter_is_not_seen(before, old, new):
    assert SCRIPT.count(old) == 1 and found(SCRIPT.replace(old, new)) == before


def test_numbers_inside_of_library_objects_count():
    """They aren't in the configuration if a function reads them as globals."""

    def digests(rate, knots):
        names = {"RATE": optax.exponential_decay(rate, 10, 0.5), "CURVE": CubicSpline([0.0, 1.0, 2.0], knots)}
        exec("def f(x):\n    return RATE(x) + CURVE(x)", names)
        return codes({"f": names["f"]})

    first = digests(0.1, [0.0, 1.0, 0.0])
    assert digests(0.1, [0.0, 1.0, 0.0]) == first
    assert digests(0.2, [0.0, 1.0, 0.0]) != first and digests(0.1, [0.0, 2.0, 0.0]) != first


def test_texts_that_are_no_docstrings_count():
    ways = [
        {"f": lambda: ["a" for _ in (1,)]},
        {"f": lambda: ["b" for _ in (1,)]},
        {"f": lambda: "a"},
        {"f": lambda: "b"},
    ]
    assert len({tuple(codes(way).values()) for way in ways}) == 4


def test_names_of_files_and_unused_functions_of_modules_do_not_matter(before):
    assert found(name="renamed") == before
    assert found(helper=HELPER.replace("return x\n", "return 2 * x\n")) == before


def test_what_cannot_be_looked_into_is_named():
    with pytest.warns(UserWarning, match=r"wouldn't be noticed .*: game\[0\] \(numpy.random"):
        codes({"game": {0: np.random.default_rng(0)}})
    assert codes({"key": operator.itemgetter(1)}) != codes({"key": operator.itemgetter(2)})
