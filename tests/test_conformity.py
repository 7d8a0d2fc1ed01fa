"""Machines of one type beside each other: the matrix, the odd one out, and the command that shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.baseline import Baseline, Stage, State
from baselines.conformity import By, CellState, Conformity, Golden, Machine, Row, Source, Standing, conformity, says
from baselines.drift import Verdict
from baselines.snapshot import Category, Item, Severity, Snapshot, Unread, Value
from monitor import store
from monitor.config import load_plant
from monitor.conformity import compare
from monitor.store import Database, Run
from simulators import plant as simulated
from tests.floors import PlantFolder, RunningFloor, running

NOW = datetime(2026, 11, 25, 8, 0, tzinfo=UTC)
KEYS = ["identity.model", "identity.software_revision", "item.a", "item.b", "item.c", "endpoint.x"]


def snapshot(items: Mapping[str, Value], *unread: str, tolerance: float = 0.0) -> Snapshot:
    made = [Item(key, value, tolerance=tolerance) for key, value in items.items()]
    return Snapshot.of("plc", NOW, made, [Unread(key) for key in unread])


def machine(asset: str, items: Mapping[str, Value] | None, *unread: str, tolerance: float = 0.0) -> Machine:
    if items is None:
        return Machine(asset, unseen=Verdict.NEVER_SEEN)
    return Machine(asset, snapshot(items, *unread, tolerance=tolerance), Source.OBSERVED)


def of_one(values: Iterable[Value], key: str = "item.a", tolerance: float = 0.0, golden: Golden | None = None) -> Row:
    """The only row of machines that have one item each."""
    machines = [machine(str(place), {key: value}, tolerance=tolerance) for place, value in enumerate(values)]
    (row,) = conformity(machines, golden).rows
    return row


def states(row: Row) -> str:
    """The states of a row in short."""
    short = {CellState.MAY_DIFFER: "may", CellState.NEVER_SEEN: "never"}
    return " ".join(short.get(cell.state, str(cell.state)) for cell in row.cells)


ITEMS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([0, 1, 2, 2.0, True, "1", b"1", None, (1,)]))
GAPS = st.lists(st.sampled_from([*KEYS, "identity"]), unique=True, max_size=2)
MACHINES = st.lists(
    st.one_of(
        st.builds(
            lambda items, gaps, tolerance: snapshot(items, *gaps, tolerance=tolerance),
            ITEMS,
            GAPS,
            st.sampled_from([0.0, 1.0]),
        ),
        st.none(),
    ),
    min_size=1,
    max_size=6,
).map(
    lambda found: [Machine(f"m{place}", taken, Source.OBSERVED if taken else None) for place, taken in enumerate(found)]
)
GOLDENS = st.builds(
    lambda taken, patterns: Golden(taken, may_differ=tuple(patterns)),
    st.none() | ITEMS.map(snapshot),
    st.lists(st.sampled_from([*KEYS, "item.*"]), max_size=1),
)


def by_asset(found: Conformity) -> Any:
    """Everything that was found, whatever the order of the machines."""
    return (
        {column.machine.asset: (column.standing, [row.key for row in column.odd]) for column in found.columns},
        [(row.key, row.by, row.shared, row.severity, {cell.asset: cell for cell in row.cells}) for row in found.rows],
        [column.machine.asset for column in found.odd_ones],
    )


def exactly(value: Any) -> str:
    return repr(value)  # in which 1 is not True, nor 2 2.0


@given(MACHINES, GOLDENS, st.randoms(use_true_random=False))
def test_the_order_of_the_machines_does_not_matter(machines: list[Machine], golden: Golden, random: Any) -> None:
    shuffled = random.sample(machines, len(machines))
    one, other = (by_asset(conformity(each, golden)) for each in (machines, shuffled))
    assert one[0] == other[0]
    assert one[2] == other[2]
    for (key, by, shared, severity, cells), again in zip(one[1], other[1], strict=True):
        assert (key, by, exactly(shared), severity) == (again[0], again[1], exactly(again[2]), again[3])
        assert {asset: exactly(cell) for asset, cell in cells.items()} == {
            asset: exactly(cell) for asset, cell in again[4].items()
        }


@given(MACHINES, GOLDENS)
def test_who_equals_the_type_is_never_odd_and_who_is_odd_is_told_from_it(
    machines: list[Machine], golden: Golden
) -> None:
    found = conformity(machines, golden)
    for row in found.rows:
        alike = sum(cell.state is CellState.SAME for cell in row.cells)
        known = sum(cell.state not in (CellState.UNREAD, CellState.NEVER_SEEN) for cell in row.cells)
        if row.by is By.MAJORITY:
            assert alike >= 2
            assert 2 * alike > known
        if row.by is By.NONE:
            assert not row.has_odd
        for cell in row.cells:
            if cell.state in (CellState.DIFFERS, CellState.MISSING):
                assert exactly(cell.item.shown if cell.item else None) != exactly(row.shared) or row.shared is None
    if golden.snapshot:
        (same_as_golden,) = conformity([Machine("golden", golden.snapshot, Source.OBSERVED)], golden).columns
        assert not same_as_golden.odd


@given(MACHINES, GOLDENS)
def test_what_was_not_read_is_never_odd_and_never_the_same(machines: list[Machine], golden: Golden) -> None:
    found = conformity(machines, golden)
    for row in found.rows:
        for each, cell in zip(machines, row.cells, strict=True):
            if each.snapshot is None:
                assert cell.state is CellState.NEVER_SEEN
            elif row.key not in each.snapshot.by_key and each.snapshot.misses(row.key):
                assert cell.state is CellState.UNREAD


@given(
    st.integers(3, 8),
    st.dictionaries(st.sampled_from(KEYS), st.integers(0, 5), min_size=1),
    st.data(),
)
def test_as_many_items_as_are_changed_are_odd(count: int, items: dict[str, Value], data: st.DataObject) -> None:
    changed = data.draw(st.sets(st.sampled_from(sorted(items))))
    place = data.draw(st.integers(0, count - 1))
    machines = [machine(f"m{number}", items, tolerance=1.0) for number in range(count)]
    machines[place] = machine(f"m{place}", items | dict.fromkeys(changed, 99))
    found = conformity(machines)
    odd = {(cell.asset, row.key) for row in found.rows for cell in row.cells if cell.state is CellState.DIFFERS}
    assert odd == {(f"m{place}", key) for key in changed}
    assert [column.machine.asset for column in found.odd_ones] == ([f"m{place}"] if changed else [])
    assert [len(column.odd) for column in found.odd_ones] == ([len(changed)] if changed else [])


@pytest.mark.parametrize(
    ("values", "tolerance", "by", "shared", "expected"),
    [
        ([12.0, 12.0, 14.0], 0.0, By.MAJORITY, 12.0, "same same differs"),
        ([12.0, 14.0], 0.0, By.NONE, None, "undecided undecided"),
        ([1, 1, 2, 2], 0.0, By.NONE, None, "undecided undecided undecided undecided"),
        ([1, 1, 2, 3], 0.0, By.NONE, None, "undecided undecided undecided undecided"),
        ([1, 1, 1, 2, 3], 0.0, By.MAJORITY, 1, "same same same differs differs"),
        ([1, 1], 0.0, By.MAJORITY, 1, "same same"),
        ([1], 0.0, By.NONE, None, "undecided"),
        ([1, True, 1.0], 0.0, By.NONE, None, "undecided undecided undecided"),
        ([12.0, 12.04, 12.08], 0.05, By.MAJORITY, 12.04, "same same same"),
        ([12.0, 12.0, 12.06], 0.05, By.MAJORITY, 12.0, "same same differs"),
        ([0, 5, 10, 15], 5.0, By.NONE, None, "undecided undecided undecided undecided"),  # 5 or 10?
        ([0, 5, 5, 5], 5.0, By.MAJORITY, 5, "same same same same"),
        ([float("nan")] * 3, 0.0, By.MAJORITY, "NaN", "same same same"),
    ],
)
def test_a_majority_is_more_than_half(
    values: list[Value], tolerance: float, by: By, shared: Any, expected: str
) -> None:
    row = of_one(values, tolerance=tolerance)
    assert (row.by, row.shared, states(row)) == (by, shared, expected)


def row_of(key: str, *machines: Machine, golden: Golden | None = None) -> Row:
    return next(row for row in conformity(machines, golden).rows if row.key == key)


def test_what_a_device_does_not_have_is_missing_and_what_nobody_asked_for_is_unread() -> None:
    has, lacks = machine("a", {"endpoint.x": 1, "item.a": 1}), machine("b", {})
    others = [replace(has, asset=name) for name in ("c", "d")]
    assert states(row_of("endpoint.x", has, lacks, *others)) == "same missing same same"
    assert states(row_of("item.a", has, lacks, *others)) == "same unread same same"
    without = [replace(lacks, asset=name) for name in ("c", "d")]
    row = row_of("endpoint.x", has, lacks, *without)
    assert (row.by, row.shared, states(row)) == (By.MAJORITY, None, "differs same same same")


def test_a_gap_stands_for_every_item_below_it_and_has_no_vote() -> None:
    whole, gap = machine("a", {"device.x.model": "M", "item.a": 1}), machine("b", {"item.a": 1}, "device", "capture")
    other = machine("c", {"device.x.model": "N", "item.a": 1})
    assert states(row_of("device.x.model", whole, gap, other)) == "undecided unread undecided"
    assert [row.key for row in conformity([whole, gap, other]).rows] == ["capture", "device.x.model", "item.a"]


def test_a_golden_machine_is_right_even_against_all_others() -> None:
    golden = Golden(snapshot({"item.a": 2, "endpoint.x": 1}, "identity.model"))
    machines = [machine(name, {"item.a": 1, "item.b": 5, "identity.model": "M"}) for name in "abc"]
    found = {row.key: row for row in conformity(machines, golden).rows}
    assert {key: (row.by, row.shared, states(row)) for key, row in found.items()} == {
        "item.a": (By.GOLDEN, 2, "differs differs differs"),
        "endpoint.x": (By.GOLDEN, 1, "missing missing missing"),
        "item.b": (By.MAJORITY, 5, "same same same"),  # the golden machine was never asked for it
        "identity.model": (By.MAJORITY, "M", "same same same"),  # nor did it answer
    }


def test_severity_category_and_tolerance_are_those_of_the_golden_machine() -> None:
    approved = Item("item.a", 12.0, Category.PROGRAM, Severity.CRITICAL, tolerance=0.5)
    golden = Golden(Snapshot.of("golden", NOW, [approved]))
    row = of_one([12.4, 12.6], golden=golden)
    assert (row.severity, row.category, states(row)) == (Severity.CRITICAL, Category.PROGRAM, "same differs")


def test_what_people_wrote_is_compared_whatever_may_differ() -> None:
    golden = Golden(shared={"identity.serial_number": "S1", "item.none": 1}, may_differ=("identity.*", "item.a"))
    machines = [machine(name, {"identity.serial_number": name, "item.a": name}) for name in ("S1", "S2")]
    found = {row.key: row for row in conformity(machines, golden).rows}
    assert (states(found["identity.serial_number"]), found["identity.serial_number"].shared) == ("same differs", "S1")
    assert states(found["item.a"]) == "may may"
    assert states(found["item.none"]) == "unread unread"  # a slip of the pen is not fine


@pytest.mark.parametrize(
    "key",
    [
        "identity.serial_number",
        "identity.user_application_name",
        "device.Labeller.serial_number",
        'device."slot 1".module.product_instance_uri',
        "endpoint.application_uri",
        "endpoint.certificate_thumbprint",
        "server.namespaces",
    ],
)
def test_what_differs_by_nature_may_differ(key: str) -> None:
    assert states(of_one(["a", "b", "b"], key)) == "may may may"


@pytest.mark.parametrize(
    ("written", "item", "expected"),
    [
        ("RUN", Item("item.a", 3, label="RUN"), True),
        (3, Item("item.a", 3, label="RUN"), True),
        ("STOP", Item("item.a", 3, label="RUN"), False),
        (12, Item("item.a", 12.0), True),
        (12.0, Item("item.a", 12), False),
        (12.04, Item("item.a", 12.0, tolerance=0.05), True),
        (12.06, Item("item.a", 12.0, tolerance=0.05), False),
        (1, Item("item.a", True), False),
        ("8f1d", Item("item.a", b"\x8f\x1d"), True),
        ("NaN", Item("item.a", float("nan")), True),
        ([1, "ff"], Item("item.a", (1, b"\xff")), True),
        ([1], Item("item.a", 1), False),
        (2**63, Item("item.a", 1.0), False),
    ],
)
def test_people_write_values_as_json_shows_them(written: Any, item: Item, expected: bool) -> None:
    assert says(written, item) is expected


def test_the_odd_ones_are_ranked_and_each_is_told_by_its_worst() -> None:
    def made(asset: str, **values: int) -> Machine:
        severity = {"a": Severity.LOW, "b": Severity.CRITICAL, "c": Severity.MEDIUM}
        all_values = {"a": 0, "b": 0, "c": 0, **values}
        items = [Item(f"item.{key}", value, severity=severity[key]) for key, value in all_values.items()]
        return Machine(asset, Snapshot.of(asset, NOW, items), Source.OBSERVED)

    fine = [made(f"fine{number}") for number in range(4)]
    found = conformity([made("one", a=1), made("worst", b=1), made("two", a=1, c=1), *fine])
    assert [column.machine.asset for column in found.odd_ones] == ["two", "worst", "one"]
    assert [row.key for row in found.odd_ones[0].odd] == ["item.c", "item.a"]
    assert [column.standing for column in found.columns[3:]] == [Standing.CONFORMS] * 4


def test_a_machine_that_nobody_looked_at_lately_does_not_conform() -> None:
    seen = machine("a", {"item.a": 1})
    machines = [seen, replace(seen, asset="b", unseen=Verdict.STALE), machine("c", None)]
    columns = conformity([*machines, machine("d", {}, "item.a")]).columns
    expected = [Standing.CONFORMS, Standing.STALE, Standing.NEVER_SEEN, Standing.UNREAD]
    assert [column.standing for column in columns] == expected
    assert [column.is_alike for column in columns] == [True, True, False, False]
    assert conformity([]).columns == ()


def test_what_may_differ_need_not_be_read() -> None:
    machines = [machine(name, {"item.a": 1}) for name in "ab"]
    found = conformity([*machines, machine("c", {"item.a": 1}, "identity.serial_number")])
    assert states(found.rows[0]) == "may may unread"
    assert not found.rows[0].has_unread
    assert [column.standing for column in found.columns] == [Standing.CONFORMS] * 3


# The command, on a store that is filled by hand


def filled(folder: Path, machines: Mapping[str, Mapping[str, Value] | None], more: str = "") -> PlantFolder:
    """A plant of fillers that were all polled just now, but for those of which nothing is known."""
    plant = PlantFolder(folder, {name: f"modbus://127.0.0.1:{number}/1" for number, name in enumerate(machines, 2000)})
    text = plant.file.read_text().replace('profile = "p9.toml"', 'profile = "p9.toml"\nmachine_type = "filler"')
    plant.file.write_text(text + more)
    now = datetime.now(UTC)
    database = Database(load_plant(plant.file).store_url)
    try:
        database.migrate()
        with database.write() as tx:
            for name, items in machines.items():
                if items is not None:
                    taken = snapshot(items)
                    store.keep_snapshot(tx, taken)
                    store.add_run(tx, Run(0, name, taken.digest, "", None, None, now, now, 1, 0.0))
    finally:
        database.close()
    return plant


def fillers(count: int, **odd: float) -> dict[str, Mapping[str, Value] | None]:
    names = [f"line{number}/filler" for number in range(1, count + 1)]
    return {name: {"item.limit": odd.get(name.partition("/")[0], 12.0), "item.mode": 3} for name in names}


@pytest.mark.parametrize(
    ("machines", "more", "code", "said"),
    [
        (fillers(3), "", 0, "filler: 3 machines, all alike"),
        (fillers(2, line1=14.0), "", 3, "filler: 2 machines; no majority in 1 item"),
        (fillers(4, line1=14.0, line2=14.0), "", 3, "filler: 4 machines; no majority in 1 item"),
        (dict.fromkeys(["a", "b"]), "", 3, "filler: 2 machines; 2 never seen"),
        (fillers(3) | {"new": None}, "", 3, "filler: 4 machines, 3 alike; 1 never seen"),
        (fillers(3, line2=14.0) | {"new": None}, "", 1, "2 alike; line2/filler is the odd one out in 1 item; 1 never"),
        (
            fillers(5, line1=14.0, line2=15.0),
            "",
            1,
            "3 alike; 2 odd ones out: line1/filler in 1 item, line2/filler in 1 item",
        ),
        (
            fillers(2, line1=14.0),
            '[machine_type.filler]\ngolden = "line1/filler"',
            1,
            "1 alike; line2/filler is the odd one out in 1 item",
        ),
        (
            fillers(2, line1=14.0),
            '[machine_type.filler]\nshared = { "item.limit" = 12 }',
            1,
            "1 alike; line1/filler is the odd one out in 1 item",
        ),
        (fillers(2, line1=14.0), '[machine_type.filler]\nmay_differ = ["*.limit"]', 0, "2 machines, all alike"),
        (
            fillers(1),
            '[machine_type.filler.shared]\n"item.limit" = 12.0\n"item.mode" = 3',
            0,
            "filler: 1 machine, all alike",
        ),
    ],
)
def test_the_verdict_is_a_sentence_and_an_exit_code(
    tmp_path: Path, machines: dict[str, Mapping[str, Value] | None], more: str, code: int, said: str
) -> None:
    done = filled(tmp_path, machines, more).asbuilt("conform", "filler")
    assert said in done.out.splitlines()[0]
    assert done.code == code


def test_a_machine_alone_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    plant = filled(tmp_path, fillers(1))
    assert plant.asbuilt("conform").out == "filler: 1 machine, and nothing to compare it with\n"
    assert plant.asbuilt("conform").code == 0
    assert plant.asbuilt("conform", "filler").code == 3


def test_many_machines_are_a_list_and_a_few_a_matrix(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    few = filled(tmp_path, fillers(12, line7=14.0)).asbuilt("conform")
    many = filled(tmp_path / "many", fillers(40, line7=14.0, line9=14.0)).asbuilt("conform")
    assert few.out.splitlines()[2].split() == ["item", "severity", "type", *(f"line{n}" for n in range(1, 13))]
    assert few.out.splitlines()[3].split() == ["item.limit", "medium", "12.0", *"······", "14.0", *"·····"]
    assert all(len(line.rstrip()) <= 120 for line in few.out.splitlines())
    assert [line.split() for line in many.out.splitlines()[2:]] == [
        ["item", "severity", "type", "here", "machines"],
        ["item.limit", "medium", "12.0", "14.0", "line7/filler,", "line9/filler"],
    ]


def test_everything_is_shown_once_what_is_long_in_a_list(tmp_path: Path) -> None:
    long = {"item.long": "x" * 50}
    plant = filled(tmp_path, {name: {"item.a": 1, **long} for name in "abc"})
    assert plant.asbuilt("conform").out.splitlines() == ["filler: 3 machines, all alike"]
    lines = [line.split() for line in plant.asbuilt("conform", "--all").out.splitlines()[2:]]
    assert lines == [
        ["item", "severity", "type", "a", "b", "c"],
        ["item.a", "medium", "1", "·", "·", "·"],
        ["item.long", "medium", "x" * 50, "·", "·", "·"],
    ]
    (tmp_path / "different").mkdir()
    odd: dict[str, Mapping[str, Value] | None] = {name: {"item.a": 1, "item.long": name * 50} for name in "abc"}
    wide = filled(tmp_path / "different", odd).asbuilt("conform", "--all").out
    lines = [line.split() for line in wide.splitlines()[3:]]
    assert lines[0] == ["item.a", "medium", "1", "·", "·", "·"]
    assert lines[1] == ["item", "severity", "type", "here", "machines"]
    assert [line[-2:] for line in lines[2:]] == [[name * 50, name] for name in "abc"]


def test_what_a_device_says_is_data(tmp_path: Path) -> None:
    evil = ["\x1b[31mred", "·", "·", "unread"]
    plant = filled(tmp_path, {name: {"item.a": value} for name, value in zip("abcd", evil, strict=True)})
    out = plant.asbuilt("conform").out
    assert "\x1b" not in out
    assert [word for word in out.splitlines()[3].split() if word.startswith("'")] == [
        r"'\x1b[31mred'",
        "'·'",
        "'·'",
        "'unread'",
    ]


def test_a_wrong_call_says_which_types_there_are(tmp_path: Path) -> None:
    plant = filled(tmp_path, fillers(2))
    done = plant.asbuilt("conform", "filer")
    assert (done.code, "has no machine_type filer; it has filler" in done.err) == (2, True)
    assert plant.asbuilt("conform", "fil*").code == 0
    plant.file.write_text(plant.file.read_text().replace('machine_type = "filler"\n', ""))
    done = plant.asbuilt("conform")
    assert (done.code, "gives no asset a type" in done.err) == (2, True)


def test_a_golden_machine_is_held_against_what_was_approved_of_it(tmp_path: Path, database: Database) -> None:
    """And what is approved stands for what was never observed."""
    more = '[machine_type.filler]\ngolden = "line1/filler"'
    plant = load_plant(filled(tmp_path, dict.fromkeys(fillers(3)), more).file)
    approved = snapshot({"item.limit": 11.0})
    with database.write() as tx:
        for name in ("line1/filler", "line3/filler"):
            store.keep_snapshot(tx, approved)
            store.add_baseline(tx, Baseline(0, name, approved.digest, State.APPROVED, Stage.FAT, "", "ada", NOW))
        for name in ("line1/filler", "line2/filler"):
            taken = snapshot({"item.limit": 12.0})
            store.keep_snapshot(tx, taken)
            store.add_run(tx, Run(0, name, taken.digest, "", None, None, NOW, NOW, 1, 0.0))
    with database.read() as tx:
        found = compare(tx, plant, "filler", list(plant.assets), NOW + timedelta(seconds=1))
    assert (found.golden, found.golden_source) == ("line1/filler", Source.APPROVED)
    assert [states(row) for row in found.matrix.rows] == ["differs differs same"]
    standings = [(column.machine.source, column.standing) for column in found.matrix.columns]
    assert standings == [
        (Source.OBSERVED, Standing.ODD),
        (Source.OBSERVED, Standing.ODD),
        (Source.APPROVED, Standing.NEVER_SEEN),
    ]


# The command, on simulated machines


def without_labellers(bottling: str) -> str:
    """The plant without its OPC UA servers: four in one process take many seconds to start where much else runs."""
    head, *plcs = re.split(r"(?m)^(?=\[plc\.|\[\[event)", bottling)
    return head + "".join(part for part in plcs if "/labeller" not in part)


def test_a_filler_that_was_different_from_the_start_is_found(tmp_path: Path) -> None:
    bottling = (files("simulators") / "scenarios" / "bottling.toml").read_text(encoding="utf-8")
    third = 'identity = { object_128 = "P1-220451"'
    assert bottling.count(third) == 1
    bottling = bottling.replace(third, f"values = {{ fill_tolerance = 0.3, program_revision = 1175 }}\n{third}")
    with running(without_labellers(bottling)) as floor:
        plant = PlantFolder(tmp_path, {})
        plant.file.write_text(simulated.text("Bottling", floor.plcs.values()))
        plant.commissioned()
        assert plant.asbuilt("check").code == 0  # nothing ever changed
        alone, everything = plant.asbuilt("conform", "capper"), plant.asbuilt("conform", "--json")
        people = plant.asbuilt("conform", "filler")
    assert (alone.code, alone.out) == (0, "capper: 4 machines, all alike\n")
    assert people.code == everything.code == 1
    assert people.out.splitlines()[0] == ("filler: 4 machines, 3 alike; line3/filler is the odd one out in 2 items")
    assert [line.split()[0] for line in people.out.splitlines()[3:]] == ["item.program_revision", "item.fill_tolerance"]
    filler = everything.json["types"][0]
    assert [(each["asset"], each["odd"], each["verdict"]) for each in filler["assets"]] == [
        ("line1/filler", 0, "conforms"),
        ("line2/filler", 0, "conforms"),
        ("line3/filler", 2, "odd"),
        ("line4/filler", 0, "conforms"),
    ]
    assert (filler["machine_type"], filler["golden"]) == ("filler", None)
    odd = next(each for each in filler["items"] if each["item"] == "item.program_revision")
    assert (odd["shared"], odd["by"], odd["severity"], odd["category"]) == (1174, "majority", "high", "program")
    assert odd["cells"][2] == {"asset": "line3/filler", "value": 1175, "state": "differs"}


def test_what_cannot_be_seen_is_never_shown_as_fine(plant: PlantFolder, floor: RunningFloor) -> None:
    plant.file.write_text(plant.file.read_text().replace("profile =", 'machine_type = "filler"\nprofile ='))
    assert plant.asbuilt("poll").code == 0
    assert plant.asbuilt("conform").out == "filler: 2 machines, all alike\n"
    floor.apply("line1/filler", remove=["limit"])
    plant.asbuilt("poll")
    done = plant.asbuilt("conform")
    assert (done.code, "item.limit  medium    no majority  unread  12.5" in done.out) == (3, True)
    assert "1 item not read everywhere" in done.out
    floor.apply("line2/filler", behave="silent")
    plant.asbuilt("poll")
    done = plant.asbuilt("conform")
    assert done.code == 3
    assert "line2/filler: no-longer-observable, last seen 20" in done.out
    assert "1 not seen lately" in done.out
