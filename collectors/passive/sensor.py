"""The sensor: a process of its own that listens at one interface, reports on standard output, and can do nothing else.

    python -m collectors.passive.sensor INTERFACE

It is started by `asbuilt run` and `asbuilt listen`, or by systemd when the daemon connects to its socket. Once the
capture is open it gives up every right that it has (see confine): whatever a frame may do to a decoder, this process
can send nothing, open nothing and start nothing.
"""

from __future__ import annotations

import select
import signal
import sys
import time
from collections.abc import Callable

from baselines.wire import WireEvent
from collectors.passive.confine import confine
from collectors.passive.engine import Engine, spare_the_collector
from collectors.passive.heard import Heard
from collectors.passive.live import CaptureLost, CaptureRefused, Live, occupy_standard_descriptors, open_live
from collectors.passive.protocols.catalogue import prepare
from collectors.passive.report import Report, encode_report, gathered

REFUSED = 2  # exit code: listening cannot begin; standard error says why
LOST = 3  # the interface went away
EVENTS_EVERY = 0.5  # seconds; an event waits no longer
HEARD_EVERY = 5.0  # seconds between two reports of what was heard, while there is always something new
ALIVE_EVERY = 30.0  # seconds: a report comes at least so often


def main(interface: str) -> int:
    occupy_standard_descriptors()
    told_to_stop: list[int] = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: told_to_stop.append(number))
    try:
        live = open_live(interface)
    except (CaptureRefused, CaptureLost) as error:
        print(error, file=sys.stderr)
        return REFUSED
    prepare()
    notes = confine(live.descriptors)
    nobody_reads = _watch_output()
    try:
        listen(live, lambda report: _write(encode_report(report)), lambda: bool(told_to_stop) or nobody_reads(), notes)
    except CaptureLost as error:
        print(error, file=sys.stderr)
        return LOST
    except BrokenPipeError:
        pass  # whom we told has gone
    return 0


def listen(live: Live, tell: Callable[[Report], None], stop: Callable[[], bool], notes: tuple[str, ...] = ()) -> None:
    """Hear and tell: what is new at once, if there was nothing new before. Until `stop`, and then what is yet to tell.

    Raises CaptureLost, after the same.
    """
    spare_the_collector()
    events: list[WireEvent] = []
    engine = Engine(events.append)
    tell(Report(notes=notes, heard=engine.heard()))
    told_events = told = time.monotonic()
    told_heard, version, bugs = told - HEARD_EVERY, engine.version, 0
    try:
        for batch in live.batches():
            if batch is not None:
                engine.take(batch)
            for protocol, bug in list(engine.bugs.items())[bugs:]:
                tell(Report(notes=(f"a bug of ours in decoding {protocol}: {bug}",)))
                bugs += 1
            now = time.monotonic()
            heard: Heard | None = None
            if (engine.version != version and now - told_heard >= HEARD_EVERY) or now - told >= ALIVE_EVERY:
                version, told_heard = engine.version, now
                heard = engine.heard(live.statistics().dropped, sure=True)
            if heard or (events and now - told_events >= EVENTS_EVERY):
                tell(Report(gathered(events), heard))
                events.clear()
                told = told_events = now
            if stop():
                break
    finally:
        engine.finish()
        tell(Report(gathered(events), engine.heard(live.statistics().dropped, sure=True)))


def _watch_output() -> Callable[[], bool]:
    """Whether the one who reads has gone: it may be long until there is something to write."""
    if not hasattr(select, "poll"):  # Windows
        return lambda: False
    output = select.poll()
    output.register(1, 0)  # POLLHUP and POLLERR come unasked
    return lambda: bool(output.poll(0))


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
