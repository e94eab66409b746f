"""Which bandit algorithm would a leader choose, which a follower? `python -m benchmarks.papers.metagame`.

Six leaders against five followers that learn and one that knows its payoffs, tuned to T = 1e4, in 100 random instances
of 3 x 3 arms with Bernoulli rewards of three families: uniform (independent payoffs), aligned (L* = 2) and zero-sum.
Each family's empirical game is solved: pure and mixed Nash equilibria, Stackelberg equilibria, dominated algorithms,
with how often they are the same over bootstrap resamples of the instances (the family) and of the replicates (these
instances); and again without the follower that knows. No source has numbers to compare with. Writes
`benchmarks/results/metagame.{json,png}`, the figure of the uniform instances. The same is played by `stackjax metagame
FAMILY --instances 100 --leaders ... --followers ...`.
"""

import argparse
import sys
from typing import Any

import jax
import numpy as np
import rich

from benchmarks.reporting import write
from stackjax import catalogue, experiments
from stackjax.games import StackelbergBandit, bandit_instances
from stackjax.plots import plot_metagame

LEADERS = ("etc", "etc-throw-out", "etucb", "ucb", "exp3", "phased-ucb")
FOLLOWERS = ("etc", "etucb", "aae", "ucb", "exp3", "best-response")
HORIZON, ARMS, SEED = 10_000, (3, 3), 0
BOTH = ("leader", "follower")
FIGURE = "uniform"


def families(instances: int) -> dict[str, StackelbergBandit]:
    """Batches of random instances by the name of their family."""
    key = jax.random.fold_in(jax.random.key(SEED), 1)  # as the command line does
    return {
        "uniform": bandit_instances.uniform(key, *ARMS, batch=instances),
        "random-aligned": bandit_instances.random_aligned(key, *ARMS, 2.0, batch=instances),
        "zero-sum": bandit_instances.zero_sum(key, *ARMS, batch=instances),
    }


def played(name: str, game: StackelbergBandit, replicates: int) -> Any:
    """The meta-game of a family."""
    leaders, followers = (
        {name: known[catalogue.ALIASES.get(name, name)](game, HORIZON) for name in names}
        for names, known in ((LEADERS, catalogue.LEADERS), (FOLLOWERS, catalogue.FOLLOWERS))
    )
    title = f"{len(game.leader_means)} {name} bandits of {ARMS[0]} x {ARMS[1]} arms"
    return experiments.metagame(
        leaders, followers, game, horizon=HORIZON, replicates=replicates, seed=SEED, resample="instances", title=title
    )


def record(dataset: Any) -> dict[str, Any]:
    """For the file: utilities, and each solution with its frequency."""

    def rounded(name: str) -> Any:
        return np.round(dataset[name].values.astype(float), 5).tolist()

    def pairs(kind: str) -> dict[str, float]:
        """The pairs that are it, or are it in a resample of twenty, by their frequency."""
        often = dataset[f"{kind}_frequency"].to_series().sort_values(ascending=False)
        chosen = dataset[kind].to_series()
        return {"/".join(map(str, at)): float(share) for at, share in often.items() if chosen[at] or share >= 0.05}

    def mixed(player: str, probabilities: np.ndarray) -> dict[str, float]:
        named = zip(dataset[player].values, probabilities.astype(float), strict=True)
        return {str(name): round(float(p), 4) for name, p in named if p > 0}

    def dominated(player: str) -> dict[str, list[str]]:
        kinds = dataset[f"{player}_dominated"]
        return {
            str(kind): dataset[player].values[row].tolist()
            for kind, row in zip(kinds["dominance"].values, kinds.values, strict=True)
        }

    return {
        "resample": dataset.attrs["resample"],
        "mean": rounded("mean"),
        "standard_error": rounded("standard_error"),
        "failed": int(dataset["failed"].sum()),
        "pure_nash": pairs("pure_nash"),
        "pure_nash_same": float(dataset["pure_nash_same"]),
        "nash": [
            {"leader": mixed("leader", x), "follower": mixed("follower", y), "utility": np.round(u, 5).tolist()}
            for x, y, u in zip(
                dataset["nash_leader"].values,
                dataset["nash_follower"].values,
                dataset["nash_utility"].values,
                strict=True,
            )
        ],
        "stackelberg": pairs("stackelberg"),
        "stackelberg_same": float(dataset["stackelberg_same"]),
        "commitment": {
            **{player: mixed(player, dataset[f"commitment_{player}"].values) for player in BOTH},
            "utility": rounded("commitment_utility"),
        },
        "dominated": {player: dominated(player) for player in BOTH},
        "seconds": round(float(dataset["seconds"].sum()), 1),
        "compile_seconds": round(float(dataset["compile_seconds"].sum()), 1),
    }


def main() -> int:
    """Play, print, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.metagame")
    parser.add_argument("--instances", type=int, default=100, help="of each family (default: 100)")
    parser.add_argument("--replicates", type=int, default=20, help="of each pair and instance (default: 20)")
    options = parser.parse_args()
    if min(options.instances, options.replicates) < 2:
        parser.error("--instances, --replicates: expected at least 2 of each")
    found: dict[str, Any] = {
        "leaders": LEADERS,
        "followers": FOLLOWERS,
        "horizon": HORIZON,
        "arms": ARMS,
        "instances": options.instances,
        "replicates": options.replicates,
    }
    command = f"python -m benchmarks.papers.metagame --instances {options.instances} --replicates {options.replicates}"
    for name, game in families(options.instances).items():
        dataset = played(name, game, options.replicates)
        rich.print(f"\n[bold]{dataset.attrs['title']}[/bold]", experiments.table(dataset))
        learning = dataset.sel(follower=list(FOLLOWERS[:-1]))
        found[name] = {
            "family": record(dataset),
            "these instances": record(experiments.solutions(dataset, resample="replicates")),
            "family, followers that learn": record(experiments.solutions(learning, resample="instances")),
        }
        path = write("metagame", found, command)
        if name == FIGURE:
            plot_metagame(dataset).savefig(path.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
