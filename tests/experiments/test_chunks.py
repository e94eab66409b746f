"""How many runs are played at once, by programs whose memory is known and a budget; and what results take."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stackjax import Record, experiments
from stackjax._core import batch
from stackjax.experiments import memory
from stackjax.experiments.memory import Workload, check_fits, chunk_size, needed, record_bytes
from stackjax.experiments.run import Runs, Tables, planned
from stackjax.games import CournotDuopoly
from stackjax.learners import Fixed, GradientAscent

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
    """Two cores, 1000 MiB."""
    monkeypatch.setattr(batch, "cores", lambda: 2)
    monkeypatch.setattr(memory, "physical_memory", lambda: 1000 * MIB)
    Program.compiled = []


def load(runs, host=0, devices=1):
    return Workload(runs, lambda size: Program(size, devices), host)


@pytest.mark.parametrize(
    ("runs", "host", "budget", "devices", "expected"),
    [
        (100, 0, None, [CPU], 100),  # a quarter of the machine
        (300, 0, None, [CPU], 150),  # at most 245, in chunks of one size
        (300, 0, None, [GPU], 300),
        (900, 0, None, [GPU], 450),  # at most 795
        (300, MIB, None, [CPU], 100),  # at most 122
        (300, MIB, None, [GPU], 300),  # the host's memory is another one
        (300, 0, 105 * MIB, [GPU], 100),
        (301, 0, 105 * MIB, [GPU], 76),
        (300, 0, 30 * MIB, [GPU, GPU], 50),  # 25 on each
        (301, 0, 30 * MIB, [GPU, GPU], 44),
        (9000, 0, 10**12, [CPU], 1000),  # 500 on each core: more don't run faster
        (9000, 0, 10**12, [CPU] * 2, 1000),
    ],
)
def test_as_many_as_fit(runs, host, budget, devices, expected):
    assert chunk_size(load(runs, host, len(devices)), budget, devices) == expected


def test_one_program_where_everything_fits():
    chunk_size(load(100), None, [CPU])
    assert Program.compiled == [100]


def test_the_least_budget_is_told():
    with pytest.raises(ValueError) as caught:
        chunk_size(load(100), 2 * MIB, [CPU])
    assert str(caught.value) == "budget: expected at least 6 MiB, got 2 MiB: one run takes as much"
    with pytest.raises(ValueError, match=r"at least 6 MiB, got 2 MiB: a run on each of 2 devices takes as much$"):
        chunk_size(load(100, devices=2), 2 * MIB, [GPU, GPU])


def test_real_programs():
    """As the compiler says of them: half of the memory is for half of the runs, or nearly so."""
    pair = (Fixed(1.0), Fixed(1.0))
    experiment, _ = planned(experiments.sweep, CournotDuopoly(), pair, OVER, **OPTIONS)
    runs = Runs(experiment, experiment.settings, None)
    own, device = runs.workload(0), runs.where()
    budget = needed(own, 300, device) // 2
    size = chunk_size(own, budget, device)
    assert 100 <= size <= 150 and needed(own, size, device) <= budget


def test_the_memory_of_records_is_estimated():
    """The estimate is what the dataset takes, up to what there is once a replicate."""
    methods = {"a": (GradientAscent(0.1), GradientAscent(0.2)), "b": (GradientAscent(0.1), Fixed(2.0))}
    data = experiments.compare(CournotDuopoly(), methods, rounds=30, replicates=6)
    reported = {"weakly_active_0"}  # what learners report is left out
    recorded = sum(v.nbytes for name, v in data.data_vars.items() if "rounds" in v.dims and name not in reported)
    size, points = record_bytes(CournotDuopoly(), Record.log_spaced(30), 30)
    assert (points, 2 * 6 * points * size) == (30, recorded)
    more, _ = record_bytes(CournotDuopoly(), Record.log_spaced(30, metrics=lambda x, y: {"a": jnp.stack([x, y])}), 30)
    less, _ = record_bytes(CournotDuopoly(), Record.log_spaced(30, payoffs=None), 30)
    assert (more - size, size - less) == (8, 8)


def test_half_of_the_memory_is_for_results():
    check_fits({"methods": 5, "replicates": 100}, MIB)
    with pytest.raises(ValueError) as caught:
        check_fits({"methods": 5, "replicates": 101}, MIB)
    assert str(caught.value) == (
        "replicates: 5 methods x 101 replicates of 1048576 bytes would take about 0.493 GiB; the limit is 0.488 GiB, "
        "half of this machine's memory"
    )


def test_a_budget_that_is_too_small_is_refused():
    said = r"^budget: expected at least .*, got 16 bytes: one run takes as much"
    with pytest.raises(ValueError, match=said):
        experiments.sweep(CournotDuopoly(), (Fixed(1.0), Fixed(1.0)), OVER, budget=16, **OPTIONS)


def test_what_repeats_is_kept_once_as_long_as_it_does():
    """Rows that are equal in every chunk are a view; the first other row makes a table of its own of them."""

    def filled(*chunks):
        tables = Tables([np.arange(3)], 2)
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
