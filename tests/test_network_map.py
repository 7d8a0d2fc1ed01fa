"""The map of a network: what is known of hosts, at which level they stand, and where everything is drawn."""

from __future__ import annotations

from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.snapshot import Snapshot, Unread
from collectors.passive.protocols.modbus import FUNCTIONS
from monitor.acting import is_acting
from monitor.network import Host, Network, State, Talk, alarms_of, host_at, network, wire
from monitor.network_host import RUNS_MOST, life
from monitor.network_map import LABELS, SIZES, WIDTH, Map, draw
from monitor.network_view import DRAWN_MOST, LINKS_MOST, By, Detail, Show, View, choose, crossing, group_of, scene
from monitor.purdue import DMZ, MANY, OUTSIDE, Heard, Level, from_the_top, level_name, level_of, skips
from tests.networks import AT, SEGMENT, Made, floor, stored

PLC, PANEL, ROGUE, ROUTER = (f"00:1b:1b:00:00:0{n}" for n in range(1, 5))
PLANT = (
    SEGMENT.format("line3")
    + SEGMENT.format("dmz").replace("eth1", "eth2")
    + """
[asset."line3/filler"]
address = "modbus://10.0.3.1/1"
profile = "generic-modbus"
zone = "line3"
purdue_level = 1
[asset."line3/panel"]
address = "modbus://panel.plant/1"
profile = "generic-modbus"
mac = "00:1b:1b:00:00:02"
[asset."line3/unheard"]
address = "modbus://10.0.3.99/1"
profile = "generic-modbus"
"""
)


def approved() -> Made:
    made = Made()
    made.host(PLC, "10.0.3.1", names="filler")
    made.serves(PLC, 502, "modbus")
    made.host(PANEL, "10.0.3.2")
    made.talk("10.0.3.2", "10.0.3.1", "modbus", "read-holding-registers")
    return made


def heard_of(tmp_path: Path, *segments: tuple[Snapshot | None, Snapshot | None]) -> Network:
    plant, database = stored(tmp_path, PLANT, segments)
    with database.read() as tx:
        found = network(tx, plant, AT)
    database.close()
    return found


# ---- What is known of hosts and conversations


def test_hosts_are_held_against_what_was_approved(tmp_path: Path) -> None:
    known, now = approved(), approved()
    known.host("00:1b:1b:00:00:09", "10.0.3.9")  # says nothing any more
    now.host(ROGUE, "10.0.3.66")
    now.serves(PLC, 80, "tcp")
    now.talk("10.0.3.66", "10.0.3.1", "modbus", "write-single-register")
    now.talk("10.0.3.2", "10.0.3.1", "modbus", "read-holding-registers", "write-single-register")
    now.talk("10.0.3.1", "93.184.216.34", "tls")
    found = heard_of(tmp_path, (known.snapshot("line3"), now.snapshot("line3")))
    assert {host.label: host.state for host in found.hosts.values()} == {
        "line3/filler": State.CHANGED,  # it answers on a new port
        "line3/panel": State.APPROVED,  # found by its MAC address: its address is a name
        "10.0.3.9": State.SILENT,
        "10.0.3.66": State.NEW,
        "93.184.216.34": State.NEW,
    }
    assert {(talk.client, talk.protocol): (talk.state, talk.added, talk.acts) for talk in found.talks} == {
        (PANEL, "modbus"): (State.CHANGED, ("write-single-register",), ("write-single-register",)),
        (ROGUE, "modbus"): (State.NEW, (), ("write-single-register",)),
        (PLC, "tls"): (State.NEW, (), ()),
    }
    assert {host.label: (host.level.value, host.level.written) for host in found.hosts.values()} == {
        "line3/filler": (1.0, True),
        "line3/panel": (2.0, False),
        "10.0.3.9": (None, False),
        "10.0.3.66": (None, False),  # it asks as supervision does, and nobody approved it
        "93.184.216.34": (OUTSIDE, False),
    }
    assert found.unheard == ("line3/unheard",)
    assert (found.parts[0].has_baseline, found.parts[0].unseen, found.parts[1].unseen) == (True, None, "never-seen")


def test_a_segment_that_nobody_hears_now_proves_nothing(tmp_path: Path) -> None:
    plant, database = stored(tmp_path, PLANT, [(approved().snapshot("line3"), approved().snapshot("line3"))])
    with database.read() as tx:
        assert {host.state for host in network(tx, plant, AT).hosts.values()} == {State.APPROVED}
        later = network(tx, plant, AT + timedelta(hours=1))
    assert {host.state for host in later.hosts.values()} == {State.UNSEEN}
    assert later.parts[0].unseen == "stale"
    database.close()


def test_without_a_baseline_nothing_is_approved_and_nothing_is_new(tmp_path: Path) -> None:
    lost = [Unread("capture", "frames were lost: what passed meanwhile was not seen")]
    found = heard_of(tmp_path, (None, approved().snapshot("line3", unread=lost)))
    assert {host.state for host in found.hosts.values()} == {State.UNAPPROVED}
    assert found.parts[0].why.startswith("frames were lost")


def test_what_is_encrypted_now_is_not_silent() -> None:
    gone = approved().snapshot(
        "line3", ["conversation"], [Unread('conversation."10.0.3.2"."10.0.3.1".modbus', "encrypted")]
    )
    [spoken] = wire("line3", gone, approved().snapshot("line3")).spoken
    assert spoken.state is State.UNSEEN


def test_one_card_on_two_segments_is_one_host_and_behind_a_router_an_address_is_who_has_it(tmp_path: Path) -> None:
    far, twice = Made(), Made()
    far.host(ROUTER, "10.0.9.254")
    far.host("10.0.3.1")  # behind the router it has no card
    far.put("host", "10.0.3.1", "ips", value=["10.0.3.1"])
    far.host(PANEL, "10.0.9.2")
    far.talk("10.0.9.2", "10.0.3.1", "opcua", "read")
    found = heard_of(tmp_path, (None, approved().snapshot("line3")), (None, far.snapshot("dmz")))
    assert sorted(found.hosts) == [PLC, PANEL, ROUTER]
    assert found.hosts[PANEL].ips == ("10.0.3.2", "10.0.9.2")
    assert found.hosts[PLC].segments == ("line3", "dmz")
    assert {(talk.client, talk.server, talk.protocol) for talk in found.talks} == {
        (PANEL, PLC, "modbus"),
        (PANEL, PLC, "opcua"),
    }
    assert host_at(found, "10.0.3.1") is found.hosts[PLC]
    assert host_at(found, PLC.upper()) is found.hosts[PLC]
    assert host_at(found, "10.9.9.9") is None
    twice.host("00:1b:1b:00:00:0c", "10.0.3.1")  # another cell with the same addresses
    both = wire("line3", approved().snapshot("line3"), None), wire("dmz", twice.snapshot("dmz"), None)
    assert [list(each.hosts) for each in both] == [[PLC, PANEL], ["00:1b:1b:00:00:0c"]]


def test_what_a_router_hands_on_to_the_internet_stands_out_even_if_the_router_looks_like_its_end(
    tmp_path: Path,
) -> None:
    now = approved()
    now.host(ROUTER, "10.0.3.254", "93.184.216.34")
    now.talk("10.0.3.1", "10.0.3.254", "tls")
    now.talk("10.0.3.1", "93.184.216.34", "tls")
    found = heard_of(tmp_path, (None, now.snapshot("line3")))
    [talk] = [talk for talk in found.talks if talk.server == ROUTER]
    assert crossing(found.hosts, talk) == "to the internet"
    assert found.hosts[ROUTER].level.value is None
    [link] = [link for link in scene(choose(found, View()), View(), {}).links if link.server == ROUTER]
    assert link.is_outside


def test_two_cards_that_claim_one_address_are_named(tmp_path: Path) -> None:
    now = approved()
    now.host(ROGUE, "10.0.3.1")
    now.put("address", "10.0.3.1", value=[PLC, ROGUE])
    found = heard_of(tmp_path, (approved().snapshot("line3"), now.snapshot("line3")))
    assert (found.hosts[PLC].rivals, found.hosts[PLC].state) == ((ROGUE,), State.CHANGED)
    assert found.hosts[ROGUE].rivals == (PLC,)
    [talk] = found.talks
    assert talk.server == PLC, "what was approved is of the card that was approved"


def test_alarms_are_at_the_hosts_that_they_are_about(tmp_path: Path) -> None:
    from monitor import store

    now = approved()
    now.host(ROGUE, "10.0.3.66")
    now.talk("10.0.3.66", "10.0.3.1", "modbus", "read-coils")
    plant, database = stored(tmp_path, PLANT, [(approved().snapshot("line3"), now.snapshot("line3"))])
    with database.read() as tx:
        found = network(tx, plant, AT)
        alarms = alarms_of(found, store.alerts(tx))
        assert {key: sorted(alert.item.split(".")[0] for alert in of) for key, of in alarms.items()} == {
            ROGUE: ["conversation", "host"],
            PLC: ["conversation"],
        }
        [lived] = life(tx, found.hosts[ROGUE])
        assert (lived.segment, lived.first_at, lived.is_at_least) == ("line3", AT, False)
        assert RUNS_MOST > 1
    database.close()


# ---- Levels


@pytest.mark.parametrize(
    ("written", "heard", "level"),
    [
        ({"a": 2.0}, Heard(["10.0.0.1"], ["modbus"]), 2.0),
        ({"a": 2.0, "b": 1.0}, Heard(["10.0.0.1"]), 1.0),
        ({"a": None}, Heard(["10.0.0.1"], ["s7comm"], ["modbus"]), 1.0),
        ({}, Heard(["10.0.0.1"], (), ["opcua"]), 2.0),
        ({}, Heard(["10.0.0.1"], (), (), ["opcua"]), None),
        ({}, Heard(["10.0.0.1"], ["opcua"]), None),
        ({}, Heard(["10.0.0.1"], is_cyclic=True), 1.0),
        ({}, Heard(["8.8.8.8"], ["modbus"]), OUTSIDE),
        ({"a": 4.0}, Heard(["8.8.8.8"]), 4.0),
        ({}, Heard(["2001:4860:4860::8888"]), OUTSIDE),
        ({}, Heard(["134.249.61.3"], ["s7comm"], has_card=True), 1.0),  # a plant that uses such addresses inside
        ({}, Heard(["fd00::1"]), None),
        ({}, Heard(["224.0.0.1"]), MANY),
        ({}, Heard(["ff:ff:ff:ff:ff:ff"]), MANY),
        ({}, Heard(["01:0e:cf:00:00:00"]), MANY),
        ({}, Heard(["zz:zz:zz:zz:zz:zz"]), None),
        ({}, Heard([]), None),
    ],
)
def test_a_level_is_said_with_its_reason_or_not_at_all(
    written: dict[str, float | None], heard: Heard, level: float | None
) -> None:
    found = level_of(written, heard)
    assert found.value == level
    assert found.why
    assert found.written == any(value is not None for value in written.values())


def test_bands_are_in_order_and_have_names() -> None:
    levels = [MANY, None, 0.0, 1.0, 2.5, DMZ, 5.0, OUTSIDE]
    assert sorted(levels, key=from_the_top) == [OUTSIDE, 5.0, DMZ, 2.5, 1.0, 0.0, None, MANY]
    assert level_name(2.5) == "Level 2.5"
    assert level_name(0.0) == "Level 0: process"


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (1.0, 2.0, None),
        (2.0, DMZ, None),
        (3.0, 1.0, "between levels 1 and 3"),
        (3.0, 4.0, "between levels 3 and 4, past a DMZ"),
        (DMZ, 4.0, None),
        (1.0, OUTSIDE, "to the internet"),
        (1.0, None, None),
        (1.0, MANY, None),
    ],
)
def test_what_skips_a_level_says_so(one: float, other: float | None, why: str | None) -> None:
    assert skips(one, other) == skips(other, one) == why


def test_which_functions_change_something() -> None:
    acting = {name for name in FUNCTIONS.values() if is_acting(name)}
    assert acting == {
        *("write-single-coil", "write-single-register", "write-multiple-coils", "write-multiple-registers"),
        *("write-file-record", "mask-write-register", "read-write-multiple-registers"),
    }
    assert is_acting("plc-stop")
    assert is_acting("umas-upload-block")
    assert not (is_acting("umas-download-block"))
    assert not (is_acting("create-session"))
    assert not (is_acting("start-upload"))


# ---- What is shown


def test_a_view_chooses_and_those_that_they_talk_with_come_along(tmp_path: Path) -> None:
    made = floor(60, 160)
    plant, database = stored(tmp_path, made.toml, [(made.approved, made.heard)])
    with database.read() as tx:
        found = network(tx, plant, AT)
    database.close()
    everything = choose(found, View())
    assert (len(everything.hosts), everything.others) == (len(found.hosts), ())
    new = choose(found, View(show=Show.NEW))
    assert any(host.state is State.NEW for host in new.hosts)
    assert all(
        State.NEW in {talk.state, *(found.hosts[end].state for end in (talk.client, talk.server))} for talk in new.talks
    )
    one = choose(found, View(host="02:00:00:00:66:06"))
    assert [host.label for host in one.hosts] == ["laptop-of-somebody"]
    assert {host.key for host in one.others} == {end for talk in one.talks for end in (talk.client, talk.server)} - {
        one.hosts[0].key
    }
    assert all(talk.acts for talk in choose(found, View(show=Show.WRITES)).talks)
    assert not any(host.assets for host in choose(found, View(show=Show.STRANGERS)).hosts)
    assert {talk.protocol for talk in choose(found, View(protocol="enip")).talks} == {"enip"}
    assert [host.label for host in choose(found, View(q="LAPTOP 10.0.66")).hosts] == ["laptop-of-somebody"]
    assert not choose(found, View(q="no such host")).all
    assert {host.zone for host in choose(found, View(group="line2")).hosts} == {"line2"}
    for view in (View(by=By.SUBNET), View(by=By.VENDOR), View(by=By.NONE)):
        assert sum(len(box.hosts) for box in scene(everything, view, {}).boxes) == len(found.hosts)
    summed = scene(everything, View(detail=Detail.GROUPS), {"02:00:00:00:66:06": 3})
    assert any(len(box.hosts) > 1 for box in summed.boxes)
    assert sum(len(box.hosts) for box in summed.boxes) == len(found.hosts)
    assert sum(box.alarms for box in summed.boxes) == 3
    for box in summed.boxes:
        assert len({(host.state, bool(host.assets), group_of(host, By.LINE)) for host in box.hosts}) == 1
    assert len(scene(everything, View(detail=Detail.HOSTS), {}).boxes) == len(found.hosts)


# ---- Where it is drawn

TEXTS = st.text(max_size=30) | st.sampled_from(
    ["", "<script>", "]]>", "\u202eevil", "\ufffe\x00\x1b", "\ud800", "A" * 10_000]
)
LEVELS = st.sampled_from([None, MANY, 0.0, 1.0, 2.0, 2.5, 3.0, DMZ, 4.0, 5.0, OUTSIDE])


@st.composite
def networks(draw_: st.DrawFn) -> Network:
    count = draw_(st.integers(0, 60))
    hosts = {}
    for number in range(count):
        key = f"10.0.{number % 3}.{number}"
        text = draw_(TEXTS)
        assets = (text or "x",) if draw_(st.booleans()) else ()
        hosts[key] = Host(
            key, None, (key,), (text,), None, (), (), ("s",), draw_(st.sampled_from(State)), assets, "",
            Level(draw_(LEVELS), "why"), (), (),
        )  # fmt: skip
    keys = list(hosts)
    talks = []
    for _ in range(draw_(st.integers(0, 80)) if count > 1 else 0):
        client, server = draw_(st.sampled_from(keys)), draw_(st.sampled_from(keys))
        functions = draw_(st.sampled_from([(), ("read-coils",), ("write-single-coil",)]))
        talks.append(
            Talk(
                client,
                server,
                "modbus",
                functions,
                (),
                functions[:1],
                draw_(st.sampled_from(State)),
                ("s",),
                draw_(st.booleans()),
            )
        )
    return Network((), hosts, tuple(talks), ())


def assert_well_laid_out(made: Map) -> None:
    for placed in made.boxes:
        assert placed.x >= LABELS
        assert placed.right <= made.width <= WIDTH
        assert placed.y >= 0
        assert placed.bottom <= made.height
    for one, other in combinations(made.boxes, 2):
        beside = one.right <= other.x or other.right <= one.x
        assert beside or one.bottom <= other.y or other.bottom <= one.y, f"{one.title} and {other.title} overlap"
    for upper, lower in combinations(made.bands, 2):
        assert upper.y + upper.height <= lower.y
    for band in made.bands:
        inside = [placed for placed in made.boxes if placed.box.band == band.level]
        assert sum(len(placed.box.hosts) for placed in inside) == band.hosts
        assert all(band.y <= placed.y and placed.bottom <= band.y + band.height for placed in inside)
    for curve in made.curves:
        for x, y in curve.points:
            assert 0 <= x <= made.width
            assert -1 <= y <= made.height
    assert [placed.id for placed in made.boxes] == list(range(len(made.boxes)))


@settings(max_examples=40, deadline=None)
@given(networks(), st.sampled_from(By), st.sampled_from(Detail))
def test_no_two_boxes_overlap_and_everything_is_in_the_frame(found: Network, by: By, detail: Detail) -> None:
    view = View(by=by, detail=detail)
    made = draw(scene(choose(found, view), view, {}))
    assert_well_laid_out(made)
    assert draw(scene(choose(found, view), view, {})) == made, "the same is always drawn the same way"


def test_five_hundred_hosts_are_laid_out_in_every_size(tmp_path: Path) -> None:
    made = floor(500, 600)
    plant, database = stored(tmp_path, made.toml, [(made.approved, made.heard)])
    with database.read() as tx:
        found = network(tx, plant, AT)
    database.close()
    summed = draw(scene(choose(found, View()), View(), {}))
    assert_well_laid_out(summed)
    assert len(summed.boxes) < 100 <= len(found.hosts) - 400
    assert any("writes" in curve.label and "new" in curve.label for curve in summed.curves), "what is new is labelled"
    view = View(detail=Detail.HOSTS)
    every = draw(scene(choose(found, view), view, {}))
    assert (every.size, len(every.boxes)) == (SIZES[-1], len(found.hosts))
    assert_well_laid_out(every)


def test_a_flood_of_addresses_is_drawn_within_bounds() -> None:
    level = Level(None, "why")
    hosts = {
        key: Host(key, None, (key,), (), None, (), (), ("s",), State.UNAPPROVED, (), "", level, (), ())
        for key in (f"10.{n >> 8}.{n & 255}.1" for n in range(DRAWN_MOST + 500))
    }
    keys = list(hosts)
    talks = tuple(
        Talk(keys[n % 900], keys[n * 7 % 901], "modbus", (), (), (), State.UNAPPROVED, ("s",)) for n in range(9000)
    )
    chosen = choose(Network((), hosts, talks, ()), View())
    by_subnet = scene(chosen, View(by=By.SUBNET), {})
    assert (len(by_subnet.boxes), by_subnet.left_out) == (DRAWN_MOST, 500)
    assert len(scene(chosen, View(detail=Detail.HOSTS), {}).boxes) == 1, "then they are drawn as one after all"
    assert_well_laid_out(draw(scene(chosen, View(by=By.LINE), {})))
    assert len(by_subnet.links) <= LINKS_MOST
