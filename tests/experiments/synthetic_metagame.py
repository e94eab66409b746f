"""Meta-games with given utilities, as if they had been played."""

import numpy as np
import xarray
from rich.console import Console

from stackjax import Status, experiments

SIZES = ("leader", "follower", "instance", "replicate")
DILEMMA = ([[3, 0], [4, 1]], [[3, 4], [0, 1]])
SEXES = ([[2, 0], [0, 1]], [[1, 0], [0, 2]])
PENNIES = ([[1, -1], [-1, 1]], [[-1, 1], [1, -1]])


def metagame(utility, **attributes):
    """What is there before `solutions` adds its own, from utilities `[leader, follower, instance, replicate, player]`.

    A replicate with a NaN has failed.
    """
    utility = np.asarray(utility, np.float64)
    shape = utility.shape[:4]
    variables = {
        "utility": ((*SIZES, "player"), utility),
        "status": (SIZES, np.where(np.isnan(utility).any(-1), int(Status.NON_FINITE), 0).astype(np.int8)),
        "seconds": (SIZES[:2], np.full(shape[:2], 0.5)),
        "compile_seconds": (SIZES[:2], np.ones(shape[:2])),
    }
    coordinates = {
        "leader": [f"l{i}" for i in range(shape[0])],
        "follower": [f"f{i}" for i in range(shape[1])],
        "instance": range(shape[2]),
        "replicate": range(shape[3]),
        "player": ["leader", "follower"],
    }
    about = {"result": "metagame", "title": "A meta-game", "horizon": 1000, "stackjax_version": "0.1.0"}
    return xarray.Dataset(variables, coordinates, about | attributes)


def noisy(U1, U2, spread, instances=1, replicates=200, seed=0):
    """The payoffs of a bimatrix game with independent normal noise in each replicate."""
    mean = np.stack([np.asarray(U1, float), np.asarray(U2, float)], axis=-1)[:, :, None, None]
    noise = np.random.default_rng(seed).normal(size=(*mean.shape[:2], instances, replicates, 2))
    return metagame(mean + spread * noise)


def printed(dataset, width=120):
    """The table as text; in one line where the width suffices for one of each pair."""
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(experiments.table(dataset, width))
    text = captured.get()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    return " ".join(text.split()) if width >= 120 else text
