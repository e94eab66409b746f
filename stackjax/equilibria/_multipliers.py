"""Multipliers of rows, which sets of rows have such, and matrices on the cones that rows leave.

On the host.
"""

import itertools

import numpy as np
import scipy  # of whose parts only those that are used are imported, when they are

_FACES = 8  # weakly active constraints of one player up to which its critical cone is looked through face by face
_OPEN = 10  # constraints of one player that it may hold or not up to which all its ways to do so are
_DEPENDENT = 1e-10  # singular values of rows of length 1 that are smaller mean that they depend on each other


def multipliers(rows: np.ndarray, vector: np.ndarray, signed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`argmin |rows' nu - vector|` over `nu >= 0`, of either sign where `signed`; and `vector - rows' nu`."""
    if not np.all(np.isfinite(vector)) or not np.all(np.isfinite(rows)):
        return np.zeros(len(rows)), np.full_like(vector, np.nan)
    lengths, unit = np.linalg.norm(rows, axis=1), _unit(rows)
    size = float(np.linalg.norm(vector))
    if not len(rows) or not size or not vector.size:
        return np.zeros(len(rows)), vector
    columns = np.concatenate([unit, -unit[signed]]).T
    found, _ = scipy.optimize.nnls(columns, vector / size, maxiter=100 * columns.shape[1])
    nu = found[: len(rows)] * size
    nu[signed] -= found[len(rows) :] * size
    return nu / np.where(lengths > 0, lengths, 1), vector - unit.T @ nu


def shared(rows: np.ndarray) -> np.ndarray:
    """Which rows others determine, so that their multipliers aren't unique."""
    if not len(rows) or not np.all(np.isfinite(rows)):
        return np.zeros(len(rows), bool)
    return np.asarray(np.any(np.abs(_kernel(_unit(rows).T)) > 1e-8, axis=1))


def supports(
    rows: np.ndarray, vector: np.ndarray, signed: np.ndarray, certain: np.ndarray, limit: float
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]] | None:
    """All sets of independent rows whose non-negative multiples (any where `signed`) sum to `vector` to the limit.

    All of the `certain` and the signed ones are in each. With the multipliers, and which of a set have none but 0. None
    if there are too many rows to choose from.
    """
    always = certain | signed
    open_ = np.flatnonzero(~always)
    if open_.size > _OPEN or not np.all(np.isfinite(rows)) or not np.all(np.isfinite(vector)):
        return None
    unit, lengths = _unit(rows), np.linalg.norm(rows, axis=1)
    found = []
    for count in range(min(open_.size, max(0, rows.shape[1] - int(always.sum()))) + 1):
        for some in itertools.combinations(open_, count):
            held = always.copy()
            held[list(some)] = True
            chosen = unit[held]
            if len(chosen) > rows.shape[1] or np.linalg.svd(chosen, compute_uv=False).min(initial=1.0) < _DEPENDENT:
                continue
            by = np.linalg.lstsq(chosen.T, vector, rcond=None)[0] if len(chosen) else np.zeros(0)
            low = ~signed[held] & (by <= limit)
            if np.linalg.norm(vector - chosen.T @ by) <= limit and np.all(by[low] >= -limit):
                nu, weak = np.zeros(len(rows)), np.zeros(len(rows), bool)
                nu[held], weak[held] = np.where(low, 0, by) / np.where(lengths[held] > 0, lengths[held], 1), low
                found.append((held, nu, weak))
    return found


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1)[:, None])


def second_order(
    hessian: np.ndarray, fixed: np.ndarray, loose: np.ndarray, curvature: float
) -> tuple[np.ndarray, bool | None, np.ndarray]:
    """A matrix on the cone of the d with `fixed d = 0` and `loose d <= 0`.

    Its eigenvalues on the cone's linear hull, where nothing is fixed; whether `d' hessian d < 0` in all of the cone but
    0, None if that isn't decided; a basis of the hull.
    """
    basis = np.eye(len(hessian))
    if len(fixed):
        basis = _kernel(fixed)
    if not np.all(np.isfinite(hessian)) and basis.size:
        return np.full(basis.shape[1], np.nan), None, basis
    reduced = basis.T @ np.where(np.isfinite(hessian), (hessian + hessian.T) / 2, 0) @ basis
    spectrum = np.linalg.eigvalsh(reduced)
    least = -curvature * max(1.0, float(np.max(np.abs(spectrum), initial=0.0)))
    if np.all(spectrum < least):
        return spectrum, True, basis
    lengths = np.linalg.norm(loose @ basis, axis=1)
    rows = (loose @ basis)[lengths > _DEPENDENT] / lengths[lengths > _DEPENDENT][:, None]
    if not len(rows):
        return spectrum, False, basis
    if len(rows) > _FACES:
        return spectrum, None, basis
    return spectrum, not _has_rising_direction(reduced, rows, least), basis


def _kernel(rows: np.ndarray) -> np.ndarray:
    if not np.all(np.isfinite(rows)):
        return np.eye(rows.shape[1])
    return np.asarray(scipy.linalg.null_space(_unit(rows), rcond=_DEPENDENT))


def _has_rising_direction(matrix: np.ndarray, rows: np.ndarray, least: float) -> bool:
    """Whether `d' matrix d >= least` for a d of length 1 with `rows d <= 0`.

    The largest value is taken inside a face, where d is an eigenvector of the matrix on the face's linear hull.
    """
    for count in range(len(rows) + 1):
        for face in itertools.combinations(range(len(rows)), count):
            basis = _kernel(rows[list(face)]) if face else np.eye(len(matrix))
            if not basis.shape[1]:
                continue
            values, vectors = np.linalg.eigh(basis.T @ matrix @ basis)
            rest = np.delete(rows, face, axis=0) @ basis @ vectors
            near = 1e-9 * max(1.0, float(np.abs(values).max()))
            for k in np.flatnonzero(values >= least):
                same = np.flatnonzero(np.abs(values - values[k]) <= near)
                if _meets_cone(rest[:, same]):
                    return True
    return False


def _meets_cone(rows: np.ndarray) -> bool:
    """Whether there is a c, not 0, with `rows c <= 0`."""
    n = rows.shape[1]
    if not len(rows) or n > len(rows):
        return True
    if n == 1:
        return bool(np.all(rows <= 1e-9) or np.all(rows >= -1e-9))
    for k, sign in itertools.product(range(n), (1.0, -1.0)):
        cost = np.zeros(n)
        cost[k] = sign
        found = scipy.optimize.linprog(cost, rows, np.full(len(rows), 1e-9), bounds=[(-1, 1)] * n)
        if found.status == 0 and found.fun < -1e-6:
            return True
    return False
