"""Who may do what: roles, what a command needs, and which apps a caller reaches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum

from paas.errors import PaasError
from paas.model.names import printable


class Role(IntEnum):
    """Each includes those below it. A key has VIEW, DEPLOY or MANAGE on an app, or is an ADMIN."""

    ANYONE = 0
    VIEW = 1
    DEPLOY = 2
    MANAGE = 3
    ADMIN = 4

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> Role:
        """One that a key can have on an app. Raises InvalidRole."""
        found = {str(role): role for role in GRANTED}.get(text)
        if found is None:
            raise InvalidRole(given=printable(text))
        return found


GRANTED = (Role.VIEW, Role.DEPLOY, Role.MANAGE)


class InvalidRole(PaasError):
    """Invalid role: {given}. Give view, deploy or manage. Nothing was changed"""


class Finds(Enum):
    """Where a command's words name its app."""

    NOTHING = "nowhere: it is about no app"
    FIRST = "the first word, or --app"
    REPORT = "the first word that is no flag, or --app"
    REPOSITORY = "the path of a repository"
    OPERATION = "the number of an operation"


@dataclass(frozen=True)
class Need:
    """What a key must have for a command.

    `role` on the app that the command is about; ADMIN: none on any app is enough. `optional`: without an app, or with
    --all, the command is about every app on which the caller has that role. `more`: arguments by the name of their
    parameter that take another role when they are given. `no_urls`: with a URL among the words it is the administrators',
    because the host would fetch it. `hook`: of those who are no admin, only git's hook may.
    """

    role: Role
    app: Finds = Finds.FIRST
    optional: bool = False
    more: tuple[tuple[str, Role], ...] = ()
    no_urls: bool = False
    hook: bool = False

    def unless(self, role: Role, *parameters: str) -> Need:
        """The same, but `role` once one of `parameters` is given."""
        return replace(self, more=self.more + tuple((name, role) for name in parameters))


ADMIN = Need(Role.ADMIN, Finds.NOTHING)
ANYONE = Need(Role.ANYONE, Finds.NOTHING)
VIEW = Need(Role.VIEW)
DEPLOY = Need(Role.DEPLOY)
MANAGE = Need(Role.MANAGE)
VIEW_SOME = Need(Role.VIEW, optional=True)
DEPLOY_SOME = Need(Role.DEPLOY, optional=True)
MANAGE_SOME = Need(Role.MANAGE, optional=True)
REPORT = Need(Role.VIEW, Finds.REPORT, optional=True)
REPORT_MANAGED = replace(REPORT, role=Role.MANAGE)
LIST = Need(Role.VIEW, Finds.NOTHING)
OPERATION = Need(Role.VIEW, Finds.OPERATION, optional=True)


@dataclass(frozen=True)
class Rights:
    """What a key has: everything, or roles by the name and the id of the app."""

    admin: bool = False
    roles: Mapping[str, tuple[int, Role]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reach:
    """Which apps a command may touch: those on which its caller has `role`. `roles` None: all apps, and the host."""

    roles: Mapping[int, Role] | None = None
    role: Role = Role.VIEW

    @property
    def everything(self) -> bool:
        return self.roles is None

    @property
    def ids(self) -> list[int] | None:
        """The apps that it holds; None: all."""
        return None if self.roles is None else [app_id for app_id in self.roles if app_id in self]

    def __contains__(self, app_id: object) -> bool:
        return self.roles is None or self.roles.get(app_id, Role.ANYONE) >= max(self.role, Role.VIEW)  # type: ignore[call-overload]

    def sees(self, app_id: int | None) -> bool:
        """Whether the app exists for the caller. What belongs to no app is the host's."""
        return self.roles is None or (app_id is not None and app_id in self.roles)

    def at(self, role: Role) -> Reach:
        """The apps on which the caller has another role."""
        return replace(self, role=role)


EVERYTHING = Reach()
