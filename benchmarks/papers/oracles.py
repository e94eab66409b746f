"""Gerstgrasser & Parkes (2023), leaders against follower oracles: `python -m benchmarks.papers.oracles`.

What a leader learns over 64 seeds if the reduction of Theorem 1 is kept, and if one of its conditions is violated; the
corridor against its enumerated optimum; and environment steps to within 5 % of the optimum, contextual follower against
inner loop/outer loop. Writes `benchmarks/results/oracles.json` and its figures; exits with 1 if a claim fails.
"""

import functools
import json
import sys
from typing import Any

import numpy as np
import xarray

from benchmarks.reporting import RESULTS, Row, report, row
from stackjax import catalogue, plots
from stackjax.experiments import Leading, lead, steps_to_reach
from stackjax.experiments.lead_tables import near_optimum
from stackjax.learners import ContextualFollower, QLearning

SEEDS = 64
ROUNDS = 1000  # of exact gradients
NEAR = 0.05  # in units of payoff, of a local optimum
CONTEXTUAL, INNER = "policy-gradient/contextual", "evolution-strategies/q-learning"
#: Rounds of sampled leaders; a round of the inner loop is 128 episodes of practice and one of play.
SAMPLED = {CONTEXTUAL: 300, "evolution-strategies/contextual": 8000, INNER: 1500}
#: Other inner loops, and their rounds: none is the best in every game.
INNER_LOOPS = {
    f"{INNER} of 64 episodes": (QLearning(64, exploration=0.5, parallel=4), 2000),
    f"{INNER} of 256 episodes": (QLearning(256, exploration=0.7, restarts=0.3, parallel=4), 1000),
}
#: Training in episodes, beside the catalogue's 16384.
LESS = (2048, 4096, 8192)
SAMPLED_GAMES = ("prisoners-dilemma", "chicken", "corridor")
COMMAND = "python -m benchmarks.papers.oracles"

_EXACT = catalogue.MARKOV_LEADERS["policy-gradient-exact"]
_TRAIN = catalogue.ORACLES["contextual"].make


def learned(
    game: str, spread: float = 0.2, truths: bool = True, seeds: int = SEEDS, **variants: dict[str, Any]
) -> xarray.Dataset:
    """A game with exact policy gradients against trained contextual followers, one method for each variant."""
    entry = catalogue.MARKOV_GAMES[game]
    methods = {name: Leading(_EXACT.make(), _TRAIN, **options) for name, options in variants.items()}
    options: dict[str, Any] = {"states": entry.states, "actions": entry.actions, "title": entry.title}
    return lead(
        entry.make(), methods, rounds=ROUNDS, replicates=seeds, spread=spread, truths=truths, progress=False, **options
    )


def last(dataset: xarray.Dataset, method: str = "visible", variable: str = "value") -> np.ndarray:
    """What every seed ended with; an error if one failed."""
    found = dataset[variable].sel(methods=method).isel(record=-1).values
    if not np.all(np.isfinite(found)):
        raise RuntimeError(f"{method}: {int(np.sum(~np.isfinite(found)))} of {found.size} replicates failed")
    return found


def quartiles(values: Any) -> list[float | None]:
    """Quartiles as they were found, without interpolation between a number and infinity; None if infinite."""
    found = np.quantile(np.asarray(values), [0.25, 0.5, 0.75], method="higher")
    return [float(x) if np.isfinite(x) else None for x in found]


def dilemma(seeds: int = SEEDS) -> tuple[list[Row], dict[str, Any], xarray.Dataset]:
    """The prisoner's dilemma, with the reduction's conditions and with one of them violated."""
    rewards = catalogue.MARKOV_GAMES["prisoners-dilemma"].query_rewards()
    data = learned(
        "prisoners-dilemma",
        seeds=seeds,
        visible={},
        hidden={"visible": False},
        rewarded={"query_rewards": rewards},
        recognisable={"recognisable": True},
    )
    visible, hidden, ceiling = last(data), last(data, "hidden"), data.attrs["ceiling"]
    rows = [
        row("dilemma, visible queries: every seed at least -1.15", visible.min(), visible.min() >= -1.15),
        row("dilemma, visible queries: median at least -1.11", np.median(visible), np.median(visible) >= -1.11),
        row(
            f"dilemma: no seed above the ceiling of sampled answers, {ceiling:.4f}",
            visible.max(),
            visible.max() <= ceiling + 1e-3,
        ),
        row("dilemma, hidden queries: median at most -1.8", np.median(hidden), np.median(hidden) <= -1.8),
    ]
    too_much = np.median(last(data, "recognisable") - last(data, "recognisable", "commitment_value"))
    rows.append(row("dilemma, recognisable queries: believes more than .1 too much", too_much, too_much > 0.1))
    committed = {name: float(np.median(last(data, str(name), "commitment_value"))) for name in data["methods"].values}
    rows.append(
        row(
            "dilemma, recognisable queries: commits to no more than -1.8 (median)",
            committed["recognisable"],
            committed["recognisable"] <= -1.8,
        )
    )
    rows.append(
        row(
            "dilemma, rewarded queries: commits to less than with queries that pay nothing (medians)",
            [committed["rewarded"], committed["visible"]],
            committed["rewarded"] < committed["visible"],
        )
    )
    far = last(learned("prisoners-dilemma", 1.0, False, seeds, visible={}))
    more = {name: quartiles(last(data, str(name))) for name in data["methods"].values}
    return (
        rows,
        {
            "dilemma": {
                "value": more,
                "commitment_value": committed,
                "ceiling": ceiling,
                "from_far_starts": {"below_-1.15": float(np.mean(far < -1.15)), "value": quartiles(far)},
            }
        },
        data,
    )


def others(seeds: int = SEEDS) -> tuple[list[Row], dict[str, Any]]:
    """The other four games, and the corridor."""
    rows, more = [], {}
    data = {
        game: learned(game, seeds=seeds, visible={}, hidden={"visible": False})
        for game in catalogue.MARKOV_GAMES
        if game != "prisoners-dilemma"
    }
    values = {game: last(each) for game, each in data.items()}
    rows.append(
        row(
            "chicken, visible queries: every seed at least 3.9", values["chicken"].min(), values["chicken"].min() >= 3.9
        )
    )
    pennies = np.abs(values["matching-pennies"]).max()
    rows.append(row("matching pennies: every |value| at most .05", pennies, pennies <= 0.05))
    sexes = values["battle-of-the-sexes"]
    rows.append(row("battle of the sexes: best seed at least 2.9", sexes.max(), sexes.max() >= 2.9))
    far = last(learned("battle-of-the-sexes", 1.0, False, seeds, visible={}))
    at_two = [float(np.mean(np.abs(v - 2) < NEAR)) for v in (sexes, far)]
    rows.append(
        row("battle of the sexes: from far starts some seeds end at the local optimum 2", at_two[1], at_two[1] > 0)
    )
    corridor = data["corridor"]
    best, myopic = corridor.attrs["optimum_pessimistic"], corridor.attrs["myopic"]
    median = np.median(values["corridor"])
    rows.append(
        row(f"corridor: median within 5 % of the enumerated optimum, {best:.3g}", median, median >= 0.95 * best)
    )
    rows.append(
        row(
            f"corridor: every seed above the myopic leader, {myopic:.3g}",
            values["corridor"].min(),
            values["corridor"].min() > myopic,
        )
    )
    more = {
        game: {name: quartiles(last(each, name)) for name in ("visible", "hidden")}
        | {
            key: each.attrs[key]
            for key in ("optimum_optimistic", "optimum_pessimistic", "ceiling", "myopic")
            if key in each.attrs
        }
        for game, each in data.items()
    }
    more["battle-of-the-sexes"]["at_2_from_near_and_far_starts"] = at_two
    return rows, more


def sampled_methods(game: str) -> dict[str, Leading]:
    """The methods of `SAMPLED` as the catalogue has them."""
    made, methods = catalogue.MARKOV_GAMES[game].make(), {}
    for name in SAMPLED:
        leading, following = name.split("/")
        leader, oracle = catalogue.MARKOV_LEADERS[leading], catalogue.ORACLES[following]
        follower = oracle.make if oracle.trained else oracle.make(made)
        methods[name] = Leading(leader.make(), follower, episodes=leader.episodes)
    return methods


def steps_of(data: xarray.Dataset, variable: str) -> dict[str, np.ndarray]:
    """Steps to within 5 % of each seed, by method; of a trained follower with its training, and with a share of it."""
    steps, found = steps_to_reach(data, near_optimum(data), variable), {}
    for name in map(str, data["methods"].values):
        each, training = (x.sel(methods=name).values for x in (steps, data["training_steps"]))
        if np.any(training):
            found[f"{name}, training included"] = each
            found[f"{name}, training shared by {SEEDS} leaders"] = each - training * (1 - 1 / SEEDS)
        else:
            found[name] = each
    return found


def efficiency() -> tuple[list[Row], dict[str, Any], xarray.Dataset]:
    """Environment steps after which a leader stays within 5 % of the best deterministic one."""
    rows, more, kept = [], {}, {}
    for game in SAMPLED_GAMES:
        entry = catalogue.MARKOV_GAMES[game]
        methods = sampled_methods(game)
        rounds = dict(SAMPLED)
        for episodes in LESS:  # how much training is needed, without a claim
            name = f"policy-gradient/contextual of {episodes} episodes"
            train = functools.partial(ContextualFollower.train, episodes=episodes)
            methods[name], rounds[name] = Leading(methods[CONTEXTUAL].leader, train, episodes=32), rounds[CONTEXTUAL]
        for name, (follower, many) in INNER_LOOPS.items():
            methods[name], rounds[name] = Leading(methods[INNER].leader, follower), many
        options: dict[str, Any] = {"states": entry.states, "actions": entry.actions, "title": entry.title}
        data = lead(entry.make(), methods, rounds=rounds, replicates=SEEDS, progress=False, **options)
        kept[game] = data.sel(methods=list(SAMPLED))
        more[game] = {
            "target": near_optimum(data),
            "training_steps": data["training_steps"].max("replicate").values.tolist(),
        }
        for variable, called in (("value", "its own follower"), ("commitment_value", "a best response")):
            steps = steps_of(data, variable)
            more[game][variable] = {
                name: {"quartiles": quartiles(each), "arrived": int(np.isfinite(each).sum())}
                for name, each in steps.items()
            }
            theirs = min(float(np.quantile(steps[name], 0.5, method="higher")) for name in (INNER, *INNER_LOOPS))
            for way in ("training included", f"training shared by {SEEDS} leaders"):
                ours = float(np.quantile(steps[f"{CONTEXTUAL}, {way}"], 0.5, method="higher"))
                claim = (
                    f"{game}, value against {called}, {way}: fewer steps than the best of three inner loops (medians)"
                )
                rows.append(row(claim, [ours, theirs], ours < theirs))
    return rows, {"steps_to_within_5_percent": more}, kept["prisoners-dilemma"]


def main() -> int:
    """Everything, the file and the figures."""
    rows, more, data = dilemma()
    plots.plot_leading(data).savefig(RESULTS / "oracles.png", dpi=100)
    found, details = others()
    rows, more = rows + found, more | details
    found, details, data = efficiency()
    rows, more = rows + found, more | details
    plots.plot_leading(data).savefig(RESULTS / "oracles_steps.png", dpi=100)
    rows = [r | {"ours": np.asarray(r["ours"], float).tolist()} for r in rows]
    return report("oracles", rows, COMMAND, json.loads(json.dumps(more, default=float)))


if __name__ == "__main__":
    sys.exit(main())
