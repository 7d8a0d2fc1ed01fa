"""A sensor that ends by itself, for measuring: hears until it has been quiet for a second, then says what it counted.

python -m benchmarks.listener INTERFACE
"""

from __future__ import annotations

import json
import sys
import time

from baselines.wire import WireEvent
from collectors.passive.confine import confine
from collectors.passive.engine import Engine, spare_the_collector
from collectors.passive.live import open_live
from collectors.passive.protocols.catalogue import prepare

QUIET = 1.0  # seconds
FIRST = 20.0  # seconds until the first frame


def main(interface: str) -> None:
    live = open_live(interface)
    prepare()
    confine(live.descriptors)
    spare_the_collector()
    events: list[WireEvent] = []
    engine = Engine(events.append)
    print("ready", flush=True)
    last, heard, began = time.monotonic() + FIRST, False, 0.0
    for batch in live.batches():
        now = time.monotonic()
        if batch is not None:
            began = began or time.process_time()
            engine.take(batch)
            last, heard = now, True
        elif now - last > (QUIET if heard else 0):
            break
    statistics = live.statistics()
    told = {
        "received": statistics.received,
        "dropped": statistics.dropped,
        "events": len(events),
        "hosts": len(engine.heard(sure=True).hosts),
        "cpu_seconds": time.process_time() - began,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
