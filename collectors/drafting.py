"""Is it configuration? What is seen of a value, and the reasons to propose it for a profile or to leave it out. No I/O.

A person decides: this only sorts, and every judgement comes with its reasons.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Any

from baselines.snapshot import Category, Severity, Value, canonical

ENOUGH = 2  # points that make a proposal
SLIGHT = 0.02  # of its size: a float that moves less may be a setting that is read back with noise
FAST = 100.0  # milliseconds: who offers to sample a value faster thinks of a measurement
LONGEST_NAME = 60
SHORTEST_PART = 5  # letters of a word that counts as a part of a longer one: "grenzwert" of "temperaturgrenzwerte"
LONGEST_TEXT = 200  # letters of a name or description that are looked at
NEAR = 2  # names above its own that say something of a value
CONTAINERS = ("Programs", "Tasks", "Resources", "GlobalVars")  # of the PLCopen model, and what is in them says nothing
ODD = 1e-20, 1e20  # a float beyond is none that people set

DI = "nsu=http://opcfoundation.org/UA/DI/;"
CONFIGURABLE = f"{DI}i=1004"  # ConfigurableObjectType (Part 100, 5.6)
OF_CONFIGURATION = ("ParameterSet", "Configuration", "Tuning")  # Part 100, 4.3 and its recommended functional groups
OF_OPERATION = ("Diagnostics", "Statistics", "Status", "Operational", "OperationCounters")
DESCRIBES = ("EngineeringUnits", "EnumStrings", "EnumValues", "TrueState", "FalseState", "ValuePrecision", "Definition")
INPUTS = ("discrete", "input")

# Words by what they say a value is, in English, German, French, Spanish and Italian, as `_words` writes them. The first
# row that has one says category and severity.
Guess = tuple[Category, Severity, re.Pattern[str]]


def _pattern(words: str) -> str:
    """What finds one of the words, and with it the whole word that it is a part of."""
    listed = sorted((word.strip() for word in words.split(",")), key=len, reverse=True)
    parts = "|".join(word for word in listed if len(word) >= SHORTEST_PART and " " not in word)
    ends = f"|(?:{parts})[^ ]*|[^ ]*(?:{parts})" if parts else ""
    return f"(?<![^ ])(?:{'|'.join(listed)}{ends})(?![^ ])"


def _row(category: Category, severity: Severity, words: str) -> Guess:
    return category, severity, re.compile(_pattern(words))


GUESSES = (
    _row(
        Category.SECURITY,
        Severity.CRITICAL,
        "remote access, remote write, write protection, write protect, know how protection, copy protection, password, "
        "passwort, contrasena, mot de passe, fernzugriff, schreibschutz, firewall, certificate, zertifikat, access, "
        "zugriff, security, user name, user level, benutzer, lock",
    ),
    _row(
        Category.NETWORK,
        Severity.MEDIUM,
        "time server, zeitserver, ntp, ip address, ip adresse, ip, subnet, netmask, gateway, dns, hostname, mac, vlan, "
        "baud, baudrate, tcp port, udp port, network, netzwerk",
    ),
    _row(Category.FIRMWARE, Severity.HIGH, "firmware, bootloader, software version, software revision"),
    _row(
        Category.IDENTITY,
        Severity.HIGH,
        "serial number, seriennummer, numero de serie, serial, product code, article number, artikelnummer, "
        "manufacturer, hersteller, vendor, model, hardware revision, hardware version",
    ),
    _row(Category.MODE, Severity.CRITICAL, "forces, forced, forcing, bypass, operating mode, betriebsart"),
    _row(
        Category.MODE,
        Severity.HIGH,
        "mode, modus, modo, key switch, keyswitch, schluesselschalter, simulation",
    ),
    _row(
        Category.PROGRAM,
        Severity.CRITICAL,
        "checksum, pruefsumme, somme de controle, crc, hash, signature, program, programm, programme, programa",
    ),
    _row(
        Category.PARAMETER,
        Severity.HIGH,
        "limit, limite, grenze, grenzwert, grenz, alarm, alarme, alarma, allarme, setpoint, sollwert, soll, consigne, "
        "consigna, threshold, schwelle, schwellwert, seuil, umbral, soglia, enable, freigabe, safety, interlock, "
        "verriegelung",
    ),
    _row(
        Category.PARAMETER,
        Severity.MEDIUM,
        "recipe, rezept, rezeptur, recette, receta, ricetta, version, revision, max, maximum, maximal, min, minimum, "
        "minimal, high, low, gain, verstaerkung, kp, ki, kd, tolerance, toleranz, offset, trim, scale, scaling, range, "
        "setting, settings, einstellung, reglage, ajuste, parameter, parametre, parametro, config, configuration, "
        "konfiguration, calibration, kalibrierung, hysteresis, hysterese, deadband, preset, default, delay, timeout, "
        "verzoegerung, job, auftrag, released, format, sorte",
    ),
)
AGAINST = re.compile(
    _pattern(
        "counter, count, zaehler, stueckzahl, compteur, contador, contatore, uptime, laufzeit, betriebsstunden, "
        "runtime, actual, istwert, ist, measured, measurement, messwert, mesure, medida, clock, uhrzeit, time, zeit, "
        "timestamp, zeitstempel, heure, hora, level, fuellstand, niveau, total, elapsed, remaining, rest, heartbeat, "
        "lebenszeichen, watchdog, cycle, zyklus, current value, process value, pv, status, state, zustand, rssi, load, "
        "auslastung"
    )
)
SECRETS = re.compile(_pattern("password, passwort, contrasena, mot de passe, passphrase, secret, private key, api key"))
FOR = re.compile("|".join(row.pattern for _, _, row in GUESSES))
SPELT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one value, over either protocol.

    `path` are the names down to its own, `where` the keys that address it in a profile, `told` those that somebody
    wrote beside (category, unit …). `values` are those of the looks that were answered; `gap` says why there is none
    that an item could have. `sampling` is in milliseconds. `types` are the types of the objects on its path.
    """

    path: tuple[str, ...]
    where: Mapping[str, Any]
    values: tuple[Value, ...] = ()
    gap: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    writable: bool = False
    is_property: bool = False
    historized: bool = False
    sampling: float = 0.0
    types: tuple[str, ...] = ()
    description: str = ""
    listed: bool = False
    refused: bool = False

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def secret(self) -> bool:
        """Whether it may be one: what a profile names is stored, and shown."""
        named = SECRETS.search(_words(self.name))
        return bool(named) and any(isinstance(value, str | bytes) and value for value in self.values)


@dataclass(frozen=True, slots=True)
class Watch:
    """`looks` at every value, spread over `seconds`."""

    seconds: float = 30.0
    looks: int = 5

    def at(self, look: int) -> float:
        """When a look is due, in seconds after the first, which is look 0."""
        return self.seconds * look / max(self.looks - 1, 1)


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What was seen of a device: what it says it is, its values, and where the look at them ended early."""

    identity: Mapping[str, Any]
    seen: tuple[Seen, ...]
    stopped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether a value is proposed, as what, and why. `spread` is how far a float moved that may yet be a setting."""

    proposed: bool
    category: Category
    severity: Severity
    why: tuple[str, ...]
    spread: float = 0.0


Sign = tuple[int, Callable[[Seen], str]]  # points, and the reason; "" where it does not apply

SIGNS: tuple[Sign, ...] = (
    (2, lambda seen: "a property" if seen.is_property else ""),
    (2, lambda seen: "writable" if seen.writable else ""),
    (2, lambda seen: _among(seen, OF_CONFIGURATION, CONFIGURABLE)),
    (2, lambda seen: _quoted("named", _for((seen.name,)))),
    (1, lambda seen: _quoted("in", _for(_groups(seen)))),
    (1, lambda seen: _quoted("described as", _for((seen.description,) if _described(seen) else ()))),
    (1, lambda seen: _constant(seen)),
    (1, lambda seen: "text or bytes" if seen.values and isinstance(seen.values[-1], str | bytes) else ""),
    (1, lambda seen: "in the tag list" if seen.listed else ""),
    (-1, lambda seen: "the device's own input" if seen.where.get("table") in INPUTS else ""),
    (-2, lambda seen: _among(seen, OF_OPERATION)),
    (-2, lambda seen: _quoted("named", _against(seen))),
    (-9, lambda seen: "describes its variable" if seen.is_property and seen.name in DESCRIBES else ""),
    (-2, lambda seen: "historized" if seen.historized else ""),
    (-1, lambda seen: f"sampled every {seen.sampling:g} ms" if 0 < seen.sampling < FAST else ""),
)


def judge(seen: Seen) -> Judged:
    """Whether it looks like configuration. What varies does not; what could not be read does if somebody listed it."""
    category, severity = _guess(seen)
    if seen.gap:
        return Judged(seen.listed and not seen.refused, category, severity, (seen.gap,))
    if seen.secret:
        return Judged(False, category, severity, ("perhaps a secret, and what a profile names is stored and shown",))
    if len({str(canonical(value)) for value in seen.values}) > 1:
        why, spread = _varies(seen.values)
        return Judged(False, category, severity, (why,), spread)
    found = [(points, reason) for points, sign in SIGNS if (reason := sign(seen))]
    if sum(points for points, _ in found) >= ENOUGH:
        reasons = (*(reason for points, reason in found if points > 0), *_doubts(seen.values[-1]))
        return Judged(True, category, severity, reasons)
    against = tuple(reason for points, reason in found if points < 0)
    return Judged(False, category, severity, against or ("nothing says that it is configuration",))


def item_names(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """A name for each path, each once: its last part, with as many of those above as tell it from others.

    A single word always has the one above it: "enabled" says little, "vision_enabled" what.
    """
    slugs = [tuple(map(_slug, path)) for path in paths]
    names = [path[-1] if "_" in path[-1] else "_".join(path[-2:]) for path in slugs]
    for depth in range(2, max(map(len, slugs), default=0) + 1):
        times = Counter(names)
        if max(times.values()) == 1:
            break
        names = ["_".join(path[-depth:]) if times[name] > 1 else name for path, name in zip(slugs, names, strict=True)]
    taken: dict[str, int] = {}
    return [_free(name[-LONGEST_NAME:].strip("_") or "node", taken) for name in names]


def _free(name: str, taken: dict[str, int]) -> str:
    """`name`, or with a number where it is taken; `taken` says which number was the last."""
    free = name
    while free in taken:
        taken[name] += 1
        free = f"{name}_{taken[name]}"
    taken[free] = 1
    return free


def _slug(name: str) -> str:
    """A browse name as items are called: "LabelLength" is label_length."""
    return "_".join(_split(name[:LONGEST_TEXT])).translate(SPELT) or "node"


def _split(text: str) -> list[str]:
    """The words of a name, small, without what stands between: "GlueTemperatureHigh", "glue-temperature_high"."""
    apart = re.sub(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return re.findall(r"[^\W_]+", apart.casefold())


@lru_cache(10_000)
def _words(text: str) -> str:
    """The same as the tables write them, with a blank between: umlauts spelt out, no other accents; of a long text,
    how it begins."""
    plain = unicodedata.normalize("NFC", text[:LONGEST_TEXT]).translate(SPELT)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(letter))
    return " ".join(_split(plain.translate(SPELT)))


def _groups(seen: Seen) -> tuple[str, ...]:
    """The nearest names above its own, but for those under which a controller has all of its variables."""
    return tuple(name for name in seen.path[-1 - NEAR : -1] if name not in CONTAINERS)


def _described(seen: Seen) -> bool:
    """Whether its description says more than its name."""
    return _words(seen.description) != _words(seen.name)


def _for(names: Iterable[str]) -> str:
    """The first word for configuration in names."""
    return next((found[0] for name in names if (found := FOR.search(_words(name)))), "")


def _against(seen: Seen) -> str:
    """The first word for a process value in its name, and not part of a word for configuration ("time server")."""
    found = AGAINST.search(FOR.sub("", _words(seen.name)))
    return found[0] if found else ""


def _guess(seen: Seen) -> tuple[Category, Severity]:
    """By its name and what it is in, or else by its description."""
    for names in ((seen.name, *_groups(seen)), (seen.description,)):
        for category, severity, row in GUESSES:
            if any(row.search(_words(name)) for name in names):
                return category, severity
    return Category.PARAMETER, Severity.MEDIUM


def _quoted(how: str, word: str) -> str:
    return f'{how} "{word}"' if word else ""


def _among(seen: Seen, groups: Sequence[str], kind: str = "") -> str:
    """The group of a device's variables that it stands in (Part 100)."""
    group = next((name for name in reversed(seen.path[:-1]) if name in groups), "")
    if group:
        return f"in {group}"
    return "of a configurable object" if kind and kind in seen.types else ""


def _constant(seen: Seen) -> str:
    return f"constant in {len(seen.values)} looks" if len(seen.values) > 1 else ""


def _doubts(value: Value) -> tuple[str, ...]:
    least, most = ODD
    odd = isinstance(value, float) and value and not least < abs(value) < most
    return ("BUT no such number is set: see type, word_order and byte_order",) if odd else ()


def _varies(values: Sequence[Value]) -> tuple[str, float]:
    """That it varies, between which bounds if it is a number; and how far if that is little for a float."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or not all(map(isfinite, numbers)):
        return f"varies: {len({str(canonical(value)) for value in values})} values in {len(values)} looks", 0.0
    low, high = min(numbers), max(numbers)
    spread = float(Decimal(str(high)) - Decimal(str(low)))
    if isinstance(low, float) and spread <= SLIGHT * max(abs(low), abs(high)):
        remedy = "if it is a setting, propose it with a tolerance"
        return f"varies a little: {low} to {high} in {len(values)} looks; {remedy}", spread
    return f"varies: {low} to {high} in {len(values)} looks", 0.0
