"""Why deviations come about: the words that a person who closes a case chooses from."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why a deviation came about, as the person says who closes its case."""

    UNANNOUNCED_WORK = "unannounced-work"
    WRONG_VALUE = "wrong-value"
    WRONG_BACKUP = "wrong-backup"
    FIRMWARE_UNANNOUNCED = "firmware-unannounced"
    DEVICE_REPLACED = "device-replaced"
    DEVICE_FAULT = "device-fault"
    PROCESS_TUNING = "process-tuning"
    REMOTE_VENDOR = "remote-vendor"
    INTRUSION = "intrusion"
    BASELINE_WRONG = "baseline-wrong"
    FALSE_ALARM = "false-alarm"
    OTHER = "other"


CHOOSE: dict[Cause, str] = {
    Cause.UNANNOUNCED_WORK: "Legitimate work of our own people, right in itself, that no change order announced.",
    Cause.WRONG_VALUE: "Somebody meant to do right and entered or downloaded the wrong value or program.",
    Cause.WRONG_BACKUP: "An old or foreign backup was restored, so that the device is as it was at another time.",
    Cause.FIRMWARE_UNANNOUNCED: "Firmware was updated or downgraded, and no change order announced it.",
    Cause.DEVICE_REPLACED: "The device or a module of it was exchanged, and the new one is not what was approved.",
    Cause.DEVICE_FAULT: "The device changed by itself: lost memory, a flat battery, a reset to factory settings.",
    Cause.PROCESS_TUNING: "Operators or engineers tuned a value, as they may: is it configuration at all?",
    Cause.REMOTE_VENDOR: "A vendor or integrator changed it, over remote access or on site, without announcing it.",
    Cause.INTRUSION: "Somebody changed it who had no right to; also while it is only suspected.",
    Cause.BASELINE_WRONG: "The device is right: what was approved as its baseline was not.",
    Cause.FALSE_ALARM: "Nothing changed at the device: asbuilt, its profile or a tolerance was wrong.",
    Cause.OTHER: "None of these; the preventive action says what.",
}
