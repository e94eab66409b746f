"""Bad games and learners: every error names them, and comes before anything is compiled."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stackjax import Game, Learner, Record, Signal
from stackjax.games import CournotDuopoly, Noisy, Quadratic, from_costs, from_payoffs
from stackjax.learners import BestResponse, Every, Fixed, GradientAscent, HiC, HierarchicalAscent
from stackjax.schedules import Constant, PowerLaw, commitment_times
from stackjax.spaces import Box
from tests.refusals import GAME, LEARNERS, LINE, refuses, run


@pytest.mark.parametrize("game", [CournotDuopoly, None, lambda x, y: x], ids=["class", "None", "function"])
def test_a_game_is_a_game(game):
    with refuses("^game: .*stackjax Game", TypeError):
        run(game)


@pytest.mark.parametrize(
    "learner", [GradientAscent, None, optax.sgd(0.1), 0.1], ids=["class", "None", "optax", "number"]
)
@pytest.mark.parametrize("player", [0, 1])
def test_a_learner_is_an_instance(player, learner):
    learners = list(LEARNERS)
    learners[player] = learner
    with refuses(f"^learner {player}: .*instance", TypeError):
        run(learners=learners)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_there_is_a_learner_for_each_player(n):
    with refuses(f"^learners: CournotDuopoly has 2 players, got {n}"):
        run(learners=[LEARNERS[0]] * n)


@pytest.mark.parametrize(
    "levels",
    [((0,),), ((0,), (1,), (2,)), ((1,), (0,)), ((0,), (0, 1)), (), ((0, 0), (1,)), ((0,), (), (1,)), (0, 1)],
    ids=str,
)
def test_levels_cover_the_players_in_order(levels):
    class Leveled(Game):
        levels: object = eqx.field(static=True)
        spaces = (LINE, LINE)

        def payoffs(self, *actions):
            return actions

    with refuses("^levels: ", (ValueError, TypeError)):
        run(Leveled(levels))


def test_spaces_are_spaces():
    class Odd(Game):
        spaces = (3, LINE)
        levels = ((0,), (1,))

    with refuses("^spaces: ", TypeError):
        run(Odd())


class Told(Game):
    """Pays, exactly or realised, what it is told to."""

    exact: object = eqx.field(static=True)
    realised: object = eqx.field(static=True)
    spaces = (LINE, LINE)
    levels = ((0,), (1,))

    def payoffs(self, *actions):
        return self.exact(*actions)

    def realise(self, noise, *actions):
        return self.realised(*actions)


def right(x, y):
    return x, y


WRONG_PAYOFFS = {
    "one": lambda x, y: (x,),
    "three": lambda x, y: (x, y, x),
    "a scalar": lambda x, y: x,
    "an array": lambda x, y: jnp.stack([x, y]),
    "a dictionary": lambda x, y: {"x": x, "y": y},
    "vectors": lambda x, y: (jnp.stack([x, x]), y),
    "a forgotten return": lambda x, y: None,
    "a forgotten return of one": lambda x, y: (None, y),
    "nested": lambda x, y: ((x, y), y),
}


each_wrong = pytest.mark.parametrize("wrong", WRONG_PAYOFFS.values(), ids=WRONG_PAYOFFS)


@each_wrong
def test_payments_are_one_scalar_a_player(wrong):
    with refuses("^payoffs: expected a tuple of 2 scalars"):
        run(Told(right, wrong), (Fixed(1.0), Fixed(2.0)), record=Record.final(payoffs=None))


@each_wrong
def test_exact_payoffs_are_one_scalar_a_player_where_they_are_recorded(wrong):
    game, players = Told(wrong, right), (Fixed(1.0), Fixed(2.0))
    with refuses("^payoffs: expected a tuple of 2 scalars"):
        run(game, players, record=Record.final(payoffs="exact"))


def test_a_payoff_function_that_forgets_to_return_is_told():
    def leader(x, y):
        -((x - y) ** 2)

    for learners in ((Fixed(1.0), Fixed(2.0)), LEARNERS):
        with refuses("^payoffs: "):
            run(from_payoffs(leader, lambda x, y: y, spaces=(LINE, LINE)), learners)


@pytest.mark.parametrize("make", [from_payoffs, from_costs])
def test_games_of_functions_check_their_arguments(make):
    def f(x, y):
        return x

    name = make.__name__.removeprefix("from_")
    with refuses(f"^{name}: ", TypeError):
        make(f, 3.0, spaces=(LINE, LINE))
    with refuses("^spaces: "):
        make(f, f, spaces=(LINE,))
    with refuses("^spaces: ", TypeError):
        make(f, f, spaces=(LINE, "box"))
    with refuses("^levels: "):
        run(make(f, f, spaces=(LINE, LINE), levels=((0,),)))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: CournotDuopoly(demand=0.0), "demand"),
        (lambda: CournotDuopoly(demand=np.nan), "demand"),
        (lambda: CournotDuopoly(slope=-1.0), "slope"),
        (lambda: CournotDuopoly(costs=(1.0,)), "costs"),
        (lambda: CournotDuopoly(costs=(1.0, 200.0)), "costs"),
        (lambda: CournotDuopoly(costs=(-1.0, 2.0)), "costs"),
        (lambda: Noisy(GAME, -1.0), "payoff_variance"),
        (lambda: Noisy(3.0, 1.0), "game"),
        (lambda: Quadratic([jnp.eye(3)] * 2, [jnp.ones(2)] * 2, (1, 1)), "Q"),
        (lambda: Quadratic([jnp.eye(2)], [jnp.ones(2)] * 2, (1, 1)), "Q"),
        (lambda: Quadratic([jnp.eye(2)] * 2, [jnp.ones(3)] * 2, (1, 1)), "b"),
        (lambda: Quadratic([jnp.eye(2)] * 2, [jnp.array([1.0, jnp.inf])] * 2, (1, 1)), "b"),
    ],
)  # fmt: skip
def test_games_check_their_numbers(make, name):
    with refuses(f"^{name}: ", (ValueError, TypeError)):
        make()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: GradientAscent(), "^step, optimizer: "),
        (lambda: HierarchicalAscent(), "^step, optimizer: "),
        (lambda: GradientAscent(0.1, optimizer=optax.sgd(0.1)), "^step, optimizer: "),
        (lambda: HierarchicalAscent(0.1, optimizer=optax.sgd(0.1)), "^step, optimizer: "),
        (lambda: GradientAscent("fast"), "^step: "),
        (lambda: GradientAscent(optimizer=0.1), "^optimizer: "),
        (lambda: GradientAscent(0.1, noise_variance=-1.0), "^noise_variance: "),
        (lambda: HierarchicalAscent(0.1, damping=-1.0), "^damping: "),
        (lambda: HiC("fast", 1.0, 2), "^step: "),
        (lambda: HiC(0.1, "wide", 2), "^perturbation: "),
        (lambda: HiC(0.1, 1.0, 0), "^commitment: "),
        (lambda: HiC(0.1, 1.0, "long"), "^commitment: "),
        (lambda: HiC(0.1, 1.0, 2.5), "^commitment: "),
        (lambda: HiC(0.1, 1.0, 2, baseline=1.0), "^baseline: "),
        (lambda: HiC(0.1, 1.0, 2, baseline=-0.1), "^baseline: "),
        (lambda: HiC(0.1, 1.0, 2, measurements=3), "^measurements: "),
        (lambda: HiC(0.1, 1.0, commitment_times(1.0, 1.5, 1.0, 1.0)), "^rate: "),
        (lambda: Every(0, LEARNERS[0]), "^k: "),
        (lambda: Every(-2, LEARNERS[0]), "^k: "),
        (lambda: Every(2.5, LEARNERS[0]), "^k: "),
        (lambda: Every("2", LEARNERS[0]), "^k: "),
        (lambda: Every(2, GradientAscent), "^learner: "),
        (lambda: BestResponse(tolerance=0.0), "^tolerance: "),
        (lambda: BestResponse(max_steps=0), "^max_steps: "),
    ],
)  # fmt: skip
def test_learners_check_their_numbers(make, match):
    with refuses(match, (ValueError, TypeError)):
        make()


# What only `play` can tell: values that must fit the game, in every replicate


@pytest.mark.parametrize(
    ("leader", "match"),
    [
        (GradientAscent(0.0), "step"),
        (GradientAscent(PowerLaw(-1.0, 1.0)), "step"),
        (HiC(-0.1, 1.0, 2), "step"),
        (HiC(0.1, 0.0, 2), "perturbation"),
        (HiC(0.1, PowerLaw(-1.0, 1.0), 2), "perturbation"),
        (HiC(0.1, 60.0, 2), "perturbation.*half of the box"),
        (HiC(0.1, 1.0, Constant(0)), "commitment"),
        (Fixed(101.0), "action"),
        (Fixed(jnp.nan), "action"),
    ],
    ids=str,
)
def test_learners_must_fit_the_game(leader, match):
    with refuses(f"^player 0, {type(leader).__name__}: {match}"):
        run(learners=(leader, Fixed(1.0)))


def test_a_perturbation_may_take_up_half_of_the_box():
    assert run(learners=(HiC(0.1, 50.0, 2), Fixed(1.0))).status == 0


def test_learners_must_fit_every_game_of_a_batch_and_the_error_says_which():
    games = jax.vmap(lambda d: CournotDuopoly(demand=d))(jnp.array([100.0, 50.0, 100.0, 10.0]))
    with refuses(r"^player 0, HiC: perturbation.*replicates \[1, 3\]"):
        run(games, (HiC(0.1, 30.0, 2), Fixed(1.0)), replicates=4, in_axes=(0, None, None))
    with refuses(r"^player 1, GradientAscent: step.*replicates \[2\]"):
        steps = GradientAscent(jnp.array([0.1, 0.2, 0.0, 0.1]))
        run(learners=(Fixed(1.0), steps), replicates=4, in_axes=(None, None, 0))


def test_a_best_response_sees_everybody_who_matters():
    game = from_payoffs(*[lambda x, y, z: x] * 3, spaces=[LINE] * 3)
    with refuses(r"BestResponse: player 1 can't see the actions of players \[2\]"):
        run(game, (Fixed(1.0), BestResponse(), Fixed(1.0)))


class Odd(Learner):
    """Does one thing wrong."""

    wrong: str = eqx.field(static=True)
    wants = Signal(0)

    def init(self, view, key):
        return {"x": jnp.zeros((), view.dtype), "n": jnp.int32(0)}

    def act(self, view, state, noise, seen):
        return {
            "shape": jnp.zeros(2),
            "dtype": jnp.int32(0),
            "tree": {"x": state["x"]},
            "nothing": None,
        }.get(self.wrong.removeprefix("act: "), state["x"])

    def update(self, view, state, noise, signals):
        return {
            "shape": {**state, "x": jnp.zeros(3)},
            "dtype": {**state, "n": 0.5},
            "tree": {"x": state["x"]},
            "nothing": None,
        }.get(self.wrong.removeprefix("update: "), state)


@pytest.mark.parametrize("other", [Fixed(1.0), GradientAscent(0.1), BestResponse()], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("wrong", ["shape", "dtype", "tree", "nothing"])
def test_an_action_is_its_spaces(wrong, other):
    """Said before the other player, or the game, stumbles over it."""
    with refuses(r"^player 0, Odd\.act: expected"):
        run(learners=(Odd(f"act: {wrong}"), other))


@pytest.mark.parametrize("wrong", ["shape", "dtype", "tree", "nothing"])
def test_an_update_returns_a_state_like_the_one_before(wrong):
    with refuses(r"^player 1, Odd\.update: expected"):
        run(learners=(Fixed(1.0), Odd(f"update: {wrong}")))


@pytest.mark.parametrize("action", [jnp.ones(3), {"x": 1.0}, (1.0, 2.0)], ids=str)
def test_a_fixed_action_has_the_shape_of_its_space(action):
    for other in (Fixed(1.0), GradientAscent(0.1)):
        with refuses("^player 0, Fixed"):
            run(learners=(Fixed(action), other))


def test_bounds_fit_the_shape_of_their_box():
    game = from_payoffs(lambda x, y: y, lambda x, y: y, spaces=(Box(jnp.zeros(3), 1.0), LINE))
    with refuses("low, high|spaces: player 0"):
        run(game)


def test_a_whole_number_fits_a_counter():
    with refuses(r"learner 0.*2\^31|learner 0.*int32", (ValueError, OverflowError)):
        run(learners=(Every(10**10, LEARNERS[0]), LEARNERS[1]))


def test_what_is_neither_a_number_nor_hashable_is_refused():
    class Loose(Fixed):
        settings: object = eqx.field(default_factory=lambda: [{1, 2}])

    with refuses("neither a number, an array nor a hashable", TypeError):
        run(learners=(Loose(1.0), Fixed(1.0)))
