"""replay, listen: the network, from a capture or live."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.console import UNSEEN, Json
from monitor.errors import CallError
from monitor.terminal import print_table

if TYPE_CHECKING:
    from baselines.wire import WireEvent
    from collectors.passive.heard import Heard, HeardHost
    from collectors.passive.source import Batch, Capture
    from monitor.wire import Events

CONVERSATIONS_SHOWN = 40
CELL_MOST = 100  # characters
NOTHING = "–"


def register(app: typer.Typer) -> None:
    app.command()(replay)
    app.command()(listen)


def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="pcap or pcapng, also gzipped; - for standard input.")],
    json: Json = False,
) -> None:
    """What a capture says: hosts with their identity, who talks to whom, and what was done to which device."""
    from monitor.wire import Events, capture_document

    events = Events()
    capture, heard = hear_capture(file, events.add)
    if json:
        _write_json(capture_document(heard.counts, capture.truncated, capture.why), heard, events)
        return
    _print_heard(heard, events)
    if capture.truncated:
        typer.echo(f"The capture is cut short or broken: {capture.why}. What could be read is shown.")


def hear_capture(file: str, on_event: Callable[[WireEvent], None]) -> tuple[Capture, Heard]:
    """A capture, read to its end, and what is heard in it; CallError for what is none."""
    from collectors.passive.engine import Engine, spare_the_collector
    from collectors.passive.source import NoCapture, open_capture

    spare_the_collector()
    engine = Engine(on_event)
    try:
        capture = open_capture(file)
        for batch in _progress(capture, file):
            engine.take(batch)
    except NoCapture as error:
        raise CallError(str(error)) from None
    except OSError as error:
        raise CallError(f"{file} cannot be read: {error.strerror or error}") from None
    engine.finish()
    for protocol, bug in engine.bugs.items():
        typer.echo(f"a bug of ours in decoding {protocol}; such messages are counted as malformed\n{bug}", err=True)
    return capture, engine.heard()


def _progress(capture: Capture, name: str) -> Iterator[Batch]:
    """The batches of a capture, with a bar on standard error where somebody watches."""
    if not sys.stderr.isatty():
        yield from capture
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name.replace("[", "("), total=capture.size)
        for batch in capture:
            yield batch
            bar.update(task, completed=capture.read)


def listen(
    interface: Annotated[str, typer.Argument(metavar="INTERFACE", help="Where a SPAN or TAP port is plugged in.")],
    seconds: Annotated[
        float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Stop after so long.")
    ] = None,
    json: Json = False,
) -> None:
    """The network live: what happens as it happens, and at the end (Ctrl-C) what was heard. Sends nothing."""
    import asyncio

    from monitor.wire import Events, capture_document

    events, latest = Events(), _Latest()
    typer.echo(f"listening at {interface}; Ctrl-C ends it", err=True)
    with suppress(KeyboardInterrupt):
        asyncio.run(_listen(interface, events, latest, seconds, quiet=json))
    if latest.heard is None:
        raise CallError(f"nothing was heard at {interface}: {latest.deaf or 'its sensor did not get to listen'}")
    if latest.deaf:
        typer.echo(f"nothing more is heard at {interface}: {latest.deaf}", err=True)
    if json:
        _write_json(capture_document(latest.heard.counts, False, ""), latest.heard, events)
    else:
        _print_heard(latest.heard, events)
    if latest.heard.counts.kernel_dropped or latest.deaf:
        raise typer.Exit(UNSEEN)


class _Latest:
    """The newest of what a sensor told."""

    heard: Heard | None = None
    deaf: str | None = None


async def _listen(interface: str, events: Events, latest: _Latest, seconds: float | None, quiet: bool) -> None:
    """Listen for so many seconds, or until a signal; what was heard last is told after that."""
    import asyncio

    from monitor.ears import Deaf, hear_until
    from monitor.show import value_text

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
    async with aclosing(hear_until(stop, interface)) as reports:
        async for said in reports:
            if isinstance(said, Deaf):
                latest.deaf = None if stop.is_set() else said.why
                return
            if seconds is not None and latest.heard is None:
                loop.call_later(seconds, stop.set)
            for note in said.notes:
                typer.echo(value_text(note), err=True)
            for each in said.happened:
                events.add(each.event, each.times)
                if not quiet:
                    typer.echo(_event_line(each.event, each.times))
            latest.heard = said.heard or latest.heard


def _event_line(event: WireEvent, times: int) -> str:
    from baselines.snapshot import utc_text

    again = f" × {times}" if times > 1 else ""
    who = f"{_cell(event.client)} → {_cell(event.server)}"
    return f"{utc_text(event.at)}  {who}  {_cell(event.protocol)}  {event.operation}{again}  {_detail(event.detail)}"


def _write_json(capture: dict[str, Any], heard: Heard, events: Events) -> None:
    """One document, written as it goes: a capture may hold more events than memory does."""
    from monitor.wire import conversation_document, host_document

    def write(text: str) -> None:
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))

    parts: dict[str, Iterable[str]] = {
        "hosts": (_line(host_document(host)) for host in heard.hosts),
        "conversations": (_line(conversation_document(talk)) for talk in heard.conversations),
        "events": events.lines(),
    }
    sys.stdout.flush()
    write('{"capture": ' + _line(capture))
    for name, lines in parts.items():
        write(f',\n"{name}": [')
        for number, text in enumerate(lines):
            write((",\n  " if number else "\n  ") + text)
        write("]")
    write("}\n")
    sys.stdout.buffer.flush()


def _line(document: dict[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode(document).decode()


def _print_heard(heard: Heard, events: Events) -> None:
    from monitor.show import value_text

    columns = ("host", "addresses", "name", "manufacturer", "model", "firmware", "serial number", "role", "speaks")
    print_table(columns, [_host_row(host) for host in heard.hosts])
    talks = sorted(heard.conversations, key=lambda talk: -talk.packets)
    typer.echo()
    rows = [
        [
            talk.client,
            talk.server,
            f"{talk.protocol}/{talk.port}" if talk.port else talk.protocol,
            str(talk.packets),
            _cell(", ".join(talk.functions) or talk.hidden),
        ]
        for talk in talks[:CONVERSATIONS_SHOWN]
    ]
    print_table(("client", "server", "protocol", "packets", "functions"), rows)
    if len(talks) > CONVERSATIONS_SHOWN:
        typer.echo(f"… and {len(talks) - CONVERSATIONS_SHOWN} conversations with fewer packets (--json has all)")
    if len(events):
        typer.echo()
        done = [
            [*key[:3], str(key[3]), str(count), str(events.first[key].frame), _detail(events.first[key].detail)]
            for key, count in events.counts.most_common()
        ]
        print_table(("client", "server", "protocol", "operation", "times", "first frame", "which was"), done)
    typer.echo()
    counts = heard.counts
    typer.echo(
        f"{counts.packets} frames in {counts.seconds:.1f} s: {len(heard.hosts)} hosts, "
        f"{len(heard.conversations)} conversations, {len(events)} events"
    )
    unseen = {
        "lost before they reached us": counts.kernel_dropped,
        "frames whose headers cannot be read": counts.unreadable,
        "bytes of streams that were no message, or not all of one": counts.skipped,
        "hosts, conversations or fragments beyond what is kept": counts.not_kept,
        **{f"malformed {value_text(name)} messages": count for name, count in counts.malformed.items()},
    }
    for what, count in unseen.items():
        if count:
            typer.echo(f"  not seen: {count} {what}")


def _host_row(host: HeardHost) -> list[str]:
    identity = host.identity
    said = (
        ", ".join(host.names),
        identity.manufacturer,
        identity.model or identity.product_code,
        identity.software_revision,
        identity.serial_number,
        host.role,
        ", ".join(host.protocols),
    )
    return [host.mac or "(routed)", *(_cell(word) if word else NOTHING for word in (", ".join(host.ips), *said))]


def _detail(detail: Any) -> str:
    return _cell(", ".join(f"{name} {value}" for name, value in detail.items()))


def _cell(text: str) -> str:
    """What was said on the wire, so that it can harm neither a table nor a terminal: --json has all of it."""
    from monitor.show import value_text

    return value_text(text if len(text) <= CELL_MOST else text[: CELL_MOST - 1] + "…") if text else ""
