"""Whether a program is being traced that may take its time where a quick way fails.

Failures are rare: `play` looks for them in a quick program, and plays once more, carefully, where there was one.
"""

import contextlib
import contextvars
from collections.abc import Iterator

_careful = contextvars.ContextVar("careful", default=False)


def is_careful() -> bool:
    """Whether what is traced now may take its time."""
    return _careful.get()


@contextlib.contextmanager
def carefully(careful: bool = True) -> Iterator[None]:
    """What is traced in here may."""
    token = _careful.set(careful)
    try:
        yield
    finally:
        _careful.reset(token)
