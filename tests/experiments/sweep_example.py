"""A small sweep that tests play here, in parts and in other processes: `sweep_example.py OUT [PROCESS ADDRESS]`."""

import sys

import jax

from stackjax import experiments
from stackjax.experiments import parts
from stackjax.games import CournotDuopoly, Noisy
from stackjax.learners import GradientAscent

GAME = Noisy(CournotDuopoly(), payoff_variance=1.0)
METHODS = {
    "slow": (GradientAscent(0.05, noise_variance=1.0), GradientAscent(0.2)),
    "noiseless": (GradientAscent(0.05), GradientAscent(0.2)),
}
OVER = {"leader.step": [0.05, 0.1, 0.2, 0.3], "game.demand": [90.0, 100.0]}
#: 2 programs, 32 runs of each, chunks of 2: 32 chunks.
OPTIONS = {"rounds": 40, "replicates": 4, "seed": 5, "chunk": 2, "devices": 1, "progress": False}


def played(methods=tuple(METHODS), **options):
    return experiments.sweep(GAME, {name: METHODS[name] for name in methods}, OVER, **(OPTIONS | options))


if __name__ == "__main__":
    out, *process = sys.argv[1:]
    if process:
        jax.distributed.initialize(process[1], num_processes=2, process_id=int(process[0]))
    parts.EVERY = 0.0  # every chunk by itself
    played(out=out)
