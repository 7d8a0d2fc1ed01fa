"""A profile to start from: what a survey saw of a device, as TOML that people edit, and as JSON. No I/O.

All names and texts come from the device or a list: they are escaped, and the text is read again before it is given.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from baselines.snapshot import plain
from collectors.drafting import Judged, Seen, Surveyed, item_names, judge
from collectors.profile import Node, Profile, Profiles, parse_profile
from monitor.entries import comment, printable, toml_string
from monitor.show import value_text

LONGEST_VALUE, LONGEST_PATH, LONGEST_WHY = 60, 200, 400  # letters in a comment
PRODUCT = ("product_code", "model", "product_name", "server_id")  # which of these, beside the manufacturer, is matched
PRIVATE = re.compile("object_[0-9]+")

Keys = dict[str, Any]  # of an item, as a profile has them


@dataclass(frozen=True, slots=True)
class Drafted:
    """One value under the name of its item, and what is thought of it."""

    name: str
    seen: Seen
    judged: Judged

    @property
    def keys(self) -> Keys:
        """What addresses it, what was told of it, and what is guessed for the rest."""
        judged = self.judged
        guessed: Keys = {"category": str(judged.category), "severity": str(judged.severity)}
        if judged.spread:
            guessed = {"tolerance": judged.spread} | guessed
        return {**self.seen.where, **guessed, **self.seen.told}

    @property
    def value(self) -> Any:
        """What it was last, as JSON has it; None where it was not read, or may be a secret."""
        return plain(self.seen.values[-1]) if self.seen.values and not self.seen.secret else None

    @property
    def why(self) -> list[str]:
        return list(self.judged.why)

    @property
    def nameable(self) -> bool:
        """Whether a profile could hold it at all."""
        try:
            return "node" not in self.seen.where or bool(Node(self.seen.where["node"]))
        except ValueError:
            return False


@dataclass(frozen=True)
class Draft:
    """A profile in the making; `made_at` is ISO 8601."""

    address: str
    name: str
    made_at: str
    surveyed: Surveyed
    drafted: tuple[Drafted, ...]

    @property
    def proposed(self) -> list[Drafted]:
        return [each for each in self.drafted if each.judged.proposed]

    @property
    def left_out(self) -> list[Drafted]:
        return [each for each in self.drafted if not each.judged.proposed]

    @property
    def stopped(self) -> str | None:
        return printable("; ".join(self.surveyed.stopped)) or None

    @cached_property
    def fitting(self) -> str | None:
        """The bundled profile that is of this product already."""
        protocol = self.address.partition(":")[0]
        chosen = Profiles().choose(self.surveyed.identity, protocol)
        return chosen.name if chosen.match else None

    @cached_property
    def toml(self) -> str:
        """The profile, read again: what is given away can be loaded."""
        text = "".join(_text(self))
        parse_profile(tomllib.loads(text), self.name)
        return text


def draft(address: str, name: str | None, made_at: str, surveyed: Surveyed) -> Draft:
    """The draft of a profile; without a name it is called what the device is."""
    seen = surveyed.seen
    listed = all(one.listed for one in seen)
    names = [one.name for one in seen] if listed else item_names([one.path for one in seen])
    drafted = tuple(Drafted(own, one, judge(one)) for own, one in zip(names, seen, strict=True))
    return Draft(address, name or _product(surveyed.identity), made_at, surveyed, drafted)


def _match(identity: Mapping[str, Any]) -> dict[str, str]:
    """What tells the product: its manufacturer, and the first that it says of its kind."""
    said = {key: value for key, value in identity.items() if isinstance(value, str) and value.strip()}
    kind = [key for key in PRODUCT if key in said][:1]
    match = {key: said[key] for key in ("manufacturer", *kind) if key in said}
    return match if kind and Profile("draft", match=match).fits(identity) else {}


def _product(identity: Mapping[str, Any]) -> str:
    """A name for the profile, which none that comes with asbuilt has."""
    words = re.findall("[a-z0-9]+", " ".join(_match(identity).values()).lower())
    name = "-".join(words)[:LONGEST_VALUE].strip("-") or "draft"
    return f"{name}-draft" if name in Profiles() or name == "auto" else name


def _text(draft: Draft) -> Iterator[str]:
    yield from _head(draft)
    for each in draft.proposed:
        yield "\n" + _item(each)
    if draft.left_out:
        yield "\n" + comment("NOT PROPOSED, each with the reason. To propose one all the same, take away the first #")
        yield comment("of each of its lines.")
    for each in draft.left_out:
        yield "#\n" + _as_comment(_item(each) if each.nameable else _about(each))


def _head(draft: Draft) -> Iterator[str]:
    yield comment(f"Drafted by asbuilt from {draft.address} at {draft.made_at}.")
    counts = f"{len(draft.proposed)} of {len(draft.drafted)} values are proposed"
    yield comment(f"{counts}; a person decides: delete what is no configuration, see what is left out below,")
    yield comment("and set category, severity and tolerance. Keys: docs/profiles.md.")
    if draft.stopped:
        yield comment(f"INCOMPLETE: {draft.stopped}.")
    if draft.fitting:
        yield comment(f'asbuilt has a profile of this product: {draft.fitting}; profile = "auto" takes it.')
    yield f"name = {toml_string(draft.name)}\n"
    yield from _matching(draft.surveyed.identity)
    yield "\n" + comment("What the device is asked to bear; these are the defaults:")
    yield _as_comment("[limits]\nrequests_per_second = 5\n")


def _matching(identity: Mapping[str, Any]) -> Iterator[str]:
    match = _match(identity)
    if match:
        yield f"match = {_value(match)}\n"
    else:
        yield comment("The device does not say what it is; name this profile at the asset in plant.toml.")
    private = [key for key in identity if PRIVATE.fullmatch(key)]
    if private and not identity.get("serial_number"):
        yield comment("It keeps private objects. If one of them is a field of its identity, say which, such as:")
        yield _as_comment(f"identity = {_value({'serial_number': private[0]})}\n")
        for key in private:
            yield comment(f"    {key}: {_short(identity[key])}")


def _item(each: Drafted) -> str:
    lines = [f"{key} = {_value(value)}\n" for key, value in each.keys.items()]
    return "".join([_about(each), f"[item.{_key(each.name)}]\n", *lines])


def _about(each: Drafted) -> str:
    path = _cut(".".join(each.seen.path), LONGEST_PATH)
    shown = f" = {_short(each.value)}" if each.value is not None else ""
    return comment(f"{path}{shown}: {_cut(', '.join(each.why), LONGEST_WHY)}")


def _as_comment(text: str) -> str:
    """Lines of TOML as comments: where the first # of each is taken away, they are TOML again."""
    return "".join(f"# {line}\n" if line else "#\n" for line in text.split("\n")[:-1])


def _short(value: Any) -> str:
    return _cut(value_text(value), LONGEST_VALUE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else toml_string(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(word)}" for key, word in value.items()) + " }"
    return repr(value)


def document(draft: Draft) -> dict[str, Any]:
    """The draft as JSON has it."""
    return {
        "address": draft.address,
        "identity": dict(draft.surveyed.identity),
        "profile": draft.name,
        "proposed": [_drafted_document(each) for each in draft.proposed],
        "left_out": [_drafted_document(each) for each in draft.left_out],
        "stopped": draft.stopped,
        "bundled": draft.fitting,
        "error": None,
        "toml": draft.toml,
    }


def _drafted_document(each: Drafted) -> dict[str, Any]:
    return {"name": each.name, **each.keys, "value": each.value, "why": each.why}


def summary(draft: Draft) -> str:
    """How many are proposed, by category."""
    counts = Counter(str(each.keys["category"]) for each in draft.proposed)
    said = ", ".join(f"{count} {category}" for category, count in counts.most_common())
    return f"{len(draft.proposed)} proposed{f' ({said})' if said else ''}, {len(draft.left_out)} left out"
