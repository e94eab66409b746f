"""The pages in docs: their Python prints what they show, commands start, links hold, the reference is whole."""

import ast
import importlib
import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest
from documents import (
    FENCE,
    ROOT,
    alike,
    blocks,
    broken_links,
    missing_modules,
    run_python,
    stackjax_commands,
    targets,
    unknown_targets,
)

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NAMES = [path.relative_to(DOCS).as_posix() for path in PAGES]
TEXTS = {name: path.read_text() for name, path in zip(NAMES, PAGES, strict=True)}
WITH_PYTHON = [name for name in NAMES if blocks(TEXTS[name], "python", "py")]
PACKAGES = ("games", "learners", "equilibria", "experiments", "plots", "catalogue")
#: Modules whose own names are public. Packages say what is by what their `__init__` exports.
MODULES = ("arms", "checks", "protocols", "schedules", "solvers", "spaces", "trace")
MODULES += ("games.bandit_instances", "games.bilevel_problems", "games.incentives")
#: What modules share among themselves.
SHARED = {
    "stackjax.arms": {"SMALL", "TINY", "Row", "is_row", "write_alike", "write_row"},
    "stackjax.protocols": {"one_leader"},
    "stackjax.schedules": {"Rules", "exponent_of"},
    "stackjax.solvers": {"check_solver", "chosen"},
    "stackjax.trace": {"blank", "ended"},
}


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_its_python_prints_what_it_shows(name, page_folder):
    for printed in run_python(TEXTS[name], name):
        if printed.shown is not None:
            assert alike(printed.shown, printed.output), printed.output


def test_most_tutorials_have_python():
    assert sum(name.startswith("tutorials/") for name in WITH_PYTHON) >= 7


@pytest.mark.parametrize("name", [name for name in NAMES if stackjax_commands(TEXTS[name])])
def test_its_commands_start(name, started):
    for arguments in stackjax_commands(TEXTS[name]):
        started(arguments)


@pytest.mark.parametrize("name", NAMES)
def test_its_links_lead_somewhere(name):
    text = TEXTS[name]
    assert broken_links(text, (DOCS / name).parent) == []
    assert missing_modules(text, ROOT) == []
    assert unknown_targets(text, (ROOT / "Makefile").read_text()) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_files_that_it_names_exist(name):
    named = re.findall(r"`((?:benchmarks|notebooks|stackjax|tests)/[\w./-]+)`", FENCE.sub("", TEXTS[name]))
    assert [path for path in named if not (ROOT / path).exists()] == []
    included = re.findall(r'^--8<-- "([^":]+):?(\w*)"$', TEXTS[name], re.MULTILINE)
    for path, part in included:
        assert not part or f"[start:{part}]" in (ROOT / path).read_text(), f"{path}:{part}"


def test_tables_of_claims_have_claims():
    tables = re.findall(r"^<!-- claims: (\S+) -->$", TEXTS["results.md"], re.MULTILINE)
    assert len(tables) == len(set(tables)) > 5
    assert [name for name in tables if '"claim"' not in (ROOT / f"benchmarks/results/{name}.json").read_text()] == []


def test_every_page_is_in_the_navigation_once():
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert sorted(re.findall(r"[\w/-]+\.md", navigation)) == sorted(NAMES)


def test_the_gallery_shows_every_figure():
    stored = {path.name for path in (ROOT / "benchmarks" / "results").glob("*.png")}
    assert stored
    assert {target.rpartition("/")[2] for target in targets(TEXTS["gallery.md"]) if target.endswith(".png")} == stored


def body(module):
    """The statements of a module."""
    return ast.parse(Path(module.__file__).read_text()).body


def is_module(package, name):
    """Whether that is a module of the package."""
    path = getattr(importlib.import_module(package), "__path__", ())
    return name in {found.name for found in pkgutil.iter_modules(path)}


def imported(module):
    """What a module imports from others: its name here -> `module:name`."""
    found = [node for node in body(module) if isinstance(node, ast.ImportFrom)]
    return {a.asname or a.name: f"{node.module}:{a.name}" for node in found for a in node.names}


def defined(name):
    """The public symbols of a module, or those that a package exports, as `module:name` where they are defined."""
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        return {symbol for symbol in imported(module).values() if is_symbol(*symbol.split(":"))}
    own = set()
    for node in body(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            aims = node.targets if isinstance(node, ast.Assign) else [node.target]
            own |= {aim.id for aim in aims if isinstance(aim, ast.Name)}
    return {f"{name}:{symbol}" for symbol in own - SHARED.get(name, set()) if not symbol.startswith("_")}


def is_symbol(module, name):
    """Whether that is a symbol of this library."""
    return module.startswith("stackjax") and not is_module(module, name)


def where(identifier):
    """The `module:name` where what a page refers to is defined."""
    module, _, name = identifier.rpartition(".")
    assert not is_module(module, name), f"{identifier} would show the module of that name: {identifier}.{name}"
    return imported(importlib.import_module(module)).get(name, f"{module}:{name}")


def test_every_public_symbol_is_on_one_api_page():
    names = (*PACKAGES, *MODULES)
    public = set().union(defined("stackjax"), *(defined(f"stackjax.{name}") for name in names))
    shown = Counter(
        where(identifier)
        for name in NAMES
        for identifier in re.findall(r"^::: (\S+)$", TEXTS[name], re.MULTILINE)
        if name.startswith("reference/")
    )
    assert len(public) > 200
    assert sorted(public - set(shown)) == [], "on no page"
    assert sorted(symbol for symbol, times in shown.items() if times > 1) == [], "on several"
    assert sorted(set(shown) - public) == ["stackjax.phases:Phased"], "not public"  # for authors of learners


def test_references_are_to_what_a_page_shows():
    shown = {i for name in NAMES for i in re.findall(r"^::: (\S+)$", TEXTS[name], re.MULTILINE)}
    for name in NAMES:
        for reference in re.findall(r"\]\[(stackjax[\w.]*)\]", TEXTS[name]):
            assert reference in shown, f"{name}: {reference}"
