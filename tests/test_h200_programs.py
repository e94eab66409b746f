"""The programs of the H200 report, lowered for CUDA: the ends of the loops of rounds are known when they are compiled.

A GPU learns from the host whether a loop is over whose turns aren't known, and waits for it in every turn.
"""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.h200 import cost, hlo
from benchmarks.h200.lowering import ROUNDS_LOOPS, loops, lower
from benchmarks.h200.programs import PROGRAMS

#: Loops within a round that end when they are done: solvers' iterations.
SOLVERS = {
    "hierarchical-quadratic": {"stackjax/_calculus/linear.py: _iterate"},  # conjugate gradients
}


#: One of each kind of round; the others are variants.
KINDS = ("ucb-2x2", "elimination-10x10", "hi-c-duopoly", "hierarchical-quadratic")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in KINDS)) for name in PROGRAMS]
)
def test_every_loop_of_rounds_has_a_known_number_of_turns(name):
    found = loops(lower(name, 1000))
    assert any(loop.where.startswith(ROUNDS_LOOPS) for loop in found)
    unknown = {loop for loop in found if loop.turns is None and loop.where not in SOLVERS.get(name, ())}
    assert not unknown


def test_loops_are_told_apart():
    """Counted loops, those that end by what they compute, and ones whose bound is an argument."""

    def program(x, n):
        def grow(_, x):
            return jnp.sin(x)

        x = jax.lax.fori_loop(3, 10, grow, x)
        x = jax.lax.fori_loop(0, n, grow, x)
        x = jax.lax.while_loop(lambda x: x < 1.0, lambda x: 2 * x, x)
        return jax.lax.scan(lambda x, k: (x + k, None), x, jnp.arange(5.0))[0]

    found = loops(jax.jit(program).lower(1.0, 4))
    assert {(loop.where, loop.turns) for loop in found} == {("", 7), ("", 5), ("", None)}


COMPILED = """HloModule jit__run, is_scheduled=true

FileNames
1 "/somewhere/stackjax/_core/loop.py"
2 "/somewhere/jax/numpy.py"

FunctionNames
1 "run"

FileLocations
1 {file_name_id=1 function_name_id=1 line=1}
2 {file_name_id=2 function_name_id=1 line=1}

StackFrames
1 {file_location_id=1 parent_frame_id=1}
2 {file_location_id=2 parent_frame_id=1}

%fused (table: f32[8,100], at: s32[], all: f32[100]) -> (f32[8,100], f32[100]) {
  %table = f32[8,100]{1,0} parameter(0)
  %at = s32[] parameter(1)
  %all = f32[100]{0} parameter(2)
  %row = f32[1,100]{1,0} dynamic-slice(%table, %at, %at), dynamic_slice_sizes={1,100}
  %twice = f32[1,100]{1,0} add(%row, %row)
  %new = f32[8,100]{1,0} dynamic-update-slice(%table, %twice, %at, %at)
  %negative = f32[100]{0} negate(%all)
  ROOT %both = (f32[8,100]{1,0}, f32[100]{0}) tuple(%new, /*index=1*/%negative)
}

%round (c.1: (f32[8,100], f32[100], s32[])) -> (f32[8,100], f32[100], s32[]) {
  %c.1 = (f32[8,100]{1,0}, f32[100]{0}, s32[]) parameter(0)
  %table.1 = f32[8,100]{1,0} get-tuple-element(%c.1), index=0
  %all.1 = f32[100]{0} get-tuple-element(%c.1), index=1
  %at.1 = s32[] get-tuple-element(%c.1), index=2
  %kept = f32[8,100]{1,0} copy(%table.1)
  %fusion.1 = (f32[8,100]{1,0}, f32[100]{0}) fusion(%kept, %at.1, %all.1), kind=kLoop, calls=%fused
  ROOT %next = (f32[8,100]{1,0}, f32[100]{0}, s32[]) tuple(%fusion.1, %fusion.1, %at.1)
}

%block (c.2: (f32[8,100], f32[100], s32[])) -> (f32[8,100], f32[100], s32[]) {
  %c.2 = (f32[8,100]{1,0}, f32[100]{0}, s32[]) parameter(0)
  ROOT %while.2 = (f32[8,100]{1,0}, f32[100]{0}, s32[]) while(%c.2), condition=%goes, body=%round,\
 metadata={op_name="while" stack_frame_id=1}, backend_config={"known_trip_count":{"n":"64"}}
}

%goes (c.3: (f32[8,100], f32[100], s32[])) -> pred[] {
  %c.3 = (f32[8,100]{1,0}, f32[100]{0}, s32[]) parameter(0)
  %at.3 = s32[] get-tuple-element(%c.3), index=2
  ROOT %less = pred[] compare(%at.3, %at.3), direction=LT
}

ENTRY %main (c: (f32[8,100], f32[100], s32[])) -> (f32[8,100], f32[100], s32[]) {
  %c = (f32[8,100]{1,0}, f32[100]{0}, s32[]) parameter(0)
  ROOT %while.1 = (f32[8,100]{1,0}, f32[100]{0}, s32[]) while(%c), condition=%goes, body=%block,\
 metadata={op_name="while" stack_frame_id=1}
}
"""


def test_what_a_compiled_program_does_is_read_from_its_text():
    """A round copies a table of 8 rows and updates one of them in place, beside an array; the host ends the blocks."""
    run = cost.of_run(hlo.parse(COMPILED), rounds=640, table=100)
    assert [(loop.where, loop.turns) for loop in run.loops] == [
        ("stackjax/_core/loop.py: run", None),
        ("stackjax/_core/loop.py: run", 64),
    ]
    row, copied = 400, 2 * 3200
    moved = copied + (row + 4 + row) + (row + row)  # a row and where it is; the array
    assert run.a_round == cost.Cost(kernels=2, moved=moved, copied=copied, copies=1)
    assert (run.turns, run.host_loops, run.whole.decisions) == (640, 1, 11)
    assert run.whole.kernels == 640 * 2 + 10  # and a comparison a block
