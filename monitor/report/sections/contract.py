"""The proof that no device was disturbed: what each was allowed to be sent at most, and what it was really sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from monitor.contract import ATTEMPTED, EXCEEDED, KEPT, NEVER_POLLED, contracts
from monitor.report.document import Cell, Column, Finding, Form, Section, Table, Text, Weight
from monitor.report.scope import Scope
from monitor.report.sentences import counted, has_have, was_were
from monitor.report.standards import clauses_of
from monitor.store import Transaction

KEY = "contract"
WORST_FIRST = (EXCEEDED, ATTEMPTED, NEVER_POLLED, KEPT)
COLUMNS = (
    Column("device", "Device", Form.CODE, 1.7),
    Column("verdict", "Verdict", Form.STATE, 0.9),
    Column("requests", "Requests", Form.NUMBER, 0.9),
    Column("busiest_second", "Most in a second", Form.NUMBER, 0.7),
    Column("in_a_second", "Allowed in a second", Form.NUMBER, 0.7),
    Column("median_ms", "Median response, ms", Form.NUMBER, 0.8),
    Column("refused", "Refused by the guard", Form.NUMBER, 0.8),
    Column("assets", "Assets behind it", width=0),
    Column("since", "Counted from", Form.TIME, 0),
    Column("until", "Counted until", Form.TIME, 0),
    Column("connections_allowed", "Connections allowed", Form.NUMBER, 0),
    Column("connections_most", "Most connections at once", Form.NUMBER, 0),
    Column("connections", "Connections tried", Form.NUMBER, 0),
    Column("services_allowed", "Services allowed", width=0),
    Column("services", "Services sent", width=0),
    Column("exceeded", "Exceeded", width=0),
    Column("why_refused", "What the guard refused", width=0),
    Column("bytes_sent", "Bytes sent", Form.NUMBER, 0),
    Column("bytes_received", "Bytes received", Form.NUMBER, 0),
    Column("p99_ms", "Response, 99 of 100, ms", Form.NUMBER, 0),
    Column("first_median_ms", "Median response of the first answers, ms", Form.NUMBER, 0),
    Column("answers", "Answers timed lately", Form.NUMBER, 0),
    Column("longest_wait", "Longest wait for a turn", Form.SECONDS, 0),
    Column("time_outs", "Time-outs", Form.NUMBER, 0),
    Column("refusals", "Refusals by the device", Form.NUMBER, 0),
    Column("malformed", "Malformed answers", Form.NUMBER, 0),
)
ABOUT = (
    "asbuilt reads, and never writes. What may be sent to a device, and how fast, is a contract: the services that only"
    " read, so many connections, so many requests in any second. A guard where bytes leave refuses everything else."
    " What is really sent is counted at the same place. “Kept”: no limit was exceeded, and nothing was refused."
    " “Attempted”: the guard had to refuse something, and it did not leave. “Exceeded”: a limit did not hold, which is"
    " a bug of ours.",
    "Counts add up from when a device was first polled until the end that is named, and have no history: they are of"
    " all that time, not of the period of this report. Network segments are listened to, and sent nothing.",
)


def contract(tx: Transaction, scope: Scope) -> Section:
    """The section."""
    found = contracts(tx, scope.plant, scope.names)
    worst = sorted(found, key=lambda each: WORST_FIRST.index(each["verdict"]))
    return Section(
        KEY,
        "The poll contract: no device was disturbed",
        (
            Text(ABOUT),
            Table("poll-contract", "By device", COLUMNS, [_row(each) for each in worst], "No device is polled."),
        ),
        clauses_of(KEY),
        tuple(_findings(found)),
    )


def _row(each: Mapping[str, Any]) -> tuple[Cell, ...]:
    allowed, assets = each["allowed"], ", ".join(each["assets"])
    services = ", ".join(allowed["services"])
    limits = (allowed["connections"], allowed["in_a_second"])
    sent, response, failures = each["sent"], each["response"], each["failures"]
    if sent is None:
        known: list[Cell] = [each["device"], each["verdict"], None, None, limits[1], None, None, assets, None, None]
        known += [limits[0], None, None, services]
        return (*known, *(None,) * (len(COLUMNS) - len(known)))
    return (
        each["device"],
        each["verdict"],
        sent["requests"],
        sent["busiest_second"],
        limits[1],
        _milliseconds(response["recent"]["median"]),
        sum(each["forbidden"].values()),
        assets,
        datetime.fromisoformat(each["since"]),
        datetime.fromisoformat(each["until"]),
        limits[0],
        sent["most_open"],
        sent["connections"],
        services,
        _counts(sent["services"]),
        _counts(each["exceeded"]) or None,
        "; ".join(f"{number} × {why}" for why, number in each["forbidden"].items()) or None,
        sent["bytes_sent"],
        sent["bytes_received"],
        _milliseconds(response["recent"]["p99"]),
        _milliseconds(response["first"]["median"]),
        response["recent"]["count"],
        sent["longest_wait"],
        failures["time_outs"],
        failures["refusals"],
        failures["malformed"],
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else float(f"{seconds * 1000:.3g}")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number:,}" for name, number in counts.items())


def _findings(found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    devices = counted(len(found), "device")
    verdicts = Counter(each["verdict"] for each in found)
    requests = sum(each["sent"]["requests"] for each in found if each["sent"])
    polled = len(found) - verdicts[NEVER_POLLED]
    if polled:
        kept = verdicts[KEPT]
        text = (
            f"Of {counted(polled, 'device')} that {was_were(polled)} polled, with {requests:,} requests, the contract"
        )
        weight = Weight.GOOD if kept == polled else Weight.ATTENTION
        yield Finding(weight, f"{text} was kept at {kept:,}.", KEY)
    if exceeded := verdicts[EXCEEDED]:
        yield Finding(Weight.BAD, f"At {exceeded:,} of {devices} a limit was exceeded.", KEY)
    if attempted := verdicts[ATTEMPTED]:
        text = f"At {attempted:,} of {devices} our guard refused what may not be sent: nothing of it left."
        yield Finding(Weight.BAD, text, KEY)
    if never := verdicts[NEVER_POLLED]:
        yield Finding(Weight.UNKNOWN, f"{never:,} of {devices} {has_have(never)} never been polled.", KEY)
