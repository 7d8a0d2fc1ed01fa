"""Modbus answers that break the protocol. MBAP: transaction 0:2, protocol 2:4, length 4:6, unit 6; the PDU from 7."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from simulators.behaviours import COMMON, Behaviour, Exchange

IDENTIFICATION = 0x2B
READS = (1, 2, 3, 4)


def framed(head: bytes, pdu: bytes) -> bytes:
    """A PDU behind the transaction, protocol and unit of `head`, with a length that is right."""
    return head[:4] + (len(pdu) + 1).to_bytes(2, "big") + head[6:7] + pdu


def exception(exchange: Exchange) -> bytes:
    function = exchange.request[7] | 0x80
    return framed(exchange.request, bytes([function, int(exchange.argument)]))


def wrong_function(exchange: Exchange) -> bytes:
    answer = exchange.answer
    return answer[:7] + bytes([4 if answer[7] == 3 else 3]) + answer[8:]


def wrong_unit(exchange: Exchange) -> bytes:
    answer = exchange.answer
    return answer[:6] + bytes([(answer[6] + 1) % 256]) + answer[7:]


def wrong_protocol(exchange: Exchange) -> bytes:
    return exchange.answer[:2] + b"\0\1" + exchange.answer[4:]


def too_few(exchange: Exchange) -> bytes:
    return with_data(exchange.answer, exchange.answer[9:-2])


def too_many(exchange: Exchange) -> bytes:
    return with_data(exchange.answer, exchange.answer[9:] + b"\x12\x34")


def with_data(answer: bytes, data: bytes) -> bytes:
    """Another number of registers, with all lengths right: only the request tells that it is wrong."""
    return framed(answer, bytes([answer[7], len(data)]) + data) if answer[7] in READS else answer


def short_count(exchange: Exchange) -> bytes:
    answer = exchange.answer
    return answer[:8] + bytes([max(answer[8] - 2, 0)]) + answer[9:]


def long_length(exchange: Exchange) -> bytes:
    answer = exchange.answer
    return answer[:4] + (len(answer) - 6 + 100).to_bytes(2, "big") + answer[6:]


def stale_transaction(exchange: Exchange) -> bytes:
    """The transaction of the answer before, or of one that never was."""
    stale = exchange.previous[:2] or (int.from_bytes(exchange.request[:2], "big") ^ 0xFFFF).to_bytes(2, "big")
    return stale + exchange.answer[2:]


def identity_loop(exchange: Exchange) -> bytes:
    """FC 43: more follows, and the next object is the first again. PDU: 2B 0E code conformity more next count."""
    answer = exchange.answer
    return answer[:11] + b"\xff\0" + answer[13:] if answer[7] == IDENTIFICATION else answer


def identity_lies(exchange: Exchange) -> bytes:
    """FC 43: the first object claims to be longer than the answer."""
    answer = exchange.answer
    return answer[:15] + b"\xff" + answer[16:] if answer[7] == IDENTIFICATION else answer


def no_identity(exchange: Exchange) -> bytes:
    """FC 43: illegal function, with the interface type before the code, as some devices answer."""
    return framed(exchange.request, b"\xab\x0e\x01") if exchange.request[7] == IDENTIFICATION else exchange.answer


def rewritten(rewrite: Callable[[Exchange], bytes]) -> Behaviour:
    async def behaviour(exchange: Exchange) -> None:
        await exchange.send(rewrite(exchange))

    return behaviour


async def endless(exchange: Exchange) -> None:
    while True:
        await exchange.send(exchange.answer * 64)


BEHAVIOURS: Mapping[str, Behaviour] = COMMON | {
    "exception": rewritten(exception),
    "wrong_function": rewritten(wrong_function),
    "wrong_unit": rewritten(wrong_unit),
    "wrong_protocol": rewritten(wrong_protocol),
    "too_few": rewritten(too_few),
    "too_many": rewritten(too_many),
    "short_count": rewritten(short_count),
    "long_length": rewritten(long_length),
    "stale_transaction": rewritten(stale_transaction),
    "no_identity": rewritten(no_identity),
    "identity_loop": rewritten(identity_loop),
    "identity_lies": rewritten(identity_lies),
    "endless": endless,
}
