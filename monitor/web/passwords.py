"""Trying a password: within the limits, and as long for a name that nobody has as for any other."""

from __future__ import annotations

from contextlib import suppress
from math import ceil
from secrets import token_hex

import structlog

from monitor import keys, store
from monitor.errors import StoreError
from monitor.evidence import deciding
from monitor.keys import Signer
from monitor.store import ITSELF, Person
from monitor.web.asked import say
from monitor.web.limits import TooOften
from monitor.web.site import Site

DUMMY = keys.seal(keys.Signer.new(), token_hex(8))  # opened in vain for a name that nobody has: that takes as long
NOBODY = "00" * 32

log = structlog.get_logger()


def opened(
    site: Site, name: str, person: Person | None, password: str, address: str, known: bool = False
) -> Signer | None:
    """The key that a password opens; None if it is not theirs, or nobody has this name. `known`: they were right at
    this address before. TooOften while they have to wait."""
    told = 0
    assure_turn(site, name, address, known)  # at once, for who waits anyhow
    with site.limits.turn():
        assure_turn(site, name, address, known)  # and again: those who came at the same time may have failed
        sealed, key = (person.sealed, person.public_key) if person and person.sealed else (DUMMY, NOBODY)
        signer = keys.unseal(sealed, key, password)
        if signer is None or person is None:
            told = site.limits.failed(name, address, known)
    if signer is None or person is None:
        _refused(site, person, address, told)
        return None
    site.limits.succeeded(name, address)
    return signer


def assure_turn(site: Site, name: str, address: str, known: bool = False) -> None:
    """TooOften while somebody has to wait."""
    if wait := site.limits.wait(name, address, known):
        raise TooOften(f"that was wrong too often: try again in {ceil(wait)} s")


def _refused(site: Site, person: Person | None, address: str, told: int) -> None:
    """Say that somebody was refused. A name that nobody has is not repeated: it may be a password, typed too early."""
    name = person.name if person else ""
    log.warning("web.refused", name=name, address=address)
    if told:
        with suppress(StoreError), deciding(site.plant(), site.database, ITSELF, say) as tx:
            store.audit(tx, site.clock(), ITSELF, "session.refuse", name, {"address": address, "refused": str(told)})
