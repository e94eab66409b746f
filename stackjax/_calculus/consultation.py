"""An oracle that is asked: its questions, one after the other, and what it makes of the answers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


class Consultation(NamedTuple):
    """What an oracle ended with (`memory`), and its `asked` observations and their `answers`.

    Both are `[questions, P]`, the first axis in the order of the questions.
    """

    memory: Any
    asked: Int[Array, "questions P"]
    answers: Int[Array, "questions P"]


def consulted(
    oracle: Any, model: Any, key: PRNGKeyArray, answer: Callable[[Array, Any], Int[Array, " P"]]
) -> Consultation:
    """Ask all questions of an adaptive oracle.

    **Arguments:** `model`: what the follower may simulate; `key`: of its own randomness; `answer(asked, k)`: the
    leader's actions in the observations of question number k.
    """

    def step(memory: Any, k: Any) -> tuple[Any, tuple[Array, Array]]:
        asked = oracle.ask(model, memory)
        answers = answer(asked, k)
        return oracle.hear(model, memory, answers), (asked, answers)

    many = oracle.questions(model)
    memory = oracle.begin(model, key)
    if many == 1:
        memory, found = step(memory, 0)
        asked, answers = (x[None] for x in found)
    else:
        memory, (asked, answers) = jax.lax.scan(step, memory, jnp.arange(many, dtype=jnp.int32))
    return Consultation(memory, asked, answers)
