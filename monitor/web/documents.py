"""What the API answers, for its document: the documents of docs/json.md as schemas. Nothing is checked by them when an
answer is made; that answers are as they say is tested (tests/test_web_api.py). Keys may be added to any of them."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from baselines.alert import AlertState, Event
from baselines.artefact import ArtefactKind
from baselines.asset import Criticality
from baselines.baseline import Stage, State
from baselines.cause import Cause
from baselines.change import OrderState, Outcome
from baselines.conformity import By as Basis
from baselines.conformity import CellState, Source, Standing
from baselines.drift import Kind, Verdict
from baselines.quality import By, Out
from baselines.rules import Direction
from baselines.snapshot import Category, Severity

At: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Hex: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]+$")]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Count: TypeAlias = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """The base of them all."""

    model_config = ConfigDict(populate_by_name=True)


class Since(Answer):
    """What is about a time."""

    begins: At = Field(alias="from")


class Page(Answer):
    """One page of a long list; `next_offset` is null on the last one."""

    total: Count
    next_offset: Count | None


class Plant(Answer):
    plant: str
    timezone: str
    now: At
    version: str
    assets: Count
    segments: Count
    watched: bool
    why: list[str]


class Me(Answer):
    person: str
    roles: list[str]
    scopes: list[str]


class Alarm(Answer):
    id: int
    asset: str
    item: str
    kind: Kind
    approved: Any
    observed: Any
    state: AlertState
    severity: Severity
    category: Category
    techniques: list[str]
    direction: Direction | None
    raised_at: At
    changed_at: At
    who: dict[str, Any] | None
    acknowledged_by: str | None
    shelved_until: At | None
    reason: str
    suppressed_by: str | None
    cause: Cause | None
    prevention: str
    closed_by: str | None
    closed_at: At | None
    text: str


class Alarms(Answer):
    alerts: list[Alarm]


class AlarmsPage(Alarms):
    next: int | None


class Move(Answer):
    at: At
    event: Event
    before: AlertState
    after: AlertState
    observed: Any
    by: str | None
    reason: str


class Technique(Answer):
    technique: str
    name: str
    means: str


class Steps(Answer):
    title: str
    steps: list[str]


class AlarmAndLife(Answer):
    alert: Alarm
    moves: list[Move]
    techniques: list[Technique]
    what_to_do: Steps


class Baseline(Answer):
    asset: str
    digest: Hex
    state: State
    stage: Stage
    proposed_by: str
    proposed_at: At
    approved_by: str | None
    approved_at: At | None
    rejected_by: str | None
    rejected_at: At | None
    reason: str
    ticket: str
    origin: str | None
    profile: str


class Baselines(Answer):
    baselines: list[Baseline]


class BaselinesPage(Baselines, Page):
    pass


class Imported(Baselines):
    skipped: list[Baseline]
    key: Hex
    manifest: Hex


class Word(Answer):
    by: str
    role: str
    at: At
    reason: str
    ticket: str


class WholeBaseline(Baseline):
    items: dict[str, Any]
    unread: list[str]
    dropped: dict[str, str]
    signed: list[Word]
    to_sign: list[str]
    capture: dict[str, Any] | None


class Signed(Baseline):
    to_sign: list[str]


class SignedBaselines(Answer):
    baselines: list[Signed]


class Deviation(Answer):
    item: str
    kind: Kind
    approved: Any
    observed: Any
    category: Category
    severity: Severity
    techniques: list[str]
    direction: Direction | None
    unit: str
    suppressed_by: str | None


class AssetDeviation(Deviation):
    asset: str


class Differences(Answer):
    a: str
    b: str
    assets: list[str]
    deviations: list[AssetDeviation]


class Artefact(Answer):
    asset: str
    baseline: Hex
    state: State
    kind: ArtefactKind
    name: str
    size: Count
    digest: Hex
    added_by: str
    added_at: At


class ArtefactThere(Artefact):
    in_vault: bool


class ArtefactsPage(Page):
    artefacts: list[ArtefactThere]


class ArtefactAttached(Artefact):
    is_attached_now: bool


class ArtefactsAttached(Answer):
    artefacts: list[ArtefactAttached]


class Kept(Answer):
    digest: Hex
    size: Count
    is_new: bool


class Kit(Answer):
    kit: int
    plant: str
    asset: dict[str, Any]
    baseline: dict[str, Any]
    profile: dict[str, Any]
    identity: list[dict[str, Any]]
    files: list[dict[str, Any]]
    left_out: list[dict[str, Any]]
    parameters: list[dict[str, Any]]
    reported: list[dict[str, Any]]
    not_covered: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    gaps: list[str]


class Gap(Since):
    witness: str
    cause: str
    text: str
    until: At | None
    seconds: float


class Covered(Answer):
    asset: str
    watched_since: At | None
    share: Share | None
    longest_gap: float
    gaps: list[Gap]


class Coverage(Since):
    until: At
    blind_now: list[str]
    assets: list[Covered]


class Expectation(Answer):
    asset: str
    item: str
    expected: Any
    observed: Any
    outcome: Outcome | None


class Excess(Answer):
    asset: str
    item: str
    approved: Any
    observed: Any


class Order(Since):
    id: int
    state: OrderState
    ticket: str
    reason: str
    until: At
    overdue: bool
    opened_by: str
    opened_at: At
    closed_by: str | None
    closed_at: At | None
    expectations: list[Expectation]
    excess: list[Excess]


class OrdersPage(Page):
    orders: list[Order]


class ClosedOrder(Order):
    baselines: list[Baseline]


class Machine(Answer):
    asset: str
    seen_at: At | None
    source: Source | None
    unseen: Verdict | None
    odd: Count
    unread: Count
    verdict: Standing
    severity: Severity | None
    category: Category | None


class Cell(Answer):
    asset: str
    value: Any
    state: CellState


class Row(Answer):
    item: str
    shared: Any
    by: Basis
    severity: Severity
    category: Category
    cells: list[Cell]


class MachineType(Answer):
    machine_type: str
    golden: str | None
    golden_source: Source | None
    assets: list[Machine]
    items: list[Row]


class Conformity(Answer):
    types: list[MachineType]


class Bar(Answer):
    count: Count
    share: Share
    cumulative: Share


class Wire(Answer):
    kinds: list[Bar]
    causes: list[Bar]


class RatePeriod(Since):
    until: At
    deviations: Count
    false_alarms: Count
    asset_days: float
    rate: float | None
    lower: float | None
    upper: float | None
    out: Out | None


class Rate(Answer):
    asset_days: float
    centre: float | None
    cautions: list[str]
    periods: list[RatePeriod]


class Times(Answer):
    count: Count
    median: float | None
    p90: float | None
    longest: float | None


class Seconds(Answer):
    detected: Times
    detected_at_most: Times
    acknowledged: Times
    mended: Times
    approved: Times
    open: Times
    open_before: Times


class OrderPeriod(Since):
    until: At
    closed: Count
    passed: Count


class OrderFigures(Answer):
    closed: Count
    passed: Count
    passed_first: Share | None = Field(alias="yield")
    open: Count
    overdue: Count
    outcomes: list[Bar]
    periods: list[OrderPeriod]


class Quality(Since):
    until: At
    by: By
    timezone: str
    deviations: Count
    false_alarms: Count
    suppressed: Count
    causes: list[Bar]
    categories: list[Bar]
    severities: list[Bar]
    assets: list[Bar]
    wire: Wire
    rate: Rate
    seconds: Seconds
    onset_unknown: Count
    ended_otherwise: Count
    orders: OrderFigures


class Person(Answer):
    person: str
    roles: list[str]
    public_key: Hex
    signs_with: str
    removed_at: At | None


class Persons(Answer):
    persons: list[Person]


class NewPersons(Persons):
    provisional_password: str


class Token(Answer):
    id: int
    person: str
    name: str
    scopes: list[str]
    good: bool
    made_at: At
    ends_at: At | None
    used_at: At | None
    revoked_at: At | None


class Tokens(Answer):
    tokens: list[Token]


class NewTokens(Tokens):
    token: str


class Limits(Answer):
    connections: int
    requests_per_second: float
    in_a_second: int
    services: list[str]


class Contract(Answer):
    device: str
    assets: list[str]
    verdict: str
    since: At | None
    until: At | None
    allowed: Limits
    sent: dict[str, Any] | None
    response: dict[str, Any] | None
    failures: dict[str, Count] | None
    forbidden: dict[str, Count]
    exceeded: dict[str, Count]


class Contracts(Answer):
    is_fresh: bool
    devices: Count
    verdicts: dict[str, Count]
    contracts: list[Contract]


class Outage(Answer):
    kind: str | None
    text: str | None
    first_at: At
    last_at: At
    polls: Count


class Absent(Answer):
    until: At
    by: str
    reason: str


class Asset(Answer):
    asset: str
    address: str
    profile: str
    zone: str
    role: str
    purdue_level: int | None
    criticality: Criticality
    location: str
    machine_type: str
    verdict: Verdict
    last_seen: At | None
    identity: dict[str, Any]
    digest: Hex | None
    baseline: Hex | None
    outage: Outage | None
    out_of_service: Absent | None
    retired_at: At | None


class Assets(Answer):
    assets: list[Asset]


class Known(Answer):
    value: Any
    sources: list[str]
    why: str


class Contradiction(Answer):
    field: str
    written: Any
    found: Any
    source: str


class File(Answer):
    digest: Hex
    name: str
    kind: ArtefactKind
    size: Count
    added_by: str
    added_at: At
    is_earlier: bool
    misfit: str
    in_vault: bool


class Item(Answer):
    item: str
    verdict: Verdict
    approved: Any
    observed: Any
    category: Category | None
    severity: Severity | None
    unit: str
    tolerance: float | None
    kind: Kind | None
    techniques: list[str]
    dropped: bool
    why: str


class WholeAsset(Asset):
    all_read_at: At | None
    items: list[Item]
    alerts: list[Alarm]
    approved: Baseline | None
    proposal: Baseline | None
    orders: list[int]
    known: dict[str, Known]
    contradictions: list[Contradiction]
    coverage: Coverage
    contract: Contract | None
    files: list[File]


class Happened(Answer):
    at: At
    what: str
    text: str
    by: str | None
    why: str
    ticket: str
    alarm: int | None
    order: int | None
    digest: str | None


class History(Answer):
    asset: str
    events: list[Happened]
    more: bool


class Failure(Answer):
    kind: str
    text: str


class Sent(Answer):
    connections: Count
    requests: Count


class Polled(Answer):
    asset: str
    verdict: Verdict
    taken_at: At | None
    digest: Hex | None
    profile_digest: Hex | None
    identity: dict[str, Any]
    items: dict[str, Any]
    unread: list[str]
    why_unread: dict[str, str]
    uncertain: list[str]
    error: Failure | None
    sent: Sent
    deviations: list[Deviation]
    unapproved: list[str]


class PollsDone(Answer):
    checked_at: At
    assets: list[Polled]


class Stepped(Answer):
    asset: str
    action: str
    at: At
    by: str
    detail: dict[str, Any]
    alerts: list[Alarm]


class Job(Answer):
    id: str
    title: str
    what: str
    done: Count
    of: Count
    ended: bool
    why: str
    outcome: Any


class Difference(Answer):
    item: str
    difference: str
    approved: Any
    proposed: Any
    why: str
    category: Category | None
    severity: Severity | None
    techniques: list[str]
    direction: Direction | None
    unit: str
    tolerance: list[float | None]


class Varying(Answer):
    asset: str
    item: str
    values: Any
    low: Any
    high: Any
    changes: Count
    missed: Count


class Proposal(Baseline):
    approved: Baseline | None
    differences: list[Difference]
    unchanged: Count
    read_since: At | None
    changed_since: list[Any]
    varying: list[Varying]
    signed: list[Word]
    to_sign: list[str]
    takes_two: bool


class ProposalsPage(Page):
    proposals: list[Proposal]


class DecidedOn(Baselines):
    varying: list[Varying]


class SelfTest(Answer):
    at: At
    ok: bool
    legs: dict[str, float]
    text: str


class Chore(Answer):
    chore: str
    last_at: At | None
    next_at: At | None
    text: str | None


class Route(Answer):
    route: str
    kind: str
    place: str
    min_severity: Severity
    waiting: Count
    oldest: At | None
    held: Count
    flapping: Count
    sent_at: At | None
    failed: Count
    why: str | None


class Watch(Answer):
    ready: bool
    why: list[str]
    at: At
    version: str
    self_test: SelfTest | None
    self_test_passed_at: At | None
    chores: list[Chore]
    routes: list[Route]
    store: dict[str, Any]


class Part(Answer):
    segment: str
    heard_at: At | None
    has_baseline: bool
    unseen: Verdict | None
    why: str | None


class Level(Answer):
    level: float | None
    name: str
    hosts: Count


class Host(Answer):
    host: str
    mac: str | None
    ips: list[str]
    names: list[str]
    state: str
    assets: list[str]
    zone: str | None
    level: float | None
    level_name: str
    level_why: str
    protocols: list[str]
    segments: list[str]


class Conversation(Answer):
    client: str
    server: str
    protocol: str
    functions: list[str]
    state: str
    segments: list[str]
    crossing: str | None


class Network(Answer):
    segments: list[Part]
    levels: list[Level]
    hosts: list[Host]
    conversations: list[Conversation]
    unheard: list[str]


class Heard(Answer):
    segment: str
    first_at: At
    last_at: At
    is_at_least: bool


class WholeHost(Host):
    heard: list[Heard]
    conversations: list[Conversation]
    alerts: list[Alarm]


class WireEvent(Answer):
    at: At
    first_at: At
    asset: str
    operation: str
    client: str | None
    name: str | None
    protocol: str | None
    item: str | None
    value: Any
    text: str | None
    techniques: list[str]
    severity: Severity | None
    alert: int | None
    state: str | None


class WireEvents(Since):
    until: At
    events: list[WireEvent]


class ScheduledReport(Answer):
    name: str
    kind: str
    every: str
    formats: list[str]
    pack: bool
    zones: list[str]
    last_at: At | None
    text: str | None
    next_at: At
    files: list[str]
    why: str | None


class Reports(Answer):
    made: list[Job]
    scheduled: list[ScheduledReport]


class Checkpoint(Answer):
    entries: int
    head: Hex
    at: At


class Key(Answer):
    public_key: str
    entry: int


class Audit(Answer):
    entries: list[dict[str, Any]]
    last: int
    checkpoint: Checkpoint | None
    keys: list[Key]
    kept_in: list[Any]


ANSWERS: dict[str, type[Answer]] = {  # by operation
    "get_plant": Plant,
    "get_me": Me,
    "get_alerts": AlarmsPage,
    "get_alerts_by_number": AlarmAndLife,
    "post_alerts_ack": Alarms,
    "post_alerts_shelve": Alarms,
    "post_alerts_close": Alarms,
    "get_artefacts": ArtefactsPage,
    "post_artefacts": ArtefactsAttached,
    "post_vault": Kept,
    "get_kit": Kit,
    "get_assets": Assets,
    "get_assets_by_asset": WholeAsset,
    "get_history": History,
    "post_polls": PollsDone,
    "post_checks": PollsDone,
    "post_assets_out_of_service": Stepped,
    "post_assets_in_service": Stepped,
    "get_baselines": BaselinesPage,
    "get_baselines_diff": Differences,
    "get_baselines_by_digest": WholeBaseline,
    "get_proposals": ProposalsPage,
    "post_baselines_propose": Job,
    "post_baselines_commission": Job,
    "post_baselines_decide": DecidedOn,
    "post_baselines_approve": SignedBaselines,
    "post_baselines_reject": SignedBaselines,
    "post_baselines_import": Imported,
    "get_conformity": Conformity,
    "get_coverage": Coverage,
    "get_network": Network,
    "get_network_hosts_by_mac": WholeHost,
    "get_events": WireEvents,
    "get_changes": OrdersPage,
    "get_changes_by_number": Order,
    "post_changes": Order,
    "post_changes_close": ClosedOrder,
    "get_persons": Persons,
    "post_persons": NewPersons,
    "post_persons_roles": Persons,
    "post_persons_reset": NewPersons,
    "post_persons_remove": Persons,
    "get_tokens": Tokens,
    "post_tokens": NewTokens,
    "delete_tokens_by_number": Tokens,
    "post_reports": Job,
    "get_reports": Reports,
    "get_jobs_by_number": Job,
    "delete_jobs_by_number": Job,
    "get_audit": Audit,
    "post_verify": Job,
    "get_quality": Quality,
    "get_watch": Watch,
    "post_self_test": SelfTest,
    "get_contract": Contracts,
}


def schemas(place: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """By operation a reference to the schema of its answer, and all these schemas. `place` is where one of them is."""
    kinds = list(dict.fromkeys(ANSWERS.values()))
    found, defined = models_json_schema([(kind, "serialization") for kind in kinds], ref_template=place)
    references = {kind: found[kind, "serialization"] for kind in kinds}
    return {name: references[kind] for name, kind in ANSWERS.items()}, defined["$defs"]
