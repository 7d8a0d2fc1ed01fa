"""The ears of the daemon: one sensor process a segment, started again when it ends, its reports read one by one.

Under systemd the daemon has no right to capture: there the sensor is started by a socket of its interface, and has that
one right (asbuilt-sensor@.socket). Where that socket is, we connect to it; elsewhere the sensor is a child of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

from collectors.passive.report import Report, decode_report


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sensor is given, in seconds: `silent_for` without a report, it is taken for stuck; `first_wait` to
    `longest_wait` go by before it is started again; told to end, it is killed after `kill_after`."""

    line_most: int = 256 << 20  # bytes of one report
    silent_for: float = 90.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    kill_after: float = 2.0


@dataclass(frozen=True, slots=True)
class Deaf:
    """The sensor does not listen any more, and why, as a sentence."""

    why: str


SOCKETS = Path(os.environ.get("ASBUILT_SENSORS", "/run/asbuilt"))  # where systemd keeps the sockets of its sensors
WORDS = 4096  # bytes of its last words that are kept

# NumPy would start threads that compute nothing here, and a capability is given up by one thread alone (capset(2)).
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def command(interface: str) -> list[str]:
    """How the sensor of an interface is started."""
    return [sys.executable, "-m", "collectors.passive.sensor", interface]


def way_to(interface: str, sockets: Path = SOCKETS) -> Path:
    """The socket by which systemd starts the sensor of an interface, if it is there."""
    return sockets / f"sensor-{interface}.sock"


async def hear(
    interface: str, command: Callable[[str], list[str]] = command, limits: Limits = Limits(), sockets: Path = SOCKETS
) -> AsyncGenerator[Report | Deaf, None]:
    """The reports of an interface's sensor, without end; Deaf whenever it has ended."""
    wait, clock = limits.first_wait, asyncio.get_running_loop().time
    while True:
        began = clock()
        way = way_to(interface, sockets)
        served = await asyncio.to_thread(way.is_socket)
        one_life = _one_connection(way, limits) if served else _one_life(command(interface), asyncio.Event(), limits)
        async with contextlib.aclosing(one_life) as life:
            async for said in life:
                yield said
        if (
            clock() - began > limits.longest_wait
        ):  # it was well for a while: a frame that ends it at once may come again
            wait = limits.first_wait
        await asyncio.sleep(wait)
        wait = min(2 * wait, limits.longest_wait)


def hear_until(
    stop: asyncio.Event, interface: str, command: Callable[[str], list[str]] = command
) -> AsyncGenerator[Report | Deaf, None]:
    """The reports of one sensor, until `stop` is set and it has told the rest, or until it ends; then Deaf."""
    return _one_life(command(interface), stop, Limits())


async def _one_life(argv: list[str], stop: asyncio.Event, limits: Limits) -> AsyncGenerator[Report | Deaf, None]:
    pipe = asyncio.subprocess.PIPE
    try:
        # in a session of its own: Ctrl-C at a terminal is for us, who end it
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            limit=limits.line_most,
            start_new_session=True,
            env={**os.environ, **ONE_THREAD},
        )
    except OSError as error:
        yield Deaf(f"the sensor cannot be started: {error.strerror}")
        return
    assert process.stdout is not None
    assert process.stderr is not None
    last_words = asyncio.create_task(_last_words(process.stderr))
    stopping = asyncio.create_task(_stop(process, stop))
    why, patience = "", 0.0
    try:
        while line := await asyncio.wait_for(process.stdout.readline(), limits.silent_for):
            yield decode_report(line)
        patience = limits.kill_after  # it is ending
    except TimeoutError:
        why = f"the sensor has said nothing for {limits.silent_for:g} s"
    except ValueError as error:
        why = f"the sensor has said what is no report: {error}"
    finally:
        stopping.cancel()
        await _end(process, patience, limits.kill_after)
        said = await last_words
        await _drain(process.stdout, limits.kill_after)
    yield Deaf(why or said or f"the sensor ended ({process.returncode})")


async def _one_connection(way: Path, limits: Limits) -> AsyncGenerator[Report | Deaf, None]:
    """The same of a sensor that another starts when we connect, and that ends when we go."""
    why, words, clock = "", "", asyncio.get_running_loop().time
    try:
        reader, writer = await asyncio.open_unix_connection(way, limit=limits.line_most)
    except OSError as error:
        yield Deaf(f"the sensor cannot be reached at {way}: {error.strerror}; systemctl status says more")
        return
    silent_at = clock() + limits.silent_for
    try:
        while line := await asyncio.wait_for(reader.readline(), silent_at - clock()):
            if not line.startswith(b"{"):  # its standard error ends here as well
                words = _printable(line[-WORDS:])
                continue
            yield decode_report(line)
            silent_at = clock() + limits.silent_for
    except TimeoutError:
        why = f"the sensor has said nothing for {limits.silent_for:g} s"
    except ValueError as error:
        why = f"the sensor has said what is no report: {error}"
    except OSError as error:
        why = f"the sensor was lost: {error.strerror}"
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    yield Deaf(why or words or f"the sensor at {way} ended; journalctl says more")


async def _last_words(stream: asyncio.StreamReader) -> str:
    """The last line that it wrote to standard error; the rest is read so that it can go on."""
    last = b""
    while part := await stream.read(WORDS):
        last = (last + part)[-WORDS:]
    return _printable(last.strip().rpartition(b"\n")[2])


def _printable(line: bytes) -> str:
    words = line.decode("utf-8", "replace").strip()
    return words if words.isprintable() else repr(words)


async def _drain(stream: asyncio.StreamReader, within: float) -> None:
    """Read what nobody will: a pipe is closed when its end was read, and must be while there is a loop to do it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while await stream.read(1 << 16):
                pass


async def _stop(process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    await stop.wait()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


async def _end(process: asyncio.subprocess.Process, patience: float, kill_after: float) -> None:
    """Wait for its end; help it after a while. One that has ended must not be sent a signal: its code would be lost."""
    for wait, end in ((patience, process.terminate), (kill_after, process.kill)):
        try:
            await _ended(process, wait)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                end()
        else:
            return
    await process.wait()


async def _ended(process: asyncio.subprocess.Process, within: float) -> None:
    async with asyncio.timeout(within):
        await process.wait()
