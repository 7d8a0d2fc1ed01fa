"""Where everything of a map of the network is drawn: a band a level, boxes in groups, curves between them. Pure.

The same scene is always drawn the same way. In a band no two boxes overlap; everything is inside of the frame. What a
host says of itself is in the texts of the boxes, made fit for XML, and escaped by whoever writes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.acting import acting
from monitor.drawing import shown, text_width
from monitor.network import State
from monitor.network_view import Box, Link, Scene
from monitor.purdue import DMZ, MANY, OUTSIDE, from_the_top, level_name

WIDTH = 1240.0  # at most
NARROWEST = 620.0
LABELS = 128.0  # the names of the bands, on the left
EDGE = 16.0
HEADING = 18.0  # the name of a group, above its boxes
INSET = 10.0  # of a group around its boxes
APART = 14.0  # two groups
SWEEPS = 2  # over the bands, to have boxes near those that they talk with
LABELLED_MOST = 36  # links of a map in which each of them is labelled
REMARKABLE_MOST = 60  # labels in any other
LABEL_SIZE = 10.5
PLACES = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78)  # along a curve, where its label may be
CROSSINGS_LABELLED = 8
UNMARKED = (State.APPROVED, State.UNAPPROVED)
BEFORE_TEXT = {"large": 45.0, "medium": 30.0, "small": 8.0}  # of a box: its icon
BOLD = 1.1  # how much wider bold letters are
SAID_MOST = 6  # conversations that a title names


@dataclass(frozen=True, slots=True)
class Size:
    """Of boxes, and of what is between them, in pixels. `most` boxes are drawn so."""

    name: str
    most: float
    width: float
    height: float
    across: float  # between two boxes
    down: float
    between: float  # two bands
    text: float


SIZES = (
    Size("large", 40, 178.0, 50.0, 16.0, 40.0, 76.0, 12.5),
    Size("medium", 130, 132.0, 34.0, 10.0, 22.0, 64.0, 11.5),
    Size("small", float("inf"), 88.0, 19.0, 5.0, 6.0, 54.0, 9.5),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A box, where it is, and what it says."""

    id: int
    box: Box
    x: float
    y: float
    width: float
    height: float
    title: str
    below: str
    icon: str
    about: str

    @property
    def key(self) -> str:
        """What stays the same when the map is drawn anew."""
        return shown(self.box.key)

    @property
    def mark(self) -> str:
        """What is said at its corner: how it stands, where that is remarkable."""
        return "" if self.box.state in UNMARKED else self.box.state.upper()

    @property
    def mark_width(self) -> float:
        return text_width(self.mark, 9.5) + 10

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Curve:
    """A link as a cubic curve from client to server, and the label on it, if it has one."""

    link: Link
    ends: tuple[int, int]
    points: tuple[tuple[float, float], ...]
    about: str
    label: str = ""
    at: tuple[float, float] = (0.0, 0.0)
    label_width: float = 0.0

    @property
    def path(self) -> str:
        (x, y), *rest = ((f"{x:.1f}", f"{y:.1f}") for x, y in self.points)
        return f"M{x} {y}C{' '.join(f'{a} {b}' for a, b in rest)}"

    @property
    def tip(self) -> str:
        """What its arrow looks like."""
        alarming = self.link.is_outside or self.link.state in (State.NEW, State.CHANGED)
        tone = "alert" if alarming else "crossing" if self.link.crossing else "plain"
        return f"{tone}-{'writes' if self.link.acts else 'reads'}"

    @property
    def look(self) -> str:
        """Its classes: what is said by a colour is said by its form too (network part of page.css)."""
        words = ["writes" if self.link.acts else "reads", f"is-{self.link.state}"]
        return " ".join(
            [*words, *(["outside"] if self.link.is_outside else ["crossing"] if self.link.crossing else [])]
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The frame around boxes that belong together."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Band:
    """A level, from side to side."""

    level: float | None
    name: tuple[str, ...]  # in lines
    y: float
    height: float
    hosts: int


@dataclass(frozen=True, slots=True)
class Map:
    """A map with all its parts, in the order in which they are drawn."""

    width: float
    height: float
    size: Size
    bands: tuple[Band, ...]
    groups: tuple[Group, ...]
    curves: tuple[Curve, ...]
    boxes: tuple[Placed, ...]


def draw(scene: Scene) -> Map:
    """The map of a scene."""
    size = next(each for each in SIZES if len(scene.boxes) <= each.most)
    neighbours = _neighbours(scene.links)
    rows = _rows(scene.boxes, neighbours, {}, size)
    for _ in range(SWEEPS):
        centres = {box.key: x + size.width / 2 for band in rows for box, x, _ in band.places}
        rows = _rows(scene.boxes, neighbours, centres, size)
    width = _fitting(rows)
    left = (WIDTH - width) / 2  # everything is in the middle: what is not needed goes at both sides
    bands: list[Band] = []
    groups: list[Group] = []
    boxes: list[Placed] = []
    y = EDGE
    for number, band in enumerate(rows):
        hosts = sum(len(box.hosts) for box, *_ in band.places)
        bands.append(Band(band.level, _in_lines(level_name(band.level)), y, band.height, hosts))
        groups += [replace(group, x=group.x - left, y=group.y + y) for group in band.groups]
        boxes += [
            _placed(len(boxes) + at, box, x - left, top + y, size) for at, (box, x, top) in enumerate(band.places)
        ]
        y += band.height + (size.between if number < len(rows) - 1 else 0)
    found = {placed.box.key: placed for placed in boxes}
    curves = _curves(scene.links, found, size, width)
    lowest = max((py for curve in curves for _, py in curve.points), default=0.0)
    return Map(width, max(y, lowest) + EDGE, size, tuple(bands), tuple(groups), tuple(curves), tuple(boxes))


# ---- Boxes


@dataclass(slots=True)
class _Row:
    """One band while it is laid out: boxes and groups with y from its top."""

    level: float | None
    places: list[tuple[Box, float, float]]
    groups: list[Group]
    height: float = 0.0
    width: float = 0.0


def _fitting(rows: Iterable[_Row]) -> float:
    """How wide a map has to be for the widest of its bands."""
    widest = max((row.width for row in rows), default=0.0)
    return min(max(LABELS + widest + EDGE, NARROWEST), WIDTH)


def _neighbours(links: Iterable[Link]) -> Mapping[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for link in links:
        found[link.client].append(link.server)
        found[link.server].append(link.client)
    return found


def _rows(
    boxes: Sequence[Box], neighbours: Mapping[str, list[str]], centres: Mapping[str, float], size: Size
) -> list[_Row]:
    by_band: defaultdict[float | None, defaultdict[str, list[Box]]] = defaultdict(lambda: defaultdict(list))
    for box in boxes:
        by_band[box.band][box.group].append(box)
    pull = {box.key: _pull(box, neighbours, centres) for box in boxes}
    return [_row(level, by_band[level], pull, size) for level in sorted(by_band, key=from_the_top)]


def _pull(box: Box, neighbours: Mapping[str, list[str]], centres: Mapping[str, float]) -> float:
    """Where a box would be if it were among those that it talks with."""
    at = [centres[key] for key in neighbours.get(box.key, ()) if key in centres]
    return sum(at) / len(at) if at else centres.get(box.key, WIDTH / 2)


def _row(level: float | None, groups: Mapping[str, list[Box]], pull: Mapping[str, float], size: Size) -> _Row:
    """Groups from left to right, and on shelves below each other where they do not fit beside each other."""
    made = _Row(level, [], [])
    room = WIDTH - LABELS - EDGE
    order = sorted(groups, key=lambda name: (_mean(pull[box.key] for box in groups[name]), name))
    shelves: list[list[tuple[str, int, float, float]]] = [[]]  # name, columns, width, height
    left = room
    for name in order:
        columns, width, height = _extent(len(groups[name]), len(order), bool(name), room, size)
        if width > left and shelves[-1]:
            shelves.append([])
            left = room
        shelves[-1].append((name, columns, width, height))
        left -= width + APART
    y = 0.0
    for shelf in shelves:
        taken = sum(width + APART for *_, width, _ in shelf) - APART
        made.width = max(made.width, taken)
        x = LABELS + (room - taken) / 2
        for name, columns, width, height in shelf:
            _fill(made, name, _by_pull(groups[name], pull, size), (x, y), columns, size)
            if name:
                made.groups.append(Group(shown(name, width - 16, LABEL_SIZE), x, y, width, height))
            x += width + APART
        y += max(height for *_, height in shelf) + APART
    made.height = y - APART
    return made


def _extent(count: int, groups: int, is_named: bool, room: float, size: Size) -> tuple[int, float, float]:
    """Columns, width and height of a group with so many boxes: flat, so that curves have a way, but not wider than
    its share where there are others."""
    fitting = int((room - 2 * INSET + size.across) // (size.width + size.across))
    share = fitting if groups == 1 or size.name == "large" else max(2, fitting // min(groups, 3))
    rows = -(-count // min(share, fitting))
    columns = -(-count // rows)
    heading = HEADING if is_named else 0.0
    width = columns * (size.width + size.across) - size.across + 2 * INSET
    return columns, width, rows * (size.height + size.down) - size.down + 2 * INSET + heading


def _fill(made: _Row, name: str, boxes: Sequence[Box], at: tuple[float, float], columns: int, size: Size) -> None:
    x, y = at[0] + INSET, at[1] + INSET + (HEADING if name else 0.0)
    for number, box in enumerate(boxes):
        row, column = divmod(number, columns)
        made.places.append((box, x + column * (size.width + size.across), y + row * (size.height + size.down)))


def _by_pull(boxes: Sequence[Box], pull: Mapping[str, float], size: Size) -> list[Box]:
    """Near those that they talk with; where they are so many that one has to search, by name."""
    if size.name == "small":
        return sorted(boxes, key=lambda box: (len(box.hosts) == 1, box.hosts[0].label.casefold(), box.key))
    return sorted(boxes, key=lambda box: (round(pull[box.key]), box.hosts[0].label.casefold(), box.key))


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return round(sum(found) / len(found), 3)


def _in_lines(name: str) -> tuple[str, ...]:
    head, colon, rest = name.partition(": ")
    return (head, *((rest.replace("site ", "")).split("|"))) if colon else (name,)


def _placed(number: int, box: Box, x: float, y: float, size: Size) -> Placed:
    room = size.width - BEFORE_TEXT[size.name] - 4
    if host := box.host:
        first = _plainly(host.label.removeprefix(f"{box.group}/") or host.label)
        details = [text for text in (host.address if host.label != host.address else "", host.vendor) if text]
        below = " · ".join(map(_plainly, details))
    else:
        first = f"{len(box.hosts)} hosts"
        below = box.group or "alike"
    signed = 8.0 if size.name == "small" and box.state not in UNMARKED else 0.0
    title = shown(first, (room - signed) / BOLD, size.text)
    below = shown(below, room - (34.0 if box.alarms else 0.0), LABEL_SIZE) if below else ""
    return Placed(number, box, x, y, size.width, size.height, title, below, _icon(box), _about(box))


def _plainly(text: str) -> str:
    return text.strip() or "no name"


def _icon(box: Box) -> str:
    if box.band is None:
        return "stranger"
    if box.band == MANY:
        return "many"
    if box.band == OUTSIDE:
        return "outside"
    if box.band >= DMZ:
        return "server"
    return "screen" if box.band >= 2.0 else "controller" if box.band >= 1.0 else "field"


def _about(box: Box) -> str:
    """What a box is, in words: what a screen reader says, and what shows where one points at it."""
    if host := box.host:
        said = [_short(host.label), *([] if host.label == host.address else [_short(host.address)])]
        said += [_short(host.vendor)] if host.vendor else []
        said += [level_name(host.level.value), str(box.state)]
        said += [] if host.assets or box.band == MANY else ["not in plant.toml"]
    else:
        said = [
            f"{len(box.hosts)} hosts of {box.group or 'this level'}",
            level_name(box.band),
            f"all of them {box.state}",
        ]
    said += [f"{box.alarms} open alarm{'s' * (box.alarms != 1)}"] if box.alarms else []
    return ", ".join(said)


def _short(text: str) -> str:
    return shown(text, 400)


# ---- Curves


def _curves(links: Sequence[Link], boxes: Mapping[str, Placed], size: Size, width: float) -> list[Curve]:
    ways = [_way(boxes[link.client], boxes[link.server]) for link in links]
    slots = _slots(links, ways, boxes)
    curves = []
    for number, (link, way) in enumerate(zip(links, ways, strict=True)):
        client, server = boxes[link.client], boxes[link.server]
        begin, end = slots[number, 0], slots[number, 1]
        points = _points(
            (begin, client.bottom if way[0] else client.y), (end, server.bottom if way[1] else server.y), way
        )
        curves.append(Curve(link, (client.id, server.id), points, _said(link, client, server)))
    curves.sort(key=lambda curve: (_weight(curve.link), curve.ends))  # what is remarkable is drawn last, on top
    return _labelled(curves, boxes.values(), size, width)


def _way(client: Placed, server: Placed) -> tuple[bool, bool]:
    """Whether a curve leaves its client, and reaches its server, from below (else from above)."""
    if client.y == server.y:
        return True, True
    return (True, False) if client.y < server.y else (False, True)


def _slots(
    links: Sequence[Link], ways: Sequence[tuple[bool, bool]], boxes: Mapping[str, Placed]
) -> dict[tuple[int, int], float]:
    """Where each end of each link is at its box: side by side, in the order in which the other ends are."""
    sides: defaultdict[tuple[str, bool], list[tuple[float, int, int]]] = defaultdict(list)
    for number, (link, way) in enumerate(zip(links, ways, strict=True)):
        for end, (own, other) in enumerate(((link.client, link.server), (link.server, link.client))):
            sides[own, way[end]].append((boxes[other].x, number, end))
    found: dict[tuple[int, int], float] = {}
    for (key, _), ends in sides.items():
        box = boxes[key]
        for place, (_, number, end) in enumerate(sorted(ends), 1):
            found[number, end] = box.x + box.width * (0.14 + 0.72 * place / (len(ends) + 1))
    return found


def _points(
    begin: tuple[float, float], end: tuple[float, float], way: tuple[bool, bool]
) -> tuple[tuple[float, float], ...]:
    (x1, y1), (x2, y2) = begin, end
    if way[0] == way[1]:  # beside each other: an arc below both
        bend = min(16 + 0.09 * abs(x2 - x1), 44.0)
    else:
        bend = max(0.48 * abs(y2 - y1), 14.0)
    return begin, (x1, y1 + (bend if way[0] else -bend)), (x2, y2 + (bend if way[1] else -bend)), end


def _weight(link: Link) -> tuple[bool, bool, bool, bool]:
    return link.is_outside, link.state in (State.NEW, State.CHANGED), link.crossing is not None, link.acts


def _labelled(curves: list[Curve], boxes: Iterable[Placed], size: Size, width: float) -> list[Curve]:
    """The curves with labels, where there is room for one: of all, or of the remarkable ones where they are many."""
    every = len(curves) <= LABELLED_MOST and size.name != "small"
    crossings = every or sum(curve.link.crossing is not None for curve in curves) <= CROSSINGS_LABELLED
    least = 3 if crossings else 2  # of what makes a link remarkable
    wanted = [number for number, curve in enumerate(curves) if every or any(_weight(curve.link)[:least])]
    taken = _Taken([(box.x, box.y, box.right, box.bottom) for box in boxes])
    told: set[tuple[int, str]] = set()
    for number in wanted[::-1][:REMARKABLE_MOST]:
        curve = curves[number]
        label = _label(curve.link)
        if not every and (curve.ends[0], label) in told:  # said once of whoever does it to many
            continue
        told.add((curve.ends[0], label))
        wide = text_width(label, LABEL_SIZE) + 12
        for place in PLACES:
            x, y = _on(curve.points, place)
            area = (x - wide / 2, y - 9, x + wide / 2, y + 9)
            if area[0] >= LABELS and area[2] <= width - 2 and taken.take(area):
                curves[number] = replace(curve, label=label, at=(x, y), label_width=wide)
                break
    return curves


class _Taken:
    """Areas that are taken."""

    def __init__(self, areas: list[tuple[float, float, float, float]]) -> None:
        self._areas = areas

    def take(self, area: tuple[float, float, float, float]) -> bool:
        """Take an area if it is free."""
        left, top, right, bottom = area
        if any(left < r and right > x and top < b and bottom > y for x, y, r, b in self._areas):
            return False
        self._areas.append(area)
        return True


def _on(points: Sequence[tuple[float, float]], t: float) -> tuple[float, float]:
    """The point of a cubic curve at t."""
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    return sum(w * x for w, (x, _) in zip(weights, points, strict=True)), sum(
        w * y for w, (_, y) in zip(weights, points, strict=True)
    )


def _label(link: Link) -> str:
    protocols = link.protocols
    text = protocols[0] if len(protocols) == 1 else f"{len(protocols)} protocols"
    text += f" ×{len(link.talks)}" if len(link.talks) > len(protocols) else ""
    text = f"{text} writes" if link.acts else text
    new = {State.NEW: "new: ", State.CHANGED: "changed: ", State.SILENT: "silent: ", State.UNSEEN: "unseen: "}
    return shown(new.get(link.state, "") + text, 180, LABEL_SIZE)


def _said(link: Link, client: Placed, server: Placed) -> str:
    """A link in words."""
    said = []
    for talk in link.talks[:SAID_MOST]:
        what = ", ".join(talk.functions[:SAID_MOST]) + (", …" if len(talk.functions) > SAID_MOST else "")
        done = " (writes)" if acting(talk.functions) else ""
        said.append(f"{talk.protocol}{done}: {what}" if what else f"{talk.protocol}{done}")
    more = f"; and {len(link.talks) - SAID_MOST} more" if len(link.talks) > SAID_MOST else ""
    crossing = f"; {link.crossing}" if link.crossing else ""
    return shown(f"{client.title} to {server.title}, {link.state}{crossing}. {'; '.join(said)}{more}", 3000)
