"""What experiments do around `play`: tell where an error came from, time compilation apart, show progress."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np

from stackjax import _entry
from stackjax.experiments._memory import physical_memory
from stackjax.games import StackelbergBandit
from stackjax.protocols import Game, Learner


@contextlib.contextmanager
def named(what: str) -> Iterator[None]:
    """An error in here goes on, with a note that says in what it happened."""
    try:
        yield
    except Exception as error:  # any error gets the note, and goes on
        error.add_note(f"(in {what})")
        raise


def in_setting(label: str) -> contextlib.AbstractContextManager[None]:
    """`named`, of a sweep's setting by its label."""
    return named(f"the setting {label}" if label else "the only setting")


def check_seed(seed: Any) -> None:
    """Is it an integer in [0, 2^32)? `jax.random.key` silently drops higher bits."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: expected an integer in [0, 2^32), got {seed!r}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected an integer in [0, 2^32), got {seed}")


def check_fits(counts: Mapping[str, int], size: int) -> None:
    """Would so many things, each of `size` bytes, take more than half of the machine's memory?

    **Raises:** `ValueError` that names `replicates`.
    """
    needed, limit = math.prod(counts.values()) * size, physical_memory() / 2
    if needed > limit:
        product = " x ".join(f"{n} {name}" for name, n in counts.items())
        raise ValueError(
            f"replicates: {product} of {size} bytes would take about {needed / 2**30:.3g} GiB; the limit is "
            f"{limit / 2**30:.3g} GiB, half of this machine's memory"
        )


@contextlib.contextmanager
def compilation() -> Iterator[Any]:
    """Yields a function: the seconds that JAX has spent on tracing, lowering and compiling in here."""
    spans: list[tuple[float, float]] = []

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event.startswith("/jax/core/compile/"):
            now = time.perf_counter()
            spans.append((now - duration_secs, now))

    def union() -> float:  # a function that is traced within another one is reported with it and by itself
        total, end = 0.0, -float("inf")
        for begin, until in sorted(spans):
            total += max(until - max(begin, end), 0.0)
            end = max(end, until)
        return total

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield union
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


class Advance(Protocol):
    """Says what is being played, how much of it was played since the last call, and how many replicates failed."""

    def __call__(self, what: str, played: float = 0.0, failed: int = 0) -> None: ...


@contextlib.contextmanager
def progress_bar(show: bool | None, total: float, unit: str) -> Iterator[Advance]:
    """A progress bar on the standard error; yields an `Advance`.

    **Arguments:** `show`: whether to show it, None: if the standard error is a terminal; `total`, in a `unit`.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many a second."""

        def render(self, task: Any) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.3g}/s")

    console = Console(stderr=True)
    show = console.is_terminal if show is None else show
    counts = (MofNCompleteColumn(), TextColumn(f"{unit}, [red]{{task.fields[failed]}}[/red] failed"))
    times = (Rate(), TimeElapsedColumn(), TextColumn("[dim]left"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, *times)
    with Progress(*columns, console=console, disable=not show, transient=True) as bar:
        task = bar.add_task("", total=total, failed=0)
        failures = 0

        def advance(what: str, played: float = 0.0, failed: int = 0) -> None:
            nonlocal failures
            failures += failed
            bar.update(task, description=what, advance=played, failed=failures)

        yield advance


def checked_learners(name: str, pair: Any, games: Mapping[int, StackelbergBandit]) -> dict[int, tuple[Learner, ...]]:
    """Each horizon's leader and follower, checked as `play` checks them."""
    found = {}
    for horizon, game in games.items():
        made = pair(horizon) if callable(pair) else pair
        if not isinstance(made, Sequence) or isinstance(made, str):
            raise TypeError(f"pairs: {name!r}: expected (leader, follower), got {made!r}")
        with named(f"the pair {name!r}"):
            _entry.check_players(game, tuple(made))
            dtype = _entry.common_float(game, None)
            layout, shared, mapped = _entry.lay_out(game, tuple(made), (None, None), None, dtype, None)
            _entry.check_values(layout, shared, mapped, dtype)
        found[horizon] = tuple(made)
    return found


def roles_of(game: Game) -> list[str]:
    """What a game's players are called."""
    if game.levels == ((0,), (1,)):
        return ["leader", "follower"]
    return [f"player {i}" for i in range(len(game.spaces))]


def labels_of(name: str, given: Sequence[str] | None, default: list[str]) -> list[str]:
    """A label for each player, checked.

    **Raises:** `ValueError` that names the argument.
    """
    if given is None:
        return default
    texts = isinstance(given, Sequence) and not isinstance(given, str) and all(isinstance(x, str) for x in given)
    if not texts or len(given) != len(default):
        raise ValueError(f"{name}: expected one label a player ({len(default)}), got {given!r}")
    return list(given)
