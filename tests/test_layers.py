"""Imports go strictly downward. The layers are read from the source, so that a new file must find its place in them."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stackjax

ROOT = Path(stackjax.__file__).parent

# Every room of stackjax, from the bottom up. A file may import its own room and what lies strictly below its layer, and
# of its own layer only what is `OPEN` to it.
LAYERS = [
    ["_core", "_core.dependence", "_careful"],
    ["_cones", "checks"],
    ["spaces", "schedules", "_core.noise", "_core.derivatives"],
    ["protocols"],
    ["phases", "_core.wrapped", "_core.entries"],
    ["_constraints", "_core.kernel"],
    ["_calculus", "arms"],
    ["solvers"],
    ["_core.players"],
    ["_core.loop"],
    ["trace", "games", "learners"],
    ["_core.entry"],
    ["_core.batch"],
    ["play"],
    ["equilibria"],
    ["catalogue", "experiments"],
    ["plots"],
    ["cli"],
]
TOP = ("__init__", "__main__")
OPEN = {("catalogue", "experiments"), ("experiments", "catalogue")}
#: What a room may not import although it lies below: the loop knows no game and no learner, nor they the loop.
FORBIDDEN = {
    **{
        loop: {"games", "learners", "_calculus"}
        for loop in ("play", "_core.batch", "_core.entry", "_core.loop", "_core.players", "trace")
    },
    "learners": {"_core.noise", "_core.dependence", "_core.derivatives", "_core.loop", "_core.players", "trace"},
    "games": {"_core.noise", "_core.dependence", "_core.derivatives", "_core.loop", "_core.players", "trace"},
}
#: Who may import a heavy library when it is itself imported; `import stackjax` must import none of them.
HEAVY = {
    "matplotlib": {"plots"},
    "xarray": {"experiments"},
    "h5netcdf": {"experiments"},
    "rich": {"cli", "experiments"},
    "click": {"cli"},
}
BOTTOM = {
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "equinox",
    "jaxtyping",
    "optax",
    "lineax",
    "optimistix",
    "chex",
    "stackjax",
}


def room(name):
    """The room of a file or of an imported module: `games/noisy.py` and `stackjax.games.noisy` are in `games`.

    The files of `_core` are rooms of their own.
    """
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "_core" else parts[0]


def level(name):
    found = [i for i, layer in enumerate(LAYERS) if name in layer]
    return found[0] if found else len(LAYERS) if name in TOP else None


def imports(source, own):
    """What a source imports, as `(name, at module level, only for type checking)`."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):  # relative: spelled out from the file that says it
            package = ["stackjax", *own.split(".")][: -node.level]
            names = [".".join([*package, *([node.module] if node.module else []), alias.name]) for alias in node.names]
        else:
            continue
        above, typing_only, deferred = node, False, False
        while above in parents:
            above = parents[above]
            typing_only |= isinstance(above, ast.If) and ast.unparse(above.test) in (
                "TYPE_CHECKING",
                "typing.TYPE_CHECKING",
            )
            deferred |= isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef)
        found += [(name, not deferred, typing_only) for name in names]
    return found


def violations(name, source):
    """What a file of stackjax, by its dotted name, imports against the rules."""
    own, mine = room(name), level(room(name))
    if mine is None:
        return [f"{name}: in no layer; give it one in LAYERS"]
    wrong = []
    for imported, at_module_level, typing_only in imports(source, name):
        library, _, inner = imported.partition(".")
        if library != "stackjax":
            if library in HEAVY and at_module_level and not typing_only and own not in HEAVY[library]:
                wrong.append(f"{name}: imports {library} at module level")
            continue
        other = room(inner)
        if not inner or level(other) is None:  # a name that stackjax itself exports
            if own not in TOP and own not in ("catalogue", "experiments", "plots", "cli"):
                wrong.append(f"{name}: imports {imported} from the top")
        elif typing_only or other == own:
            continue
        elif level(other) >= mine and (own, other) not in OPEN:
            wrong.append(f"{name}: imports {imported}, which isn't below it")
        elif other in FORBIDDEN.get(own, ()):
            wrong.append(f"{name}: imports {imported}, of which it must know nothing")
    return wrong


def files():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path.read_text()


def test_imports_go_strictly_downward():
    assert [wrong for name, source in files() for wrong in violations(name, source)] == []


def circles(sources):
    """Modules that import each other, within a room too, and however late: sets of their names."""
    edges = {}
    for name, source in sources:
        full = f"stackjax.{name}"
        edges[full] = {each for imported, _, typing_only in imports(source, name) if not typing_only
                       for each in (imported, imported.rpartition(".")[0])}  # fmt: skip
    edges = {name: {other for other in others if other in edges and other != name} for name, others in edges.items()}
    reached = {name: set(others) for name, others in edges.items()}
    for _ in edges:
        grown = {name: others.union(*(reached[other] for other in others)) for name, others in reached.items()}
        if grown == reached:
            break
        reached = grown
    return {frozenset(other for other in reached[name] if name in reached[other]) for name in edges} - {frozenset()}


def without_packages():
    """The files that hold something: a package's own names are those of its files."""
    packages = {name for name, _ in files() if any(other.startswith(f"{name}.") for other, _ in files())}
    return [(name, source) for name, source in files() if name not in {*packages, "__init__"}]


def test_no_circles():
    assert circles(without_packages()) == set()


def test_circles_are_seen():
    late = ("games.b", "def f():\n    from stackjax.games.a import g")
    found = circles([("games.a", "from stackjax.games.b import f"), late, ("games.c", "import stackjax.games.a")])
    assert found == {frozenset({"stackjax.games.a", "stackjax.games.b"})}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("spaces", "from stackjax.protocols import Game"),
        ("schedules", "import stackjax.learners"),
        ("protocols", "from stackjax.games import Noisy"),
        ("games.noisy", "from stackjax.learners import Fixed"),
        ("games.noisy", "from ..learners import Fixed"),
        ("learners.fixed", "from stackjax.games.noisy import Noisy"),
        ("learners.fixed", "def f():\n    from stackjax.games.noisy import Noisy"),
        ("learners.fixed", "from stackjax import play"),
        ("learners.fixed", "import stackjax"),
        ("learners.fixed", "from stackjax._core.noise import round_key"),
        ("learners.fixed", "from stackjax.trace import Record"),
        ("_calculus.implicit", "from stackjax.learners import Fixed"),
        ("_core.loop", "from stackjax.trace import Trace"),
        ("_core.entry", "from stackjax.games import Noisy"),
        ("play", "from stackjax.learners.fixed import Fixed"),
        ("play", "from stackjax.experiments import sweep"),
        ("equilibria.search", "from stackjax.catalogue import games"),
        ("experiments.sweep", "from stackjax.plots import plot"),
        ("plots.portrait", "from stackjax.cli import main"),
        ("trace", "import xarray"),
        ("games.noisy", "from matplotlib import pyplot"),
        ("learners.fixed", "import rich.table"),
        ("plots", "import click"),
        ("attic", "x = 1"),
    ],
)
def test_each_rule_can_be_broken(name, source):
    assert len(violations(name, source)) == 1, violations(name, source)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("protocols", "from stackjax.spaces import Space"),
        ("games.noisy", "from stackjax.games.quadratic import Quadratic\nfrom stackjax.protocols import Game"),
        ("learners.hierarchical_ascent", "from stackjax._calculus.implicit import hierarchical_direction"),
        ("play", "from stackjax._core import entry, loop\nfrom stackjax.trace import Record"),
        ("trace", "def to_xarray():\n    import xarray"),
        ("trace", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import xarray"),
        ("equilibria.certify", "from stackjax.games import Quadratic\nfrom stackjax import play"),
        ("plots.portrait", "import matplotlib.pyplot as plt\nfrom stackjax.equilibria import find"),
        ("cli", "import click\nfrom stackjax.experiments import compare"),
        ("__init__", "from stackjax.play import play"),
    ],
)
def test_what_is_allowed_is_allowed(name, source):
    assert violations(name, source) == []


@pytest.fixture(scope="module")
def fresh_import():
    """What a new interpreter has imported and printed after `import stackjax`."""
    code = "import stackjax, sys; print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent
    )


def test_the_core_imports_no_heavy_library(fresh_import):
    imported = set(fresh_import.stderr.split())
    assert "stackjax" in imported and imported.isdisjoint(HEAVY)


def test_importing_prints_nothing_and_warns_of_nothing(fresh_import):
    assert fresh_import.stdout == "" and len(fresh_import.stderr.splitlines()) == 1


def test_importing_starts_no_backend():
    """So that a script can still choose its platform and its number of devices."""
    code = "import stackjax, jax; jax.config.update('jax_num_cpu_devices', 3); assert jax.device_count() == 3"
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT.parent, env={**os.environ, "JAX_PLATFORMS": "cpu"}
    )
