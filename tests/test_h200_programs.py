"""The programs of the H200 report, lowered for CUDA: the ends of the loops of rounds are known when they are compiled.

A GPU learns from the host whether a loop is over whose turns aren't known, and waits for it in every turn.
"""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.h200.lowering import ROUNDS_LOOPS, loops, lower
from benchmarks.h200.programs import PROGRAMS

#: Loops within a round that end when they are done: solvers' iterations.
SOLVERS = {
    "hierarchical-quadratic": {"stackjax/_calculus/linear.py: _iterate"},  # conjugate gradients
}


@pytest.mark.parametrize("name", PROGRAMS)
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
