"""The reports that the daemon makes by itself: each of the last period that is over, in a process of its own, one after
the other. The process reads the store like any command, and has what the polls leave of the processor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from baselines.coverage import Cause
from monitor import store
from monitor.config import Plant
from monitor.errors import CallError, StoreError
from monitor.logs import Trouble
from monitor.periods import Period, due, last_period
from monitor.report.asking import PACK, Asked
from monitor.report.writing import Format
from monitor.reported import Reported
from monitor.store import Chore, Database
from monitor.vault import sync_folder

CHORE = "report "  # and the name of one
SUFFIXES = {"csv": "zip", "cyclonedx": "cdx.json", PACK: "pack.zip"}  # of a format, where it is not called so
UNVERIFIED = 4  # the exit code
BUG = "asbuilt: this is a bug"
TURN_EVERY = 0.2  # seconds between two looks whether it is our turn
LONGEST_LINE = 2**24  # bytes that a program prints

_TURN = threading.Lock()

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Making:
    """How a report is made: by which program, within how many seconds, and how long until it is tried again after it
    failed once, and at most."""

    program: tuple[str, ...] = (sys.executable, "-m", "monitor.cli")
    within: float = 1800.0
    first_wait: timedelta = timedelta(minutes=5)
    longest_wait: timedelta = timedelta(hours=6)
    niceness: int = 10


MAKING = Making()


@dataclass(frozen=True, slots=True)
class File:
    """One file of a report: its place, and as what it is made."""

    path: Path
    form: str


class Reporter:
    """`say` is told whether all of them are made, `again` when a chore is to be done again."""

    def __init__(
        self,
        plant: Callable[[], Plant],
        database: Database,
        clock: Callable[[], datetime],
        say: Callable[[Cause, str], None],
        again: Callable[[str, datetime], None],
        making: Making = MAKING,
    ) -> None:
        self._plant, self._database, self._clock = plant, database, clock
        self._say, self._again, self._making = say, again, making
        self._failures: dict[str, int] = {}  # of those that failed last, how often by now
        self._troubles: dict[str, Trouble] = {}

    def owed(self, kept: Mapping[str, Chore]) -> dict[str, datetime]:
        """The chores of reports that should have been made before now, and were not; `kept` has what came of each."""
        plant, now = self._plant(), self._clock()
        zone = ZoneInfo(plant.timezone)
        found = {CHORE + name: due(each.every, each.at, now, zone) for name, each in plant.reports.items()}
        owed = {name: last for name, (last, then) in found.items() if _is_owed(kept.get(name), last, then)}
        self._failures = {name: times for name, times in self._failures.items() if name in plant.reports}
        if not owed and not self._failures:
            self._say(Cause.REPORT, "")  # what an earlier run said of one that is not wanted any more
        return owed

    async def make(self, chore: str) -> str:
        """Make one, if it is not there; what came of it. One that fails is tried again, later and later."""
        name = chore.removeprefix(CHORE)
        trouble = self._troubles.setdefault(name, Trouble("report"))
        async with turn():
            try:
                text = await self._made(name)
            except (CallError, StoreError, OSError) as error:
                trouble.failed(error, chore=chore)
                self._fail(name, chore)
                text = f"it failed: {error}"
            else:
                trouble.works()
                self._failures.pop(name, None)
        self._tell()
        return text

    def _fail(self, name: str, chore: str) -> None:
        times = self._failures[name] = self._failures.get(name, 0) + 1
        wait = min(self._making.first_wait * 2 ** min(times - 1, 20), self._making.longest_wait)
        self._again(chore, self._clock() + wait)

    def _tell(self) -> None:
        whys = [f"report {name} was not made: {self._troubles[name].why}" for name in self._failures]
        self._say(Cause.REPORT, "; ".join(whys))

    async def _made(self, name: str) -> str:
        plant = self._plant()
        wanted = plant.reports.get(name)
        if wanted is None:  # it left plant.toml while it waited
            return ""
        zone = ZoneInfo(plant.timezone)
        period = last_period(wanted.every, wanted.at, self._clock(), zone)
        if not await asyncio.to_thread(self._has_begun, period.until(zone)):
            return f"nothing was recorded before {period.after}: there is nothing to report"
        files = [*files_of(name, wanted, period)]
        missing = [file for file in files if not await asyncio.to_thread(os.path.lexists, file.path)]
        for file in missing:
            await self._make(name, plant, wanted, period, file)
        await asyncio.to_thread(_prune, name, wanted)
        return f"wrote {', '.join(str(file.path) for file in missing)}" if missing else f"{files[0].path} is there"

    def _has_begun(self, until: datetime) -> bool:
        with self._database.read() as tx:
            return store.head_at(tx, until)[0] > 0

    async def _make(self, name: str, plant: Plant, wanted: Reported, period: Period, file: File) -> None:
        """Make one file: it has its name when all of it is there, and durable."""
        began, zone = time.monotonic(), ZoneInfo(plant.timezone)
        async with _beside(file.path) as new:
            form = None if file.form == PACK else Format(file.form)
            asked = Asked(wanted.kind, form, period.since(zone), period.until(zone), zones=wanted.zones)
            argv = [*self._making.program, *asked.words(plant.path, new)]
            doubt = await run(argv, self._making.within, self._making.niceness, new.parent)
            await asyncio.to_thread(_put, new, file.path, doubt)
        about = {"report": name, "path": str(file.path), "seconds": round(time.monotonic() - began, 1)}
        if doubt:
            log.warning("report.made", **about, doubt=doubt)
        else:
            log.info("report.made", **about)


def _is_owed(chore: Chore | None, last: datetime, following: datetime) -> bool:
    """Whether the report that was due at `last` was not made: nobody tried, or who tried failed and was to try again
    before the `following` one."""
    if chore is None or chore.last_at is None or chore.last_at < last:
        return True
    return chore.next_at is None or chore.next_at < following


def files_of(name: str, wanted: Reported, period: Period) -> Iterator[File]:
    """The files of a report of a period."""
    for form in (*wanted.formats, *([PACK] if wanted.pack else [])):
        yield File(wanted.folder / f"{name}-{period.first}-{period.after}.{SUFFIXES.get(form, form)}", form)


@asynccontextmanager
async def _beside(path: Path) -> AsyncIterator[Path]:
    """A place for a file that is not whole yet, in the same folder, which is made if need be. What one that was killed
    has left there goes first. In a thread all of it: a share that hangs holds up no poll."""
    place = path.with_name(f".{path.name}.part")
    await asyncio.to_thread(_begin, place)
    try:
        yield place / path.name
    finally:
        await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)


def _begin(place: Path) -> None:
    try:
        place.parent.mkdir(exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    except OSError as error:
        raise CallError(f"nothing can be written in {place.parent}: {error.strerror}") from None


def _put(new: Path, path: Path, doubt: str) -> None:
    """Give a file its name. It need not be there if what was to be in it is in doubt."""
    if doubt and not new.exists():
        raise CallError(doubt)
    try:
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        os.rename(new, path)
        sync_folder(path.parent)
    except OSError as error:
        raise CallError(f"{path} cannot be written: {error.strerror}") from None


@asynccontextmanager
async def turn(wait: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """One report at a time, whoever asks for it: a large one takes most of the memory that we may have. `wait` is told
    now and then that it is another's turn."""
    while not _TURN.acquire(blocking=False):
        wait()
        await asyncio.sleep(TURN_EVERY)
    try:
        yield
    finally:
        _TURN.release()


async def run(
    argv: Sequence[str], within: float, niceness: int, aside: Path, hear: Callable[[str], None] | None = None
) -> str:
    """Run a program to its end, behind all others; its last words if what it made is in doubt (UNVERIFIED), or else "".
    What it puts aside meanwhile is in a folder that goes with it, however it ends. `hear` is told each line that it
    prints.

    CallError if it fails, with its last words, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if hear else asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            env={**os.environ, "TMPDIR": str(aside)},
            start_new_session=True,  # Ctrl-C at a terminal is for us; and what it starts ends with it
        )
    except OSError as error:
        raise CallError(f"{argv[0]} cannot be started: {error.strerror}") from None
    try:
        _put_behind(process.pid, niceness)
        async with asyncio.timeout(within):
            assert process.stderr is not None
            said, _, _ = await asyncio.gather(process.stderr.read(), _hear(process.stdout, hear), process.wait())
    except TimeoutError:
        raise CallError(f"it was not made within {within:g} s") from None
    finally:
        await _end(process)
    words = _last_words(said) or f"it ended with {process.returncode}"
    if process.returncode not in (0, UNVERIFIED):
        raise CallError(words)
    return words if process.returncode else ""


async def _hear(printed: asyncio.StreamReader | None, hear: Callable[[str], None] | None) -> None:
    if printed is not None and hear is not None:
        async for line in printed:
            hear(line.decode("utf-8", "replace").rstrip())


def _put_behind(pid: int, niceness: int) -> None:
    """Whoever polls comes first; and if memory runs out, it is not the daemon that has to go. Done after its start:
    between fork and exec nothing of ours may run where there are threads."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
    with contextlib.suppress(OSError):  # only Linux has it
        Path(f"/proc/{pid}/oom_score_adj").write_text("500", "ascii")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill it, with all that it has started; nothing if it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        await process.wait()


def _last_words(said: bytes) -> str:
    """The last line of what it said, without the name of the program; of a bug, the one that says which."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines()]
    last = next((line for line in reversed(lines) if line and not line.startswith(BUG)), "")
    last = last.removeprefix("asbuilt: ")
    return last if last.isprintable() else repr(last)


def _prune(name: str, wanted: Reported) -> None:
    """Delete the oldest files of a report in each format, but for as many as are to be kept; and nothing else."""
    if wanted.keep is None:
        return
    for form in (*wanted.formats, PACK):
        suffix = re.escape(SUFFIXES.get(form, form))
        ours = re.compile(rf"{re.escape(name)}-([0-9-]{{10}})-([0-9-]{{10}})\.{suffix}")
        try:
            found = sorted((each[2], each[0]) for each in map(ours.fullmatch, os.listdir(wanted.folder)) if each)
            for _, old in found[: -wanted.keep]:
                (wanted.folder / old).unlink()
        except OSError as error:
            raise CallError(f"old reports in {wanted.folder} cannot be deleted: {error.strerror}") from None
