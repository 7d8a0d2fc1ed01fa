"""`asbuilt simulate`, or `python -m simulators`: a floor in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from simulators import plant
from simulators.floor import Floor, PortTaken
from simulators.orders import Orders
from simulators.scenario import Event, ScenarioError, load

WRONG = 2
EPILOG = (
    "To change a PLC, type (or pipe in) a JSON document a line, such as"
    ' {"plc": "line1/filler", "set": {"fill_limit": 12.4}}, or {"plc": "line2/capper", "identity": {"object_128":'
    ' "C4-803307"}, "restart": true, "for": 2.0}. A name that is not there is answered with those that are.'
)
POLITE = (signal.SIGINT, signal.SIGTERM)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a floor until it is told to end. 0 ended, 2 the call, the scenario or a port is wrong."""
    options = parser().parse_args(argv)
    for noisy in ("asyncua", "pymodbus"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(run(options))
    except (ScenarioError, PortTaken) as error:
        print(error, file=sys.stderr)
        return WRONG
    except FileExistsError as error:
        print(f"{error.filename} exists: delete it, or name another file", file=sys.stderr)
        return WRONG
    except BrokenPipeError:  # whoever read us is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(
        prog="asbuilt simulate", description="A floor of simulated PLCs on loopback.", epilog=EPILOG
    )
    arguments.add_argument("scenario", metavar="SCENARIO", help="a bundled name, such as bottling, or a TOML file")
    arguments.add_argument("--free-ports", action="store_true", help="any free port instead of the scenario's")
    arguments.add_argument(
        "--hold", action="store_true", help='events wait for Enter, or in a pipe for a line {"go": true}'
    )
    arguments.add_argument("--speed", type=positive, default=1.0, metavar="X", help="events X times as fast")
    arguments.add_argument("--plant", type=Path, metavar="FILE", help="write a plant.toml for this floor")
    form = arguments.add_mutually_exclusive_group()
    form.add_argument("--table", action="store_true", help="for people: a table and sentences (so at a terminal)")
    form.add_argument("--json", action="store_true", help="for programs: a JSON document a line (so in a pipe)")
    return arguments


def positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError("give a number above 0")
    return number


async def run(options: argparse.Namespace) -> None:
    scenario = load(options.scenario)
    if options.plant is not None and options.plant.exists():
        raise FileExistsError(17, "exists", str(options.plant))
    for_people = options.table or (sys.stdout.isatty() and not options.json)
    report: Report = Table() if for_people else Report()
    async with Floor(scenario, ports="free" if options.free_ports else "scenario") as floor:
        if options.plant is not None:
            plant.write(options.plant, scenario.name, floor.plcs.values())
        ended = asyncio.Event()
        for each in POLITE:
            with suppress(NotImplementedError):  # Windows, where Ctrl-C raises KeyboardInterrupt
                asyncio.get_running_loop().add_signal_handler(each, ended.set)
        report.ready(floor)
        orders = Orders(floor, report.event, report.wrong, options.speed)
        orders.listen(ended.set)
        if not options.hold:
            orders.go()
        await orders.until(ended)
        gc.freeze()  # or the interpreter walks all nodes of all servers once more before it ends


class Report:
    """What happens, for programs: a JSON document a line on standard output."""

    def ready(self, floor: Floor) -> None:
        plcs = {
            name: {
                "address": plc.address,
                "protocol": plc.protocol,
                "model": plc.entry.model,
                "unit": plc.entry.unit,
                "pid": os.getpid(),
            }
            for name, plc in floor.plcs.items()
        }
        self.say({"scenario": floor.scenario.name, "plcs": plcs})

    def event(self, event: Event, second: float) -> None:
        known = {"at": round(second, 3), "plc": event.plc, "about": event.about}
        details = {
            "set": event.set,
            "identity": event.identity,
            "nameplate": event.nameplate,
            "status": event.status,
        }
        flags = {
            "remove": list(event.remove),
            "restart": event.restart,
            "drop": event.drop,
            "behave": event.behave,
        }
        self.say(known | {key: value for key, value in {**details, **flags, "for": event.seconds}.items() if value})

    def wrong(self, text: str) -> None:
        self.say({"error": text})

    @staticmethod
    def say(document: object) -> None:
        print(json.dumps(document), flush=True)


class Table(Report):
    """The same for people."""

    def ready(self, floor: Floor) -> None:
        rows = [("PLC", "model", "address")]
        rows += [(name, plc.entry.model, plc.address) for name, plc in floor.plcs.items()]
        widths = [max(len(row[column]) for row in rows) for column in range(2)]
        for name, model, address in rows:
            print(f"{name:{widths[0]}}  {model:{widths[1]}}  {address}", flush=True)

    def event(self, event: Event, second: float) -> None:
        print(f"{second:7.1f} s  {event.plc}: {event.about or 'changed'}", flush=True)

    def wrong(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
