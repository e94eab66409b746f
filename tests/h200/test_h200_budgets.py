"""What is compiled for an NVIDIA H200 keeps to budgets. `make test-h200` runs these: they need the CUDA plugin."""

import pytest

pytest.importorskip("jax_plugins.xla_cuda13", reason="nothing compiles for CUDA here; `make test-h200` installs it")

from benchmarks.h200 import sass
from benchmarks.h200.device import compiled as compiled_program
from benchmarks.h200.device import without_gpu
from benchmarks.h200.programs import ROUNDS
from benchmarks.h200.report import figures

#: The host may look at most once in so many rounds whether they are over.
UNWATCHED = 64
REPLICATES = 100_000
FIGURES = ("kernels_per_round", "bytes_per_replicate_and_round", "table_copies_per_round")
#: At most so much of each. What is copied are actions, which are recorded as the last ones.
BUDGETS = {
    "ucb-2x2": (2, 200, 0),
    "hi-c-duopoly": (9, 64, 1),
    "hierarchical-duopoly": (6, 64, 4),
    "lola-dilemma": (12, 176, 10),
}


@pytest.fixture(scope="module", params=BUDGETS)
def compiled(request):
    without_gpu()
    return request.param, figures(request.param, REPLICATES)


@pytest.mark.parametrize("k", range(len(FIGURES)), ids=FIGURES)
def test_a_round_keeps_to_its_budget(compiled, k):
    name, found = compiled
    assert found[FIGURES[k]] <= BUDGETS[name][k]


def test_the_host_rarely_decides(compiled):
    assert compiled[1]["host_decisions_per_run"] <= ROUNDS // UNWATCHED


#: Registers and instructions of a round, on its shortest way and altogether, at most.
KERNELS = {
    "duopoly/hi-c": (96, 90, 760),
    "2x2/ucb": (72, 300, 300),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_keeps_to_its_budget(name):
    without_gpu()
    (ptx,) = (each for each in compiled_program(name, REPLICATES, kernel=True).ptx if ".entry rounds" in each)
    code = sass.assembled(ptx)
    assert code.spilled == 0
    registers, least, all_ = KERNELS[name]
    assert code.registers <= registers
    assert code.least <= least
    assert code.all <= all_
