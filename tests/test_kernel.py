"""Rounds in one kernel are the rounds that are scanned, and what doesn't fit says why.

Kernels are interpreted here, and lowered for CUDA, which needs no GPU. What NVIDIA's compiler makes of them is in
`benchmarks/results/h200_kernels.json`; nothing here ran on one.
"""

import contextlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.h200 import sass
from benchmarks.h200.lowering import ROUNDS_LOOPS, fits, loops, lower
from benchmarks.h200.programs import KERNELS
from stackjax import Record, games, play
from stackjax._core.dependence import Traced
from stackjax._core.entries import ELEMENTWISE, ByEntry, UnfitError
from stackjax._core.kernel import _SPELLED, POSSIBLE, Numbers, for_kernel, in_kernel
from stackjax.games import CournotDuopoly, Quadratic, from_payoffs
from stackjax.learners import GradientAscent, HiC
from stackjax.spaces import Euclidean

KEY = jax.random.key(3)
#: One of each kind; the others are variants.
KINDS = ("noisy-duopoly/hi-c", "torus/hierarchical", "2x2/ucb")
SINGULAR = ("dilemma/hierarchical",)
CALL = {"key": KEY, "replicates": 256, "rounds": 150, "record": Record.every(50)}


def differences(a, b):
    """Of two traces: integers that differ, and the largest relative difference of numbers, 1 below 1."""
    whole, worst = 0, 0.0
    both = (
        jax.tree.leaves((t.strategies, t.actions, t.payoffs, t.status, t.failed_at, t.state, t.calls)) for t in (a, b)
    )
    for x, y in zip(*both, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == y.shape and x.dtype == y.dtype
        if np.issubdtype(x.dtype, np.inexact):
            assert np.array_equal(np.isnan(x), np.isnan(y))
            worst = max(worst, float(np.nanmax(np.abs(x - y) / np.maximum(np.abs(x), 1), initial=0)))
        else:
            whole += int(np.sum(x != y))
    return whole, worst


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in KINDS)) for n in KERNELS])
def test_a_kernel_plays_the_rounds_that_are_scanned(name):
    """256 replicates in several blocks, 300 rounds with six records, each half gone on with by the other.

    Nearly singular systems magnify roundings, so where there are such they are double ones.
    """
    with jax.enable_x64(name in SINGULAR):
        check(*KERNELS[name]())


def check(game, learners):
    half = [play(game, *learners, **CALL, kernel=kernel) for kernel in (False, True)]
    assert not np.any(half[0].in_kernel) and np.all(half[1].in_kernel)
    whole = [play(game, *learners, **CALL, kernel=kernel, resume=half[not kernel]) for kernel in (False, True)]
    for scanned, fused in (half, whole):
        integers, worst = differences(scanned, fused)
        assert integers == 0
        assert worst < 2e-5


def test_one_game_a_replicate_and_blocks_that_are_not_full():
    many = jax.vmap(lambda key: Quadratic.random(key, (2, 2)))(jax.random.split(KEY, 50))
    learners = GradientAscent(0.01), GradientAscent(jnp.linspace(0.01, 0.1, 50))
    call = {"key": KEY, "rounds": 40, "replicates": 50, "in_axes": (0, None, 0), "record": Record.every(20)}
    integers, worst = differences(*(play(many, *learners, **call, kernel=kernel) for kernel in (False, True)))
    assert integers == 0
    assert worst < 1e-5


def test_failed_replicates_are_frozen_as_they_were():
    """A leader who doubles its action every round: every seventh begins so far out that it diverges."""
    game = from_payoffs(lambda x, y: x * x / 2, lambda x, y: -((y - x) ** 2), spaces=(Euclidean(()), Euclidean(())))
    start = jnp.where(jnp.arange(140) % 7 == 0, 3e4, 1.0)
    call = {"key": KEY, "rounds": 15, "replicates": 140, "record": Record.every(5), "start": (start, start)}
    learners = GradientAscent(1.0), GradientAscent(0.1)
    both = [play(game, *learners, **call, kernel=kernel) for kernel in (False, True)]
    assert np.array_equal(np.flatnonzero(both[0].status), np.arange(0, 140, 7))
    assert differences(*both) == (0, 0.0)
    assert np.all(both[1].in_kernel)


@pytest.mark.parametrize(
    ("rounds", "record"), [(1, Record.final(strategies=False)), (22, Record.every(7, payoffs=None))]
)
def test_a_run_of_one_replicate_whatever_is_recorded(rounds, record):
    game, learners = KERNELS["duopoly/hi-c"]()
    both = [play(game, *learners, key=KEY, rounds=rounds, record=record, kernel=kernel) for kernel in (False, True)]
    assert differences(*both) == (0, 0.0)
    assert bool(both[1].in_kernel)


def loops_on(x, y):
    return -jax.lax.while_loop(lambda v: v < 1, lambda v: 2 * v, 0.1 + x * x) - y * y


def of_callback(x, y):
    paid = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.lax.stop_gradient(
        jax.pure_callback(lambda a, b: np.float32(-((a - b) ** 2)), paid, x, y, vmap_method="expand_dims")
    )


def game_of(payoff):
    return from_payoffs(payoff, lambda x, y: -((y - x) ** 2), spaces=(Euclidean(()), Euclidean(())))


HI_C = HiC(0.1, 0.1, 10), GradientAscent(0.1)
HALF = jax.tree.map(lambda x: x.astype(jnp.bfloat16), Quadratic.random(KEY, (2, 2)))
UNFIT = {
    "a loop of unknown length": (game_of(loops_on), HI_C, "its rounds use while"),
    "the host": (game_of(of_callback), (HI_C[0],) * 2, "its rounds use pure_callback"),
    "types that Triton has in part": (HALF, (GradientAscent(0.1),) * 2, "its rounds use bfloat16"),
    "too many numbers": (Quadratic.random(KEY, (40, 40)), HI_C, "a replicate has .* numbers in its state"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_does_not_fit_says_why(what):
    game, learners, why = UNFIT[what]
    with pytest.raises(ValueError, match=f"kernel: expected a run that fits in one, but {why}"):
        play(game, *learners, key=KEY, rounds=5, kernel=True)


def test_bad_kernels():
    players = GradientAscent(0.1), GradientAscent(0.1)
    with pytest.raises(TypeError, match="kernel: expected True, False or None, got 1"):
        play(CournotDuopoly(), *players, key=KEY, rounds=5, kernel=1)
    bandit = games.bandit_instances.aligned()
    etc = KERNELS["2x2/explore-then-commit"]()[1]
    with pytest.raises(ValueError, match="kernel: expected a play of every round"):
        play(bandit, *etc, key=KEY, rounds=5, kernel=True, skip_phases=True)

    def end(step):
        call = {"key": KEY, "rounds": 5, "record": Record.final(), "kernel": True}
        return play(CournotDuopoly(), GradientAscent(step), players[1], **call).payoffs.sum()

    with pytest.raises(ValueError, match=r"kernel: .*no derivatives"):
        jax.grad(end)(0.1)


def test_who_does_not_ask_gets_a_kernel_on_a_gpu_where_there_can_be_no_derivatives():
    """By what is asked for, the platform, whether phases are skipped, and whether all values are known."""
    decide = sys.modules[play.__module__]._kernel
    assert decide(None, "gpu", False, True) == "where it fits"
    for asked, *rest in ((None, "cpu", False, True), (None, "gpu", True, True), (None, "gpu", False, False)):
        assert decide(asked, *rest) == "never"
    assert decide(False, "gpu", False, True) == "never"
    assert decide(True, "cpu", False, True) == "always"


def test_a_gpu_gets_kernels_where_rounds_fit():
    """As it would be made there by default: a kernel, and no loop whose end the host decides; else the scan."""
    lowered = lower("2x2/ucb", 1000, kernel="where it fits")
    assert "triton" in lowered.as_text()
    found = loops(lowered)
    assert any(loop.where.startswith(ROUNDS_LOOPS) for loop in found) and all(loop.turns for loop in found)
    assert "triton" not in lower("ucb-10x10", 1000, kernel="where it fits").as_text()
    assert fits(*KERNELS["2x2/ucb"]()) is None


#: What primitives are called in `jax.lax`, where that isn't their name.
CALLED = {"not": "bitwise_not", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "add_any": "add"}
OPERATIONS = {name: getattr(jax.lax, CALLED.get(name, name)) for name in (POSSIBLE | _SPELLED.keys()) & ELEMENTWISE}
OPERATIONS |= {
    **{name: lambda x, o=OPERATIONS[name]: o(x, x.dtype.type(3)) for name in OPERATIONS if name.startswith("shift_")},
    "select_n": lambda x, y: jax.lax.select_n(x < y, x, y),
    "integer_pow": lambda x: jax.lax.integer_pow(x, 3),
    "convert_element_type": lambda x: x.astype(jnp.int32).astype(jnp.float32).astype(x.dtype),
}


@pytest.mark.parametrize(("kind", "least"), [("float32", 45), ("float64", 45), ("int32", 20), ("uint32", 20)])
def test_every_operation_that_is_possible_is_there_for_cuda(kind, least):
    """All of them in one kernel, which is lowered: what isn't there raises."""
    with jax.enable_x64(True):
        one, many = (jax.ShapeDtypeStruct(shape, kind) for shape in ((), (32,)))
        made = []
        for function in OPERATIONS.values():
            for count in (1, 2):
                with contextlib.suppress(TypeError):  # of one number, or two, and not of every type
                    made.append((count, for_kernel(Traced(function, *[one] * count))))
        assert len(made) >= least

        def body(_, own):
            return Numbers([], [out for count, call in made for out in jax.vmap(call)(*own[:count])])

        def everything(x, y):
            types = Numbers([], [aval.dtype for _, call in made for aval in call.program.out_avals])
            return in_kernel(body, Numbers([jnp.zeros((), kind)], [x, y]), types, interpret=False).own

        jax.jit(everything).trace(many, many).lower(lowering_platforms=("cuda",))


def test_spelled_operations_are_xlas():
    """Triton's maxima drop a NaN, and it has no rounding."""
    x = jnp.asarray([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, -2.6, 3e9, 8388609.0, jnp.nan, jnp.inf, -jnp.inf, 0.0])
    x, y = (z.ravel() for z in jnp.meshgrid(x, x))
    away = jax.lax.RoundingMethod.AWAY_FROM_ZERO
    for function in (jnp.maximum, jnp.minimum, lambda x, _: jnp.round(x), lambda x, _: jax.lax.round(x, away)):
        spelled = ByEntry(Traced(function, jnp.float32(0), jnp.float32(0)), "gpu", 100, _SPELLED)
        used = {each.primitive.name for each in spelled.program.jaxpr.eqns}
        assert used and not used & {"max", "min", "round"}
        np.testing.assert_array_equal(jax.vmap(spelled)(x, y)[0], function(x, y))


def test_what_triton_has_otherwise_is_refused():
    with pytest.raises(UnfitError, match="select_n"):
        for_kernel(Traced(lambda i, x: jax.lax.select_n(i, x, 2 * x, 3 * x), jnp.int32(0), jnp.float32(0)))
    with pytest.raises(UnfitError, match="shifts by more bits than there are"):
        for_kernel(Traced(jnp.left_shift, jnp.int32(1), jnp.int32(1)))
    with pytest.raises(UnfitError, match="lgamma"):
        for_kernel(Traced(jax.lax.lgamma, jnp.float32(0)))


def test_pallas_is_imported_for_kernels_only():
    program = "import sys, stackjax; print('jax.experimental.pallas' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


MACHINE_CODE = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;
.L_x_3:
        /*0010*/                   ISETP.GE.AND P0, PT, R2, R3, PT ;
        /*0020*/               @P0 BRA `(.L_x_1) ;
.L_x_2:
        /*0030*/                   FADD R4, R4, R5 ;
        /*0040*/              @!P1 BRA `(.L_x_4) ;
        /*0050*/                   MUFU.EX2 R6, R4 ;
.L_x_5:
        /*0060*/                   FMUL R6, R6, R4 ;
        /*0070*/               @P2 BRA `(.L_x_5) ;
.L_x_4:
        /*0080*/               @P0 IADD3 R7, R7, 0x1, RZ ;
        /*0090*/              @!P3 BRA `(.L_x_2) ;
.L_x_1:
        /*00a0*/               @P4 BRA `(.L_x_3) ;
.L_x_6:
        /*00b0*/                   BRA `(.L_x_6) ;
"""


def test_a_round_is_read_from_machine_code():
    """Seven instructions, of which three, with a library's loop, may be skipped; the last line is padding."""
    assert sass.turn(sass.parse(MACHINE_CODE)) == (4, 7)
    with pytest.raises(ValueError, match="expected one loop in another"):
        sass.turn(sass.parse(MACHINE_CODE.replace("BRA `(.L_x_5)", "EXIT").replace("BRA `(.L_x_3)", "EXIT")))
