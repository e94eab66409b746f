"""Certificates as text."""

from html import escape
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    from stackjax.equilibria.certify import Certificate, LocalDynamics
    from stackjax.equilibria.search import Found

_MANY = 6  # more numbers than that are shown as a range
_MOST = 12  # active constraints that are listed


class Printed:
    """What `str` makes readable, and a notebook shows like that."""

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def numbers(values: Any) -> str:
    """Numbers in a row, or their range if they are many."""
    values = np.ravel(values) + 0.0  # no negative zeros
    if np.iscomplexobj(values):
        shown = [f"{v.real:.4g}{v.imag:+.4g}i" if abs(v.imag) > 1e-12 else f"{v.real:.4g}" for v in values]
    else:
        shown = [f"{v:.4g}" for v in values]
    if len(shown) > _MANY:
        return f"{shown[0]} ... {shown[-1]} ({len(shown)})"
    return ", ".join(shown)


def action(value: Any) -> str:
    """An action: a number, or its entries in brackets."""
    leaves = jax.tree.leaves(value)
    return numbers(leaves[0]) if len(leaves) == 1 and not np.ndim(leaves[0]) else f"[{numbers(_flat(leaves))}]"


def _flat(leaves: list[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(x) for x in leaves]) if leaves else np.zeros(0)


def certificate_text(found: "Certificate") -> str:
    """The readable printout of a certificate."""
    at = ", ".join(action(a) for a in found.actions)
    verdict = {
        "neither": "neither a differential Nash nor a differential Stackelberg equilibrium",
        "Nash": "a differential Nash equilibrium, not a Stackelberg equilibrium",
        "Stackelberg": "a differential Stackelberg equilibrium, not a Nash equilibrium",
        "Nash and Stackelberg": "a differential Nash and Stackelberg equilibrium",
    }[found.kind]
    rows = [("", *(role.removeprefix("the ") for role in found.roles))]
    rows += [("payoff", *(f"{p + 0.0:.6g}" for p in found.payoffs))]
    rows += [("|own gradient|", *(f"{r:.2g}" for r in found.nash_residuals))]
    rows += [("own Hessian's eigenvalues", *(numbers(s) for s in found.own_spectra))]
    rows += [("|total derivative|", *(f"{r:.2g}" for r in found.stackelberg_residuals))]
    rows += [("total Hessian's eigenvalues", *(numbers(s) for s in found.total_spectra))]
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    lines = [f"{found.game} at ({at}):", f"  {verdict}"]
    lines += ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += _active(found)
    if found.advantage is not None:
        lines.append(f"  {found.roles[0]}'s advantage over Nash: {_advantage(found)}")
    ratio = "" if found.timescale == 1 else f", timescale {found.timescale:g}"
    lines.append(f"  simultaneous dynamics{ratio}: {_dynamics(found.simultaneous)}")
    lines.append(f"  hierarchical dynamics{ratio}: {_dynamics(found.hierarchical)}")
    for name, reasons in (("Nash", found.why_not_nash), ("Stackelberg", found.why_not_stackelberg)):
        lines += [f"  not {name}: {reason}" for reason in reasons]
    lines += [f"  note: {note}" for note in found.notes]
    lines.append(
        f"  tolerances: {found.tolerance:g} and rounding for residuals, {found.curvature:g} for curvature (relative)"
    )
    return "\n".join(lines)


def _active(found: "Certificate") -> list[str]:
    """The active constraints with their multipliers, one a line."""
    pairs = list(zip(found.active[::2], found.active[1::2], strict=True))
    lines = ["  active constraints:"] if pairs else []
    for nash, stackelberg in pairs[:_MOST]:
        shown = [
            f"{c.multiplier + 0.0:.4g}, weakly active" if c.weakly_active else f"{c.multiplier:.4g}"
            for c in (nash, stackelberg)
        ]
        multiplier = shown[0] if shown[0] == shown[1] else f"{shown[0]} (Nash), {shown[1]} (Stackelberg)"
        lines.append(f"    {found.roles[nash.player]}'s {nash.constraint}: multiplier {multiplier}")
    return lines + ([f"    and {len(pairs) - _MOST} more"] if len(pairs) > _MOST else [])


def _advantage(found: "Certificate") -> str:
    assert found.advantage is not None  # its callers ask
    rounding = 1e-12 * max(1.0, abs(float(found.payoffs[0])))
    return "0" if abs(found.advantage) <= rounding else f"{found.advantage:+.4g}"


def _dynamics(found: "LocalDynamics") -> str:
    rest = "at rest" if found.at_rest else "not at rest"
    if np.isnan(found.eigenvalues).any():
        return "not defined here"
    return f"{rest}, {'stable' if found.stable else 'not stable'} (eigenvalues {numbers(found.eigenvalues)})"


def table(found: "Found") -> str:
    """All critical points in a table."""
    players = len(found.critical[0].payoffs) if found.critical else 0
    head = ("point", *(f"payoff {i}" for i in range(players)), "kind", "simultaneous", "hierarchical", "advantage")
    rows = [head]
    for c in found.critical:
        at = "(" + ", ".join(action(a) for a in c.actions) + ")"
        advantage = "" if c.advantage is None else _advantage(c)
        paid = (f"{p + 0.0:.6g}" for p in c.payoffs)  # no negative zeros
        kind = c.kind if c.better_reply is None else f"{c.kind} (the follower answers better elsewhere)"
        rows.append((at, *paid, kind, _rest(c.simultaneous), _rest(c.hierarchical), advantage))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines = lines if found.critical else []
    lines.append(
        f"{len(found.critical)} critical points, {len(found.nash)} Nash and {len(found.stackelberg)} Stackelberg "
        f"equilibria; {found.converged[0]} and {found.converged[1]} of {found.starts} starts converged (simultaneous, "
        "hierarchical)"
    )
    return "\n".join(lines + [f"note: {note}" for note in found.notes])


def _rest(found: "LocalDynamics") -> str:
    return ("stable" if found.stable else "not stable") if found.at_rest else "-"
