"""checks:*: for which process types a rollout waits for checks, and whether it starts the new before it stops the old."""

from __future__ import annotations

from typing import Literal

from paas.deploy.session import Session
from paas.model.names import ProcessType

NAMESPACE = "checks"
EVERY = "_all_"
NONE = "none"
State = Literal["enabled", "disabled", "skipped"]
KEYS: dict[State, str] = {"disabled": "disabled-list", "skipped": "skipped-list"}


def listed(session: Session, app_id: int, state: State) -> str:
    """The types in a state, as reports print them: ``none``, ``_all_`` or ``web,worker``."""
    return session.properties.get(app_id, NAMESPACE, KEYS[state], NONE)


def state_of(session: Session, app_id: int, kind: ProcessType | str) -> State:
    """Whether a type's new processes are checked before they serve (enabled), serve unchecked beside the old ones
    until these are gone (skipped), or unchecked and only after the old ones have been stopped (disabled)."""
    for state in KEYS:
        if {kind, EVERY} & set(listed(session, app_id, state).split(",")):
            return state
    return "enabled"


def change(session: Session, app_id: int, state: State, kinds: list[ProcessType]) -> None:
    """Put types, or with none of them the whole app, into a state and out of the others."""
    for key, name in KEYS.items():
        before = listed(session, app_id, key)
        known = [] if before == NONE else before.split(",")
        if not kinds:
            after = [EVERY] if key == state else []
        elif key == state:
            after = known if EVERY in known else list(dict.fromkeys([*known, *kinds]))
        else:
            after = [item for item in known if item not in kinds]
        session.properties.set(app_id, NAMESPACE, name, ",".join(after))
