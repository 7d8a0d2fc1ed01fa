"""What people do about baselines on a page or by a program: who may, with what signature, and in which job."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from baselines.asset import Criticality
from baselines.baseline import Stage, State, objection
from baselines.capture import Decision
from monitor import actions, proposing, store
from monitor.commissioning import capture, propose_series, sort_series, varying_document
from monitor.config import Plant
from monitor.errors import CallError, NotNow
from monitor.evidence import deciding
from monitor.polling import poll_assets
from monitor.proposing import Word
from monitor.reviewing import Review
from monitor.show import baseline_document
from monitor.store import Actor, Transaction
from monitor.web.access import Caller, Role, roles_of
from monitor.web.asked import assets_of, in_zone, say
from monitor.web.jobs import Job, Progress
from monitor.web.site import Site

CRITICAL = (Criticality.HIGH, Criticality.SAFETY)  # whose approval takes a password, however few look at it
MOST_CAPTURES = 100
LONGEST_PAUSE = 3600.0  # seconds between two captures
TELL_EVERY = 1.0  # seconds
MOST_TOGETHER = 50  # proposals that are reviewed on one page

Document = dict[str, Any]


def matching(plant: Plant, asked: str, zone: str = "") -> list[str]:
    """The assets and segments whose name holds what is asked for, or fits it as a pattern; with `zone` only of that."""
    wanted = asked.strip().lower()
    there = in_zone(plant, zone) if zone else assets_of(plant, None)
    return [name for name in there if wanted in name.lower() or fnmatchcase(name.lower(), wanted)]


def takes_password(plant: Plant, assets: Iterable[str], approving: bool = False) -> bool:
    """Whether somebody has to give their password again before they propose, decide or reject; or approve."""
    found = {plant.criticality(name) for name in assets}
    return any(plant.approval.takes_two(each) or (approving and each in CRITICAL) for each in found)


def actor_of(plant: Plant, caller: Caller, assets: Iterable[str], password: str, approving: bool = False) -> Actor:
    """Who acts: with their own key where that is due, or where they gave their password."""
    return caller.signing(password, takes_password(plant, assets, approving))


def in_role(tx: Transaction, plant: Plant, caller: Caller, who: Actor, asset: str, role: str) -> Actor:
    """The same in the role in which they sign a proposal off: that which they name, or one of theirs that is needed."""
    if role and role not in caller.person.roles:
        has = ", ".join(caller.person.roles)
        raise NotNow(f"{caller.name} is registered as {has}, not as {role}")
    proposal = store.current_baseline(tx, asset, State.PROPOSED)
    needed = proposing.to_sign(tx, plant, proposal) if proposal else ()
    if needed and not role:
        role = next((each for each in needed if each in caller.person.roles), "")
        if not role:
            raise NotNow(f"{asset}: {', '.join(needed)} is still to sign, and {caller.name} is none of these")
    return replace(who, role=role)


def approve(
    site: Site, caller: Caller, words: Mapping[str, Word], role: str, password: str, together: bool = False
) -> Document:
    """Approve the open proposals of assets, all or none, each with its word; `together` only if their stage is one."""
    plant = site.plant()
    who = actor_of(plant, caller, words, password, approving=True)
    with deciding(plant, site.database, who, say, sound=True) as tx:
        done = [
            proposing.approve(tx, plant, name, in_role(tx, plant, caller, who, name, role), word, site.clock())
            for name, word in words.items()
        ]
        if together and len({each.stage for each in done}) > 1:
            raise CallError("only proposals of one stage are approved together: others sign for another")
        return proposing.decided_document(tx, plant, done)


def reject(site: Site, caller: Caller, digests: Mapping[str, str | None], reason: str, password: str) -> Document:
    """Reject the open proposals of assets, all or none, each only if it has its digest."""
    plant = site.plant()
    who = actor_of(plant, caller, digests, password)
    with deciding(plant, site.database, who, say) as tx:
        done = [
            actions.reject(tx, name, who, reason, site.clock(), proposing.rules_of(plant, name), digest)
            for name, digest in digests.items()
        ]
        return proposing.decided_document(tx, plant, done)


def decide(
    site: Site, caller: Caller, asset: str, decisions: Sequence[Decision], digest: str | None, password: str
) -> Document:
    """Decide about items of an open proposal; CallError where one was named that was not captured."""
    plant = site.plant()
    who = actor_of(plant, caller, [asset], password)
    why = "; ".join(dict.fromkeys(each.reason for each in decisions))
    theirs = {each.key: replace(each, by=caller.name) for each in decisions}  # of each item the last
    with deciding(plant, site.database, who, say) as tx:
        actions.open_proposal(tx, asset, digest)
        rules = proposing.rules_of(plant, asset)
        amended, open_ = actions.decide(tx, asset, list(theirs.values()), who, why, site.clock(), rules)
        rows = [varying_document(asset, each, True) for each in open_]
        return {"baselines": [baseline_document(amended)], "varying": rows}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read and proposed. Of one capture it is a single reading; of more, a commissioning."""

    assets: Sequence[str]
    stage: Stage
    reason: str = ""
    ticket: str = ""
    incomplete: bool = False
    captures: int = 1
    pause: float = 0.0
    commissioning: bool = False

    def __post_init__(self) -> None:
        if not self.assets:
            raise CallError("name an asset at least: what is to be read?")
        if not 1 <= self.captures <= MOST_CAPTURES:
            raise CallError(f"captures: 1 to {MOST_CAPTURES}, not {self.captures}")
        if not 0 <= self.pause <= LONGEST_PAUSE:
            raise CallError("the time between two captures is an hour at most")

    @property
    def title(self) -> str:
        what = "Commissioning" if self.commissioning else "Reading"
        names = ", ".join(self.assets[:3]) + ", …" * (len(self.assets) > 3)
        return f"{what} {names} ({self.stage})"


def begin(site: Site, caller: Caller, wanted: Wanted, password: str) -> Job:
    """Begin to read assets, and propose what is there when all is read. Its outcome is the document of
    `baseline propose` or `commission`."""
    plant = site.plant()
    who = actor_of(plant, caller, wanted.assets, password)
    with site.database.read() as tx:
        actions.assure_person(tx, who, takes_password(plant, wanted.assets))  # before anything takes its time
    return site.jobs.begin(caller.name, wanted.title, lambda note: _read_and_propose(site, caller, who, wanted, note))


def _read_and_propose(site: Site, caller: Caller, who: Actor, wanted: Wanted, note: Progress) -> Document:
    plant, of, done = site.plant(), len(wanted.assets) * wanted.captures, 0
    note("asking", 0, of)

    def step(name: str) -> None:
        nonlocal done
        done += 1
        note(name, done, of)

    def wait(seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            note(f"waiting {left:.0f} s for the next capture", done, of)
            time.sleep(min(left, TELL_EVERY))

    def read() -> list[Document]:
        return poll_assets(plant, site.database, wanted.assets, who.name, step)

    if wanted.commissioning:
        series = capture(wanted.assets, wanted.captures, wanted.pause, read, wait)
        found = sort_series(site.database, series, wanted.incomplete)
        with deciding(plant, site.database, who, say) as tx:
            caller.assure_still(tx, Role.ENGINEER)
            outcome = propose_series(tx, plant, found, {}, wanted.stage, who, site.clock, wanted.reason, wanted.ticket)
        return outcome | {"captures": wanted.captures}
    documents = read()
    with deciding(plant, site.database, who, say) as tx:
        caller.assure_still(tx, Role.ENGINEER)
        return proposing.propose_read(
            tx, plant, documents, wanted.stage, who, site.clock(), wanted.reason, wanted.ticket, wanted.incomplete
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether somebody can approve what waits: `why` not, or ""; in which roles they can; and who else could."""

    why: str
    roles: tuple[str, ...]
    others: tuple[str, ...]


def standing(tx: Transaction, caller: Caller, found: Sequence[Review]) -> Standing:
    """Whether a caller can approve proposals that are reviewed together."""
    why = (
        "" if caller.may(Role.APPROVER) else f"approving takes the role approver, and {caller.name} has not got it here"
    )
    for each in found:
        objected = _objection(each, caller.name, caller.person.roles)
        why = why or (f"{each.asset}: {objected}" if objected and len(found) > 1 else objected)
    roles = [role for role in (found[0].to_sign if found else ()) if role in caller.person.roles]
    others = [
        person.name
        for person in store.persons(tx)
        if person.name != caller.name
        and Role.APPROVER in roles_of(person)
        and not any(_objection(each, person.name, person.roles) for each in found)
    ]
    return Standing(why, tuple(role for role in roles if all(role in each.to_sign for each in found)), tuple(others))


def _objection(found: Review, name: str, roles: Sequence[str]) -> str:
    role = next((each for each in found.to_sign if each in roles), "")
    if found.to_sign and not role and not any(word.by == name for word in found.signed):
        return f"{', '.join(found.to_sign)} is still to sign, and {name} is none of these"
    return objection(found.proposal, found.signed, name, role, found.to_sign, found.rules.takes_two)
