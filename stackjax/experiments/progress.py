"""What experiments do around `play`: tell where an error came from, time compilation apart, show progress."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, Protocol

import jax


@contextlib.contextmanager
def named(what: str) -> Iterator[None]:
    """An error in here goes on, with a note that says in what it happened."""
    try:
        yield
    except Exception as error:  # any error gets the note, and goes on
        error.add_note(f"(in {what})")
        raise


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
    """A function that shows how far a computation is."""

    def __call__(self, what: str, played: float = 0.0, failed: int = 0) -> None:
        """Say what is played now, how much was played since the last call, and how many replicates of it failed."""


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
