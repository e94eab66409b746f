"""`stackjax certify`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackjax.cli._common import (
    Command,
    Name,
    Real,
    Whole,
    figure_name,
    game_entry,
    json_option,
    refused,
    save_figure,
    seed_option,
    set_option,
    values_of,
    writable,
)

if TYPE_CHECKING:
    from stackjax.catalogue import GameEntry
    from stackjax.equilibria import Certificate
    from stackjax.protocols import Game


@click.command("certify", cls=Command)
@click.argument("game", type=Name("GAMES"))
@set_option
@click.option(
    "--at",
    metavar="NUMBERS",
    help="Certify this joint action instead: numbers separated by commas, in order of play (players also by ;).",
)
@click.option("--starts", type=Whole(1, 10**6), default=256, show_default=True, help="From how many points to search.")
@seed_option
@click.option(
    "--timescale",
    type=Real(0.0, min_open=True),
    default=1.0,
    show_default=True,
    help="The follower's step over the leader's, in both dynamics.",
)
@click.option(
    "--portrait",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw both dynamics of two one-dimensional players, as a .png, .pdf or .svg.",
)
@click.option(
    "--landscape",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw the leader's payoff with the follower's best answers in it, and what they make it worth.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the certificates into it as JSON.")
@json_option
def command(
    game: str,
    sets: tuple[str, ...],
    at: str | None,
    starts: int,
    seed: int,
    timescale: float,
    portrait: Path | None,
    landscape: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Find the equilibria of GAME: a table of its critical points, and a certificate of each equilibrium.

    All differential Nash and Stackelberg equilibria that are found, with residuals, curvatures, and the stability of
    the simultaneous and of the hierarchical dynamics.
    """
    entry = game_entry(game)
    put = values_of(sets)
    if own := [name for name in put if not name.startswith("game.")]:
        raise click.BadParameter(f"expected game.ARGUMENT, as nobody learns, got {own[0]!r}", param_hint="'--set'")
    from stackjax.experiments.settings import set_game

    with refused("--set"):
        exact = _exact(set_game(entry.make(), put))
    point = None if at is None else _joint_action(exact, at)
    for file, option in ((portrait, "--portrait"), (landscape, "--landscape"), (out, "--out")):
        if file is not None:
            if option != "--out":
                figure_name(file, option)
                _drawable(exact, option)
            writable(file.parent, option)
    import jax

    from stackjax import equilibria
    from stackjax.experiments.results import replacing

    marked: Any
    if point is None:
        result = equilibria.find(exact, jax.random.key(seed), starts, limits=entry.limits, timescale=timescale)
        certificates, marked = result.critical, result
        said = [result, *result.equilibria]
    else:
        certificates = (equilibria.certify(exact, *point, key=jax.random.key(seed), timescale=timescale),)
        known = [(z, "Nash") for z in exact.nash_equilibria()] + [
            (z, "Stackelberg") for z in exact.stackelberg_equilibria()
        ]
        marked = [*certificates, *known]
        said = [certificates[0]]
    document = _document(certificates, {"game": game, "set": put} if put else {"game": game}, seed)
    click.echo(document if as_json else "\n\n".join(map(str, said)))
    if (portrait or landscape or out) and not as_json:
        click.echo()
    try:
        if out is not None:
            with replacing(out) as part:
                part.write_text(document)
            click.echo(f"certificates {out}", err=as_json)
        if portrait is not None:
            _save_portrait(entry, exact, certificates, marked, timescale, portrait)
            click.echo(f"portrait     {portrait}", err=as_json)
        if landscape is not None:
            _save_landscape(entry, exact, marked, landscape)
            click.echo(f"landscape    {landscape}", err=as_json)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _exact(game: "Game") -> "Game":
    """The game without its payoff noise, if it has exact payoffs."""
    import jax
    import numpy as np

    from stackjax.games import Noisy

    if isinstance(game, Noisy):
        return _exact(game.game)
    try:
        jax.eval_shape(game.payoffs, *(space.struct(np.float32) for space in game.spaces))
    except NotImplementedError as error:
        raise click.BadParameter(f"expected a game with exact payoffs: {error}", param_hint="'GAME'") from None
    return game


def _joint_action(game: "Game", text: str) -> tuple[Any, ...]:
    """Numbers, read one after the other into the players' actions."""
    import jax
    import numpy as np

    structs = [space.struct(np.float64) for space in game.spaces]
    sizes = [space.size for space in game.spaces]
    shape = "; ".join(f"{n} for player {i}" for i, n in enumerate(sizes))
    try:
        parts = [[float(x) for x in part.split(",")] for part in text.strip().strip(";").split(";")]
    except ValueError:
        raise click.BadParameter(f"expected numbers ({shape}), got {text!r}", param_hint="'--at'") from None
    flat = np.concatenate(parts)
    if flat.size != sum(sizes) or not np.isfinite(flat).all() or (len(parts) > 1 and list(map(len, parts)) != sizes):
        raise click.BadParameter(f"expected {sum(sizes)} finite numbers ({shape}), got {text!r}", param_hint="'--at'")
    leaves, structure = jax.tree.flatten(structs)
    cuts = np.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1])
    made = jax.tree.unflatten(structure, [cut.reshape(leaf.shape) for cut, leaf in zip(cuts, leaves, strict=True)])
    return tuple(made)


def _drawable(game: "Game", option: str) -> None:
    from stackjax.plots.portrait import check_drawable

    try:
        check_drawable(game)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def _document(certificates: "Iterable[Certificate]", asked: dict[str, Any], seed: int) -> str:
    """The certificates as JSON, with what they are of."""
    import jax.numpy as jnp

    from stackjax.experiments.records import plain
    from stackjax.experiments.results import describe, provenance

    about = provenance(asked, seed=seed, command=None, device=jnp.zeros(()).device)
    points = [{"kind": certificate.kind} | describe(certificate) for certificate in certificates]
    about["configuration"] = json.loads(about["configuration"])
    return json.dumps(plain(about | {"points": points}), indent=1)


def _save_portrait(
    entry: "GameEntry", game: "Game", certificates: "tuple[Certificate, ...]", marked: Any, timescale: float, path: Path
) -> None:
    """Both dynamics in steps that are a tenth of what their fastest motion at an equilibrium allows."""
    import numpy as np

    from stackjax.learners import GradientAscent, HierarchicalAscent
    from stackjax.plots import plot_portrait

    equilibria = [c for c in certificates if c.is_nash or c.is_stackelberg] or certificates
    jacobians = [d.jacobian for c in equilibria for d in (c.simultaneous, c.hierarchical)]
    rates = [float(np.linalg.norm(j, 2)) for j in jacobians if np.isfinite(j).all()]
    step = 0.1 / max([*rates, 0.01])
    follower = GradientAscent(step * timescale)
    pairs = {
        "simultaneous": (GradientAscent(step), follower),
        "hierarchical": (HierarchicalAscent(step), follower),
    }
    limits = None if entry.limits is None else (entry.limits, entry.limits)
    figure = plot_portrait(
        game, pairs, limits=limits, equilibria=marked, rounds=3000, title=entry.title, action_labels=entry.actions
    )
    save_figure(figure, path)


def _save_landscape(entry: "GameEntry", game: "Game", marked: Any, path: Path) -> None:
    from stackjax.plots import plot_landscape

    limits = None if entry.limits is None else (entry.limits, entry.limits)
    figure = plot_landscape(
        game,
        limits=limits,
        equilibria=marked,
        title=entry.title,
        action_labels=entry.actions,
        payoff_label=entry.payoffs[0],
    )
    save_figure(figure, path)
