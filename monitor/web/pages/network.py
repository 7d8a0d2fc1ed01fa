"""The network: a map of hosts and conversations by Purdue level, one host, and what was done on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from baselines.alert import Alert, AlertState
from monitor import store
from monitor.drawing import shown
from monitor.happenings import happenings
from monitor.network import Network, State, Talk, alarms_of, host_at, network
from monitor.network_host import life, polled_identities
from monitor.network_map import Map, draw
from monitor.network_view import STATES_OF, Box, By, Detail, Show, View, choose, crossing, level_word, scene
from monitor.purdue import MANY, level_name
from monitor.show import alert_text
from monitor.web.access import Viewer
from monitor.web.asked import assets_of, assure_segments, times
from monitor.web.here import Here
from monitor.web.paging import PageNumber, rest_of, shown_of
from monitor.web.render import page

ROWS = 100
LATELY = timedelta(days=7)
EVENTS_SHOWN = 8
SHORT = 480.0  # pixels of a text in a list: a device may say ten thousand letters
SHOWS = (
    (Show.ALL, "everything"),
    (Show.ATTENTION, "what is new or changed"),
    (Show.NEW, "what is new"),
    (Show.SILENT, "what is silent"),
    (Show.STRANGERS, "who is not in plant.toml"),
    (Show.WRITES, "who writes"),
    (Show.CROSSING, "what skips a level"),
)
BYS = ((By.LINE, "line or zone"), (By.SUBNET, "subnet"), (By.VENDOR, "maker"), (By.NONE, "nothing"))
DETAILS = ((Detail.AUTO, "as fits"), (Detail.HOSTS, "every host"), (Detail.GROUPS, "groups"))

router = APIRouter()


@router.get("/network")
def map_page(
    request: Request,
    site: Here,
    caller: Viewer,
    segment: str = "",
    by: By = By.LINE,
    show: Show = Show.ALL,
    protocol: str = "",
    q: str = "",
    group: str = "",
    level: str = "",
    state: str = "",
    detail: Detail = Detail.AUTO,
    hosts: Annotated[int, Query(ge=1, le=100_000)] = 1,
    talks: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    plant, now, wanted = site.plant(), site.clock(), [segment] if segment else []
    assure_segments(plant, wanted)
    view = View(by, show, protocol, q[:200], "", group, level, state, detail)
    with site.database.read() as tx:
        found = network(tx, plant, now, wanted)
        alarms = alarms_of(found, store.alerts(tx))
        events = happenings(tx, now - LATELY, now, wanted)[:EVENTS_SHOWN]
    chosen = choose(found, view)
    drawn = scene(chosen, view, _counts(alarms))
    made = draw(drawn)
    asked = _asked(view, segment)
    host_page, talk_page = shown_of(hosts, len(chosen.hosts), ROWS), shown_of(talks, len(chosen.talks), ROWS)
    return page(
        request,
        site,
        "network.html.j2",
        caller,
        found=found,
        view=view,
        segment=segment,
        segments=list(plant.segments),
        protocols=sorted({talk.protocol for talk in found.talks}),
        choices={"shows": SHOWS, "bys": BYS, "details": DETAILS},
        tiles=_tiles(found, segment),
        narrowed=_narrowed(view, segment),
        chosen=chosen,
        map=made,
        left_out=drawn.left_out,
        hrefs=_hrefs(made, view, segment),
        rows=chosen.hosts[host_page.skip : host_page.last],
        talks=_talk_rows(found, chosen.talks[talk_page.skip : talk_page.last]),
        pages={"hosts": host_page, "talks": talk_page},
        queries={
            "hosts": rest_of({**asked, "talks": str(talks) if talks > 1 else ""}),
            "talks": rest_of({**asked, "hosts": str(hosts) if hosts > 1 else ""}),
        },
        alarms=alarms,
        events=events,
        names=found.hosts,
        **HELP,
    )


@router.get("/network/events")
def events_page(
    request: Request,
    site: Here,
    caller: Viewer,
    asset: str = "",
    since: str = "",
    until: str = "",
    number: PageNumber = 1,
) -> Response:
    plant, now = site.plant(), site.clock()
    begin, end = times(since, until, now, plant, LATELY)
    with site.database.read() as tx:
        found = happenings(tx, begin, end, assets_of(plant, [asset]) if asset else ())
    shown_page = shown_of(number, len(found))
    return page(
        request,
        site,
        "network_events.html.j2",
        caller,
        events=found[shown_page.skip : shown_page.last],
        shown_page=shown_page,
        query=rest_of({"asset": asset, "since": since, "until": until}),
        begin=begin,
        end=end,
        asset=asset,
        assets=[*plant.assets, *plant.segments],
        names={},
        **HELP,
    )


@router.get("/network/hosts/{key:path}")
def host_page(request: Request, site: Here, caller: Viewer, key: str) -> Response:
    plant, now = site.plant(), site.clock()
    with site.database.read() as tx:
        found = network(tx, plant, now)
        if (host := host_at(found, key)) is None:
            raise HTTPException(404)
        alarms = alarms_of(found, store.alerts(tx))
        lived = life(tx, host)
        polled = polled_identities(tx, host)
        done = happenings(tx, now - 4 * LATELY, now)
    view = View(host=host.key)
    chosen = choose(found, view)
    made = draw(scene(chosen, view, _counts(alarms)))
    addresses = {host.key, *host.ips}
    return page(
        request,
        site,
        "network_host.html.j2",
        caller,
        host=host,
        map=made,
        hrefs=_hrefs(made, view, ""),
        talks=_talk_rows(found, chosen.talks),
        alarms=alarms.get(host.key, ()),
        lived=lived,
        polled=polled,
        events=[each for each in done if each.client in addresses or each.asset in host.assets][:ROWS],
        names=found.hosts,
        **HELP,
    )


def host_path(key: str) -> str:
    """Where the page of a host is."""
    return f"/network/hosts/{quote(key, safe=':', errors='replace')}"


def short(text: str) -> str:
    """What a device says, as far as a list has room for it."""
    return shown(text, SHORT)


def sentence(text: str) -> str:
    """The same as a line of its own."""
    return shown(text, 3 * SHORT)


def _state_look(state: State) -> tuple[str, str]:
    return {
        State.NEW: ("bad", "+"),
        State.CHANGED: ("bad", "✕"),
        State.UNSEEN: ("unknown", "?"),
        State.SILENT: ("attention", "◷"),
        State.UNAPPROVED: ("plain", "○"),
        State.APPROVED: ("good", "✓"),
    }[state]


HELP: Mapping[str, Any] = {
    "host_path": host_path,
    "short": short,
    "sentence": sentence,
    "alert_text": alert_text,
    "look": _state_look,
    "level_name": level_name,
    "MANY": MANY,
}


def _counts(alarms: Mapping[str, Sequence[Alert]]) -> dict[str, int]:
    return {key: sum(each.state is not AlertState.NORMAL for each in found) for key, found in alarms.items()}


def _asked(view: View, segment: str) -> dict[str, str]:
    """What an address asks for, without what goes without saying."""
    usual = View()
    said = {"segment": segment}
    for name in ("by", "show", "protocol", "q", "group", "level", "state", "detail"):
        value = getattr(view, name)
        said[name] = "" if value == getattr(usual, name) else str(value)
    return {name: value for name, value in said.items() if value}


def _address(asked: Mapping[str, str]) -> str:
    text = urlencode(asked, errors="replace")
    return f"/network?{text}" if text else "/network"


def _hrefs(made: Map, view: View, segment: str) -> list[str]:
    """Where each box of a map leads: to its host, or to the hosts that it stands for."""
    return [host_path(each.box.host.key) if each.box.host else _inside(each.box, view, segment) for each in made.boxes]


def _inside(box: Box, view: View, segment: str) -> str:
    asked = _asked(view, segment) | {
        "level": level_word(box.band),
        "state": str(box.state),
        "detail": str(Detail.HOSTS),
    }
    return _address(asked | ({"group": box.group} if box.group else {}))


def _tiles(found: Network, segment: str) -> list[tuple[str, int, str, str]]:
    """What there is of everything: words, how many, how that looks, where it is shown."""
    hosts = [host for host in found.hosts.values() if host.level.value != MANY]
    moved = sum(host.state in STATES_OF[Show.ATTENTION] for host in hosts)
    silent = sum(host.state in STATES_OF[Show.SILENT] for host in hosts)
    writes = sum(bool(talk.acts) for talk in found.talks)
    crossings = sum(crossing(found.hosts, talk) is not None for talk in found.talks)
    counts = (
        ("host", "", len(hosts), "plain", Show.ALL),
        ("host", " new or changed", moved, "bad", Show.ATTENTION),
        ("host", " not in plant.toml", sum(not host.assets for host in hosts), "unknown", Show.STRANGERS),
        ("host", " silent or unseen", silent, "attention", Show.SILENT),
        ("conversation", " with writes", writes, "plain", Show.WRITES),
        ("conversation", " past a level or to the internet", crossings, "attention", Show.CROSSING),
    )
    return [
        (
            f"{what}{'s' * (count != 1)}{how}",
            count,
            look if count else "plain",
            _address(_asked(View(show=show), segment)),
        )
        for what, how, count, look, show in counts
    ]


def _narrowed(view: View, segment: str) -> list[tuple[str, str]]:
    """By what a view was narrowed beside its form, each with the address without it."""
    asked = _asked(view, segment)
    words = {
        "group": view.group,
        "level": level_name(None if view.level == "unknown" else _number(view.level)) if view.level else "",
        "state": view.state,
    }
    return [
        (text, _address({key: value for key, value in asked.items() if key != name}))
        for name, text in words.items()
        if text
    ]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _talk_rows(found: Network, talks: Sequence[Talk]) -> list[tuple[Talk, str | None]]:
    """Conversations, each with why it stands out by its levels."""
    return [(talk, crossing(found.hosts, talk)) for talk in talks]
