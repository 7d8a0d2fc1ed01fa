"""What is different in a plant.toml that was read again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.profile import Profile
from monitor.config import Plant, Polled

LISTEN = "web.listen"
OF_THE_LISTENER = ("web.certificate", "web.private_key", "web.proxies")


@dataclass(frozen=True, slots=True)
class Difference:
    """The assets and segments that came, went, or are watched otherwise; and the key paths of all that is written
    otherwise."""

    added: list[str]
    gone: list[str]
    changed: list[str]
    settings: list[str]


def difference(before: Plant, after: Plant) -> Difference:
    """What is different after."""
    was, there = {**before.assets, **before.segments}, {**after.assets, **after.segments}
    settings = {*before.settings, *after.settings}
    return Difference(
        sorted(there.keys() - was.keys()),
        sorted(was.keys() - there.keys()),
        sorted(name for name in there.keys() & was.keys() if _differs(name, before, after)),
        sorted(key for key in settings if before.settings.get(key) != after.settings.get(key)),
    )


def _differs(name: str, before: Plant, after: Plant) -> bool:
    was, there = before.assets.get(name), after.assets.get(name)
    if was is None or there is None:
        return before.segments.get(name) != after.segments.get(name)
    return was != there or _profile(was, before) != _profile(there, after)


def _profile(polled: Polled, plant: Plant) -> Profile | None:
    """The profile that an asset names; which one "auto" stands for, its device says."""
    named = polled.target.profile
    return None if named == "auto" else plant.profiles[named]


def needs_restart(before: Plant, after: Plant) -> str:
    """Why a running daemon cannot do as the file says now, as a sentence; "" if it can."""
    if before.store_url != after.store_url:
        return "store.url: another store takes a start of its own; end asbuilt run and start it anew, or change it back"
    if before.settings.get(LISTEN) != after.settings.get(LISTEN):
        return f"{LISTEN}: another address takes a start of its own; end asbuilt run and start it anew"
    for key in OF_THE_LISTENER:
        if before.settings.get(key) != after.settings.get(key):
            return f"{key}: this takes a start of its own; end asbuilt run and start it anew"
    return ""
