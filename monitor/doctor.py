"""asbuilt doctor: whether all is there that watching a plant takes. It looks, and changes nothing.

Every look gives checks: how it is, and what to do about it. What is broken is said as such; a look that cannot be made
is never taken for a good one. Devices are asked nothing: where the daemon runs, its last polls count; where none does,
each device is connected to once, and let go of.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
import sqlite3
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from baselines.snapshot import utc_text
from collectors.collector import is_credential
from collectors.written import FileError
from monitor import store, tls
from monitor.config import Plant, load_plant
from monitor.ears import way_to
from monitor.errors import CallError, UserError
from monitor.store import Database
from monitor.tables import HEAD

WAL_RESET_FIXED = (3, 51, 3)
MEGABYTE = 1_000_000
DISK_FULL, DISK_LOW = 200 * MEGABYTE, 2000 * MEGABYTE  # bytes that are free
LARGEST_CHECKED = 256 * MEGABYTE  # bytes of a store that are all looked at
SPARE_FILES = 256  # descriptors that are not connections
AT_ONCE = 100  # connections that are being made
CONNECT_WITHIN = 3.0  # seconds
RESOLVE_WITHIN = 5.0  # seconds, all names together
AHEAD = timedelta(minutes=1)  # what is stored may be, of our clock
OVERDUE = timedelta(minutes=2)  # beyond two intervals: how far the end of a run may lag on disk, and a poll take
WRITERS = {"pdf": "typst", "html": "jinja2", "xlsx": "xlsxwriter", "cyclonedx": "cyclonedx"}  # of reports, by format
CAP_NET_RAW = 13  # linux/capability.h
TIME_ERROR, STA_UNSYNC, TIMEX_STATUS, TIMEX_BYTES = 5, 0x40, 40, 256  # linux/timex.h, on 64 bits


class State(StrEnum):
    """warn: it works, and may not for long; unseen: it could not be looked at or reached; fail: it does not work."""

    OK = "ok"
    WARN = "warn"
    UNSEEN = "unseen"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One look: what was looked at, how it is, and the remedy where it is not well."""

    what: str
    state: State
    text: str
    remedy: str = ""


Checks = Iterator[Check]


def examine(path: Path, now: datetime) -> list[Check]:
    """All checks on the plant that a file describes, and on this machine."""
    checks = [*_versions()]
    try:
        plant = load_plant(path)
    except FileError as error:
        faults = [Check("plant.toml", State.FAIL, f"{path}: {fault}", "correct it") for fault in error.faults]
        return [*checks, *faults]
    checks.append(Check("plant.toml", State.OK, f"{len(plant.assets)} assets, {len(plant.segments)} segments"))
    checks += [*_open_files(plant), *_permissions(plant), *_evidence(plant), *_disk(plant), *_clock_kept()]
    checks += [*_page(plant, now), *_reports(plant), *_segments(plant), *_names(plant), *_store(plant, now)]
    return checks


def document(checks: Sequence[Check], now: datetime) -> dict[str, Any]:
    """As JSON."""
    rows = [{"check": each.what, "state": each.state, "text": each.text, "remedy": each.remedy} for each in checks]
    return {"checked_at": utc_text(now), "ok": all(each.state is State.OK for each in checks), "checks": rows}


# This machine


def _versions() -> Checks:
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check("Python", State.OK, f"{python} on {sys.platform}")
    text = f"{sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < WAL_RESET_FIXED:
        text += (
            ", where two that write and checkpoint at once can lose the log (mended in 3.51.3): asbuilt lets the daemon"
            " alone checkpoint; open its store with no other program while it runs"
        )
    yield Check("SQLite", State.OK, text)


def _open_files(plant: Plant) -> Checks:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    devices = len({polled.target.address.device for polled in plant.assets.values()})
    needed = devices + SPARE_FILES
    if most != resource.RLIM_INFINITY and most < needed:
        yield Check("open files", State.FAIL, f"{most} allowed, {needed} needed", f"set LimitNOFILE={2 * needed}")
    else:
        yield Check("open files", State.OK, f"{needed} needed")


def _disk(plant: Plant) -> Checks:
    for folder in sorted({_store_folder(plant) or plant.path.resolve().parent, _existing(plant.vault)}):
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Check("disk", State.FAIL, f"{folder}: {error.strerror}", "make the folder, or change plant.toml")
            continue
        state = State.FAIL if free < DISK_FULL else State.WARN if free < DISK_LOW else State.OK
        yield Check("disk", state, f"{free // MEGABYTE:,} MB free at {folder}", "make room" if state != "ok" else "")


def _existing(path: Path) -> Path:
    return next((each for each in (path, *path.parents) if each.is_dir()), path)


def _clock_kept() -> Checks:
    """Whether the kernel's clock is kept by time synchronisation (adjtimex(2): "TIME_ERROR: not synchronized")."""
    remedy = "let systemd-timesyncd or chrony keep it: evidence is worth as much as its times"
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_long) != 8:
        yield Check("clock", State.WARN, "whether it is synchronised cannot be seen on this system", remedy)
        return
    timex = ctypes.create_string_buffer(TIMEX_BYTES)  # modes = 0: it reads, and sets nothing
    kept = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    status = int.from_bytes(timex.raw[TIMEX_STATUS : TIMEX_STATUS + 4], sys.byteorder)
    if kept < 0:
        yield Check("clock", State.WARN, f"cannot be asked: {os.strerror(ctypes.get_errno())}", remedy)
    elif kept == TIME_ERROR or status & STA_UNSYNC:
        yield Check("clock", State.WARN, "it is not synchronised", remedy)
    else:
        yield Check("clock", State.OK, "synchronised")


# Files


def _permissions(plant: Plant) -> Checks:
    """Secrets that others can read. Windows has other words for it, and is not asked."""
    if sys.platform == "win32":
        return
    secrets = {str(plant.evidence.key), plant.web.oidc.client_secret_file if plant.web.oidc else ""}
    for polled in plant.assets.values():
        access = polled.target.access
        secrets |= {access.private_key, access.password.file}
        if access.user and access.password.env and access.password.env not in os.environ:
            text = f"{polled.asset.name}: the variable {access.password.env} is not set here"
            yield Check("secrets", State.WARN, text, "the daemon needs it; better is password_file with LoadCredential")
    secrets = {path for path in secrets if path and not is_credential(Path(path))}  # which only the service can see
    missing = [path for path in sorted(secrets) if not os.path.exists(path) and path != str(plant.evidence.key)]
    for path in missing:
        yield Check("secrets", State.FAIL, f"{path} is not there", "put it there, or change plant.toml")
    found = [check for path in sorted(secrets) if (check := _closed(path, 0o077))]
    found += [check for path in _store_files(plant) if (check := _closed(path, 0o022))]
    if any(_closed(path, 0o004) for path in _store_files(plant)[:1]) and not found:
        remedy = f"chmod 600 {_store_files(plant)[0]}, and UMask=0077 in the unit"
        found.append(Check("permissions", State.WARN, "everybody here can read the store", remedy))
    folder = _store_folder(plant)
    if folder and folder.is_dir() and folder.stat().st_mode & stat.S_IWOTH and not folder.stat().st_mode & stat.S_ISVTX:
        found.append(Check("permissions", State.FAIL, f"everybody can write in {folder}", f"chmod o-w {folder}"))
    yield from found or [Check("permissions", State.OK, "the store, the key and the secrets are closed to others")]


def _closed(path: str, to_others: int) -> Check | None:
    """What is wrong with the mode of a file, if it is there."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError:
        return None
    if mode & to_others:
        return Check("permissions", State.FAIL, f"others can get at {path} ({mode:04o})", f"chmod 600 {path}")
    if not os.access(path, os.R_OK):
        return Check("permissions", State.FAIL, f"{path} cannot be read by this user", "run this as the daemon's user")
    return None


def _evidence(plant: Plant) -> Checks:
    """The places where signed checkpoints are kept."""
    key = plant.evidence.key
    if not key.exists():
        yield Check("evidence", State.WARN, f"there is no key {key} yet", "the first command that signs makes one")
    elif not key.is_file():
        yield Check("evidence", State.FAIL, f"{key} is no file", "name the key's file in evidence.key")
    places = [*plant.evidence.files]
    bad = [place for place in places if not os.access(place if place.exists() else place.parent, os.W_OK)]
    for place in bad:
        yield Check("evidence", State.FAIL, f"{place} cannot be written", "mount it, or change evidence.checkpoints")
    if not bad:
        yield Check("evidence", State.OK, f"{len(places)} places for checkpoints can be written")
    if not plant.evidence.receivers and all(each.parent == plant.path.resolve().parent for each in places):
        remedy = "add one elsewhere to evidence.checkpoints, best where nobody here can change it"
        yield Check("evidence", State.WARN, "checkpoints are kept only beside the store", remedy)


def _reports(plant: Plant) -> Checks:
    """Whether the reports that the daemon makes by itself can be: their folders, and what writes each format."""
    for name, wanted in plant.reports.items():
        what, folder = f"report {name}", wanted.folder
        lacking = [library for form in wanted.formats if (library := WRITERS.get(form)) and find_spec(library) is None]
        place = folder if folder.exists() else folder.parent
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            remedy = f"name a folder in report.{name}.to that the daemon's user may write in"
            yield Check(what, State.FAIL, f"{folder} cannot be written", remedy)
        elif lacking:
            remedy = "install asbuilt with all that it needs, or name other formats"
            yield Check(what, State.FAIL, f"not installed: {', '.join(lacking)}", remedy)
        else:
            yield Check(what, State.OK, f"{folder} can be written")


def _store_folder(plant: Plant) -> Path | None:
    """Of SQLite; None where the store is a server's."""
    database = Database(plant.store_url)
    return Path(database.url.database or "").parent if database.is_sqlite else None


def _store_files(plant: Plant) -> list[str]:
    database = Database(plant.store_url)
    return [f"{database.url.database}{end}" for end in ("", "-wal", "-shm", ".lock")] if database.is_sqlite else []


# The network


def _segments(plant: Plant) -> Checks:
    interfaces = [name for _, name in socket.if_nameindex()]
    for name, watched in plant.segments.items():
        what, interface = f"segment {name}", watched.interface
        if interface not in interfaces:
            there = ", ".join(interfaces)
            yield Check(what, State.FAIL, f"there is no interface {interface}; there are {there}", "change plant.toml")
        elif not _is_up(interface):
            yield Check(what, State.FAIL, f"{interface} is down", f"ip link set {interface} up")
        elif way_to(interface).is_socket():
            yield Check(what, State.OK, f"{interface} is up, and its sensor is started by systemd")
        elif _may_capture():
            yield Check(what, State.OK, f"{interface} is up, and its sensor is a child of the daemon")
        else:
            remedy = f"systemctl enable --now asbuilt-sensor@{interface}.socket"
            yield Check(what, State.FAIL, f"{interface} is up, but this user may not capture at it", remedy)


def _is_up(interface: str) -> bool:
    try:
        return bool(int(Path(f"/sys/class/net/{interface}/flags").read_text("ascii"), 16) & 1)  # IFF_UP
    except (OSError, ValueError):
        return True  # not to be seen here: the sensor will say


def _may_capture() -> bool:
    try:
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
    except OSError:
        return True
    return any(line.startswith("CapEff:") and int(line[7:], 16) >> CAP_NET_RAW & 1 for line in lines)


def _page(plant: Plant, now: datetime) -> Checks:
    """Whether what goes to and from the page can be read on the way."""
    if not plant.web.enabled:
        return
    try:
        doubt = tls.objection(plant.web, now)
    except CallError as error:
        yield Check("page", State.FAIL, str(error), "the page does not start before this is mended; docs/web.md")
        return
    remedy = "set certificate and private_key in [web]; docs/web.md" if doubt else ""
    yield Check("page", State.WARN if doubt else State.OK, doubt or f"at {plant.web.listen}", remedy)


def _names(plant: Plant) -> Checks:
    """Whether the hosts that are told something have an address."""
    hosts = {f"notify.{route.name}": route.host for route in plant.routes if route.host}
    hosts |= {f"evidence {host}": host for _, host, _ in plant.evidence.receivers}
    if not hosts:
        return
    pool = ThreadPoolExecutor(len(hosts))
    looks = {what: pool.submit(socket.getaddrinfo, host, None) for what, host in hosts.items()}
    wait(looks.values(), RESOLVE_WITHIN)
    pool.shutdown(wait=False, cancel_futures=True)
    for what, look in looks.items():
        if not look.done():
            yield Check(what, State.UNSEEN, f"the name server does not answer for {hosts[what]}", "check the network")
        elif look.exception():
            yield Check(what, State.UNSEEN, f"{hosts[what]} has no address", "check the name and the name server")
        else:
            yield Check(what, State.OK, f"{hosts[what]} has an address")


# The store, and what only it knows


def _store(plant: Plant, now: datetime) -> Checks:
    database = Database(plant.store_url)
    try:
        yield from _stored(plant, database, now)
    except UserError as error:
        yield Check("store", State.FAIL, str(error), "mend what it says, or restore a backup; docs/backup.md")
        yield Check("devices", State.UNSEEN, "not looked at: whether a daemon polls them cannot be told")
    finally:
        database.close()


def _stored(plant: Plant, database: Database, now: datetime) -> Checks:
    folder = _store_folder(plant)
    if folder and not folder.is_dir():
        yield Check("store", State.FAIL, f"its folder {folder} does not exist", "make it, or change store.url")
        return
    if folder and not Path(database.url.database or "").exists():
        if os.access(folder, os.W_OK):
            yield Check("store", State.WARN, "there is none yet", "the next command makes it")
        else:
            yield Check("store", State.FAIL, f"{folder} cannot be written", "run this as the daemon's user")
        yield from asyncio.run(_reached(plant))
        return
    found = database.schema()
    if found is not None and found > HEAD:
        yield Check("schema", State.FAIL, f"{found}, of a newer asbuilt (this one has {HEAD})", "upgrade asbuilt")
    elif found != HEAD:
        text = f"{found}, and this asbuilt has {HEAD}" if found else "none yet"
        yield Check("schema", State.WARN, text, "the next command brings it up to date; make a backup before")
    else:
        yield Check("schema", State.OK, found)
    yield _sound(database)
    database.assure_writable()
    yield Check("store", State.OK, f"{database.name} can be written")
    leads = database.lead()
    try:
        yield Check("daemon", State.OK if not leads else State.WARN, *_led(database, leads))
        if found == HEAD:
            yield from _newest(database, now)
        if leads:
            yield from asyncio.run(_reached(plant))
        elif found == HEAD:
            yield from _polled(plant, database, now)
        else:
            yield Check("devices", State.UNSEEN, "not looked at: the daemon that polls them is of another version")
    finally:
        if leads:
            database.follow()


def _sound(database: Database) -> Check:
    file = Path(database.url.database or "")
    if database.is_sqlite and file.stat().st_size > LARGEST_CHECKED:
        text = f"its pages were not looked at: they are more than {LARGEST_CHECKED // MEGABYTE} MB"
        return Check("store", State.OK, text)
    if damage := database.damage():
        return Check("store", State.FAIL, f"it is damaged: {damage}", "stop the daemon and restore a backup")
    return Check("store", State.OK, "its pages are whole")


def _led(database: Database, leads: bool) -> tuple[str, str]:
    if leads:
        return "none runs on this plant", "systemctl start asbuilt, or asbuilt run"
    leader = database.leader()
    return f"runs as process {leader}" if leader else "runs", ""


def _newest(database: Database, now: datetime) -> Checks:
    with database.read() as tx:
        newest = store.newest_moment(tx)
    if newest and newest > now + AHEAD:
        text = f"it says {utc_text(now)}, and the store has an entry of {utc_text(newest)}: it was set back"
        yield Check("clock", State.FAIL, text, "set it right before anything is recorded")


def _polled(plant: Plant, database: Database, now: datetime) -> Checks:
    """What the daemon found when it polled last: we make no second connection."""
    good, bad = 0, []
    with database.read() as tx:
        for name, polled in plant.assets.items():
            run = store.last_run(tx, name)
            if run is None:
                bad.append(Check(name, State.UNSEEN, "not polled yet", "give the daemon an interval of time"))
            elif run.is_outage:
                text = f"{run.cause} since {utc_text(run.first_at)}: {run.cause_text}"
                bad.append(Check(name, State.UNSEEN, text, "check the way to it, and whether it runs"))
            elif now - run.last_at > 2 * polled.every + OVERDUE:
                text = f"was reached last at {utc_text(run.last_at)}"
                bad.append(Check(name, State.UNSEEN, text, "see the daemon's log"))
            else:
                good += 1
    yield Check("devices", State.OK, f"the daemon reaches {good} of {len(plant.assets)} assets")
    yield from bad


async def _reached(plant: Plant) -> list[Check]:
    """Connect to each device once, as a poll would, and say nothing to it."""
    devices = {polled.target.address.device: name for name, polled in plant.assets.items() if polled.allowed}
    places = asyncio.Semaphore(AT_ONCE)

    async def one(host: str, port: int) -> str:
        async with places:
            try:
                async with asyncio.timeout(CONNECT_WITHIN):
                    _, writer = await asyncio.open_connection(host, port)
            except TimeoutError:
                return f"no answer within {CONNECT_WITHIN:g} s"
            except OSError as error:
                return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            writer.transport.abort()
            return ""

    wrong: Mapping[tuple[str, int], str] = dict(
        zip(devices, await asyncio.gather(*(one(*device) for device in devices)), strict=True)
    )
    bad = [(device, why) for device, why in wrong.items() if why]
    found = [Check("devices", State.OK, f"{len(wrong) - len(bad)} of {len(wrong)} take a connection")]
    for (host, port), why in bad:
        found.append(Check(devices[host, port], State.UNSEEN, f"{host}:{port}: {why}", "check the way to it"))
    return found
