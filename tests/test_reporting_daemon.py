"""Reports that the daemon makes by itself. The daemon, the store and the program that makes them are real; what the
program does is in a file that it reads, so that a test can have it fail, hang, or say what it was asked for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog

from baselines.alert import AlertState
from baselines.coverage import LIMITS, Cause
from baselines.snapshot import Severity
from monitor import store
from monitor.config import Plant, load_plant
from monitor.daemon import Daemon
from monitor.evidence import note_configuration
from monitor.notify.dispatcher import Dispatcher
from monitor.periods import Every, due
from monitor.polling import Poller, utc_now
from monitor.reporting import CHORE, MAKING, Reporter
from monitor.schedule import SOON
from monitor.store import Chore, Database
from tests.floors import PlantFolder, running
from tests.test_daemon_segments import ONE, come

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PROGRAM = """
import json, os, pathlib, subprocess, sys, tempfile, time

words = sys.argv[1:]
folder = pathlib.Path(words[words.index("--plant") + 1]).parent
with (folder / "asked.jsonl").open("a") as asked:
    patience = time.monotonic() + 5  # whoever started it puts it behind at once, which may be after its first steps
    while os.name == "posix" and not os.nice(0) and time.monotonic() < patience:
        time.sleep(0.001)
    nice = os.nice(0) if os.name == "posix" else None
    print(json.dumps({"words": words, "pid": os.getpid(), "nice": nice, "began": time.monotonic()}), file=asked)
new = pathlib.Path(words[words.index("-o") + 1])
match (folder / "how").read_text():
    case "fail":
        new.write_bytes(b"half of ")
        sys.exit("asbuilt: the disk is full of bananas")
    case "bug":
        raise RuntimeError("no banana")
    case "hang":
        tempfile.mkdtemp()
        new.write_bytes(b"half of ")
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "child").write_text(str(child.pid))
        child.wait()
    case "slow":
        time.sleep(0.3)
    case "refuse":
        sys.exit(4)
new.write_bytes(" ".join(words[: words.index("-o")]).encode())
if (folder / "how").read_text() == "doubt":
    print("asbuilt: the evidence does not verify", file=sys.stderr)
    sys.exit(4)
"""
MONTHLY = '[report.monthly]\nkind = "audit"\n'


class Bench:
    """A plant whose reports another program makes, and the time."""

    def __init__(self, folder: Path, more: str, address: str = "modbus://127.0.0.1:1/1") -> None:
        self.folder, self.now, self.later = folder, NOON, timedelta()
        (folder / "program.py").write_text(PROGRAM)
        self.do("make")
        files = PlantFolder(folder, {"filler": address}, more)
        text = files.file.read_text().replace('name = "Test"', 'name = "Test"\ntimezone = "Europe/Berlin"')
        files.file.write_text(text.replace('profile = "p9.toml"', 'profile = "p9.toml"\nzone = "line3"'))
        self.written = files.file.read_bytes()
        self.plant: Plant = load_plant(files.file)
        self.database = Database(self.plant.store_url)
        self.database.migrate()
        with self.database.write() as tx:
            note_configuration(tx, self.plant, store.ITSELF, LONG_AGO)
        self.making = replace(MAKING, program=(sys.executable, str(folder / "program.py")))
        self.said: list[str] = []
        self.again: list[tuple[str, timedelta]] = []

    def do(self, how: str) -> None:
        (self.folder / "how").write_text(how)

    def reporter(self) -> Reporter:
        def say(cause: Cause, why: str) -> None:
            assert cause is Cause.REPORT
            self.said.append(why)

        def again(chore: str, at: datetime) -> None:
            self.again.append((chore, at - self.now))

        return Reporter(lambda: self.plant, self.database, lambda: self.now, say, again, self.making)

    def made(self, name: str = "monthly", reporter: Reporter | None = None) -> str:
        return asyncio.run((reporter or self.reporter()).make(CHORE + name))

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Of each call what it was asked for, and how."""
        file = self.folder / "asked.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def reports(self) -> list[str]:
        folder = self.folder / "reports"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[Daemon]:
        stop, clock = asyncio.Event(), lambda: utc_now() + self.later
        dispatcher = Dispatcher(self.plant, self.database, clock, lambda: 0.5)
        limits, making = replace(LIMITS, tick=0.1, beat=0.05), self.making
        poller = Poller(self.plant.profiles, utc_now)
        daemon = Daemon(self.plant, self.database, poller, dispatcher, clock, lambda: 0.5, limits=limits, making=making)
        task = asyncio.create_task(daemon.run(stop))
        try:
            yield daemon
        finally:
            stop.set()
            await task

    def keep(self, last_at: datetime, next_at: datetime | None, name: str = "monthly") -> None:
        """What came of a report last."""
        with self.database.write() as tx:
            store.keep_chore(tx, Chore(CHORE + name, last_at, next_at))

    def kept(self, name: str = "monthly") -> Chore | None:
        with self.database.read() as tx:
            return store.chores(tx).get(CHORE + name)

    def alarm(self) -> tuple[AlertState, Severity, str] | None:
        with self.database.read() as tx:
            found = [each for each in store.alerts(tx, closed=True) if each.item == "watch.report"]
        return (found[0].state, found[0].severity, str(found[0].observed)) if found else None


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, MONTHLY)
    yield made
    made.database.close()


def words_of(asked: dict[str, Any], option: str) -> list[str]:
    words = asked["words"]
    return [words[place + 1] for place, word in enumerate(words) if word == option]


# ---- One report


def test_it_is_of_the_whole_last_month_where_the_plant_is(bench: Bench) -> None:
    assert bench.made().startswith("wrote ")
    assert bench.reports == ["monthly-2026-10-01-2026-11-01.pdf"]
    (asked,) = bench.asked
    assert asked["words"][:2] == ["report", "audit"]
    assert words_of(asked, "--plant") == [str(bench.plant.path)]
    assert words_of(asked, "--from") == ["2026-09-30T22:00:00.000Z"]
    assert words_of(asked, "--until") == ["2026-10-31T23:00:00.000Z"], "the clock was changed in between"
    assert words_of(asked, "--format") == ["pdf"]
    assert words_of(asked, "--zone") == []
    assert bench.said == [""]
    assert bench.again == []


def test_what_is_there_is_not_made_again_and_what_is_missing_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path, MONTHLY + 'formats = ["pdf", "json"]\nzones = ["line3"]\n')
    bench.made()
    (tmp_path / "reports" / "monthly-2026-10-01-2026-11-01.json").unlink()
    (tmp_path / "reports" / "monthly-2026-10-01-2026-11-01.pdf").write_bytes(b"as it was")
    bench.made()
    assert [words_of(each, "--format") for each in bench.asked] == [["pdf"], ["json"], ["json"]]
    assert {word for each in bench.asked for word in words_of(each, "--zone")} == {"line3"}
    assert bench.made().endswith(" is there")
    assert len(bench.asked) == 3
    assert (tmp_path / "reports" / "monthly-2026-10-01-2026-11-01.pdf").read_bytes() == b"as it was"


def test_of_a_time_of_which_nothing_is_known_there_is_none(bench: Bench) -> None:
    bench.now = datetime(2020, 1, 20, tzinfo=UTC)
    assert bench.made() == "nothing was recorded before 2020-01-01: there is nothing to report"
    assert bench.reports == []
    assert bench.said == [""]


def test_so_many_stay_in_each_format_and_nothing_else_goes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, MONTHLY + 'formats = ["pdf", "json"]\nkeep = 2\n')
    folder = tmp_path / "reports"
    folder.mkdir()
    others = ["monthly-2020-01-01-2020-02-01.pdf.asc", "monthly-old.pdf", "other-2020-01-01-2020-02-01.pdf"]
    for name in (*others, "monthly-2020-01-01-2020-02-01.pdf"):
        (folder / name).write_bytes(b"")
    for month in (9, 10, 11):
        bench.now = NOON.replace(month=month)
        bench.made()
    left = [f"monthly-2026-{since}-01-2026-{until}-01" for since, until in (("09", "10"), ("10", "11"))]
    assert bench.reports == sorted([*others, *(f"{name}.{form}" for name in left for form in ("pdf", "json"))])


def test_who_makes_it_comes_after_the_daemon(bench: Bench) -> None:
    bench.made()
    if os.name == "posix":
        assert bench.asked[0]["nice"] >= MAKING.niceness


# ---- Failures


def test_one_that_fails_leaves_nothing_is_said_once_and_is_tried_again_later_and_later(bench: Bench) -> None:
    reporter = bench.reporter()
    bench.do("fail")
    with structlog.testing.capture_logs() as lines:
        for _ in range(9):
            assert bench.made(reporter=reporter) == "it failed: the disk is full of bananas"
    assert bench.reports == []
    assert [(line["event"], line["why"]) for line in lines] == [("report.failed", "the disk is full of bananas")]
    assert set(bench.said) == {"report monthly was not made: the disk is full of bananas"}
    waits = [wait / timedelta(minutes=5) for _, wait in bench.again]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 72, 72]
    bench.do("make")
    with structlog.testing.capture_logs() as lines:
        bench.made(reporter=reporter)
    assert [line["event"] for line in lines] == ["report.made", "report.back"]
    assert bench.said[-1] == ""
    assert bench.reports == ["monthly-2026-10-01-2026-11-01.pdf"]


def test_of_a_bug_the_line_is_told_that_says_which(bench: Bench) -> None:
    bench.do("bug")
    assert bench.made() == "it failed: RuntimeError: no banana"


def test_one_in_doubt_is_there_and_said_to_be(bench: Bench) -> None:
    bench.do("refuse")
    assert bench.made() == "it failed: it ended with 4"
    bench.do("doubt")
    with structlog.testing.capture_logs() as lines:
        bench.made()
    assert [line.get("doubt") for line in lines if line["event"] == "report.made"] == ["the evidence does not verify"]
    assert bench.reports == ["monthly-2026-10-01-2026-11-01.pdf"]


def test_one_that_takes_too_long_is_ended_with_all_that_it_has_started(bench: Bench) -> None:
    bench.do("hang")
    bench.making = replace(bench.making, within=3.0)
    assert bench.made() == "it failed: it was not made within 3 s"
    assert bench.reports == [], "nor what it had put aside"
    assert not alive(int((bench.folder / "child").read_text()))


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_program_that_is_not_there_and_a_folder_that_cannot_be_written_are_sentences(bench: Bench) -> None:
    (bench.folder / "reports").write_bytes(b"a file")
    assert bench.made() == f"it failed: nothing can be written in {bench.folder / 'reports'}: File exists"
    (bench.folder / "reports").unlink()
    bench.making = replace(bench.making, program=("/nowhere/asbuilt",))
    assert bench.made() == "it failed: /nowhere/asbuilt cannot be started: No such file or directory"


def test_what_one_that_was_killed_has_left_goes(bench: Bench) -> None:
    left = bench.folder / "reports" / ".monthly-2026-10-01-2026-11-01.pdf.part"
    left.mkdir(parents=True)
    (left / "monthly-2026-10-01-2026-11-01.pdf").write_bytes(b"half of it")
    bench.made()
    assert bench.reports == ["monthly-2026-10-01-2026-11-01.pdf"]


def test_two_that_are_due_are_made_one_after_the_other(tmp_path: Path) -> None:
    bench = Bench(tmp_path, MONTHLY + '[report.changes]\nkind = "changes"\nevery = "week"\n')
    bench.do("slow")

    async def main() -> None:
        reporter = bench.reporter()
        await asyncio.gather(reporter.make("report monthly"), reporter.make("report changes"))

    asyncio.run(main())
    first, second = (each["began"] for each in bench.asked)
    assert second - first >= 0.3


# ---- What is owed


@pytest.mark.parametrize(
    ("last_at", "next_at", "is_owed"),
    [
        (None, None, True),  # it is new
        ("2026-11-01T04:00", "2026-12-01T04:00", False),
        ("2026-11-01T03:59", "2026-12-01T04:00", True),  # when November was not over yet
        ("2026-08-01T04:00", "2026-09-01T04:00", True),  # nobody ran: one is owed, not three
        ("2026-11-01T04:00", "2026-11-01T04:05", True),  # it failed, and was to be tried again
        ("2026-11-01T04:00", None, True),
    ],
)
def test_what_was_missed_is_owed_once(bench: Bench, last_at: str, next_at: str, is_owed: bool) -> None:
    if last_at:
        then = datetime.fromisoformat(next_at).replace(tzinfo=UTC) if next_at else None
        bench.keep(datetime.fromisoformat(last_at).replace(tzinfo=UTC), then)
    with bench.database.read() as tx:
        kept = store.chores(tx)
    owed = bench.reporter().owed(kept)
    assert owed == ({"report monthly": datetime(2026, 11, 1, 4, tzinfo=UTC)} if is_owed else {})
    assert bench.said == ([] if is_owed else [""])


# ---- The daemon


def test_the_daemon_makes_what_was_missed_once_and_goes_on_polling(tmp_path: Path) -> None:
    with running(ONE) as floor:
        bench = Bench(tmp_path, MONTHLY, floor.plcs["filler"].address)
        bench.later = -SOON  # by the daemon's clock "soon" is now
        bench.keep(LONG_AGO, LONG_AGO + timedelta(days=31))
        bench.do("slow")

        async def main() -> None:
            async with bench.daemon():
                await come(lambda: (kept := bench.kept()) and kept.text, "the report")
                before = floor.plcs["filler"].seen.total
                await come(lambda: floor.plcs["filler"].seen.total > before + 3, "polls")

        asyncio.run(main())
    assert len(bench.asked) == 1
    kept = bench.kept()
    assert kept is not None
    month = bench.plant.reports["monthly"]
    assert kept.next_at == due(month.every, month.at, utc_now(), BERLIN)[1]
    assert kept.text.startswith("wrote ")


def test_the_daemon_makes_one_when_its_time_has_come(bench: Bench) -> None:
    soon = (utc_now() + timedelta(seconds=3)).astimezone(BERLIN).replace(microsecond=0)
    daily = replace(bench.plant.reports["monthly"], every=Every.DAY, at=soon.time())
    bench.plant = replace(bench.plant, reports={"daily": daily})
    last, following = due(daily.every, daily.at, utc_now(), BERLIN)
    bench.keep(last, following, "daily")
    before = bench.kept("daily")

    async def main() -> None:
        async with bench.daemon():
            await come(lambda: bench.kept("daily") != before, "the report")

    asyncio.run(main())
    assert len(bench.asked) == 1
    assert bench.reports == [f"daily-{soon.date() - timedelta(days=1)}-{soon.date()}.pdf"]


def test_a_report_that_fails_is_an_alarm_until_it_is_made(bench: Bench) -> None:
    bench.later = -SOON
    bench.making = replace(bench.making, first_wait=timedelta(seconds=1) + SOON)  # a second from now
    bench.do("fail")

    async def main() -> None:
        async with bench.daemon():
            await come(bench.alarm, "the alarm")
            why = "report monthly was not made: the disk is full of bananas"
            assert bench.alarm() == (AlertState.UNACK, Severity.MEDIUM, why)
            bench.do("make")
            await come(lambda: (found := bench.alarm()) and found[0] is AlertState.RTN_UNACK, "its end")

    asyncio.run(main())
    assert len(bench.reports) == 1


def test_the_true_command_makes_the_same_bytes_as_by_hand_and_touches_no_device(tmp_path: Path) -> None:
    with running(ONE) as floor:
        more = MONTHLY.replace("audit", "changes") + 'formats = ["json", "html", "csv"]\n'
        bench = Bench(tmp_path, more, floor.plcs["filler"].address)
        bench.later, bench.making = -SOON, MAKING

        async def main() -> None:
            async with bench.daemon():
                await come(bench.kept, "the report")

        asyncio.run(main())
        assert [Path(name).suffix for name in bench.reports] == [".html", ".json", ".zip"]
        (month,) = {name.partition(".")[0] for name in bench.reports}
        connections = floor.plcs["filler"].seen.connections
        files = PlantFolder(tmp_path, {"filler": floor.plcs["filler"].address})
        files.file.write_bytes(bench.written)
        since, until = (datetime.fromisoformat(day).replace(tzinfo=BERLIN) for day in (month[8:18], month[19:]))
        times = "--from", since.isoformat(), "--until", until.isoformat()
        assert files.asbuilt("report", "changes", *times, "-o", "by-hand.json").code == 0
        assert (tmp_path / "by-hand.json").read_bytes() == (tmp_path / "reports" / f"{month}.json").read_bytes()
        assert floor.plcs["filler"].seen.connections == connections == 1


def test_an_alarm_of_a_report_that_is_not_wanted_any_more_ends(bench: Bench) -> None:
    bench.later = -SOON
    bench.do("fail")

    async def failing() -> None:
        async with bench.daemon():
            await come(bench.alarm, "the alarm")

    async def after() -> None:
        async with bench.daemon():
            await come(lambda: (found := bench.alarm()) and found[0] is AlertState.RTN_UNACK, "its end")

    asyncio.run(failing())
    bench.plant = replace(bench.plant, reports={})
    asyncio.run(after())


def test_a_daemon_that_ends_ends_the_one_that_is_being_made(bench: Bench) -> None:
    bench.later = -SOON
    bench.do("hang")

    async def main() -> None:
        async with bench.daemon():
            await come((bench.folder / "child").exists, "the report to be under way")
            began = time.monotonic()
        await come(lambda: not alive(int((bench.folder / "child").read_text())), "its end")
        assert time.monotonic() - began < 10

    asyncio.run(main())
    assert bench.reports == []
    assert bench.kept() is None, "and it is owed at the next start"


def test_reports_that_come_with_a_reload_are_made(bench: Bench) -> None:
    bench.later = -SOON
    path = bench.plant.path
    written = path.read_text()
    path.write_text(written.replace(MONTHLY, ""))
    bench.plant = load_plant(path)

    async def main() -> None:
        async with bench.daemon() as daemon:
            await come(lambda: daemon.vitals.looked_at, "the daemon to run")
            path.write_text(written.replace("monthly", "ours"))
            daemon.reload()
            await come(lambda: bench.kept("ours"), "the report")

    asyncio.run(main())
    assert [name.partition("-")[0] for name in bench.reports] == ["ours"]
