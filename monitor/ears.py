"""The ears of the daemon: one sensor process a segment, started again when it ends, its reports read one by one."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from collectors.passive.report import Report, decode_report

LINE_MOST = 256 << 20  # bytes of one report
SILENT_FOR = 90.0  # seconds without a report after which a sensor is taken for stuck
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds before it is started again
KILL_AFTER = 2.0


@dataclass(frozen=True, slots=True)
class Deaf:
    """The sensor does not listen any more, and why, as a sentence."""

    why: str


def command(interface: str) -> list[str]:
    """How the sensor of an interface is started."""
    return [sys.executable, "-m", "collectors.passive.sensor", interface]


async def hear(
    interface: str, command: Callable[[str], list[str]] = command, first_wait: float = FIRST_WAIT
) -> AsyncGenerator[Report | Deaf, None]:
    """The reports of an interface's sensor, without end; Deaf whenever it has ended."""
    wait, clock = first_wait, asyncio.get_running_loop().time
    while True:
        began = clock()
        async with contextlib.aclosing(_one_life(command(interface), asyncio.Event())) as life:
            async for said in life:
                yield said
        if clock() - began > LONGEST_WAIT:  # it was well for a while: a frame that ends it at once may come again
            wait = first_wait
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def hear_until(
    stop: asyncio.Event, interface: str, command: Callable[[str], list[str]] = command
) -> AsyncGenerator[Report | Deaf, None]:
    """The reports of one sensor, until `stop` is set and it has told the rest, or until it ends; then Deaf."""
    return _one_life(command(interface), stop)


async def _one_life(argv: list[str], stop: asyncio.Event) -> AsyncGenerator[Report | Deaf, None]:
    pipe = asyncio.subprocess.PIPE
    try:
        # in a session of its own: Ctrl-C at a terminal is for us, who end it
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, limit=LINE_MOST, start_new_session=True
        )
    except OSError as error:
        yield Deaf(f"the sensor cannot be started: {error.strerror}")
        return
    assert process.stdout is not None
    assert process.stderr is not None
    last_words = asyncio.create_task(_last_words(process.stderr))
    stopping = asyncio.create_task(_stop(process, stop))
    why = ""
    try:
        while line := await asyncio.wait_for(process.stdout.readline(), SILENT_FOR):
            yield decode_report(line)
    except TimeoutError:
        why = f"the sensor has said nothing for {SILENT_FOR:g} s"
    except ValueError as error:
        why = f"the sensor has said what is no report: {error}"
    finally:
        stopping.cancel()
        await _end(process)
        said = await last_words
    yield Deaf(why or said or f"the sensor ended ({process.returncode})")


async def _last_words(stream: asyncio.StreamReader) -> str:
    """The last line that it wrote to standard error; the rest is read so that it can go on."""
    last = ""
    while part := await stream.read(4096):
        last = (last + part.decode("utf-8", "replace"))[-4096:]
    words = last.strip().rpartition("\n")[2]
    return words if words.isprintable() else repr(words)


async def _stop(process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
    await stop.wait()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), KILL_AFTER)
        except TimeoutError:
            process.kill()
            await process.wait()
