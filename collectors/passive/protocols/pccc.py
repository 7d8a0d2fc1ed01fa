"""PCCC, which CIP carries to older controllers of Rockwell's: what a command does.

Chapters are those of 1770-6.5.16, DF1 Protocol and Command Set.
"""

from __future__ import annotations

from typing import Any

from baselines.wire import Operation
from collectors.passive.protocols.cip_names import DATA_MOST, VALUES_MOST, Heard, Want
from collectors.passive.protocols.cip_values import values
from collectors.passive.said import Act, Malformed

PCCC_NAMES = {  # 1770-6.5.16, chapter 7; (command, function), None where a command has no function
    (0x00, None): "protected-write",
    (0x01, None): "unprotected-read",
    (0x02, None): "protected-bit-write",
    (0x05, None): "unprotected-bit-write",
    (0x08, None): "unprotected-write",
    (0x06, 0x00): "echo",
    (0x06, 0x01): "read-diagnostic-counters",
    (0x06, 0x02): "set-variables",
    (0x06, 0x03): "diagnostic-status",
    (0x06, 0x04): "set-timeout",
    (0x06, 0x05): "set-naks",
    (0x06, 0x06): "set-enqs",
    (0x06, 0x07): "reset-diagnostic-counters",
    (0x06, 0x08): "set-data-table-size",
    (0x06, 0x09): "read-link-parameters",
    (0x06, 0x0A): "set-link-parameters",
    (0x07, 0x00): "disable-outputs",
    (0x07, 0x01): "enable-outputs",
    (0x07, 0x03): "enable-scanning",
    (0x07, 0x04): "enter-download-mode",
    (0x07, 0x05): "exit-download-upload-mode",
    (0x07, 0x06): "enter-upload-mode",
    (0x0F, 0x00): "word-range-write",
    (0x0F, 0x01): "word-range-read",
    (0x0F, 0x02): "bit-write",
    (0x0F, 0x03): "file-write",
    (0x0F, 0x04): "file-read",
    (0x0F, 0x05): "download-request",
    (0x0F, 0x06): "upload",
    (0x0F, 0x07): "shutdown",
    (0x0F, 0x08): "physical-write",
    (0x0F, 0x09): "physical-read",
    (0x0F, 0x0A): "restart-request",
    (0x0F, 0x11): "get-edit-resource",
    (0x0F, 0x12): "return-edit-resource",
    (0x0F, 0x17): "read-bytes-physical",
    (0x0F, 0x18): "write-bytes-physical",
    (0x0F, 0x26): "read-modify-write",
    (0x0F, 0x29): "read-section-size",
    (0x0F, 0x3A): "set-cpu-mode",
    (0x0F, 0x41): "disable-forces",
    (0x0F, 0x50): "download-all-request",
    (0x0F, 0x52): "download-completed",
    (0x0F, 0x53): "upload-all-request",
    (0x0F, 0x55): "upload-completed",
    (0x0F, 0x57): "initialize-memory",
    (0x0F, 0x5E): "modify-plc-2-compatibility-file",
    (0x0F, 0x67): "typed-write",
    (0x0F, 0x68): "typed-read",
    (0x0F, 0x79): "read-modify-write-n",
    (0x0F, 0x80): "change-mode",
    (0x0F, 0x81): "open-file",
    (0x0F, 0x82): "close-file",
    (0x0F, 0x88): "execute-multiple-commands",
    (0x0F, 0x8F): "apply-port-configuration",
    (0x0F, 0xA1): "protected-typed-logical-read-2",
    (0x0F, 0xA2): "protected-typed-logical-read-3",
    (0x0F, 0xA7): "protected-typed-file-read",
    (0x0F, 0xA9): "protected-typed-logical-write-2",
    (0x0F, 0xAA): "protected-typed-logical-write-3",
    (0x0F, 0xAB): "protected-typed-logical-masked-write-3",
    (0x0F, 0xAF): "protected-typed-file-write",
}
PCCC_ACTING = {
    **{
        key: Operation.WRITE
        for key, name in PCCC_NAMES.items()
        if any(word in name.split("-") for word in ("write", "set")) or key in ((0x0F, 0x41), (0x0F, 0x5E))
    },
    (0x06, 0x0A): Operation.ADDRESS_CHANGE,
    (0x07, 0x00): Operation.MODE_CHANGE,
    (0x07, 0x01): Operation.MODE_CHANGE,
    (0x07, 0x03): Operation.START,
    (0x07, 0x04): Operation.PROGRAM_DOWNLOAD,
    (0x07, 0x06): Operation.PROGRAM_UPLOAD,
    (0x0F, 0x05): Operation.PROGRAM_DOWNLOAD,
    (0x0F, 0x06): Operation.PROGRAM_UPLOAD,
    (0x0F, 0x07): Operation.STOP,
    (0x0F, 0x0A): Operation.RESTART,
    (0x0F, 0x50): Operation.PROGRAM_DOWNLOAD,
    (0x0F, 0x53): Operation.PROGRAM_UPLOAD,
    (0x0F, 0x57): Operation.PROGRAM_CHANGE,
    (0x0F, 0x8F): Operation.ADDRESS_CHANGE,
    (0x06, 0x03): Operation.IDENTITY_READ,
}
PCCC_MODES = {  # 1770-6.5.16, chapter 7: change mode (MicroLogix 1000; SLC 500), set CPU mode (PLC-5)
    (0x80, 0x01): (Operation.STOP, "program"),
    (0x80, 0x02): (Operation.START, "run"),
    (0x80, 0x06): (Operation.START, "run"),
    (0x80, 0x07): (Operation.MODE_CHANGE, "test"),
    (0x80, 0x08): (Operation.MODE_CHANGE, "test-single-scan"),
    (0x80, 0x09): (Operation.MODE_CHANGE, "test-single-step"),
    (0x3A, 0x00): (Operation.STOP, "program"),
    (0x3A, 0x01): (Operation.MODE_CHANGE, "test"),
    (0x3A, 0x02): (Operation.START, "run"),
}
PCCC_FILES = {  # 1770-6.5.16, chapter 7; the letter of a file in an address, and what its elements are
    0x84: ("S", "h"),
    0x85: ("B", "H"),
    0x86: ("T", "h"),
    0x87: ("C", "h"),
    0x88: ("R", "h"),
    0x89: ("N", "h"),
    0x8A: ("F", "f"),
    0x8B: ("O", "H"),
    0x8C: ("I", "H"),
    0x8D: ("ST", ""),
    0x8E: ("A", ""),
    0x8F: ("D", "H"),
}
PCCC_ANSWER = 0x40


def pccc(data: bytes, heard: Heard, want: Want | None = None) -> None:
    """A PCCC command: command, status, transaction, and for most commands a function."""
    if len(data) < 4:
        raise Malformed("a PCCC command shorter than its header")
    command = data[0] & 0x0F
    if data[0] & PCCC_ANSWER:
        return
    code: int | None = None
    if command in (0x06, 0x07, 0x0F):
        if len(data) < 5:
            raise Malformed("a PCCC command without its function")
        code = data[4]
    name = PCCC_NAMES.get((command, code)) or (
        f"0x{command:02x}" if code is None else f"0x{command:02x}-function-0x{code:02x}"
    )
    heard.function(f"pccc-{name}")
    body = data[4:] if code is None else data[5:]
    detail: dict[str, Any] = {"function": f"pccc-{name}"}
    if want and want.route:
        detail["route"] = want.route
    if command == 0x0F and code in (0x3A, 0x80):
        number = body[0] if body else 0xFF
        operation, detail["mode"] = PCCC_MODES.get(
            (code, number & 3 if code == 0x3A else number), (Operation.MODE_CHANGE, f"0x{number:02x}")
        )
        heard.acts.append(Act(operation, detail))
        return
    if (command, code) not in PCCC_ACTING:
        return
    operation = PCCC_ACTING[command, code]
    if operation is Operation.IDENTITY_READ:
        if want and want.part >= -1:
            heard.want(want)
    elif command == 0x0F and code in (0xA9, 0xAA, 0xAB):
        _pccc_write(code, body, detail)
    elif body:
        detail |= {"length": len(body), "data": body[:DATA_MOST].hex()}
    heard.acts.append(Act(operation, detail))


def _pccc_write(code: int, body: bytes, detail: dict[str, Any]) -> None:
    """Protected typed logical (masked) write (1770-6.5.16, chapter 7): a size, an address, a mask, the values."""
    numbers = []
    at = 1
    for field in range(3 if code == 0xA9 else 4):  # file, type, element, subelement
        long = field != 1 and body[at : at + 1] == b"\xff"  # 255: the next two bytes are the number
        size = 3 if long else 1
        if at + size > len(body):
            raise Malformed("a PCCC address that has no end")
        numbers.append(int.from_bytes(body[at + 1 : at + 3], "little") if long else body[at])
        at += size
    letter, kind = PCCC_FILES.get(numbers[1], (f"0x{numbers[1]:02x}:", ""))
    detail["address"] = f"{letter}{numbers[0]}:{numbers[2]}"
    if len(numbers) > 3 and numbers[3]:
        detail["address"] += f".{numbers[3]}"
    if code == 0xAB:
        detail["mask"] = body[at : at + 2].hex()
        at += 2
    detail["length"] = body[0]
    if kind:
        detail["values"] = values(body[at:], kind, VALUES_MOST)
    else:
        detail["data"] = body[at : at + DATA_MOST].hex()
