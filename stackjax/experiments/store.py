"""Finished parts of a long computation in a folder beside its file: what a restart goes on from.

`OUT.parts/manifest.json` says what is computed and how it is cut into chunks; `part-N.npz` holds the results of some
chunks, `reached-N.npz` how far chunk N is if it is played in several segments. Every file is written under another name
and takes its place when it is whole, so that a process that is killed leaves nothing half-written behind under a name
that is read. The result takes its own place in the same way, and then the folder is removed.
"""

import contextlib
import datetime
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import time
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stackjax.experiments.results import check_writable, replacing

#: The form of the folder; another one isn't read.
_FORM = 4
_SHOWN = 8  # differences between two configurations
#: A part is written when so many seconds have passed since the last one, or so many bytes wait: a kill costs at most
#: that and a chunk.
EVERY, _LARGE = 2.0, 16 * 2**20
_LOCK = "lock"
# What is raised of a damaged file.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)

#: What of a configuration is no help to a reader, and only shown if nothing else differs.
DIGEST = "digest of all numbers"
#: What of it says which code was run: names, and a digest of each.
CODE = "code"

#: Of one chunk: name -> (dimensions, array).
Arrays = dict[str, tuple[tuple[str, ...], np.ndarray]]


class OtherConfigurationError(ValueError):
    """There is a result, or parts of one, of another configuration under this name."""


class InUseError(OSError):
    """Another process is computing the result of this name; the message says which one, where and since when."""


class Parts:
    """The folder of a file's parts.

    **Arguments:** `out`: the file; `configuration`: what decides the data, for JSON; `process`: which one this is of
    those that share the folder.
    """

    def __init__(self, out: Path, configuration: Mapping[str, Any], process: int = 0):
        self.out = out
        # Others may be called twice by mistake: their files have names of their own.
        self._suffix = f"-{uuid.uuid4().hex[:8]}" if process else ""
        self.folder = out.with_name(out.name + ".parts")
        self.configuration = json.loads(json.dumps(configuration))
        self._waiting: list[tuple[int, Arrays]] = []
        self._sound: dict[tuple[Path, int, int], list[int]] = {}  # the chunks of parts that were looked at
        self._written = time.monotonic()
        self._plan = ""  # a digest of what the parts are of

    @property
    def manifest(self) -> Path:
        """Where it is said what the parts are of."""
        return self.folder / "manifest.json"

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """No other process writes these parts in here, unless it shares the work (`jax.distributed`).

        The system lets the claim go when a process ends, however it ends.

        **Raises:** `InUseError` that says who is at it; `OSError` if nothing can be written there.
        """
        check_writable(self.out.parent)
        made = not self.folder.exists()
        file = self._claim()
        try:
            yield
        finally:
            (self.folder / _LOCK).unlink(missing_ok=True)
            file.close()
            if made:  # by this process, which had nothing to put into it
                with contextlib.suppress(OSError):
                    self.folder.rmdir()

    def _claim(self) -> Any:
        while True:
            check_writable(self.folder)
            file = open(self.folder / _LOCK, "a+")  # noqa: SIM115  (it is open as long as the claim lasts)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip() or "another process"
                file.close()
                raise InUseError(
                    f"out: {self.out} is being computed by {owner}; wait for it, or choose another name"
                ) from None
            except OSError:  # a file system without locks
                return file
            try:
                if os.fstat(file.fileno()).st_ino == (self.folder / _LOCK).stat().st_ino:
                    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                    file.truncate(0)
                    file.write(f"process {os.getpid()} on {platform.node()} since {now}")
                    file.flush()
                    return file
            except OSError:
                pass
            file.close()  # the one that had it has removed it in the meantime

    def begun(self, overwrite: bool, mine: bool = True) -> Any | None:
        """How the computation was cut by the run that began it, None if there is none.

        **Arguments:** `overwrite`: whether parts of another configuration are replaced; `mine`: whether by this
        process, which otherwise waits until another one has done it.

        **Raises:** `OtherConfigurationError` with the difference, unless it is to be overwritten; `OSError` if nothing
        can be written there.
        """
        check_writable(self.out.parent)
        if not self.manifest.is_file():
            return None
        try:
            manifest = dict(json.loads(self.manifest.read_text()))
        except (ValueError, TypeError, FileNotFoundError):  # nothing of ours, or removed just now
            manifest = {}
        if manifest.get("form") != _FORM:
            lines = differences({"form": manifest.get("form")}, {"form": _FORM})
        else:
            lines = differences(manifest.get("configuration"), self.configuration)
            lines += [] if "plan" in manifest else ["plan: nothing there"]
        if not lines:
            self._plan = _digest(manifest)
            return manifest["plan"]
        if not overwrite:
            raise OtherConfigurationError(refusal(self.folder, "holds parts of", lines))
        if mine:
            self.manifest.unlink()
            for path in (*self.folder.glob("part-*.npz"), *self.folder.glob("reached-*.npz")):
                path.unlink(missing_ok=True)
        return None

    def begin(self, plan: Any) -> None:
        """Say how the computation is cut, for a restart and for other processes."""
        check_writable(self.folder)
        manifest = {"form": _FORM, "configuration": self.configuration, "plan": plan}
        with replacing(self.manifest) as part:
            part.write_text(json.dumps(manifest, indent=1) + "\n")
        self._plan = _digest(manifest)

    def done(self) -> dict[int, Path]:
        """The chunks that are finished, and where they are.

        A part is looked at as a whole when it is new. One that is damaged is named in a warning and removed: its chunks
        are played again.
        """
        known, self._sound = self._sound, {}
        for path in sorted(self.folder.glob("part-*.npz")):
            try:
                state = path.stat()
                key = (path, state.st_mtime_ns, state.st_size)
                self._sound[key] = known[key] if key in known else _numbers(path, self._plan)
            except _UNREADABLE as error:
                if isinstance(error, OSError) and error.errno != errno.EINVAL:
                    continue  # it can't be read now, or another process was faster: no reason to remove it
                # (A place in it that lies outside of it is EINVAL.)
                warnings.warn(f"{path} is damaged; its runs are played again", stacklevel=2)
                path.unlink(missing_ok=True)
        return {number: path for (path, *_), numbers in self._sound.items() for number in numbers}

    def keep(self, number: int, arrays: Arrays) -> None:
        """Keep the results of a chunk: in a file at the latest after a while, or with `flush`."""
        self._waiting.append((number, arrays))
        size = sum(array.nbytes for _, kept in self._waiting for _, array in kept.values())
        if size >= _LARGE or time.monotonic() - self._written >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what is kept.

        **Raises:** `OSError` that names the file and says what is kept.
        """
        if not self._waiting:
            return
        self._replace(self.folder / f"part-{self._waiting[0][0]:08d}{self._suffix}.npz", self._waiting)
        for number, _ in self._waiting:
            self._checkpoint(number).unlink(missing_ok=True)
        self._waiting = []

    def reach(self, number: int, rounds: int, arrays: Arrays, state: Callable[[], Arrays], now: bool) -> None:
        """Keep how far a chunk is, if a while has passed since something was written, or `now`.

        **Arguments:** `rounds` completed; `arrays`: the results up to there; `state()`: what it goes on from.

        **Raises:** as `flush`.
        """
        if now or time.monotonic() - self._written >= EVERY:
            self.flush()
            self._replace(self._checkpoint(number), [(number, arrays), (rounds, state())])

    def reached(self, number: int) -> tuple[int, Arrays, Arrays] | None:
        """How far a chunk is: completed rounds, the results up to there and what it goes on from; None if it isn't."""
        with contextlib.suppress(*_UNREADABLE):  # it is played from its beginning
            _check(self._checkpoint(number), self._plan)
            (_, arrays), (rounds, state) = read(self._checkpoint(number))
            return rounds, arrays, state
        return None

    def _checkpoint(self, number: int) -> Path:
        return self.folder / f"reached-{number:08d}.npz"

    def _replace(self, path: Path, chunks: Sequence[tuple[int, Arrays]]) -> None:
        try:
            with replacing(path) as part, open(part, "wb") as file:
                _write(file, chunks, self._plan)
        except OSError as error:
            raise OSError(f"{error}; what was finished before is kept in {self.folder}") from error
        self._written = time.monotonic()

    def read(self, done: Mapping[int, Path]) -> Iterator[tuple[int, Arrays]]:
        """The results of finished chunks, by their numbers.

        **Arguments:** `done`: where they are, as `done()` says.
        """
        for path in sorted(set(done.values())):
            yield from read(path)

    def finish(self) -> None:
        """Remove the folder, once the result is in its place."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _check(path: Path, plan: str) -> None:
    """Raise one of `_UNREADABLE` unless a file is of a plan, and every array in it is what was written (checksums)."""
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise zipfile.BadZipFile(name)
    with open(path, "rb") as file:
        if plan and str(np.load(file, allow_pickle=False)["plan"]) != plan:
            raise ValueError(f"{path} is of another plan")


def _numbers(path: Path, plan: str) -> list[int]:
    """The chunks in a part; one of `_UNREADABLE` unless all of it is there."""
    _check(path, plan)
    return [number for number, _ in read(path)]


def _write(file: Any, chunks: Sequence[tuple[int, Arrays]], plan: str) -> None:
    arrays: dict[str, np.ndarray] = {"chunks": np.asarray([number for number, _ in chunks]), "plan": np.asarray(plan)}
    dimensions = []
    for i, (_, kept) in enumerate(chunks):
        dimensions.append({name: dims for name, (dims, _) in kept.items()})
        arrays |= {f"{i}-{j}": array for j, (_, array) in enumerate(kept.values())}
    arrays["names"] = np.asarray(json.dumps(dimensions))
    np.savez(file, **arrays)  # type: ignore[arg-type]  # mypy takes the names for options
    file.flush()


def read(path: Path) -> Iterator[tuple[int, Arrays]]:
    """The chunks of a part: their numbers and what they hold."""
    with open(path, "rb") as file:
        held = np.load(file, allow_pickle=False)
        dimensions = json.loads(str(held["names"]))
        for i, (number, names) in enumerate(zip(held["chunks"], dimensions, strict=True)):
            yield int(number), {name: (tuple(dims), held[f"{i}-{j}"]) for j, (name, dims) in enumerate(names.items())}


def differences(there: Any, here: Any, at: str = "") -> list[str]:
    """Where two configurations differ, a line each."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        lines = []
        if at == CODE:
            ends = {name: "is new" for name in here if name not in there}
            ends |= {name: "isn't used any more" if name not in here else "has changed" for name in there}
            return [f"{name} {ends[name]}" for name in ends if there.get(name) != here.get(name)]
        for key in dict.fromkeys([*there, *here]):
            inner = f"{at}.{key}" if at else str(key)
            lines += differences(there.get(key, _ABSENT), here.get(key, _ABSENT), inner)
        return lines
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        return [
            line for i, pair in enumerate(zip(there, here, strict=True)) for line in differences(*pair, f"{at}.{i}")
        ]
    return [] if there == here else [f"{at}: {_short(there)} there, {_short(here)} now"]


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, _Absent) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def refusal(path: Path, holds: str, lines: Sequence[str]) -> str:
    """Why nothing is written there, with the differences."""
    lines = [line for line in lines if not line.startswith(DIGEST)] or lines
    shown = [*lines[:_SHOWN], *([f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])]
    return "\n  ".join([f"out: {path} {holds} another configuration; choose another name or overwrite it:", *shown])
