"""Sweeps that tests play here, in parts and in other processes: `sweep_example.py OUT [PROCESS ADDRESS | long]`."""

import sys

import jax
import jax.numpy as jnp

from stackjax import Record, experiments
from stackjax.experiments import store
from stackjax.games import CournotDuopoly, Noisy, from_payoffs
from stackjax.learners import GradientAscent
from stackjax.spaces import Euclidean

GAME = Noisy(CournotDuopoly(), payoff_variance=1.0)
UNSTABLE = from_payoffs(lambda x, y: x * x - x * y, lambda x, y: -y * y, spaces=(Euclidean(()), Euclidean(())))
METHODS = {
    "slow": (GradientAscent(0.05, noise_variance=1.0), GradientAscent(0.2)),
    "noiseless": (GradientAscent(0.05), GradientAscent(0.2)),
}
OVER = {"leader.step": [0.05, 0.1, 0.2, 0.3], "game.demand": [90.0, 100.0]}
#: 2 programs, 32 runs of each, chunks of 2: 32 chunks.
OPTIONS = {"rounds": 40, "replicates": 4, "seed": 5, "chunk": 2, "devices": 1, "progress": False}


def played(methods=tuple(METHODS), **options):
    return experiments.sweep(GAME, {name: METHODS[name] for name in methods}, OVER, **(OPTIONS | options))


def long(**options):
    """16 chunks of 2 runs, each in 4 segments of 2 records; with the larger step replicates fail in different ones."""
    more = {"record": Record.every(5), "start": lambda x: (jnp.float32(x), jnp.float32(1.0)), "checkpoint": 10}
    over = {"leader.step": [0.05, 3.0, 9.0, 900.0], "x": [1e-3, 1.0]}
    return experiments.sweep(UNSTABLE, METHODS["slow"], over, **(OPTIONS | more | options))


if __name__ == "__main__":
    out, *process = sys.argv[1:]
    store.EVERY = 0.0  # every chunk by itself
    if process == ["long"]:
        import sweep_example  # functions are known by their module

        sweep_example.long(out=out)
        raise SystemExit
    if process:
        jax.distributed.initialize(process[1], num_processes=2, process_id=int(process[0]))
    played(out=out, overwrite=bool(process))
