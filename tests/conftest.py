"""Numerics of every test: no silent change of rank or type; eight virtual CPU devices where there is no GPU."""

import gc
import os
import pathlib
import sys

import jax
import pytest

from stackjax import experiments

os.environ.setdefault("STACKJAX_CACHE", "off")  # commands compile as if for the first time
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")  # a GPU would round products to TF32
if not os.environ.get("JAX_PLATFORMS", "").startswith("cuda"):
    jax.config.update("jax_num_cpu_devices", 8)  # before any backend starts
# Tests count programs, whichever ran in the same process before.
sys.modules[experiments.run.__module__].MOST_PROGRAMS = 10**9


#: Bytes of the process from which on programs are let go; what the allocator keeps of them isn't asked for again.
_LIMIT = [1.1 * 2**30]


@pytest.fixture(autouse=True)
def lets_programs_go():
    """Compiled programs stay in memory until somebody lets them go: after a test, where the process has grown."""
    yield
    if _resident() > _LIMIT[0]:
        jax.clear_caches()
        gc.collect()
        _LIMIT[0] = max(_LIMIT[0], _resident() + 0.3 * 2**30)


def _resident():
    """Bytes in memory of this process; 0 where the system doesn't say."""
    statm = pathlib.Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


@pytest.fixture
def x64():
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield


def pytest_collection_modifyitems(items):
    """Tests that share a fixture of their module share a process, too (`--dist loadgroup`), which makes it once."""
    for item in items:
        fixtures = getattr(item, "_fixtureinfo", None)
        shared = fixtures and any(found[-1].scope == "module" for found in fixtures.name2fixturedefs.values())
        if shared and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


@pytest.fixture
def page_folder(monkeypatch, tmp_path):
    """Where the Python of a page runs: no windows, and files in a temporary folder."""
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def started(monkeypatch):
    """A function that starts a `stackjax` command, up to where it would compute; an `AssertionError` if it can't."""
    from click.testing import CliRunner

    from stackjax import cli, equilibria

    class Reached(Exception):
        pass

    def reached(*arguments, **options):
        raise Reached

    for name in ("compare", "sweep", "regret", "metagame", "lead"):
        monkeypatch.setattr(sys.modules[f"stackjax.experiments.{name}"], "run", reached)
    for owner, name in (
        (equilibria, "find"),
        (equilibria, "certify"),
        (experiments, "load"),
        (experiments.Study, "play"),
    ):
        monkeypatch.setattr(owner, name, reached)
    monkeypatch.chdir(pathlib.Path(__file__).parents[1])

    def started(arguments):
        result = CliRunner().invoke(cli.main, arguments)
        done = isinstance(result.exception, Reached) or result.exit_code == 0
        assert done, f"stackjax {' '.join(arguments)}: {result.output or result.exception!r}"

    return started
