"""Docker options: words for `docker run` and `docker build` that users add to an app, by phase and process type.

Kept encrypted: an --env or a --build-arg may hold a password.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence

from paas.deploy.session import Session
from paas.engine import build_options, options
from paas.engine.options import BadOption
from paas.errors import PaasError
from paas.model.names import ProcessType, printable
from paas.model.words import split as words_of
from paas.store.apps import App

NAMESPACE = "docker-options"
PHASES = ("build", "deploy", "run")
_WITH_SPACES = re.compile(r"--[a-z-]+=\S* ")
# Where a process type has options of its own.
PROCESS_PHASE = "deploy"


class InvalidPhase(PaasError):
    """Phase(s) must be one of [build deploy run], not {given}. Nothing was changed"""


class NotForProcess(PaasError):
    """Options of one process type are for the deploy phase, not for {phase}. Nothing was changed. Leave --process out"""


def parse_phases(text: str) -> list[str]:
    """``deploy,run`` without doubles, in that order. Raises InvalidPhase."""
    phases = list(dict.fromkeys(text.split(",")))
    for phase in phases:
        if phase not in PHASES:
            raise InvalidPhase(given=printable(phase) or "nothing")
    return phases


def scopes(phases: Iterable[str], kinds: Sequence[ProcessType]) -> list[str]:
    """The lists that are meant: a phase's own, or those of process types. Raises NotForProcess."""
    phases = list(phases)
    wrong = [phase for phase in phases if kinds and phase != PROCESS_PHASE]
    if wrong:
        raise NotForProcess(phase=wrong[0])
    return [f"{phase}.{kind}" for phase in phases for kind in kinds] if kinds else phases


def normal(words: Sequence[str], phase: str) -> str:
    """An option as it is kept and shown: its words, quoted only where they need it.

    A single word may hold several (``"-v /a:/b"``). Raises BadOption where the phase can't take it.
    """
    found = list(words)
    if len(found) == 1:
        try:
            found = words_of(found[0])
            _check(found, phase)
        except ValueError:
            raise BadOption(option=printable(words[0]), reason="it has an unclosed quote") from None
        except BadOption:
            # One word for one option whose value has spaces: --label=a=b c
            if not _WITH_SPACES.match(words[0]):
                raise
            found = list(words)
    _check(found, phase)
    plain = " ".join(found)
    return plain if _reads_as(plain, found) else shlex.join(found)


def _reads_as(text: str, words: list[str]) -> bool:
    try:
        return words_of(text) == words
    except ValueError:
        return False


def _pairs(words: Iterable[str], phase: str) -> list[tuple[str, str]]:
    """Flags and values. Raises BadOption."""
    return list(build_options.pairs(words) if phase == "build" else options.option_pairs(words))


def _check(words: Sequence[str], phase: str) -> None:
    if not words:
        raise BadOption(option="''", reason="it is empty")
    if phase == "build":
        build_options.parse(words)
    else:
        options.parse(words)


def flag_names(words: Sequence[str], phase: str) -> str:
    """What may be written down of an option: its flags without their values."""
    return " ".join(flag for flag, _ in _pairs(words_of(normal(words, phase)), phase))


def listed(session: Session, app: App, scope: str) -> list[str]:
    """The options of a phase or of a phase and process type (``deploy.web``), in the order in which they were added."""
    stored = session.properties.secret(app.id, NAMESPACE, scope)
    return list(json.loads(stored)) if stored else []


def all_scopes(session: Session, app: App) -> list[str]:
    """The phases, and what has options of its own besides."""
    stored = session.properties.all(app.id, NAMESPACE)
    return [*PHASES, *(scope for scope in stored if scope not in PHASES)]


def _store(session: Session, app: App, scope: str, items: list[str]) -> None:
    text = json.dumps(items, ensure_ascii=False) if items else ""
    session.properties.set_secret(app.id, NAMESPACE, scope, text)


def add(session: Session, app: App, wanted: list[str], words: Sequence[str]) -> None:
    """Add an option to each of the lists that has not got it. Raises BadOption; then none has it."""
    found = {scope: normal(words, _phase(scope)) for scope in wanted}
    with session.database.transaction():
        for scope, option in found.items():
            items = listed(session, app, scope)
            meaning = _meaning(option, scope)
            if meaning not in [_meaning(item, scope) for item in items]:
                _store(session, app, scope, [*items, option])


def remove(session: Session, app: App, wanted: list[str], words: Sequence[str]) -> list[str]:
    """Take an option out of the lists; returns those that had not got it. Raises BadOption."""
    missing = []
    with session.database.transaction():
        for scope in wanted:
            items = listed(session, app, scope)
            meaning = _meaning(normal(words, _phase(scope)), scope)
            kept = [item for item in items if _meaning(item, scope) != meaning]
            if len(kept) == len(items):
                missing.append(scope)
            _store(session, app, scope, kept)
    return missing


def clear(session: Session, app: App, phase: str, kinds: Sequence[ProcessType]) -> None:
    """Forget a phase's options: those of `kinds`, or, where there are none, the phase's own and those of every type."""
    for scope in all_scopes(session, app):
        if scope in scopes([phase], kinds) or (not kinds and _phase(scope) == phase):
            _store(session, app, scope, [])


def _phase(scope: str) -> str:
    return scope.partition(".")[0]


def _meaning(option: str, scope: str) -> list[tuple[str, str]]:
    """Two ways to write the same option (``-v a``, ``--volume=a``) mean the same."""
    return _pairs(words_of(option), _phase(scope))


def option_words(
    session: Session, app: App, phase: str, process_type: ProcessType | None = None
) -> tuple[str, ...]:
    """All words of a phase: those for every process, then those of the process type."""
    wanted = [phase, *([f"{phase}.{process_type}"] if process_type else [])]
    return tuple(
        word for scope in wanted for option in listed(session, app, scope) for word in words_of(option)
    )
