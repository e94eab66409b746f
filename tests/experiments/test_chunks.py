"""How many runs are played at once: programs whose memory is known, a budget, and what a process takes beside."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from stackjax.experiments._assembly import Tables
from stackjax.experiments._chunks import Kind, Sizes, sizes
from stackjax.experiments._prepared import prepared

from stackjax import Record, experiments
from stackjax.experiments import _chunks, _memory
from stackjax.games import CournotDuopoly
from stackjax.learners import Fixed

MIB = 2**20
OVER = {"leader.action": np.linspace(10.0, 20.0, 300)}
OPTIONS = {"rounds": 4, "replicates": 1, "devices": 1, "record": Record.final()}
CPU, GPU = (
    SimpleNamespace(platform=platform, memory_stats=lambda: {"bytes_limit": 1000 * MIB}) for platform in ("cpu", "gpu")
)


class Program:
    """What is asked of a program of so many runs: each has a state of 4 KiB and takes 1 MiB, and all of them 5 MiB."""

    compiled: list[int]

    def __init__(self, runs, devices):
        self.runs, self.devices = runs, devices
        self.out_info = (None, None, None, ((jax.ShapeDtypeStruct((runs, 1024), np.float32),),))

    def compile(self):
        Program.compiled.append(self.runs)
        return self

    def memory_analysis(self):
        kinds = ("argument", "output", "temp")
        of = dict(zip(kinds, (4 * MIB, MIB, self.runs // self.devices * MIB), strict=True))
        return SimpleNamespace(**{f"{kind}_size_in_bytes": of[kind] for kind in kinds})


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Two cores, 1000 MiB, of which the process has 150; it takes 20 more whenever it is asked."""
    asked = []

    def resident():
        asked.append(1)
        return (150 + 20 * len(asked)) * MIB

    monkeypatch.setattr(_chunks, "_cores", lambda: 2)
    monkeypatch.setattr(_chunks, "physical_memory", lambda: 1000 * MIB)
    monkeypatch.setattr(_chunks, "resident", resident)
    Program.compiled = []


def kind(runs, host=0, devices=1):
    return Kind(runs, lambda size: Program(size, devices), host)


@pytest.mark.parametrize(
    ("runs", "host", "budget", "devices", "expected"),
    [
        (100, 0, None, [CPU], [100]),  # a quarter of the machine
        (300, 0, None, [CPU], [150]),  # at most 245, in chunks of one size
        (300, 0, None, [GPU], [300]),
        (900, 0, None, [GPU], [450]),  # at most 795
        (300, MIB, None, [CPU], [100]),  # at most 122
        (300, MIB, None, [GPU], [300]),  # the host's memory is another one
        (300, 0, 105 * MIB, [GPU], [100]),
        (301, 0, 105 * MIB, [GPU], [76]),
        (300, 0, 30 * MIB, [GPU, GPU], [50]),  # 25 on each
        (301, 0, 30 * MIB, [GPU, GPU], [44]),
        (9000, 0, 10**12, [CPU], [1000]),  # 500 on each core: more don't run faster
        (9000, 0, 10**12, [CPU] * 2, [1000]),
    ],
)
def test_as_many_as_fit(runs, host, budget, devices, expected):
    assert sizes([kind(runs, host, len(devices))], budget, devices) == Sizes(expected)
    assert Program.compiled[-1] == expected[0]  # no program in vain after it


def test_one_program_where_everything_fits():
    sizes([kind(100), kind(90)], None, [CPU])
    assert Program.compiled == [100, 90]


def test_what_the_process_takes_beside_is_taken_off():
    """Grown by 70 MiB, 80 in whole steps, and 48 for what comes later of two kinds: 72 are left of 200."""
    found = sizes([kind(100), kind(45)], 200 * MIB, [CPU], before=120 * MIB)
    assert found == Sizes([50, 45], 128 * MIB)  # at most 67: two chunks
    assert sizes([kind(100)], 200 * MIB, [GPU], before=120 * MIB) == Sizes([100])


def test_the_least_budget_is_said():
    with pytest.raises(ValueError) as caught:
        sizes([kind(100)], 50 * MIB, [CPU], before=120 * MIB)
    assert str(caught.value) == (
        "budget: expected at least 118 MiB, got 50 MiB: one run takes 6 MiB, beside 112 MiB for programs and what goes "
        "with them"
    )
    with pytest.raises(ValueError, match=r"at least 6 MiB, got 2 MiB: a run on each of 2 devices takes 6 MiB$"):
        sizes([kind(100, devices=2)], 2 * MIB, [GPU, GPU])


def test_real_programs():
    """As the compiler says of them: half of the memory is for half of the runs, or nearly so."""
    made = prepared(CournotDuopoly(), (Fixed(1.0), Fixed(1.0)), OVER, **OPTIONS)
    (own,), device = made.kinds(), made.runs.devices
    budget = _chunks.needed(own, 300, device) // 2
    (size,) = sizes([own], budget, device).each
    assert 100 <= size <= 150 and _chunks.needed(own, size, device) <= budget


def test_memory_of_this_process():
    """Grown by an array that is there, and no more by one that was freed and given back."""
    before = _memory.resident()
    if not before:
        pytest.skip("the system doesn't say")
    array = np.ones(16 * MIB)
    assert _memory.resident() - before > 100 * MIB
    del array
    _memory.give_back()
    assert _memory.resident() - before < 64 * MIB


def test_a_budget_that_is_too_small_is_refused():
    said = r"^budget: expected at least .* MiB, got 1 KiB: one run takes .*, beside .* MiB"
    with pytest.raises(ValueError, match=said):
        experiments.sweep(CournotDuopoly(), (Fixed(1.0), Fixed(1.0)), OVER, budget=1024, **OPTIONS)


def test_what_repeats_is_kept_once_as_long_as_it_does():
    """Rows that are equal in every chunk are a view; the first other row makes a table of its own of them."""

    def filled(*chunks):
        tables = Tables([SimpleNamespace(members=[0, 1, 2])], 2)
        for i, chunk in enumerate(chunks):
            tables.fill(0, 2 * i, {"calls": (("rounds",), chunk)})
        ((_, _, found),) = tables.whole()
        return found

    row, other = np.array([1, 2, 3]), np.array([1, 2, 4])
    alike, different = np.broadcast_to(row, (2, 3)), np.stack([row, other])
    same = filled(alike, alike, alike)
    assert same.shape == (3, 2, 3) and same.strides[:2] == (0, 0)
    np.testing.assert_array_equal(same, np.broadcast_to(row, (3, 2, 3)))
    for place in range(3):
        chunks = [different if i == place else alike for i in range(3)]
        np.testing.assert_array_equal(filled(*chunks), np.stack(chunks))
    np.testing.assert_array_equal(filled(alike, np.broadcast_to(other, (2, 3)), alike)[1], [other, other])
