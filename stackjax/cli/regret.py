"""`stackjax regret`."""

import functools
import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackjax.cli import _how
from stackjax.cli._common import (
    Command,
    Name,
    Real,
    Whole,
    file_name,
    instance_entry,
    learner_named,
    noise_option,
    noted_already,
    plain,
    refused,
    seed_option,
    set_option,
    sigma_option,
    values_of,
)

if TYPE_CHECKING:
    from stackjax.catalogue import InstanceEntry
    from stackjax.games import StackelbergBandit
    from stackjax.protocols import Learner

_ROUNDS = Whole(1, 2**31 - 1)


class Horizons(click.ParamType):
    """Numbers of rounds: a list, as in 1e3,1e4, or two ends, as in 1e3:1e6."""

    name = "horizons"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[list[int], bool]:
        """The numbers, and whether they are ends."""
        ends = ":" in str(value)
        numbers = [_ROUNDS.convert(part.strip(), param, ctx) for part in str(value).split(":" if ends else ",")]
        if ends and (len(numbers) != 2 or not numbers[0] < numbers[1]):
            self.fail(f"expected two increasing numbers of rounds, as in 1e3:1e6, got {value!r}", param, ctx)
        if numbers != sorted(set(numbers)):
            self.fail(f"expected increasing numbers of rounds, as in 1e3,1e4, got {value!r}", param, ctx)
        return numbers, ends


@click.command("regret", cls=Command)
@click.argument("instance", type=Name("INSTANCES"))
@click.option(
    "--leader",
    "leaders",
    type=Name("LEADERS", "ALIASES"),
    multiple=True,
    metavar="NAME",
    help="A leader; each plays with every --follower. Untuned, with its arguments: epsilon-greedy(epsilon=0.1).",
)
@click.option(
    "--follower",
    "followers",
    type=Name("FOLLOWERS", "ALIASES"),
    multiple=True,
    metavar="NAME",
    help="A follower, likewise.",
)
@click.option("--pair", "pairs", multiple=True, metavar="LEADER/FOLLOWER", help="One more pair.")
@click.option(
    "--horizons",
    type=Horizons(),
    default="1e3:1e5",
    show_default=True,
    metavar="FIRST:LAST or LIST",
    help="Rounds T: spaced evenly in the logarithm, or separated by commas.",
)
@click.option(
    "--points", type=Whole(1, 100), default=2, show_default=True, help="How many horizons a decade from FIRST to LAST."
)
@click.option("--replicates", type=Whole(1, 2**32 - 1), default=400, show_default=True, help="Runs of each pair.")
@click.option("--gamma", type=Real(0.0), help="What tolerant benchmarks tolerate; default the instance's.")
@click.option(
    "--benchmark",
    type=click.Choice(["tolerant", "self-tolerant", "stackelberg"]),
    default="tolerant",
    show_default=True,
    help="What regret is measured against.",
)
@noise_option
@sigma_option
@set_option
@click.option("--skip-phases", is_flag=True, help="Jump over rounds that nobody learns from, for pairs that allow it.")
@seed_option
@_how.options("results/INSTANCE", "regret")
def command(
    instance: str,
    leaders: tuple[str, ...],
    followers: tuple[str, ...],
    pairs: tuple[str, ...],
    horizons: tuple[list[int], bool],
    points: int,
    replicates: int,
    gamma: float | None,
    benchmark: str,
    noise: str | None,
    sigma: float | None,
    sets: tuple[str, ...],
    skip_phases: bool,
    seed: int,
    how: _how.How,
) -> None:
    """Both players' regrets in INSTANCE over the horizon: a table with slopes, a figure and a NetCDF file.

    Learners are tuned to each horizon (but for epsilon-greedy and epsilon-best-response, whose epsilon is 0.05); all
    pairs meet equal noise. stackjax list shows instances and learners; module:Class is one of one's own. If no pair is
    asked for they are etc/etc, etucb/etc and ucb/ucb.
    """
    instance = plain(instance)
    entry = instance_entry(instance)
    chosen = _pairs(leaders, followers, pairs)
    rounds = _spaced(horizons[0], points) if horizons[1] else horizons[0]
    from stackjax import experiments

    rewards = {name: value for name, value in (("noise", noise), ("sigma", sigma)) if value is not None}
    games, made, notes = _make(entry, rewards, chosen, rounds, values_of(sets))
    gamma = entry.gamma if gamma is None else gamma
    words = ["regret", instance, *(word for name in chosen for word in ("--pair", name))]
    words += ["--horizons", ",".join(map(str, rounds)), "--replicates", str(replicates), "--gamma", str(gamma)]
    words += ["--benchmark", benchmark, *(str(word) for k, v in rewards.items() for word in (f"--{k}", v))]
    words += [word for one in sets for word in ("--set", one)]
    words += ["--skip-phases"] * skip_phases + ["--seed", str(seed)]
    driver = functools.partial(
        experiments.regret,
        games.__getitem__,
        {name: learners.__getitem__ for name, learners in made.items()},
        horizons=rounds,
        replicates=replicates,
        seed=seed,
        gamma=gamma,
        benchmark=benchmark,
        skip_phases=skip_phases,
        title=entry.title,
    )
    out = _how.target(how, Path("results", file_name(instance)), "regret")
    with noted_already():
        _how.perform(driver, words, how, out, f"[bold]{entry.title}[/bold]: {entry.summary}", notes)


def _pairs(leaders: Sequence[str], followers: Sequence[str], pairs: Sequence[str]) -> dict[str, tuple[str, str]]:
    """What a pair is called -> the leader's and the follower's names in the catalogue; each pair once."""
    from stackjax import catalogue
    from stackjax.experiments.constructed import split

    if bool(leaders) != bool(followers):
        given, missing = ("--leader", "--follower") if leaders else ("--follower", "--leader")
        raise click.UsageError(f"{given}: expected a {missing}, too; each leader plays with each follower")
    asked = [(*names, "--leader", "--follower") for names in itertools.product(leaders, followers)]
    for pair in pairs:
        parts = split(pair, "/")
        if len(parts) != 2:
            raise click.BadParameter(f"expected LEADER/FOLLOWER, got {pair!r}", param_hint="'--pair'")
        asked.append((parts[0], parts[1], "--pair", "--pair"))
    labels: dict[tuple[str, str], str] = {}
    for leader, follower, *options in asked or [(*names, "--pair", "--pair") for names in catalogue.PAIRS]:
        known = (catalogue.LEADERS, catalogue.FOLLOWERS)
        names = [
            learner_named(*each)
            for each in zip(("leader", "follower"), (leader, follower), known, options, strict=True)
        ]
        labels.setdefault((names[0], names[1]), f"{plain(leader)}/{plain(follower)}")
    return {called: names for names, called in labels.items()}


def _spaced(ends: list[int], points: int) -> list[int]:
    import numpy as np

    first, last = ends
    number = max(2, round(points * np.log10(last / first)) + 1)
    return np.unique(np.rint(np.geomspace(first, last, number)).astype(np.int64)).tolist()


def _make(
    entry: "InstanceEntry",
    rewards: Mapping[str, Any],
    pairs: Mapping[str, tuple[str, str]],
    horizons: Sequence[int],
    put: Mapping[str, Any],
) -> tuple[dict[int, "StackelbergBandit"], dict[str, dict[int, tuple["Learner", "Learner"]]], list[str]]:
    """Each horizon's game, each pair's and horizon's learners, and what was warned of meanwhile, each warning once."""
    from stackjax.experiments.constructed import tuned_by_name
    from stackjax.experiments.settings import set_game, set_players

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            games = {horizon: entry.make(horizon, **rewards) for horizon in horizons}
        except ValueError as error:  # means that are no probabilities
            raise click.BadParameter(str(error), param_hint="'--noise'") from None
        made: dict[str, dict[int, Any]] = {called: {} for called in pairs}
        for T, game in games.items():
            with refused("--set"):
                games[T] = game = set_game(game, put)
            with refused("--pair"):
                chosen = {
                    called: tuple(
                        tuned_by_name(name, role, name)(game, T)
                        for role, name in zip(("leader", "follower"), names, strict=True)
                    )
                    for called, names in pairs.items()
                }
            with refused("--set"):
                for called, players in set_players(chosen, game, put).items():
                    made[called][T] = players
    return games, made, list(dict.fromkeys(str(warning.message) for warning in caught))
