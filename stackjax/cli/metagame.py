"""`stackjax metagame`."""

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackjax.cli import _how
from stackjax.cli._common import (
    Command,
    Name,
    Option,
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
    from stackjax.games import StackelbergBandit

#: What meets whom, and where, if nothing else is asked for.
_LEADERS, _FOLLOWERS = "etc,etucb,ucb,exp3", "etc,aae,ucb,exp3"
_INSTANCES, _ARMS = 50, "3x3"
#: What a family alone has: its option -> the family, and the default.
_OWN = {"alignment": ("random-aligned", 2.0), "factor": ("scaled-gaps", 1.0)}
_RUNS = {True: 20, False: 400}  # of each instance of a family, of a single one


class Arms(click.ParamType):
    """Numbers of arms of the leader and of the follower, as in 3x2."""

    name = "arms"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """What was written, checked."""
        parts = str(value).lower().split("x")
        if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"expected numbers of arms of the leader and the follower, as in 3x2, got {value!r}", param, ctx)
        return "x".join(parts)


_of_family = functools.partial(click.option, cls=Option, group="Of random families")


@click.command("metagame", cls=Command)
@click.argument("instance", type=Name("INSTANCES", "FAMILIES"))
@click.option(
    "--leaders",
    type=Name("LEADERS", "ALIASES", several=True),
    default=_LEADERS,
    show_default=True,
    metavar="NAMES",
    help="Separated by commas.",
)
@click.option(
    "--followers",
    type=Name("FOLLOWERS", "ALIASES", several=True),
    default=_FOLLOWERS,
    show_default=True,
    metavar="NAMES",
    help="Separated by commas.",
)
@_of_family("--instances", type=Whole(1, 10**6), help=f"How many.  [default: {_INSTANCES}]")
@_of_family("--arms", type=Arms(), metavar="AxB", help=f"Leader's x follower's.  [default: {_ARMS}]")
@_of_family("--alignment", type=Real(1.0), help=f"L* of random-aligned.  [default: {_OWN['alignment'][1]:g}]")
@_of_family("--factor", type=Real(0.0, min_open=True), help=f"Of scaled-gaps' gaps.  [default: {_OWN['factor'][1]:g}]")
@click.option("--horizon", type=Whole(1, 2**31 - 1), default=10_000, show_default=True, help="Rounds T.")
@click.option(
    "--replicates",
    type=Whole(1, 2**32 - 1),
    help=f"Runs of each pair and instance.  [default: {_RUNS[True]} of a family's, {_RUNS[False]} of a single one]",
)
@click.option(
    "--resample",
    type=click.Choice(["replicates", "instances"]),
    help="What errors and frequencies are about: these instances, or their family.  [default: the latter, if any]",
)
@click.option("--resamples", type=Whole(1, 10**6), default=1000, show_default=True, help="Of the bootstrap.")
@noise_option
@sigma_option
@set_option
@seed_option
@_how.options("results/metagame-INSTANCE", "metagame")
def command(
    instance: str,
    leaders: str,
    followers: str,
    instances: int | None,
    arms: str | None,
    alignment: float | None,
    factor: float | None,
    horizon: int,
    replicates: int | None,
    resample: str | None,
    resamples: int,
    noise: str | None,
    sigma: float | None,
    sets: tuple[str, ...],
    seed: int,
    how: _how.How,
) -> None:
    """Leader against follower algorithms in INSTANCE, and the equilibria of choosing one: a table, a figure, the data.

    INSTANCE is a bandit of stackjax list, module:Class, or a random family: uniform, zero-sum, random-aligned or
    scaled-gaps.
    Learners are tuned to the horizon; all pairs meet equal noise. Pure and mixed Nash equilibria, Stackelberg
    equilibria, dominated algorithms, and in how many bootstrap resamples they are the same.
    """
    instance = plain(instance)
    from stackjax import catalogue, experiments
    from stackjax.experiments.constructed import tuned_by_name
    from stackjax.experiments.settings import set_game, set_sides

    names = {
        "leaders": _names("leader", leaders, catalogue.LEADERS),
        "followers": _names("follower", followers, catalogue.FOLLOWERS),
    }
    rewards = {name: value for name, value in (("noise", noise), ("sigma", sigma)) if value is not None}
    given = {"instances": instances, "arms": arms, "alignment": alignment, "factor": factor}
    family = {name: value for name, value in given.items() if value is not None}
    title, game = _game(instance, family, horizon, rewards, seed)
    put = values_of(sets)
    with refused("--set"):
        game = set_game(game, put)
    batched = game.leader_means.ndim == 3
    number = len(game.leader_means) if batched else 1
    replicates = _RUNS[batched] if replicates is None else replicates
    resample = ("instances" if number > 1 else "replicates") if resample is None else resample
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made: dict[str, dict[str, Any]] = {}
        for role, chosen in names.items():
            with refused(f"--{role}"):
                made[role] = {c: tuned_by_name(name, role[:-1], name)(game, horizon) for c, name in chosen.items()}
    with refused("--set"):
        leading, following = set_sides(made["leaders"], made["followers"], game, put)
    notes = list(dict.fromkeys(str(warning.message) for warning in caught))
    words = ["metagame", instance, *(word for k, v in names.items() for word in (f"--{k}", ",".join(v)))]
    words += [str(word) for k, v in family.items() for word in (f"--{k}", v)]
    words += ["--horizon", str(horizon), "--replicates", str(replicates)]
    words += ["--resample", resample, "--resamples", str(resamples)]
    words += [str(word) for k, v in rewards.items() for word in (f"--{k}", v)]
    words += [*(word for one in sets for word in ("--set", one)), "--seed", str(seed)]
    driver = functools.partial(
        experiments.metagame,
        leading,
        following,
        game,
        horizon=horizon,
        replicates=replicates,
        seed=seed,
        resample=resample,
        resamples=resamples,
        title=title,
    )
    out = _how.target(how, Path("results", f"metagame-{file_name(instance)}"), "metagame")
    with noted_already():
        _how.perform(driver, words, how, out, f"[bold]{title}[/bold]", notes)


def _names(role: str, given: str, known: Mapping[str, Any]) -> dict[str, str]:
    """What an algorithm is called -> its name in the catalogue; each once."""
    from stackjax.experiments.constructed import split

    option = f"--{role}s"
    labels: dict[str, str] = {}
    for name in map(plain, split(given, ",")):
        labels.setdefault(learner_named(role, name, known, option), name)
    if not labels:
        raise click.BadParameter(f"no {role} given", param_hint=f"'{option}'")
    return {called: name for name, called in labels.items()}


def _game(
    name: str, family: Mapping[str, Any], horizon: int, rewards: Mapping[str, Any], seed: int
) -> tuple[str, "StackelbergBandit"]:
    """What figures call it, and a single instance or a batch of random ones."""
    from stackjax import catalogue

    random = name in catalogue.FAMILIES
    entry = None if random else instance_entry(name, *catalogue.FAMILIES)
    for option in family:
        own = option in _OWN
        if not random or (own and name != _OWN[option][0]):
            which = _OWN[option][0] if own else "random families"
            raise click.UsageError(f"--{option} is for {which}; {name} has no such number to choose")
    if entry is None:
        return _drawn(name, family, horizon, rewards, seed)
    try:
        return entry.title, entry.make(horizon, **rewards)
    except ValueError as error:  # means that are no probabilities
        raise click.BadParameter(str(error), param_hint="'--noise'") from None


def _drawn(
    name: str, family: Mapping[str, Any], horizon: int, rewards: Mapping[str, Any], seed: int
) -> tuple[str, "StackelbergBandit"]:
    import jax

    from stackjax.games import bandit_instances

    number = family.get("instances", _INSTANCES)
    a, b = map(int, family.get("arms", _ARMS).split("x"))
    chosen = {option: family.get(option, default) for option, (owner, default) in _OWN.items() if owner == name}
    scaled = {"horizon": horizon} if name == "scaled-gaps" else {}
    key = jax.random.fold_in(jax.random.key(seed), 1)  # the seed's own key is that of the noise
    game = getattr(bandit_instances, name.replace("-", "_"))(key, a, b, batch=number, **chosen, **scaled, **rewards)
    about = "".join(f", {'L*' if option == 'alignment' else option} = {value:g}" for option, value in chosen.items())
    return f"{name[0].upper()}{name[1:]} bandits ({number} instances of {a} x {b} arms{about})", game
