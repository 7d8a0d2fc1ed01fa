"""What of a network somebody wants to see: chosen, grouped, and where it is much, put together. Pure."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from monitor.network import STATES, Host, Network, State, Talk
from monitor.purdue import MANY, OUTSIDE, TO_THE_INTERNET, skips

MANY_HOSTS = 40  # above, hosts that are alike are drawn as one
ALIKE_FEWEST = 4
DRAWN_MOST = 1200  # boxes: a flood of made-up addresses has tens of thousands
LINKS_MOST = 6000
STRANGERS = "not in plant.toml"
LOOKED_AT = 200  # letters of a text that is searched


class By(StrEnum):
    """What hosts stand together by."""

    LINE = "line"
    SUBNET = "subnet"
    VENDOR = "vendor"
    NONE = "none"


class Show(StrEnum):
    """Which hosts and conversations are shown. attention: whatever is new or changed; strangers: who is no asset of
    plant.toml; writes: conversations that change something; crossing: those that skip a level or go to the internet."""

    ALL = "all"
    ATTENTION = "attention"
    NEW = "new"
    SILENT = "silent"
    STRANGERS = "strangers"
    WRITES = "writes"
    CROSSING = "crossing"


STATES_OF = {  # where only some states are shown
    Show.NEW: (State.NEW,),
    Show.SILENT: (State.SILENT, State.UNSEEN),
    Show.ATTENTION: (State.NEW, State.CHANGED),
}


class Detail(StrEnum):
    """Whether hosts that are alike are drawn as one: where there are many, always, or never."""

    AUTO = "auto"
    GROUPS = "groups"
    HOSTS = "hosts"


@dataclass(frozen=True, slots=True)
class View:
    """What is asked for; what is empty asks for nothing. `level` is as JSON has it, or "unknown"."""

    by: By = By.LINE
    show: Show = Show.ALL
    protocol: str = ""
    q: str = ""
    host: str = ""
    group: str = ""
    level: str = ""
    state: str = ""
    detail: Detail = Detail.AUTO


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a view shows: hosts that were asked for, the others that they talk with, and conversations."""

    hosts: tuple[Host, ...]
    others: tuple[Host, ...]
    talks: tuple[Talk, ...]

    @property
    def all(self) -> tuple[Host, ...]:
        return (*self.hosts, *self.others)


@dataclass(frozen=True, slots=True)
class Box:
    """What is drawn as one: a host, or hosts that are alike. `alarms` counts those that stand at them."""

    key: str
    band: float | None
    group: str
    hosts: tuple[Host, ...]
    state: State
    is_asset: bool
    is_other: bool = False
    alarms: int = 0

    @property
    def host(self) -> Host | None:
        return self.hosts[0] if len(self.hosts) == 1 else None


@dataclass(frozen=True, slots=True)
class Link:
    """What two boxes talk: all conversations one way, from clients to servers."""

    client: str
    server: str
    talks: tuple[Talk, ...]
    state: State
    crossing: str | None

    @property
    def acts(self) -> bool:
        return any(talk.acts for talk in self.talks)

    @property
    def is_outside(self) -> bool:
        return self.crossing == TO_THE_INTERNET

    @property
    def protocols(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(talk.protocol for talk in self.talks))


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is to be drawn; `left_out` hosts are not, because nobody could see anything on such a map."""

    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    left_out: int = 0


def choose(network: Network, view: View) -> Chosen:
    """The hosts and conversations that a view shows."""
    hosts, states = network.hosts, STATES_OF.get(view.show, ())
    talks = [talk for talk in network.talks if _is_wanted(hosts, talk, view)]
    ends = _ends(talks)
    if states:
        ends = _ends(talk for talk in talks if talk.state in states)
    narrowed = bool(view.protocol) or view.show in (Show.WRITES, Show.CROSSING)
    chosen = {
        key: host
        for key, host in hosts.items()
        if _is_asked(host, view) and (key in ends or not (narrowed or states) or host.state in states)
    }
    talks = [talk for talk in talks if talk.client in chosen or talk.server in chosen]
    others = _ends(talks) - chosen.keys()
    return Chosen(tuple(chosen.values()), tuple(host for key, host in hosts.items() if key in others), tuple(talks))


def _ends(talks: Iterable[Talk]) -> set[str]:
    return {end for talk in talks for end in (talk.client, talk.server)}


def _is_wanted(hosts: Mapping[str, Host], talk: Talk, view: View) -> bool:
    if view.protocol and talk.protocol != view.protocol:
        return False
    if states := STATES_OF.get(view.show):
        return talk.state in states or any(hosts[end].state in states for end in (talk.client, talk.server))
    if view.show is Show.WRITES:
        return bool(talk.acts)
    return view.show is not Show.CROSSING or crossing(hosts, talk) is not None


def _is_asked(host: Host, view: View) -> bool:
    return (
        (not view.host or host.key == view.host)
        and (not view.group or group_of(host, view.by) == view.group)
        and (not view.level or level_word(host.level.value) == view.level)
        and (not view.state or host.state == view.state)
        and (view.show is not Show.STRANGERS or not (host.assets or host.level.value == MANY))
        and all(word in _searched(host) for word in view.q.casefold().split())
    )


def _searched(host: Host) -> str:
    said = (text for each in host.said for text in each.heard)
    own = (host.key, *host.ips, *host.names, *host.assets, host.zone, host.vendor, *said, *host.protocols)
    return "\n".join(text[:LOOKED_AT] for text in own).casefold()


def level_word(value: float | None) -> str:
    """A level in an address: "1", "3.5", "unknown"."""
    return "unknown" if value is None else f"{value:g}"


def crossing(hosts: Mapping[str, Host], talk: Talk) -> str | None:
    """Why a conversation stands out by its ends."""
    return TO_THE_INTERNET if talk.is_outside else skips(hosts[talk.client].level.value, hosts[talk.server].level.value)


def group_of(host: Host, by: By) -> str:
    """With which others a host stands together."""
    if by is By.NONE or host.level.value == MANY:
        return ""
    if by is By.VENDOR:
        return host.vendor[:LOOKED_AT] or "maker not known"
    if by is By.SUBNET:
        return _subnet(host.ips[0]) if host.ips else "no IP address"
    if host.level.value == OUTSIDE:
        return ""
    if not host.assets:
        return STRANGERS
    return host.zone or (host.assets[0].split("/")[0] if "/" in host.assets[0] else "no zone")


@lru_cache(8192)
def _subnet(ip: str) -> str:
    try:
        found = ipaddress.ip_address(ip)
    except ValueError:
        return "no IP address"
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 64), strict=False))


def scene(chosen: Chosen, view: View, alarms: Mapping[str, int]) -> Scene:
    """What is drawn of what was chosen. `alarms` counts the open ones by host."""
    others = {host.key for host in chosen.others}
    count = len(chosen.all)
    many = count > MANY_HOSTS if view.detail is Detail.AUTO else view.detail is Detail.GROUPS or count > DRAWN_MOST
    alike: defaultdict[tuple[object, ...], list[Host]] = defaultdict(list)
    for host in chosen.all:
        group, band = group_of(host, view.by), host.level.value
        same = (bool(host.assets), host.state, bool(alarms.get(host.key)), host.key in others)
        alike[(band, group, *same) if many and host.key != view.host else (host.key,)].append(host)
    boxes: list[Box] = []
    for hosts in alike.values():
        parts = [hosts] if len(hosts) >= ALIKE_FEWEST else [[host] for host in hosts]
        boxes += [_box(part, view, others, alarms) for part in parts]
    if len(boxes) > DRAWN_MOST:
        boxes = sorted(boxes, key=lambda box: STATES.index(box.state))[:DRAWN_MOST]
    where = {host.key: box.key for box in boxes for host in box.hosts}
    links = list(_links(chosen, where, boxes))
    if len(links) > LINKS_MOST:
        links = sorted(links, key=lambda link: (not link.is_outside, STATES.index(link.state)))[:LINKS_MOST]
    return Scene(tuple(boxes), tuple(links), count - len(where))


def _box(hosts: Sequence[Host], view: View, others: Collection[str], alarms: Mapping[str, int]) -> Box:
    first = hosts[0]
    return Box(
        first.key if len(hosts) == 1 else f"{len(hosts)} with {first.key}",
        first.level.value,
        group_of(first, view.by),
        tuple(hosts),
        first.state,
        bool(first.assets),
        first.key in others,
        sum(alarms.get(host.key, 0) for host in hosts),
    )


def _links(chosen: Chosen, where: Mapping[str, str], boxes: Iterable[Box]) -> Iterable[Link]:
    bands = {box.key: box.band for box in boxes}
    between: defaultdict[tuple[str, str], list[Talk]] = defaultdict(list)
    for talk in chosen.talks:
        client, server = where.get(talk.client), where.get(talk.server)
        if client and server and client != server:
            between[client, server].append(talk)
    for (client, server), talks in between.items():
        state = min((talk.state for talk in talks), key=STATES.index)
        outside = TO_THE_INTERNET if any(talk.is_outside for talk in talks) else None
        yield Link(client, server, tuple(talks), state, outside or skips(bands[client], bands[server]))
