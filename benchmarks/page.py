"""The page of a plant of 10,000 assets: how long its lists take, while the store changes as a daemon changes it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from baselines.snapshot import Snapshot
from benchmarks.history import _snapshot, build, name_of
from benchmarks.report import resident
from benchmarks.results import Result, Row
from collectors.address import parse_address
from collectors.collector import Poll, Target
from collectors.contract import Sent
from monitor import keys, logs, persons, store
from monitor.config import WebTable, load_plant
from monitor.evidence import deciding
from monitor.pipeline import take
from monitor.store import Actor, Database, Person, Token
from monitor.vitals import Vitals

ASSETS = int(os.environ.get("BENCH_ASSETS", "10000"))
ITEMS = 100  # of each
DEVIATIONS = 10_000  # of which every fifth is open
TIMES = int(os.environ.get("BENCH_TIMES", "100"))  # that each is asked for
EVERY = 30  # seconds in which each asset is polled once
CHANGES = 2  # seconds between two assets that are read as another
TARGET = 0.2  # seconds
NAME, PASSWORD, TOKEN = "ada", "correct horse battery", "token-of-ada"
ASKED = (  # what, its address, and whether it has the target
    ("plant page", "/", True),
    ("one line of it", "/?line=line007", True),
    ("list page, 200 rows", "/assets", True),
    ("list page, sorted by model, page 20", "/assets?sort=model&page=20", True),
    ("list page, searched", "/assets?q=SN00004242", True),
    ("all assets as JSON", "/api/v1/assets", True),
    ("page of one asset", f"/assets/{name_of(4242 % ASSETS)}", False),
)


def run() -> Result:
    with TemporaryDirectory() as folder:
        plant = build(Path(folder), ASSETS, DEVIATIONS, ITEMS)
        _prepare(plant)
        with child("serve", plant) as (server, url), child("change", plant):
            before = resident(server.pid)
            began = time.monotonic()
            with httpx.Client(base_url=url, follow_redirects=True, timeout=120) as client:
                client.post("/sign-in", data={"name": NAME, "password": PASSWORD})  # leads to the plant's page
                first = time.monotonic() - began
                rows = [_row(what, measured(client, path), aimed) for what, path, aimed in ASKED]
            after = resident(server.pid)
    memory = f"{before / 1e6:.0f} MB before the first look, {after / 1e6:.0f} MB after all of this"
    return Result(
        f"The page of {ASSETS:,} assets",
        [Row("signing in, and the first look at the store", f"{first:.2f} s"), *rows, Row("resident", memory)],
        [
            f"{ITEMS} items an asset, {DEVIATIONS:,} alarms; each address asked {TIMES} times over HTTP, one after the"
            f" other, of a server that is a process of its own. Another process polls as a daemon does: every asset"
            f" once in {EVERY} s, committed once a second, and every {CHANGES} s one of them says something else and an"
            " alarm is raised. In a plant the server shares its process with the daemon, which takes its turns too."
        ],
    )


def _row(what: str, seconds: list[float], aimed: bool) -> Row:
    seconds.sort()
    high = seconds[int(len(seconds) * 0.99)]
    told = f"median {1000 * seconds[len(seconds) // 2]:.0f} ms, p99 {1000 * high:.0f} ms"
    return Row(what, told, f"< {1000 * TARGET:.0f} ms (p99)" if aimed else "", high < TARGET if aimed else None)


def measured(client: httpx.Client, path: str) -> list[float]:
    """The seconds of each of so many answers."""
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        answer = client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        found.append(time.perf_counter() - began)
        answer.raise_for_status()
    return found


@contextmanager
def child(what: str, plant: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that does something of this module until its standard input ends; with the line that it says first."""
    program = f"import sys; from benchmarks import page; page.{what}(sys.argv[1])"
    command = [sys.executable, "-c", program, str(plant)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(30)


def _prepare(plant_file: Path) -> None:
    """Somebody with a password and a token; and every asset was just seen."""
    plant, signer, now = load_plant(plant_file), keys.Signer.new(), datetime.now(UTC)
    with closing(Database(plant.store_url)) as database:
        person = Person(NAME, ("viewer",), signer.key, keys.seal(signer, PASSWORD))
        actor = Actor(NAME, "bench@host")
        with deciding(plant, database, actor, lambda _: None) as tx:
            persons.add_person(tx, person, actor, now)
            digest = sha256(TOKEN.encode()).hexdigest()
            store.add_token(tx, Token(0, digest, NAME, "bench", ("viewer",), now, None, None, None))
        for start in range(0, ASSETS, 1000):
            with database.write() as tx:
                for asset in range(start, min(start + 1000, ASSETS)):
                    take(tx, _poll(asset, now), now)


def _poll(asset: int, at: datetime, changed: bool = False) -> Poll:
    """What an asset says: as it is approved, or without its firmware's revision."""
    seen = _snapshot(asset, at, asset % 10 == 0, ITEMS)
    if changed:
        items = [each for each in seen.items if each.key != "identity.software_revision"]
        seen = Snapshot.of(seen.asset, at, items, profile=seen.profile)
    return Poll(Target(name_of(asset), parse_address("modbus://10.0.0.1/1")), seen, Sent(1, 3), 0.1)


def serve(plant_file: str) -> None:
    """The web server alone, as the daemon has it in a thread; says its address, and ends with its standard input."""
    from monitor.web.server import served
    from monitor.web.site import Site

    logs.set_up()  # to standard error
    plant = load_plant(Path(plant_file))
    database = Database(plant.store_url)
    site = Site(lambda: plant, database, lambda: datetime.now(UTC), Vitals())
    with served(WebTable("127.0.0.1:0"), site) as url:
        _wait_for(url)
        print(url, flush=True)
        sys.stdin.read()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/healthz")
            return
        except httpx.TransportError:
            time.sleep(0.1)


def change(plant_file: str) -> None:
    """Change the store as a daemon does, until standard input ends."""
    plant = load_plant(Path(plant_file))
    ended = threading.Event()

    def end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=end, daemon=True).start()
    database = Database(plant.store_url)
    print(flush=True)
    turn, each = 0, max(1, ASSETS // EVERY)
    while not ended.wait(1.0):
        now = datetime.now(UTC)
        with database.write() as tx:
            for asset in range(turn * each, (turn + 1) * each):
                run = store.last_run(tx, name_of(asset % ASSETS))
                if run is not None:
                    store.extend_runs(tx, [run.extended(now)])
            if turn % CHANGES == 0:
                take(tx, _poll(turn * 97 % ASSETS, now, changed=True), now)
        turn += 1
