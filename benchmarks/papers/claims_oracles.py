"""Gerstgrasser & Parkes (2023), oracles and followers: every claim of the excerpt with its evidence."""

from benchmarks.papers.claims import CORRECTED, HOLDS, UNMEASURABLE, Claim, Finding, Script, exact
from stackjax import catalogue
from stackjax.equilibria import ground_truths

SOURCE = "Gerstgrasser & Parkes (2023), oracles and followers: excerpt"


def leading_is_worth_it(quick: bool) -> Finding:
    """The best deterministic leader of the repeated dilemma, ten steps, ties either way, against the myopic one.

    Control: in matching pennies committing deterministically loses.
    """
    dilemma, pennies = (
        ground_truths(catalogue.MARKOV_GAMES[name].make()) for name in ("prisoners-dilemma", "matching-pennies")
    )
    ours = [exact(name.replace("_", ", "), value) for name, value in dilemma.items()]
    golden = all(abs(dilemma[f"optimum_{ties}"] + 1.1) < 1e-5 for ties in ("optimistic", "pessimistic"))
    return Finding(ours, golden and dilemma["myopic"] < -1.9, pennies["optimum_optimistic"] < -0.9)


REPEATED = "tests/games/test_markov.py::"
ORACLE = "tests/games/test_oracle_game.py::"
ADAPTIVE = "tests/games/test_adaptive_oracles.py::"
FOLLOWERS = "tests/learners/test_followers.py::"
OWN, BEST = "value against its own follower", "value against a best response"
GAMES = ("prisoners-dilemma", "chicken", "corridor")
ALONE, SHARED = "training included", "training shared"

CLAIMS = (
    Claim(
        "Def. 1",
        "Markov games.",
        HOLDS,
        None,
        (
            REPEATED + "test_payoffs_and_their_gradients_are_the_means_of_sampled_episodes",
            REPEATED + "test_values_with_partial_observations_are_sums_over_what_can_happen",
        ),
    ),
    Claim(
        "Sec. 1-2",
        "The leader commits, followers best-respond, and committing is worth something.",
        HOLDS,
        leading_is_worth_it,
        (REPEATED + "test_all_deterministic_leaders_have_their_golden_values",),
    ),
    Claim(
        "Sec. 2, optimum",
        "A Stackelberg equilibrium of a Markov game.",
        CORRECTED,
        None,
        (
            REPEATED + "test_the_stochastic_optimum_of_the_prisoner_s_dilemma_is_on_a_knife_s_edge",
            "tests/test_markov_numpy.py::test_the_stochastic_optimum_of_the_prisoners_dilemma_hangs_on_the_tie_rule",
        ),
        "it needs a rule for ties: the best stochastic leader of the dilemma gets -.65 with ties for it, and otherwise "
        "that is a supremum",
    ),
    Claim(
        "Framework",
        "An oracle that queries the leader only where it asks.",
        HOLDS,
        None,
        (
            FOLLOWERS + "test_what_a_query_follower_may_not_see",
            FOLLOWERS + "test_a_contextual_follower_plays_what_it_was_answered_and_sees_no_more",
        ),
    ),
    Claim(
        "Thm. 1",
        "A leader that learns with its answers to queries as part of its episodes finds the optimum.",
        HOLDS,
        Script("oracles", ("dilemma, visible", "dilemma: no seed", "dilemma, hidden")),
        (ORACLE + "test_a_leader_that_sees_the_queries_learns_to_lead",),
    ),
    Claim(
        "Thm. 1, in other games",
        "The same in chicken, battle of the sexes, matching pennies and a corridor.",
        CORRECTED,
        Script("oracles", ("chicken, visible", "matching pennies", "battle of the sexes", "corridor: ")),
        (),
        "as far as its gradient leads: in the battle of the sexes some starts end at a local optimum",
    ),
    Claim(
        "Thm. 1, its value",
        "What it finds is the Stackelberg equilibrium.",
        CORRECTED,
        Script("oracles", ("dilemma: no seed above the ceiling",)),
        ("tests/test_markov_numpy.py::test_against_the_bits_a_leader_gets_what_the_transcription_says",),
        "a follower who sees sampled answers responds to these, not to the policy: the optimum is then -1.07, not -.65",
    ),
    Claim(
        "Sec. 1, point 4; Thm. 2",
        "With queries hidden from its gradient learning fails.",
        HOLDS,
        Script("oracles", ("dilemma, hidden",)),
        (
            ORACLE + "test_a_leader_that_does_not_ends_where_nobody_leads",
            ORACLE + "test_hidden_queries_change_the_gradient_and_not_the_payoff",
            ORACLE + "test_a_hidden_query_turns_the_gradient_around",
        ),
    ),
    Claim(
        "Conditions",
        "A leader that recognises queries believes in what it doesn't get.",
        HOLDS,
        Script("oracles", ("dilemma, recognisable",)),
    ),
    Claim("Conditions", "Queries must pay nothing.", HOLDS, Script("oracles", ("dilemma, rewarded",))),
    Claim(
        "Sec. 1, point 4",
        "It fails consistently, whatever the algorithm.",
        UNMEASURABLE,
        None,
        (),
        "the excerpt names no algorithms; ours is the policy gradient, by which every seed fails (Thm. 2)",
    ),
    Claim(
        "Sec. 1, point 3",
        "Contextual followers learn to answer every leader.",
        HOLDS,
        None,
        (
            FOLLOWERS + "test_training_across_deterministic_leaders_finds_best_responses_from_every_seed",
            FOLLOWERS + "test_a_network_learns_to_respond",
        ),
    ),
    Claim(
        "Abstract",
        "They need far fewer samples than inner and outer loops, training shared.",
        HOLDS,
        Script("oracles", tuple(f"{g}, {v}, {SHARED}" for g in GAMES for v in (OWN, BEST))),
    ),
    Claim(
        "Abstract",
        "They need far fewer samples, training counted for a single leader.",
        CORRECTED,
        Script(
            "oracles",
            tuple(f"{g}, {v}, {ALONE}" for g, v in ((GAMES[0], OWN), (GAMES[2], OWN), (GAMES[2], BEST))),
            failing=tuple(f"{g}, {v}, {ALONE}" for g, v in ((GAMES[0], BEST), (GAMES[1], OWN), (GAMES[1], BEST))),
        ),
        (),
        "in three of six cases of our games the training of the follower isn't paid back",
    ),
    Claim(
        "Sec. 1, prior work",
        "Inner and outer loops are instances of the framework.",
        HOLDS,
        None,
        (
            FOLLOWERS + "test_q_learning_practises_until_it_answers_best",
            FOLLOWERS + "test_hi_c_and_evolution_strategies_lead_a_contextual_follower",
            "tests/experiments/test_one_engine.py::test_leaders_against_oracles_are_plays_of_their_games",
            ADAPTIVE + "test_sampled_gradients_of_a_random_oracle",
            ADAPTIVE + "test_an_inner_loop_answers_best_after_enough_practice",
        ),
    ),
    Claim(
        "Several followers",
        "The oracle returns an equilibrium of the induced game.",
        HOLDS,
        None,
        (FOLLOWERS + "test_followers_play_a_pure_equilibrium_and_ties_go_by_the_rule",),
    ),
    Claim(
        "Sec. 2, note",
        "Everything carries over to leaders with a memory.",
        UNMEASURABLE,
        None,
        (),
        "appendix B isn't in the excerpt; ours are memoryless, or see the last step",
    ),
    Claim(
        "Prior work",
        "Balaguer et al. and Zheng et al. may not find Stackelberg equilibria.",
        UNMEASURABLE,
        None,
        (),
        "their systems aren't here; the reason given for it is the row of Thm. 2",
    ),
    Claim(
        "Abstract",
        "Standard and novel benchmarks of deep reinforcement learning.",
        UNMEASURABLE,
        None,
        (),
        "the excerpt stops before its experiments; ours are in other rows",
    ),
)
