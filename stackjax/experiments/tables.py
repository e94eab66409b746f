"""`table`: a result for a terminal or a notebook. rich is imported when one is made."""

from typing import TYPE_CHECKING

from stackjax.experiments.comparison_tables import comparison_table
from stackjax.experiments.lead_tables import leading_table
from stackjax.experiments.metagame_tables import metagame_table
from stackjax.experiments.regret_tables import regret_table
from stackjax.experiments.sweep_tables import sweep_table

if TYPE_CHECKING:
    import xarray
    from rich.table import Table


def table(dataset: "xarray.Dataset", width: int | None = None) -> "Table":
    """A result as a table, by its kind.

    - Of a comparison: its state at the last record, `summary`, with a line for each player. Where a line is too short
      the quartiles stand below the medians; where that doesn't suffice either (below about 100 characters), they and
      the time of compilation are left out.
    - Of regrets: both players' means with standard errors, a line for each pair and horizon, and their `slopes`.
    - Of a sweep: quartiles of what was measured, at the last record, a line for each of the first settings.
    - Of leaders against oracles: quartiles of their exact values, and how many environment steps they took.
    - Of a meta-game: both players' average utilities, a cell for each pair of algorithms, and its `solutions`.

    **Arguments:**

    - `dataset`: what `stackjax.experiments.compare`, `regret`, `metagame`, `lead` or `load` returned.
    - `width`: characters in a line; default: as many as `rich` takes the terminal to have.

    **Returns:** a `rich` table. A notebook shows it; elsewhere `rich` prints it (Python's own `print` would show
    its address only):

    ```python
    import rich

    from stackjax import experiments

    result = experiments.load("results/duopoly/comparison.nc")
    rich.print(experiments.table(result))
    ```
    """
    import rich

    width = rich.get_console().width if width is None else width
    kinds = {"regret": regret_table, "metagame": metagame_table, "leading": leading_table, "sweep": sweep_table}
    return kinds.get(str(getattr(dataset, "attrs", {}).get("result")), comparison_table)(dataset, width)
