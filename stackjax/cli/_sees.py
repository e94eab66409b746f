"""What a learner is shown, in words."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackjax.protocols import Learner

_SEES = {
    "PAYOFF": "own payoff",
    "GRADIENT": "own gradient",
    "OTHERS": "others' actions",
    "COMMITMENT": "earlier players' actions",
    "OWN_PAYOFF": "own payoff function",
    "QUERY": "earlier players' answers",
    "GAME": "the whole game",
}


def sees(learner: "type[Learner] | Learner") -> tuple[str, str]:
    """What a learner is shown, usually if it is a class, and what that makes it: uncoupled, coupled or an oracle."""
    from stackjax.protocols import Signal

    wants: Any = getattr(learner, "usually", learner.wants) if isinstance(learner, type) else learner.wants
    if not isinstance(wants, Signal):  # a property: it depends on the instance
        return "as the learner that it holds", "as that one"
    kind = (
        "coupled" if Signal.GAME in wants else "oracle" if wants & (Signal.OWN_PAYOFF | Signal.QUERY) else "uncoupled"
    )
    return ", ".join(_SEES[str(signal.name)] for signal in wants) or "nothing", kind
