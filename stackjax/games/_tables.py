"""Checks of what a Markov game is made of and asked: each is concrete, or traced and then taken as it is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from stackjax import checks
from stackjax._calculus.distributions import check_rows
from stackjax.checks import as_number, concrete, number, whole
from stackjax.games._checks import finite_array

#: The most numbers in a table that is made from the numbers of observations.
MOST_OBSERVATIONS = 10**8


def transitions(name: str, value: Any) -> Array:
    """`[S, A_0, ..., A_{N-1}, S]`, each row a distribution."""
    array = as_array(name, value)
    if array.ndim < 3 or array.shape[0] != array.shape[-1]:
        raise ValueError(
            f"{name}: expected the shape [S, A_0, ..., A_(N-1), S] with as many states first as last and at least one "
            f"player, got {list(array.shape)}"
        )
    array = finite_array(name, array, (None,) * array.ndim)
    check_rows(name, array)
    return array


def rewards(name: str, value: Any, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """One table of `shape` `[S, A_0, ..., A_{N-1}]` a player."""
    players = len(shape) - 1
    listed = value if isinstance(value, tuple | list) else jnp.atleast_1d(as_array(name, value))
    if len(listed) != players:
        raise ValueError(f"{name}: expected one array a player ({players}), got {len(listed)}")
    return tuple(finite_array(f"{name}[{i}]", as_array(name, each), shape) for i, each in enumerate(listed))


def initial(name: str, value: Any, states: int, dtype: Any) -> Array:
    """A distribution of the states; that of state 0 for None."""
    if value is None:
        return jnp.zeros(states, dtype).at[0].set(1)
    array = finite_array(name, as_array(name, value), (states,))
    check_rows(name, array)
    return array


def time(horizon: Any, discount: Any) -> tuple[int | None, Any]:
    """Exactly one of a horizon and a discount."""
    if (horizon is None) == (discount is None):
        raise ValueError(
            f"horizon, discount: expected exactly one of them, got horizon={horizon!r}, discount={discount!r}"
        )
    if horizon is not None:
        return whole("horizon", horizon), None
    number(discount, "discount", 0.0, open_low=False, high=1.0)
    return None, as_number(discount)


def observations(name: str, value: Any, players: int, states: int, dtype: Any) -> tuple[Array | None, ...]:
    """One entry a player: None, or distributions `[S, O_i]` of its observation."""
    if value is None:
        return (None,) * players
    if not isinstance(value, tuple | list) or len(value) != players:
        raise ValueError(f"{name}: expected one entry a player ({players}), each None or an array, got {value!r}")
    return tuple(_observation(f"{name}[{i}]", each, states, dtype) for i, each in enumerate(value))


def _observation(name: str, value: Any, states: int, dtype: Any) -> Array | None:
    if value is None:
        return None
    if np.ndim(value) == 1:
        numbers = np.asarray(value) if concrete(value) else None
        if numbers is None or not np.issubdtype(numbers.dtype, np.integer) or numbers.min(initial=0) < 0:
            raise TypeError(f"{name}: expected known whole numbers of at least 0, got {value!r}")
        if numbers.shape != (states,):
            raise ValueError(f"{name}: expected one observation a state ({states}), got {numbers.shape}")
        count = int(numbers.max()) + 1
        if states * count > MOST_OBSERVATIONS:
            raise ValueError(
                f"{name}: expected a table [states, observations] of at most {MOST_OBSERVATIONS} numbers, got "
                f"{states} x {count}; count the observations from 0 without gaps"
            )
        table = np.zeros((states, count), dtype)
        table[np.arange(states), numbers] = 1
        return jnp.asarray(table)
    array = finite_array(name, as_array(name, value), (states, None))
    check_rows(name, array)
    return array


def flags(name: str, value: Any, count: int) -> tuple[bool, ...]:
    """So many booleans."""
    if not isinstance(value, tuple | list) or len(value) != count:
        raise TypeError(f"{name}: expected {count} booleans, got {value!r}")
    return tuple(checks.flag(f"{name}[{i}]", x) for i, x in enumerate(value))


def _is_player(value: Any, count: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(0 <= value < count)


def player(value: Any, count: int) -> int:
    """The number of a player."""
    if not _is_player(value, count):
        raise ValueError(f"player: expected 0 to {count - 1}, got {value!r}")
    return int(value)


def players(name: str, value: Any, count: int) -> tuple[int, ...]:
    """Numbers of players."""
    if not isinstance(value, tuple | list | range) or not all(_is_player(x, count) for x in value):
        raise ValueError(f"{name}: expected players among 0 to {count - 1}, got {value!r}")
    return tuple(sorted({int(x) for x in value}))


def levels(name: str, value: Any, count: int) -> tuple[tuple[int, ...], ...]:
    """The players in order of play, those who move together in a tuple."""
    lists = isinstance(value, tuple | list) and all(
        isinstance(level, tuple | list | range) and level for level in value
    )
    numbers = [i for level in value for i in level] if lists else []
    if not all(_is_player(i, count) for i in numbers) or numbers != list(range(count)):
        raise ValueError(
            f"{name}: expected the players 0 to {count - 1}, in order of play, at least one a level, got {value!r}"
        )
    return tuple(tuple(int(i) for i in level) for level in value)


def policy(player: int, action: Any, shape: tuple[int, ...], logits: bool) -> Array:
    """The probabilities of a policy of the shape that is given as such or as logits."""
    name = f"action of player {player}"
    array = shaped(name, action, shape, "a policy")
    if logits:
        return jax.nn.softmax(array, axis=-1)
    if concrete(array) and np.all(np.isfinite(np.asarray(array))):  # what isn't finite is a failure, which has a status
        check_rows(name, array)
    return array


def shaped(name: str, value: Any, shape: tuple[int, ...], what: str) -> Array:
    """An array of exactly the shape; `what` says what it is. Batches come by `vmap`."""
    array = as_array(name, value)
    if array.shape != shape:
        raise ValueError(f"{name}: expected {what} of the shape {list(shape)}, got {list(array.shape)}")
    return array


def asked(name: str, value: Any, count: int, player: int) -> Int[Array, "..."]:
    """Whole numbers below the number of a player's observations."""
    if not hasattr(value, "dtype"):
        value = np.asarray(value)
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"{name}: expected whole numbers, got {value!r}")
    if concrete(value):
        known = np.asarray(value)
        if known.size and not (known.min() >= 0 and known.max() < count):
            raise ValueError(f"{name}: player {player} has the observations 0 to {count - 1}, got {known.tolist()}")
    return jnp.asarray(value, jnp.int32)


def as_array(name: str, value: Any) -> Array:
    """An array of floating-point numbers."""
    try:
        array: Any = value if hasattr(value, "dtype") else np.asarray(value)
        if not any(jnp.issubdtype(array.dtype, kind) for kind in (jnp.floating, jnp.integer)):
            raise TypeError
        return jnp.asarray(as_number(jnp.asarray(array)))
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected an array of numbers, got {value!r}") from None
