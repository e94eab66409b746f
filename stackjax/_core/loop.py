"""The compiled part of `play`: one round for one replicate, vmapped once; blocks of rounds between record points."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from stackjax._careful import carefully
from stackjax._constraints import has_constraints
from stackjax._core.dependence import Traced
from stackjax._core.derivatives import where_differentiable
from stackjax._core.entries import ByEntry, UnfitError
from stackjax._core.kernel import Numbers, for_kernel, in_kernel, over_block
from stackjax._core.players import Health, Players, check_dictionary, check_payoffs, check_same
from stackjax.arms import SMALL, TINY
from stackjax.phases import jump
from stackjax.protocols import Calls, arms_of, tree_where

OK, NON_FINITE, LEFT_SPACE, DIVERGED = 0, 1, 2, 3
_PART = 256  # rounds whose payoffs are added up before they are added to the block's
_ENTRIES = 64  # arrays of a replicate's own of up to so many are laid out entry by entry
THOUSAND = 2**20  # oracle calls are counted in these and the rest
#: Whether rounds are played in one kernel.
Kernel: TypeAlias = Literal["never", "where it fits", "always"]
#: Whether failed replicates are frozen, and if so whether derivatives are to stay clear of the rounds that failed.
Freeze: TypeAlias = Literal["no", "values", "with derivatives"]


class Replicate(NamedTuple):
    """What one replicate carries from round to round."""

    states: tuple[Any, ...]
    status: Any  # int32
    failed_at: Any  # int32: the first invalid recorded round, else -1
    payoffs: Any  # sums over the current block; if none are recorded one that only tells failures
    calls: tuple[Any, ...]  # sums over the current block
    actions: tuple[Any, ...]  # last played
    visits: Any  # of a finite game: how often each joint action was played in the current block; else ()


class Recording(NamedTuple):
    """What a run records; static."""

    payoffs: str | None
    strategies: bool
    visits: bool
    metrics: Callable[..., dict[str, Any]] | None


def _check_resumed(states: Any, expected: Any) -> None:
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), states)
    check_same("resume", one, expected, "the states of these learners")


def run(make: Callable[[Any, Any], Players], shared: Any, mapped: Any, ids: Array, carry: Any, plan: "Plan") -> Any:
    """Play the plan's rounds from `carry` (None: from the start); see `Plan`. Traced once, inside `jit`.

    `make(shared, mapped)` builds the players of one replicate from the values that all replicates share and from its
    own. Returns the initial strategies, the records `[replicates, K, ...]`, the oracle calls of each block in units of
    `THOUSAND` and the rest (`[K]` where they are the same in all replicates, else `[K, replicates]`) and the final
    states, status, failing rounds and whether they were played in a kernel.
    """
    one = _OneReplicate(make, shared, plan)
    mapped1, id1 = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), (mapped, ids))

    begin = Traced(one.begin, mapped1, id1)
    shapes = begin.shapes
    if carry is None:
        varies = begin.depends(True, True)
    else:
        states, status, failed_at, alike = carry
        _check_resumed(states, shapes.states)
        varies = [not a for a in alike] + [True] * (len(jax.tree.leaves(shapes)) - len(alike))
    structure = jax.tree.structure(shapes)
    n_states = len(jax.tree.leaves(shapes.states))
    varies[n_states : n_states + 2] = [True, True]  # status and failed_at

    now = jax.ShapeDtypeStruct((), jnp.int32)
    round_ = Traced(one.round, now, mapped1, id1, shapes)
    steps = [(round_, False)]
    if plan.skip_phases:
        steps.append((Traced(lambda t, m, i, c: one.skip(t, m, i, c, t)[1], now, mapped1, id1, shapes), True))
    while True:  # a leaf that one round makes different stays different: at most one turn a leaf
        flags = jax.tree.unflatten(structure, varies)
        after = [step.depends(clock, True, True, flags) for step, clock in steps]
        grown = [any(each) for each in zip(varies, *after, strict=True)]
        if grown == varies:
            break
        varies = grown

    in_one = _for_kernel(round_, plan)
    by_entry = in_one or _by_entry(round_, plan)
    # Small tables of statistics are read and written entry by entry: plain arithmetic with the replicates last.
    most = math.inf if by_entry else SMALL if plan.finite else 0
    last = [x.ndim > 0 and x.size <= most for x in jax.tree.leaves(shapes)]
    places = [(-1 if la else 0) if v else None for v, la in zip(varies, last, strict=True)]
    axes = jax.tree.unflatten(structure, places)
    if carry is None:
        first = jax.vmap(begin, out_axes=axes)(mapped, ids)
    else:
        leaves = [
            x[0] if at is None else jnp.moveaxis(x, 0, at)
            for x, at in zip(jax.tree.leaves(states), places, strict=False)
        ]
        blank = jax.vmap(begin, out_axes=0)(mapped, ids)._replace(status=status, failed_at=failed_at)
        rest = [
            x[0] if at is None else jnp.moveaxis(x, 0, at)
            for x, at in zip(jax.tree.leaves(blank)[n_states:], places[n_states:], strict=True)
        ]
        first = jax.tree.unflatten(structure, leaves + rest)

    # So are a game's and a learner's own numbers; data sets and networks stay as they are for products of matrices.
    sides = jax.tree.map(lambda x: -1 if 1 < x.size <= _ENTRIES else 0, mapped1)
    own = jax.tree.map(lambda x, side: jnp.moveaxis(x, 0, side), mapped, sides)
    advance = jax.vmap(round_, (None, sides, 0, axes), axes, axis_size=ids.shape[0])
    initial = jax.vmap(one.strategies, (0, axes), axis_size=ids.shape[0])(mapped, first)
    if by_entry is None:
        pack, unpack = _packing(shapes, last, varies)

        def one_round(t: Any, packed: Any) -> Any:
            return pack(advance(t, own, ids, unpack(packed)))

    else:
        entries = _Entries(by_entry, shapes, varies, mapped, ids)
        pack, unpack, one_round = entries.pack, entries.unpack, entries.one_round
    part = functools.partial(_part_of_block, pack, unpack, one_round)

    record = Traced(one.record, plan.begin, plan.begin, mapped1, shapes)

    def without_visits(c: Replicate) -> Replicate:
        return c._replace(visits=jax.tree.map(jnp.zeros_like, c.visits))

    def without_calls(c: Replicate) -> Replicate:
        return c._replace(calls=jax.tree.map(jnp.zeros_like, c.calls))

    def skipping(begin: Array, end: Array, c: Replicate) -> tuple[Replicate, Any]:
        """A block phase by phase; its last round is played where somebody asks for the actions in it."""
        skip = jax.vmap(one.skip, (0, 0, 0, axes, None), (0, axes), axis_size=ids.shape[0])
        stop = end - 1 if plan.recording.strategies else end
        state = (jnp.full(ids.shape, begin), c)
        _, c = jax.lax.while_loop(lambda s: jnp.any(s[0] < stop), lambda s: skip(s[0], mapped, ids, s[1], stop), state)
        c = advance(stop, own, ids, c) if plan.recording.strategies else c
        thousands = jax.tree.map(lambda n: n // THOUSAND, c.calls)
        return c._replace(calls=jax.tree.map(lambda n: n % THOUSAND, c.calls)), thousands

    def playing(begin: Array, end: Array, c: Replicate) -> tuple[Replicate, Any]:
        """A block round by round."""
        if in_one:
            return entries.block_in_kernel(plan, begin, end, c)
        return _whole_block(part, plan.spacing, begin, end, c)

    def recorded(begin: Any, end: Any, c: Replicate, thousands: Any) -> tuple[Replicate, Any]:
        """The record of a block of rounds, with its oracle calls."""
        c, row = jax.vmap(record, (None, None, 0, axes), (axes, 0), axis_size=ids.shape[0])(begin, end, mapped, c)
        return c, (row, (thousands, c.calls))

    def written(rows: Any, k: Any, row: Any) -> Any:
        # Replicates first, as they are returned: a transposition of all records would cost more than to make them.
        put = functools.partial(jax.lax.dynamic_update_index_in_dim, index=k)
        each = zip(rows, row, (1, 0), strict=True)
        return tuple(jax.tree.map(functools.partial(put, axis=axis), all_, x) for all_, x, axis in each)

    def emptied(c: Replicate) -> Replicate:
        return without_calls(without_visits(_without_sums(c)))

    def block(k: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        begin, c, rows = state
        end = plan.points[k]
        c, thousands = (skipping if plan.skip_phases else playing)(begin, end, emptied(c))
        c, row = recorded(begin, end, c, thousands)
        return end, c, written(rows, k, row)

    def paced(pace: Pace, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        """All blocks in loops of known lengths."""

        def step(rounds: int, always: bool, _: Any, progress: Any) -> Any:
            now, begin, k, (c, sums, thousands), rows = progress
            c, sums, thousands = part(now, rounds, (c, sums, thousands))
            now = now + rounds
            ends = now == plan.points[k]

            def end_block(c: Any, sums: Any, thousands: Any) -> Any:
                done, row = recorded(begin, now, c._replace(payoffs=sums), thousands)
                return emptied(done), row

            def go_on(c: Any, _: Any, thousands: Any) -> Any:
                return c, (
                    jax.tree.map(lambda x: jnp.zeros((*ids.shape, *x.shape), x.dtype), one_row),
                    (thousands, c.calls),
                )

            if always:
                done, row = end_block(c, sums, thousands)
                c = jax.tree.map(lambda new, old: jnp.where(ends, new, old), done, c)
            else:
                c, row = jax.lax.cond(ends, end_block, go_on, c, sums, thousands)
            sums, thousands = jax.tree.map(lambda x: jnp.where(ends, 0, x), (sums, thousands))
            # What isn't the end of a block is overwritten by the next.
            rows = written(rows, k, row)
            return now, jnp.where(ends, now, begin), k + ends.astype(k.dtype), (c, sums, thousands), rows

        begin, c, rows = state
        c = emptied(c)
        progress = (begin, begin, jnp.int32(0), (c, c.payoffs, c.calls), rows)
        progress = jax.lax.fori_loop(0, pace.singles, functools.partial(step, 1, True), progress)
        progress = jax.lax.fori_loop(0, pace.parts, functools.partial(step, pace.length, False), progress)
        return progress[0], progress[3][0], progress[4]

    k = plan.points.shape[0]
    one_row = record.shapes[1]
    rows = jax.tree.map(lambda x: jnp.zeros((*ids.shape, k, *x.shape), x.dtype), one_row)
    calls = jax.tree.map(lambda x: jnp.zeros((k, *x.shape), x.dtype), (first.calls, first.calls))
    state = (plan.begin, first, (rows, calls))
    pace = None if in_one else plan.pace  # how many rounds a kernel has the host needn't know
    _, end, (rows, calls) = jax.lax.fori_loop(0, k, block, state) if pace is None else paced(pace, state)
    whole = jax.vmap(lambda c: c, in_axes=(axes,), out_axes=0, axis_size=ids.shape[0])(end)
    played_in_one = jnp.full(ids.shape, in_one is not None)
    return initial, rows, calls, (whole.states, whole.status, whole.failed_at, played_in_one)


#: On a CPU, the operations of a round for which entries pay: few are as fast in arrays, and XLA computes many several
#: times, in each of the loops that use them. On a GPU whatever is soon compiled.
_PAYS = {"cpu": (200, 1500)}
_PAYS_ELSEWHERE = (0, 2500)


def _by_entry(round_: Traced, plan: "Plan") -> ByEntry | None:
    """The round evaluated entry by entry, where that is possible and pays."""
    if plan.freeze == "with derivatives" or plan.skip_phases or (plan.finite and plan.platform == "cpu"):
        return None
    least, most = _PAYS.get(plan.platform, _PAYS_ELSEWHERE)
    try:
        found = ByEntry(round_, plan.platform, most)
    except UnfitError:
        return None
    return found if found.operations >= least else None


def _for_kernel(round_: Traced, plan: "Plan") -> ByEntry | None:
    """The round for a kernel, where it is to be played in one and can be."""
    if plan.kernel == "never":
        return None
    try:
        if plan.freeze == "with derivatives":
            raise UnfitError("there are no derivatives through a kernel")
        return for_kernel(round_)
    except UnfitError as error:
        if plan.kernel == "always":
            raise ValueError(f"kernel: expected a run that fits in one, but {error}") from None
        return None


class _Entries:
    """Replicates' carry with every entry by itself, `[replicates]` or one number for all, and rounds of those."""

    def __init__(self, round_: ByEntry, shapes: Any, varies: list[bool], mapped: Any, ids: Array):
        self.round, self.ids = round_, ids
        self.leaves, self.structure = jax.tree.flatten(shapes)
        self.varies = varies
        self.own = [entry for x in jax.tree.leaves(mapped) for entry in _entries(x, 0)]
        self.each_varies = [v for x, v in zip(self.leaves, varies, strict=True) for _ in range(x.size)]

    def pack(self, c: Any) -> list[Array]:
        """The entries of the carry."""
        values = zip(jax.tree.leaves(c), self.varies, strict=True)
        return [entry for x, varied in values for entry in _entries(x, -1 if varied else None)]

    def unpack(self, packed: list[Array]) -> Any:
        """The carry of these entries."""
        numbers = iter(packed)
        values = []
        for like, varied in zip(self.leaves, self.varies, strict=True):
            entries = [next(numbers) for _ in range(like.size)]
            shape = (*like.shape, *self.ids.shape) if varied else like.shape
            values.append(jnp.stack(entries).reshape(shape) if entries else jnp.zeros(shape, like.dtype))
        return jax.tree.unflatten(self.structure, values)

    def one_round(self, t: Any, packed: list[Array]) -> list[Array]:
        """Round t."""
        axes = [0 if varied else None for varied in self.each_varies]
        inputs = (None, *[0] * (len(self.own) + 1), *axes)
        return jax.vmap(self.round, inputs, axes, axis_size=self.ids.shape[0])(t, *self.own, self.ids, *packed)

    def block_in_kernel(self, plan: "Plan", begin: Array, end: Array, c: Replicate) -> tuple[Replicate, Any]:
        """What `_whole_block` returns, played in a kernel."""
        n_captured, n_own = len(self.round.captured), len(self.own)

        def unpack(packed: list[Array]) -> Any:  # every leaf as the list of its entries
            numbers = iter(packed)
            return jax.tree.unflatten(self.structure, [[next(numbers) for _ in range(x.size)] for x in self.leaves])

        def apart(xs: list[Any], varies: list[bool]) -> Numbers:
            return Numbers(*([x for x, v in zip(xs, varies, strict=True) if v == which] for which in (False, True)))

        def together(shared: list[Array], own: list[Array], varies: list[bool]) -> list[Array]:
            sources = {False: iter(shared), True: iter(own)}
            return [next(sources[v]) for v in varies]

        calls_vary = jax.tree.leaves(jax.tree.unflatten(self.structure, self.varies).calls)
        results_vary = [*self.each_varies, *calls_vary]

        def body(shared: list[Array], own: list[Array]) -> Numbers:
            first, last, captured = shared[0], shared[1], shared[2 : 2 + n_captured]
            ids, mapped = own[0], own[1 : 1 + n_own]
            packed = together(shared[2 + n_captured :], own[1 + n_own :], self.each_varies)

            def one_round(t: Any, packed: list[Array]) -> list[Array]:
                found = over_block(self.round.program.jaxpr, [*captured, t, *mapped, ids, *packed], ids.size)
                flags = zip(found, self.each_varies, strict=True)
                return [jnp.broadcast_to(x, ids.shape) if varies else x for x, varies in flags]

            part = functools.partial(_part_of_block, jax.tree.leaves, unpack, one_round)
            c, thousands = _whole_block(part, plan.spacing, first, last, unpack(packed))
            return apart(jax.tree.leaves((c, thousands)), results_vary)

        packed = self.pack(c)
        carried = apart(packed, self.each_varies)
        given = Numbers([begin, end, *self.round.captured, *carried.shared], [self.ids, *self.own, *carried.own])
        types = apart([x.dtype for x in (*packed, *jax.tree.leaves(c.calls))], results_vary)
        found = together(*in_kernel(body, given, types, plan.platform == "cpu"), results_vary)
        thousands = jax.tree.unflatten(jax.tree.structure(c.calls), found[len(self.each_varies) :])
        return self.unpack(found[: len(self.each_varies)]), thousands


def _part_of_block(
    pack: Callable[[Any], Any],
    unpack: Callable[[Any], Any],
    one_round: Callable[[Any, Any], Any],
    first: Any,
    rounds: Any,
    carry: tuple[Replicate, Any, Any],
) -> tuple[Replicate, Any, Any]:
    """So many rounds, with oracle calls in units of `THOUSAND` and the rest."""
    # Sums of sums: in float32 a running total of 1e5 payoffs is off by 1e-3, and int32 counts would overflow.
    c, sums, thousands = carry
    packed = pack(_without_sums(c))
    if isinstance(rounds, int):  # a trip count that is known now compiles to a faster and differentiable loop
        packed = jax.lax.fori_loop(0, rounds, lambda j, c: one_round(first + j, c), packed)
    else:
        packed = jax.lax.fori_loop(first, first + rounds, one_round, packed)
    c = unpack(packed)
    sums = jax.tree.map(jnp.add, sums, c.payoffs)
    thousands = jax.tree.map(lambda a, n: a + n // THOUSAND, thousands, c.calls)
    return c._replace(calls=jax.tree.map(lambda n: n % THOUSAND, c.calls)), sums, thousands


def _whole_block(
    part: Callable[[Any, Any, Any], Any], spacing: int | None, begin: Array, end: Array, c: Replicate
) -> tuple[Replicate, Any]:
    """The rounds of a block, whose sums are zero at its beginning, in parts."""
    carry = (c, c.payoffs, c.calls)
    if spacing is None:

        def up_to_end(i: Any, carry: Any) -> Any:
            first = begin + i * _PART
            return part(first, jnp.minimum(first + _PART, end) - first, carry)

        c, sums, thousands = jax.lax.fori_loop(0, -(-(end - begin) // _PART), up_to_end, carry)
    else:
        length = _part(spacing)
        parts = spacing // length
        carry = jax.lax.fori_loop(0, parts, lambda i, carry: part(begin + i * length, length, carry), carry)
        if spacing % length:
            carry = part(begin + parts * length, spacing % length, carry)
        c, sums, thousands = carry
    return c._replace(payoffs=sums), thousands


def _without_sums(c: Replicate) -> Replicate:
    return c._replace(payoffs=jax.tree.map(jnp.zeros_like, c.payoffs))


def _entries(x: Array, batch: int | None) -> list[Array]:
    """The entries of an array; of a batch along this axis, each over the batch."""
    if batch is None:
        return list(jnp.ravel(x))
    x = jnp.moveaxis(x, batch, -1)
    return list(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]))


def _packing(shapes: Any, last: list[bool], varies: list[bool]) -> tuple[Callable, Callable]:
    """To carry neighbouring small tables of the same shape and type as one: a kernel writes them instead of several."""
    leaves, structure = jax.tree.flatten(shapes)

    def kind(k: int) -> Any:
        x = leaves[k]
        return (
            (x.shape, x.dtype)
            if last[k] and varies[k] and x.size <= TINY and jnp.issubdtype(x.dtype, jnp.inexact)
            else k
        )

    groups = []
    for _, group in itertools.groupby(range(len(leaves)), kind):
        members = list(group)
        groups += [members] if len(members) > 2 else [[k] for k in members]

    def pack(c: Any) -> list[Array]:
        values = jax.tree.leaves(c)
        return [jnp.concatenate([values[k] for k in g]) if len(g) > 1 else values[g[0]] for g in groups]

    def unpack(packed: list[Array]) -> Any:
        values = []
        for g, x in zip(groups, packed, strict=True):
            values += jnp.split(x, len(g)) if len(g) > 1 else [x]
        return jax.tree.unflatten(structure, values)

    return pack, unpack


class Pace(NamedTuple):
    """All rounds of a run in loops of known lengths: `singles` one by one, then `parts` of `length` rounds each.

    A loop whose number of turns isn't known when the program is compiled makes a GPU's host read back after each of
    them whether it was the last. Records are made after each of the single rounds, and after a part where a block ends,
    which is the one thing that the host is asked.
    """

    singles: int
    length: int
    parts: int


def pace(begin: int, points: np.ndarray) -> Pace:
    """The pace with the fewest single rounds and parts to reach these points."""
    gaps = np.diff(points, prepend=begin)
    common = np.gcd.accumulate(gaps[::-1])[::-1]
    # Parts are at most as long as may be summed up at once; a part of one round would be another copy of the program.
    lengths = [max(n for n in range(1, min(int(g), _PART) + 1) if g % n == 0) for g in common]
    before = np.concatenate([[0], np.cumsum(gaps)])
    paces = [Pace(int(single), n, int(before[-1] - single) // n) for single, n in zip(before, lengths, strict=False)]
    paces = [each for each in paces if each.length > 1] + [Pace(int(before[-1]), 1, 0)]
    return min(paces, key=lambda each: each.singles + each.parts)


def _part(spacing: int) -> int:
    """Rounds of a part: `_PART`, or a bit less if that divides the block, and no remainder is compiled then."""
    best = max(n for n in range(1, min(spacing, _PART) + 1) if spacing % n == 0)
    return best if best >= _PART // 8 else min(spacing, _PART)


def _at_least_float32(dtype: Any) -> Any:
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


def _later_status(status: Array, health: Health) -> Array:
    """The status after another round: the first failure stays."""
    now = jnp.where(health.inside, jnp.where(health.near, OK, DIVERGED), LEFT_SPACE)
    now = jnp.where(health.finite, now, NON_FINITE).astype(jnp.int32)
    return jnp.where(status == OK, now, status)


class Plan(NamedTuple):
    """When to record, what, and how.

    `begin` (the first round, traced), the record `points` `[K]` (completed rounds, traced), their
    `spacing` if it is always the same (static), what to record (static), and whether to keep failed replicates at the
    state before the round in which they failed, with their status (static); otherwise they are only found out, and play
    on in vain and apart from the others. `finite` (static): whether the game is one of arms, whose replicates are
    checked at record points, and whose exact payoffs come from the counts of joint arms; `skip_phases` (static):
    whether to play it phase by phase; `pace` (static): in which loops of known lengths; `platform` (static): what the
    program is compiled for; `kernel` (static): whether to play in one.
    """

    begin: Array
    points: Array
    spacing: int | None
    recording: Recording
    freeze: Freeze
    finite: bool
    skip_phases: bool
    pace: "Pace | None"
    platform: str
    kernel: Kernel


class _OneReplicate:
    """The functions that `run` vmaps."""

    def __init__(self, make: Callable[[Any, Any], Players], shared: Any, plan: Plan):
        self.make, self.shared, self.recording, self.freeze = make, shared, plan.recording, plan.freeze
        self.finite = plan.finite
        self.counted = plan.finite and (plan.recording.visits or plan.recording.payoffs == "exact")
        # A sum over the rounds tells failures too: in games without counts there is always one.
        self.summed = {"exact": not plan.finite, "realised": True, None: not plan.finite}[plan.recording.payoffs]

    def begin(self, mapped: Any, replicate: Array) -> Replicate:
        players = self.make(self.shared, mapped)
        states = jax.tree.map(jnp.asarray, players.init(replicate))
        check_payoffs(players, replicate, self.recording.payoffs == "exact")
        structs = tuple(space.struct(players.dtype) for space in players.game.spaces)
        blank = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), structs)
        counts = tuple(jax.tree.map(jnp.int32, Calls()) for _ in players.learners)
        # Block sums of half-precision payoffs would overflow, and stop growing where a payoff is a rounding.
        kind = _at_least_float32(players.dtype)
        sums = tuple(jnp.zeros((), kind) for _ in (players.learners if self.recording.payoffs else "1") if self.summed)
        visits = jnp.zeros(math.prod(map(arms_of, players.game.spaces)), jnp.int32) if self.counted else ()
        blank = blank if self.recording.strategies else ()
        return Replicate(states, jnp.int32(OK), jnp.int32(-1), sums, counts, blank, visits)

    def round(self, t: Any, mapped: Any, replicate: Array, c: Replicate) -> Replicate:
        if self.finite:
            return self._finite_round(t, mapped, replicate, c)
        status = c.status
        shared, before = self.shared, c
        if self.freeze == "with derivatives":
            # A derivative through a failed round is NaN, and 0 * NaN would reach what the replicates share: so it is
            # first found out whether the round fails, and then played with derivatives only where it doesn't.
            probe = jax.lax.stop_gradient((self.shared, mapped, c))
            *_, health = self._play(t, replicate, *probe)
            status = _later_status(status, health)
            shared, mapped, before = where_differentiable(status == OK, (self.shared, mapped, c))
        states, actions, paid, counts, health = self._play(t, replicate, shared, mapped, before)
        if self.freeze == "no":
            # A failure is a NaN in the first sum, which `record` finds: no pass of its own over the replicates.
            sound = health.finite & health.near
            paid = (paid[0] + jnp.where(sound, 0, jnp.nan).astype(paid[0].dtype), *paid[1:])
        else:
            status = _later_status(status, health) if self.freeze == "values" else status
            states, counts = tree_where(status == OK, (states, counts), (c.states, c.calls))
        sums = tuple(s + p.astype(s.dtype) for s, p in zip(c.payoffs, paid, strict=True))
        actions = actions if self.recording.strategies else ()
        return Replicate(states, status, c.failed_at, sums, counts, actions, c.visits)

    def _finite_round(self, t: Any, mapped: Any, replicate: Array, c: Replicate) -> Replicate:
        players = self.make(self.shared, mapped)
        states, actions, paid, calls, strayed = players.round(t, replicate, c.states)
        status = jnp.where((c.status == OK) & strayed, LEFT_SPACE, c.status)
        sums = tuple(s + p.astype(s.dtype) for s, p in zip(c.payoffs, paid, strict=False))
        counts = jax.tree.map(lambda s, n: s + jnp.asarray(n, jnp.int32), c.calls, calls)
        visits = players.visited(c.visits, actions) if self.counted else ()
        actions = actions if self.recording.strategies else ()
        return Replicate(states, status, c.failed_at, sums, counts, actions, visits)

    def skip(self, t: Array, mapped: Any, replicate: Array, c: Replicate, stop: Array) -> tuple[Array, Replicate]:
        """Play from round t to the end of a phase, at most to `stop`; nothing if it is there."""
        players = self.make(self.shared, mapped)
        states, visits, paid, n = jump(players, t, stop, replicate, c.states)
        turns = zip(players.learners, players.views, c.states, states, strict=True)
        calls = tuple(learner.calls(view, before, after) for learner, view, before, after in turns)
        counts = jax.tree.map(lambda s, each: s + n * jnp.asarray(each, jnp.int32), c.calls, calls)
        sums = tuple(s + p.astype(s.dtype) for s, p in zip(c.payoffs, paid, strict=False))
        visits = c.visits + visits if self.counted else ()
        new = Replicate(states, c.status, c.failed_at, sums, counts, c.actions, visits)
        return t + jnp.where(t < stop, n, 0), tree_where(t < stop, new, c)

    def _play(self, t: Any, replicate: Array, shared: Any, mapped: Any, c: Replicate) -> tuple[Any, ...]:
        players = self.make(shared, mapped)
        with carefully(self.freeze != "no"):
            states, actions, paid, calls, _ = players.round(t, replicate, c.states)
        health = players.health(states, actions)
        if self.recording.payoffs == "exact":
            paid = players.scalars(players.game, actions)
        elif self.recording.payoffs is None:
            paid = (jnp.zeros((), players.dtype),)
        counts = jax.tree.map(lambda s, n: s + jnp.asarray(n, jnp.int32), c.calls, calls)
        return states, actions, paid, counts, health

    def strategies(self, mapped: Any, c: Replicate) -> Any:
        return self.make(self.shared, mapped).strategies(c.states) if self.recording.strategies else ()

    def record(self, begin: Array, end: Array, mapped: Any, c: Replicate) -> tuple[Replicate, Any]:
        players = self.make(self.shared, mapped)
        if self.finite:
            floats = [x for x in jax.tree.leaves(c.states) if jnp.issubdtype(x.dtype, jnp.inexact)]
            sound = functools.reduce(jnp.logical_and, (jnp.all(jnp.isfinite(x)) for x in floats), jnp.asarray(True))
            c = c._replace(status=jnp.where((c.status == OK) & ~sound, NON_FINITE, c.status))
        elif self.freeze == "no":
            c = c._replace(status=jnp.where((c.status == OK) & ~jnp.isfinite(c.payoffs[0]), NON_FINITE, c.status))
        failed = c.status != OK
        c = c._replace(failed_at=jnp.where((c.failed_at < 0) & failed, end, c.failed_at))
        constrained = has_constraints(players.game, players.dtype)
        wanted = self.recording.strategies or self.recording.metrics or constrained
        strategies = players.strategies(c.states) if wanted else ()
        sums = c.payoffs if self.recording.payoffs else ()
        if self.finite and self.recording.payoffs == "exact":
            table = players.table()
            table = table.astype(_at_least_float32(table.dtype))
            counts = c.visits.astype(table.dtype)[None]
            # Not a product of matrices: GPUs round those, and 0 times an infinite payoff that nobody met is NaN.
            sums = tuple(jnp.sum(jnp.where(counts > 0, table * counts, 0), axis=1))
        means = [jnp.where(failed, jnp.nan, s / (end - begin).astype(s.dtype)) for s in sums]
        metrics = self.recording.metrics(*strategies) if self.recording.metrics else {}
        check_dictionary("metrics", metrics)
        row = {  # as the fields of a `Trace` are called
            "strategies": strategies if self.recording.strategies else (),
            "actions": c.actions,
            "payoffs": jnp.stack(means) if means else None,
            "metrics": jax.tree.map(jnp.asarray, metrics),
            "reports": players.reports(c.states) if not constrained else players.violated(c.states, strategies),
            "block_visits": c.visits.reshape([arms_of(space) for space in players.game.spaces])
            if self.recording.visits
            else None,
        }
        return c, row
