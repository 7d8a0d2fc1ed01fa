"""The roles that the page and the API know. Every other word of a person is a role in which they sign off."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from monitor.store import Person


class Role(StrEnum):
    """What somebody may do. Other words beside these are roles in which people sign off (supplier, customer)."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    APPROVER = "approver"
    ADMIN = "admin"


INCLUDES = {  # a role, and those that it is as well
    Role.VIEWER: (),
    Role.OPERATOR: (Role.VIEWER,),
    Role.ENGINEER: (Role.OPERATOR, Role.VIEWER),
    Role.APPROVER: (Role.VIEWER,),
    Role.ADMIN: (Role.VIEWER,),
}
WORDS = {  # what a role is there for
    Role.VIEWER: "sees everything, changes nothing",
    Role.OPERATOR: "acknowledges and shelves alarms, takes assets out of service",
    Role.ENGINEER: "polls, proposes baselines, opens and closes change orders, closes cases",
    Role.APPROVER: "approves and rejects baselines",
    Role.ADMIN: "registers people, and ends their access",
}


def whole(words: Iterable[str]) -> frozenset[Role]:
    """The roles among words, with those that they include."""
    own = [Role(word) for word in words if word in list(Role)]
    return frozenset(own) | {included for role in own for included in INCLUDES[role]}


def roles_of(person: Person) -> frozenset[Role]:
    """The roles of a person, with those that they include."""
    return whole(person.roles)
