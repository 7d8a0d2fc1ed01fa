"""plant.toml: what the plant's people wrote down, checked in one go."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import time, timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from baselines.asset import Asset, Criticality
from baselines.baseline import Approval, Stage
from baselines.snapshot import key_of
from collectors.address import Address, parse_address
from collectors.collector import Access, Secret, Target
from collectors.profile import Profile, Profiles, load_profile
from collectors.written import FileError, dotted, read_table, read_toml, table, unknown_keys
from monitor.periods import TIME_OF_DAY
from monitor.reported import Reported, alike, read_report
from monitor.routes import AnyRoute, read_route

SECTIONS = (
    *("plant", "store", "backup", "approval", "evidence", "asset", "machine_type", "segment", "web", "notify"),
    *("self_test", "zone", "report"),
)
ITSELF = "asbuilt"  # the asset that alarms about our own watch are at, where they concern no other
SEGMENT = "segment"  # what stands for the protocol and the profile of a segment
SYSLOG_PORT = 514
LARGEST_PORT = 65535
KEY_FILE = "asbuilt.key"
VAULT = "asbuilt.vault"
ROLE = re.compile(r"[\w.-]+")
BETWEEN, DIGITS = re.compile(r"[:.\-\s]"), re.compile("[0-9a-f]{12}")  # of a MAC address
LISTEN = re.compile(r"\S+:[0-9]{1,5}")
HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
KEEP = timedelta(days=1095)  # what was polled
SHORTEST_KEEP = timedelta(days=400)  # auditors look back over a year, and CIP-010 counts in months
LOG_IN = ("security", "certificate", "private_key", "server_certificate", "user", "password_env", "password_file")
Security = Literal["None", "Basic256Sha256:Sign", "Basic256Sha256:SignAndEncrypt"]


@dataclass(frozen=True, slots=True)
class PlantTable:
    """[plant]"""

    name: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class StoreTable:
    """[store]: the database, the folder of the known-good files, and for how long what was polled is kept."""

    url: str
    vault: str = VAULT
    keep: timedelta = KEEP


@dataclass(frozen=True, slots=True)
class BackupTable:
    """[backup]: the folder that a backup is put into every day, at which time of the plant's day, and how many stay."""

    to: str
    at: str = "02:00"
    keep: int = 14
    vault: bool = True
    key: bool = True


@dataclass(frozen=True, slots=True)
class Backups:
    """The same with its folder found; `with_vault` and `with_key` say whether these are in it."""

    folder: Path
    at: time
    keep: int
    with_vault: bool
    with_key: bool


@dataclass(frozen=True, slots=True)
class AssetTable:
    """[asset."…"]: where a device stands, how it is read, what else people know of it, and (OPC UA) how to log in."""

    address: str
    profile: str
    every: timedelta = timedelta(seconds=30)
    deep_every: timedelta | None = None
    zone: str = ""
    role: str = ""
    purdue_level: float | None = None
    criticality: Criticality = Criticality.MEDIUM
    location: str = ""
    machine_type: str = ""
    asset_number: str = ""
    hostname: str = ""
    mac: str = ""
    operating_system: str = ""
    logging: str = ""
    user_accounts: str = ""
    allow_safety: bool = False
    security: Security = "None"
    certificate: str = ""
    private_key: str = ""
    server_certificate: str = ""
    user: str = ""
    password_env: str = ""
    password_file: str = ""


@dataclass(frozen=True, slots=True)
class MachineType:
    """[machine_type.…]: what the machines of a type share, which is what one of them has or what is written here by
    item, as JSON shows it; and the patterns of the items that may differ."""

    golden: str = ""
    shared: Mapping[str, Any] = field(default_factory=dict)
    may_differ: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """[zone.…]: what all devices of a zone together are sent at most, whatever each of them bears."""

    requests_per_second: float

    def __post_init__(self) -> None:
        if not 0 < self.requests_per_second <= 1_000_000:
            raise ValueError(f"requests_per_second is above 0, and 1,000,000 at most; not {self.requests_per_second:g}")


@dataclass(frozen=True, slots=True)
class SegmentTable:
    """[segment.…]: a network segment that a SPAN or TAP port shows. What was not heard for `stale_after` is stale."""

    interface: str
    stale_after: timedelta = timedelta(days=1)
    zone: str = ""
    criticality: Criticality = Criticality.MEDIUM
    location: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalTable:
    """[approval]: where four eyes are needed (everywhere, or by criticality), and which roles sign off which stage."""

    four_eyes: bool | list[Criticality] = False
    sign_off: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvidenceTable:
    """[evidence]: the key that signs checkpoints, and where they are kept outside of the store."""

    key: str = KEY_FILE
    checkpoints: list[str] = field(default_factory=lambda: ["asbuilt.checkpoints"])


@dataclass(frozen=True, slots=True)
class Evidence:
    """The same with its places found: files, and syslog receivers as (transport, host, port)."""

    key: Path
    files: tuple[Path, ...] = ()
    receivers: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class OidcTable:
    """[web.oidc]: a provider at whom people sign in (OpenID Connect), and in which claim their name here is."""

    issuer: str
    client_id: str
    client_secret_env: str = ""
    client_secret_file: str = ""
    claim: str = "preferred_username"

    @property
    def secret(self) -> Secret:
        return Secret(self.client_secret_env, self.client_secret_file)


@dataclass(frozen=True, slots=True)
class WebTable:
    """[web]: where the page, /healthz, /readyz and /metrics are; port 0 is any that is free. `hosts` are the names that
    we are called by, `proxies` the addresses of those that say for whom they ask."""

    listen: str = "127.0.0.1:8470"
    enabled: bool = True
    hosts: list[str] = field(default_factory=list)
    certificate: str = ""
    private_key: str = ""
    proxies: list[str] = field(default_factory=list)
    oidc: OidcTable | None = None

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


@dataclass(frozen=True, slots=True)
class SelfTestTable:
    """[self_test]: at what time of the day, in the plant's timezone, the whole way to the message is tested."""

    enabled: bool = True
    at: str = "06:00"

    @property
    def time(self) -> time:
        return time.fromisoformat(self.at)


@dataclass(frozen=True, slots=True)
class Polled:
    """An asset with how it is polled."""

    asset: Asset
    target: Target
    every: timedelta
    deep_every: timedelta | None = None  # polls between read the tripwire alone; None: every poll reads all
    allowed: bool = True  # False: a safety controller whose owner has not said allow_safety


@dataclass(frozen=True, slots=True)
class Watched:
    """A segment, as an asset, with how it is listened to."""

    asset: Asset
    target: Target
    interface: str
    stale_after: timedelta


@dataclass(frozen=True, slots=True)
class Plant:
    """A plant.toml that was found right. Relative paths in it are already those beside the file."""

    path: Path
    name: str
    timezone: str
    store_url: str
    assets: Mapping[str, Polled]
    profiles: Profiles
    evidence: Evidence
    segments: Mapping[str, Watched] = field(default_factory=dict)
    routes: tuple[AnyRoute, ...] = ()
    approval: Approval = field(default_factory=Approval)
    machine_types: Mapping[str, MachineType] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)  # all that is written, by key path, as JSON
    vault: Path = Path(VAULT)
    web: WebTable = field(default_factory=WebTable)
    self_test: SelfTestTable = SelfTestTable()
    keep: timedelta = KEEP
    backups: Backups | None = None
    zones: Mapping[str, float] = field(default_factory=dict)  # requests a second, of those that have a limit
    reports: Mapping[str, Reported] = field(default_factory=dict)

    def criticality(self, name: str) -> Criticality:
        """How much hangs on an asset or a segment; medium for one that is not in the file."""
        known = self.assets.get(name) or self.segments.get(name)
        return known.asset.criticality if known else Criticality.MEDIUM


def load_plant(path: Path) -> Plant:
    """The plant that a file describes; FileError holds every fault, each with its key path."""
    return _Reader(path).plant(read_toml(path))


def plant_with(path: Path, added: Mapping[str, Mapping[str, Any]]) -> Plant:
    """The plant that a file would describe with these asset tables too; FileError holds every fault."""
    written = read_toml(path)
    return _Reader(path).plant({**written, "asset": {**written.get("asset", {}), **added}})


class _Reader:
    """One reading of one file: gathers the faults."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path.resolve().parent
        self.faults: list[str] = []
        self.added: dict[str, Profile] = {}  # by the path that plant.toml gives
        self.bundled = Profiles()

    def plant(self, written: dict[str, Any]) -> Plant:
        self.faults += unknown_keys(written, SECTIONS, "")
        plant = read_table(PlantTable, self.section(written, "plant"), "plant", self.faults)
        store = read_table(StoreTable, self.section(written, "store"), "store", self.faults)
        approval = self.approval(self.section(written, "approval"))
        evidence = self.evidence(self.section(written, "evidence"))
        backups = self.backups(self.section(written, "backup"))
        web = self.web(self.section(written, "web"))
        assets = {name: self.asset(name, found) for name, found in self.section(written, "asset").items()}
        types = {
            name: self.machine_type(name, found, assets)
            for name, found in self.section(written, "machine_type").items()
        }
        segments = {name: self.segment(name, found, assets) for name, found in self.section(written, "segment").items()}
        watched = [*assets.values(), *segments.values()]
        zones = {each.asset.zone for each in watched if each} if all(watched) else None
        routes = [self.route(name, found, zones) for name, found in self.section(written, "notify").items()]
        limited = {zone: self.zone(zone, found, assets) for zone, found in self.section(written, "zone").items()}
        reports = {name: self.report(name, found, zones) for name, found in self.section(written, "report").items()}
        self.faults += alike(reports)
        self_test = self.self_test(self.section(written, "self_test"))
        url = self.store_url(store.url) if store else ""
        if store and (not store.vault.strip() or "\0" in store.vault):
            self.faults.append(f'store.vault: names the folder of the vault, such as "{VAULT}", not {store.vault!r}')
        if store and store.keep < SHORTEST_KEEP:
            days = SHORTEST_KEEP.days
            self.faults.append(f"store.keep: is at least {days}d: auditors look back over more than a year")
        if plant:
            self.check_timezone(plant.timezone)
            if not plant.name.strip():
                self.faults.append("plant.name: is empty")
        self.check_addresses({name: polled for name, polled in assets.items() if polled})
        self.check_interfaces({name: segment for name, segment in segments.items() if segment})
        if self.faults or plant is None or approval is None or evidence is None:
            raise FileError(self.path, self.faults)
        return Plant(
            self.path,
            plant.name,
            plant.timezone,
            url,
            {name: polled for name, polled in assets.items() if polled},
            Profiles(self.added.values()),
            evidence,
            {name: segment for name, segment in segments.items() if segment},
            tuple(route for route in routes if route),
            approval,
            {name: found for name, found in types.items() if found},
            self.settings(written),
            self.folder / (store.vault if store else VAULT),
            web or WebTable(),
            self_test or SelfTestTable(),
            store.keep if store else KEEP,
            backups,
            {zone: said.requests_per_second for zone, said in limited.items() if said},
            {name: found for name, found in reports.items() if found},
        )

    def settings(self, written: dict[str, Any]) -> dict[str, str]:
        """All that decides how the plant is watched: what is written, and what the profiles beside it hold."""
        profiles = {f"profile.{key_of(name)}": each.digest for name, each in self.added.items()}
        return dict(sorted({**dict(_flat(written, "")), **profiles}.items()))

    def approval(self, found: dict[str, Any]) -> Approval | None:
        said = read_table(ApprovalTable, found, "approval", self.faults)
        if said is None:
            return None
        stages = [stage.value for stage in Stage]
        self.faults += unknown_keys(said.sign_off, stages, "approval.sign_off")
        for stage, roles in said.sign_off.items():
            if not roles or not all(ROLE.fullmatch(role) for role in roles) or len(set(roles)) < len(roles):
                place = dotted("approval.sign_off", key_of(stage))
                self.faults.append(f'{place}: is a list of roles, each a word of its own: ["supplier", "customer"]')
        four_eyes = said.four_eyes if isinstance(said.four_eyes, list) else list(Criticality) if said.four_eyes else []
        sign_off = {Stage(stage): tuple(roles) for stage, roles in said.sign_off.items() if stage in stages}
        return Approval(frozenset(four_eyes), sign_off)

    def backups(self, found: dict[str, Any]) -> Backups | None:
        said = read_table(BackupTable, found, "backup", self.faults) if found else None
        if said is None:
            return None
        if not said.to.strip() or "\0" in said.to:
            self.faults.append(f'backup.to: names a folder, such as "backups", not {said.to!r}')
        if said.keep < 1:
            self.faults.append(f"backup.keep: is how many backups stay, 1 or more, not {said.keep}")
        if not TIME_OF_DAY.fullmatch(said.at):
            self.faults.append(f'backup.at: is a time of day such as "02:00", not {said.at!r}')
            return None
        return Backups(self.folder / said.to, time.fromisoformat(said.at), said.keep, said.vault, said.key)

    def web(self, found: dict[str, Any]) -> WebTable | None:
        oidc = self.oidc(found["oidc"]) if "oidc" in found else None
        rest = {key: value for key, value in found.items() if key != "oidc"}
        web = read_table(WebTable, rest, "web", self.faults, oidc=oidc)
        if web is None:
            return None
        if not (LISTEN.fullmatch(web.listen) and web.port <= LARGEST_PORT):
            self.faults.append(f"web.listen: is an address and a port such as 127.0.0.1:8470, not {web.listen!r}")
        if bool(web.certificate) != bool(web.private_key):
            self.faults.append("web.certificate: and web.private_key are there together, or neither")
        for host in web.hosts:
            if not HOST.fullmatch(host):
                self.faults.append(f"web.hosts: are names without a port, such as asbuilt.plant.local, not {host!r}")
        for proxy in web.proxies:
            if not _is_network(proxy):
                self.faults.append(f"web.proxies: are addresses or networks such as 10.0.0.5, not {proxy!r}")
        certificate, key = (str(self.folder / path) if path else "" for path in (web.certificate, web.private_key))
        return replace(web, certificate=certificate, private_key=key)

    def oidc(self, found: Any) -> OidcTable | None:
        written = table(found, "web.oidc", self.faults)
        if "client_secret" in written:
            self.faults.append("web.oidc.client_secret: no secret belongs in this file; use client_secret_file")
            return None
        said = read_table(OidcTable, written, "web.oidc", self.faults)
        if said is None:
            return None
        issuer = urlsplit(said.issuer)
        if not (issuer.scheme == "https" and issuer.hostname) and not _is_local(said.issuer):
            self.faults.append(
                f"web.oidc.issuer: begins with https://, not {said.issuer!r}: who we believe comes by it"
            )
        if not said.claim or not said.client_id:
            self.faults.append("web.oidc: claim and client_id are not empty")
        if said.client_secret_env and said.client_secret_file:
            self.faults.append("web.oidc: client_secret_env or client_secret_file, not both")
        file = str(self.folder / said.client_secret_file) if said.client_secret_file else ""
        return replace(said, client_secret_file=file)

    def evidence(self, found: dict[str, Any]) -> Evidence | None:
        said = read_table(EvidenceTable, found, "evidence", self.faults)
        if said is None:
            return None
        files, receivers = [], []
        for place in said.checkpoints:
            if "://" not in place:
                files.append(self.folder / place)
            elif receiver := _receiver(place):
                receivers.append(receiver)
            else:
                self.faults.append(
                    f"evidence.checkpoints: is a file, or syslog://host:514 (UDP), or syslog+tcp://…, not {place!r}"
                )
        return Evidence(self.folder / said.key, tuple(files), tuple(receivers))

    def by_name(self, name: str) -> Profile:
        added = {profile.name: profile for profile in self.added.values()}
        return added[name] if name in added else self.bundled[name]

    def section(self, written: dict[str, Any], name: str) -> dict[str, Any]:
        return table(written.get(name, {}), name, self.faults)

    def asset(self, name: str, found: Any) -> Polled | None:
        path = dotted("asset", key_of(name))
        if "password" in table(found, path, []):
            self.faults.append(f"{path}.password: no secret belongs in this file; use password_env or password_file")
            found = {key: value for key, value in found.items() if key != "password"}
        found = table(found, path, self.faults)
        if not name or not name.isprintable():
            self.faults.append(f"{path}: an asset's name is not empty and has no control characters")
        self.check_name(name, path)
        address, profile = self.address(found.get("address"), path), self.profile(found.get("profile"), path)
        said = read_table(AssetTable, found, path, self.faults)
        if said is None or address is None or profile is None:
            return None
        self.check_access(said, address, path)
        if profile != "auto" and not self.by_name(profile).reads(address.protocol):
            self.faults.append(f"{path}.profile: {profile} has items that {address.protocol} cannot read")
        if said.deep_every is not None and said.deep_every < said.every:
            self.faults.append(f"{path}.deep_every: is no shorter than every: the tripwire is what is read more often")
        if said.purdue_level is not None and not 0 <= said.purdue_level <= 5:
            self.faults.append(f"{path}.purdue_level: is 0 to 5, not {said.purdue_level:g}")
        mac = _mac(said.mac)
        if mac is None:
            self.faults.append(f"{path}.mac: is a MAC address such as 00:1b:1b:12:34:56, not {said.mac!r}")
        asset = Asset(
            name,
            str(address),
            said.profile,
            said.zone,
            said.role,
            said.purdue_level,
            said.criticality,
            said.location,
            said.machine_type,
            said.asset_number,
            said.hostname,
            mac or "",
            said.operating_system,
            said.logging,
            said.user_accounts,
        )
        allowed = said.criticality is not Criticality.SAFETY or said.allow_safety
        return Polled(asset, Target(name, address, profile, self.access(said)), said.every, said.deep_every, allowed)

    def address(self, text: Any, path: str) -> Address | None:
        if not isinstance(text, str):
            return None  # which the table itself is told of
        try:
            return parse_address(text)
        except ValueError as error:
            self.faults.append(f"{path}.address: {error}")
            return None

    def profile(self, named: Any, path: str) -> str | None:
        """The name of the profile that an asset names: a bundled one, a file beside plant.toml, or "auto"."""
        if not isinstance(named, str):
            return None
        if named == "auto" or named in self.bundled:
            return named
        if not named.endswith(".toml"):
            bundled = ", ".join(self.bundled.names)
            self.faults.append(f'{path}.profile: no profile {named!r}; bundled are {bundled}; or a path, or "auto"')
            return None
        if named not in self.added:
            try:
                profile = load_profile(self.folder / named)
            except FileError as error:
                self.faults += [f"{path}.profile: {named}: {fault}" for fault in error.faults]
                return None
            if profile.name in [*self.bundled.names, *(other.name for other in self.added.values())]:
                self.faults.append(f"{path}.profile: {named}: the name {profile.name!r} is taken; give it another")
            self.added[named] = profile
        return self.added[named].name

    def check_access(self, said: AssetTable, address: Address, path: str) -> None:
        needed = {
            "certificate": said.security != "None" and not said.certificate,
            "private_key": said.security != "None" and not said.private_key,
            "password_env": bool(said.user) and bool(said.password_env) == bool(said.password_file),
        }
        hints = {
            "certificate": f'is required with security = "{said.security}"',
            "private_key": f'is required with security = "{said.security}"',
            "password_env": "a user needs either password_env or password_file",
        }
        self.faults += [f"{path}.{key}: {hints[key]}" for key, missing in needed.items() if missing]
        if address.protocol == "modbus":
            for key in LOG_IN:
                if getattr(said, key) not in ("", "None"):
                    self.faults.append(f"{path}.{key}: Modbus has no log-in; this is for opc.tcp addresses")

    def access(self, said: AssetTable) -> Access:
        policy, _, mode = said.security.partition(":")
        return Access(
            policy,
            mode or "None",
            self.beside(said.certificate),
            self.beside(said.private_key),
            self.beside(said.server_certificate),
            said.user,
            Secret(said.password_env, self.beside(said.password_file)),
        )

    def beside(self, named: str) -> str:
        return str(self.folder / named) if named else ""

    def machine_type(self, name: str, found: Any, assets: Mapping[str, Polled | None]) -> MachineType | None:
        path = dotted("machine_type", key_of(name))
        said = read_table(MachineType, table(found, path, self.faults), path, self.faults)
        if said is None:
            return None
        if said.golden and said.shared:
            self.faults.append(f"{path}.shared: what they share is what golden has already; keep one of the two")
        for key, value in said.shared.items():
            if isinstance(value, dict):
                self.faults.append(
                    f'{path}.shared.{key_of(key)}: write the whole item in quotes, as in "item.mode" = 3'
                )
            elif not _is_shown(value):
                self.faults.append(f"{path}.shared.{key_of(key)}: is no value that an item can have: {value!r}")
        types = {each: polled.asset.machine_type for each, polled in assets.items() if polled}
        of_type = [each for each, found in types.items() if found == name != ""]
        if len(types) < len(assets):  # of an asset that is not right, the type is not known either
            return said
        if not of_type:
            known = ", ".join(sorted({*types.values()} - {""})) or "none"
            self.faults.append(f"{path}: no asset has this machine_type; there is {known}")
        elif said.golden and said.golden not in of_type:
            self.faults.append(f"{path}.golden: {said.golden!r} is no {name}; write one of {', '.join(of_type)}")
        return said

    def segment(self, name: str, found: Any, assets: Mapping[str, Any]) -> Watched | None:
        path = dotted("segment", key_of(name))
        if name in assets:
            self.faults.append(f"{path}: an asset has this name; a segment is an asset too, so give it another")
        said = read_table(SegmentTable, table(found, path, self.faults), path, self.faults)
        if said is None:
            return None
        if not name or not name.isprintable():
            self.faults.append(f"{path}: a segment's name is not empty and has no control characters")
        self.check_name(name, path)
        if not said.interface.strip() or not said.interface.isprintable():
            self.faults.append(f'{path}.interface: name the interface that the SPAN or TAP port is on, such as "eth1"')
        asset = Asset(
            name,
            f"interface:{said.interface}",
            SEGMENT,
            said.zone,
            SEGMENT,
            criticality=said.criticality,
            location=said.location,
        )
        return Watched(asset, Target(name, Address(SEGMENT, said.interface, 0)), said.interface, said.stale_after)

    def route(self, name: str, found: Any, zones: Collection[str] | None) -> AnyRoute | None:
        path = dotted("notify", key_of(name))
        return read_route(name, table(found, path, self.faults), path, self.folder, zones, self.faults)

    def report(self, name: str, found: Any, zones: Collection[str] | None) -> Reported | None:
        path = dotted("report", key_of(name))
        return read_report(name, table(found, path, self.faults), path, self.folder, zones, self.faults)

    def self_test(self, found: dict[str, Any]) -> SelfTestTable | None:
        said = read_table(SelfTestTable, found, "self_test", self.faults)
        if said and not TIME_OF_DAY.fullmatch(said.at):
            self.faults.append(f'self_test.at: is a time of the day, such as "06:00", not {said.at!r}')
        return said

    def zone(self, zone: str, found: Any, assets: Mapping[str, Polled | None]) -> ZoneTable | None:
        path = dotted("zone", key_of(zone))
        known = {polled.asset.zone for polled in assets.values() if polled} - {""}
        if zone not in known and all(assets.values()):
            named = ", ".join(sorted(known)) or "none"
            self.faults.append(f"{path}: no asset is of this zone; there is {named}")
        return read_table(ZoneTable, table(found, path, self.faults), path, self.faults)

    def check_name(self, name: str, path: str) -> None:
        if name == ITSELF:
            self.faults.append(f"{path}: {ITSELF} is the name of the monitor itself; give it another")
        if {".", ".."} & {*name.split("/")}:
            self.faults.append(f"{path}: a browser takes . and .. between slashes for the way to another page")

    def store_url(self, url: str) -> str:
        """The URL with a relative SQLite path made one beside plant.toml."""
        from monitor.store import store_url

        try:
            return store_url(url, self.folder)
        except ValueError as error:
            self.faults.append(f"store.url: {error}")
            return ""

    def check_timezone(self, name: str) -> None:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            self.faults.append(f"plant.timezone: {name!r} is not known; write one such as Europe/Berlin")

    def check_interfaces(self, segments: Mapping[str, Watched]) -> None:
        first: dict[str, str] = {}
        for name, segment in segments.items():
            other = first.setdefault(segment.interface, name)
            if other != name:
                path = dotted("segment", key_of(name))
                self.faults.append(f"{path}.interface: segment {other} listens at {segment.interface} already")

    def check_addresses(self, assets: Mapping[str, Polled]) -> None:
        taken: dict[str, str] = {}
        for name, polled in assets.items():
            address = polled.asset.address
            if address in taken:
                first = key_of(taken[address])
                self.faults.append(f"{dotted('asset', key_of(name))}.address: asset.{first} has {address} already")
            taken.setdefault(address, name)


def _mac(written: str) -> str | None:
    """A MAC address as the wire has it, however it is written; "" for none, None for what is no MAC address."""
    digits = BETWEEN.sub("", written.casefold())
    if not digits:
        return ""
    return ":".join(re.findall("..", digits)) if DIGITS.fullmatch(digits) else None


def _receiver(place: str) -> tuple[str, str, int] | None:
    """Transport, host and port of a syslog receiver."""
    try:
        parts = urlsplit(place)
        transport = {"syslog": "udp", "syslog+udp": "udp", "syslog+tcp": "tcp"}.get(parts.scheme)
        return (transport, parts.hostname, parts.port or SYSLOG_PORT) if transport and parts.hostname else None
    except ValueError:
        return None


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Key path and value, as JSON, of all that a file says; of addresses that may hold a secret, their digest."""
    if isinstance(value, dict):
        for key, found in value.items():
            yield from _flat(found, dotted(path, key_of(key)))
    elif path.startswith("notify.") and path.endswith(".url"):
        yield path, json.dumps(f"SHA-256 {sha256(str(value).encode()).hexdigest()}")
    else:
        yield path, json.dumps(value, default=str)


def _is_shown(value: Any) -> bool:
    """Whether JSON can show an item's value like this: no date, and no number that no device has."""
    if isinstance(value, list):
        return all(map(_is_shown, value))
    return isinstance(value, str | float) or (isinstance(value, int) and -(2**63) <= value < 2**64)


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _is_local(url: str) -> bool:
    """Whether what is at an address without TLS is this machine."""
    try:
        return urlsplit(url).scheme == "http" and ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return urlsplit(url).scheme == "http" and urlsplit(url).hostname == "localhost"
