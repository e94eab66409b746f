"""The examples in docstrings run, and everything public is documented."""

import doctest
import importlib
import inspect
import pkgutil
import shutil

import pytest

import stackjax

MODULES = sorted(
    m.name for m in pkgutil.walk_packages(stackjax.__path__, "stackjax.") if not m.name.endswith("__main__")
)
PUBLIC = ["stackjax", "stackjax.games", "stackjax.learners", "stackjax.spaces", "stackjax.schedules", "stackjax.trace"]
PUBLIC += [name for name in MODULES if name in ("stackjax.equilibria", "stackjax.experiments", "stackjax.arms")]


def load(name):
    # `stackjax.play` is also the name of the function, so modules are taken from the import system.
    return importlib.import_module(name)


@pytest.mark.parametrize("name", ["stackjax", *MODULES])
def test_the_examples_of_a_module_run(name):
    failed, _ = doctest.testmod(load(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failed == 0


def test_there_are_examples():
    assert sum(len(test.examples) for name in MODULES for test in doctest.DocTestFinder().find(load(name))) > 0


@pytest.mark.parametrize("name", ["stackjax", *MODULES])
def test_every_module_says_what_it_is(name):
    assert load(name).__doc__


def public(module):
    """The classes and functions of stackjax that a module offers."""
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    for name in names:
        value = getattr(module, name)
        if callable(value) and getattr(value, "__module__", "").startswith("stackjax"):
            yield name, value


def undocumented(name, value):
    """The public symbol, and those of its methods that nobody documented: neither it nor a class that it extends."""
    if not (value.__doc__ or "").strip() or value.__doc__.startswith(f"{name}("):  # what `NamedTuple` would write
        yield name
    if inspect.isclass(value):
        for method, member in vars(value).items():
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if (
                not method.startswith("_")
                and inspect.isfunction(function)
                and not inspect.getdoc(getattr(value, method))
            ):
                yield f"{name}.{method}"


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(name):
    symbols = dict(public(load(name)))
    assert symbols
    assert [missing for symbol, value in symbols.items() for missing in undocumented(symbol, value)] == []


def test_undocumented_symbols_are_found():
    class Silent:
        def method(self):
            pass

    assert list(undocumented("Silent", Silent)) == ["Silent", "Silent.method"]
    assert list(undocumented("rmtree", shutil.rmtree)) == []


def test_the_package_exports_what_scripts_rely_on():
    names = {
        "Calls", "FailedReplicatesError", "Game", "Learner", "Record", "Seen", "Signal", "Signals", "Status", "Trace",
        "UndeclaredSignalError", "View", "games", "learners", "play", "schedules", "spaces",
    }  # fmt: skip
    assert names <= set(vars(stackjax))
    assert callable(stackjax.play) and isinstance(stackjax.__version__, str)
