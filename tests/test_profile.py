"""Profiles: what is written in them, what is wrong with them, and which one fits a device."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.snapshot import Category, Item, Severity, Value
from collectors.contract import Limits
from collectors.profile import (
    GENERIC,
    ItemSpec,
    Node,
    Profile,
    Profiles,
    Register,
    bundled,
    load_profile,
    parse_profile,
)
from collectors.written import FileError

BUNDLED = sorted(Path(str(files("collectors") / "profiles")).glob("*.toml"))

EVERYTHING = """
name = "acme-p1"
about = "ACME P-1"
match = { manufacturer = "ACME", product_code = "P-1*" }
identity = { serial_number = "object_128" }

[limits]
connections = 1
requests_per_second = 2.5
registers_per_request = 60
bits_per_request = 100
nodes_per_read = 10
read_gaps = true
report_server_id = true
timeout = "500ms"
close_after_poll = true

[item.operating_mode]
table = "holding"
address = 100
type = "uint16"
mask = 0x00F0
shift = 4
values = { 3 = "RUN" }
category = "mode"
severity = "critical"
about = "the key"

[item."fill limit"]
table = "holding"
address = 210
type = "float32"
word_order = "little"
byte_order = "little"
scale = 0.1
offset = -2
tolerance = 1
unit = "l"

[item.recipe]
table = "input"
address = 65528
type = "string"
count = 8

[item.coil]
table = "coil"
address = 65535

[item.version]
node = "nsu=urn:acme:filler;s=Recipe.Version;x"
"""


def profile(text: str) -> Profile:
    return parse_profile(tomllib.loads(text), "p.toml")


def item(text: str, name: str = "a") -> Profile:
    return profile(f'name = "p"\n[item.{name}]\n{text}')


def faults(text: str) -> tuple[str, ...]:
    with pytest.raises(FileError) as caught:
        profile(text)
    return caught.value.faults


def test_everything_that_can_be_written_is_read() -> None:
    read = profile(EVERYTHING)
    assert (read.name, read.about) == ("acme-p1", "ACME P-1")
    assert read.match == {"manufacturer": "ACME", "product_code": "P-1*"}
    assert read.identity == {"serial_number": "object_128"}
    assert read.limits == Limits(1, 2.5, 60, 100, 10, True, True, True, 0.5, True)
    assert read.items == (
        ItemSpec(
            "operating_mode",
            Register("holding", 100, "uint16", mask=0xF0, shift=4),
            Category.MODE,
            Severity.CRITICAL,
            values={"3": "RUN"},
            about="the key",
        ),
        ItemSpec(
            "fill limit",
            Register("holding", 210, "float32", word_order="little", byte_order="little", scale=0.1, offset=-2),
            tolerance=1.0,
            unit="l",
        ),
        ItemSpec("recipe", Register("input", 65528, "string", count=8)),
        ItemSpec("coil", Register("coil", 65535)),
        ItemSpec("version", Node("nsu=urn:acme:filler;s=Recipe.Version;x")),
    )
    assert [spec.key for spec in read.items][:2] == ["item.operating_mode", 'item."fill limit"']


def test_a_subscription_is_allowed_in_words() -> None:
    read = profile('name = "p"\n[limits]\nsubscribe = true\npublishing = "500ms"\n[item.a]\nnode = "i=1"')
    assert (read.limits.subscribe, read.limits.publishing) == (True, 0.5)
    assert read.digest == profile('name = "p"\n[item.a]\nnode = "i=1"').digest


def test_a_name_is_enough() -> None:
    assert profile('name = "p"') == Profile("p")


A_REGISTER = 'table = "holding"\naddress = 1\ntype = "uint16"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "name: is required"),
        ("name = 5", "name: expected `str`, got `int`"),
        ('name = "p"\nmatsh = {}', "matsh: unknown key; did you mean 'match'?"),
        ('name = "p"\n[limit]\n', "limit: unknown key; did you mean 'limits'?"),
        ('name = "p"\n[items.a]\n', "items: unknown key; did you mean 'item'?"),
        ('name = "p"\nitem = 5', "item: is a table, not 5"),
        ('name = "p"\nlimits = []', "limits: is a table, not []"),
        ('name = "p"\n[item]\na = 5', "item.a: is a table, not 5"),
        ('name = "p"\nmatch = { vendor = "ACME" }', "match.vendor: unknown key"),
        ('name = "p"\nmatch = { modl = "ACME" }', "match.modl: unknown key; did you mean 'model'?"),
        ('name = "p"\nmatch = { manufacturer = 5 }', "match: expected `str`, got `int`"),
        ('name = "p"\nidentity = { serial = "object_128" }', "identity.serial: unknown key"),
        ('name = "p"\nidentity = { serial_number = "objekt_128" }', "identity.serial_number: "),
        ('name = "p"\n[limits]\nrequests_per_secnd = 5', "limits.requests_per_secnd: unknown key; did you mean"),
        ('name = "p"\n[limits]\nrequests_per_second = 0', "limits.requests_per_second: is 0.001 to 1e+06, not 0"),
        ('name = "p"\n[limits]\nrequests_per_second = nan', "limits.requests_per_second: is 0.001"),
        ('name = "p"\n[limits]\nrequests_per_second = "5"', "limits.requests_per_second: expected `float`"),
        ('name = "p"\n[limits]\nregisters_per_request = 126', "limits.registers_per_request: is 1 to 125, not 126"),
        ('name = "p"\n[limits]\nbits_per_request = 2001', "limits.bits_per_request: is 1 to 2000, not 2001"),
        ('name = "p"\n[limits]\nnodes_per_read = 0', "limits.nodes_per_read: is 1 to 10000, not 0"),
        ('name = "p"\n[limits]\nconnections = 2', "limits.connections: is 1 to 1, not 2"),
        ('name = "p"\n[limits]\nread_gaps = "yes"', "limits.read_gaps: expected `bool`, got `str`"),
        ('name = "p"\n[limits]\ntimeout = 2', 'limits.timeout: a duration is written "30s"'),
        ('name = "p"\n[limits]\npublishing = 1', 'limits.publishing: a duration is written "30s"'),
        ('name = "p"\n[limits]\nsubscribe = true\nclose_after_poll = true', "limits.subscribe: needs a session"),
        ('name = "p"\n[limits]\nsubscribe = true\npublishing = "11s"', "limits.publishing: is at most 10 s"),
        (
            'name = "p"\n[limits]\nsubscribe = true\nrequests_per_second = 1',
            "limits.publishing: is at least 2 s with 1 requests per second",
        ),
        (
            f'name = "p"\n[limits]\nsubscribe = true\n[item.a]\n{A_REGISTER}',
            "limits.subscribe: Modbus knows no subscriptions",
        ),
    ],
)
def test_a_fault_of_the_head_has_its_key_path(text: str, expected: str) -> None:
    found = faults(text)
    assert any(fault.startswith(expected) for fault in found), found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "item.a: needs either table, address and type (Modbus) or node (OPC UA)"),
        (A_REGISTER + '\nnode = "i=1"', "item.a: needs either table"),
        ('table = "holding"\ntype = "uint16"', "item.a.address: is required"),
        ('table = "holding"\naddress = 1', "item.a.type: is required"),
        ('table = "holdng"\naddress = 1\ntype = "bool"', "item.a.table: is one of coil, discrete, input, holding; not"),
        ('table = "holding"\naddress = 1\ntype = "u16"', "item.a.type: is one of bool, int16, uint16"),
        ('table = "holding"\naddress = 1.5\ntype = "uint16"', "item.a.address: expected `int`"),
        ('table = "holding"\naddress = -1\ntype = "uint16"', "item.a: address -1 with 1 registers is not within"),
        ('table = "holding"\naddress = 65536\ntype = "uint16"', "item.a: address 65536"),
        ('table = "holding"\naddress = 65535\ntype = "uint32"', "item.a: address 65535 with 2 registers"),
        (
            'table = "holding"\naddress = 1\ntype = "string"',
            'item.a: count (registers) goes with type "string", and is missing',
        ),
        ('table = "holding"\naddress = 1\ntype = "string"\ncount = 0', "item.a: count is 1 or more"),
        ('table = "holding"\naddress = 1\ntype = "bytes"\ncount = 126', "item.a: 126 registers are more than"),
        (A_REGISTER + "\ncount = 2", "item.a: count (registers) goes with"),
        (A_REGISTER + "\nadress = 2", "item.a.adress: unknown key; did you mean 'address'?"),
        (A_REGISTER + "\nbit = 16", "item.a: bit is 0 to 15"),
        (A_REGISTER + "\nbit = -1", "item.a: bit is 0 to 15"),
        (A_REGISTER + "\nbit = 1\nmask = 1", "item.a: either bit, or mask and shift"),
        (A_REGISTER + "\nmask = 0", "item.a: mask is 1 to 0xffff for 16 bits"),
        (A_REGISTER + "\nmask = 0x10000", "item.a: mask is 1 to 0xffff for 16 bits"),
        (A_REGISTER + "\nshift = 16", "item.a: shift is 0 to 15"),
        (A_REGISTER + "\nscale = 0", "item.a: a scale of 0 would hide every change"),
        (A_REGISTER + "\nscale = inf", "item.a: "),
        (A_REGISTER + "\nscale = nan", "item.a: "),
        (A_REGISTER + "\noffset = inf", "item.a: "),
        (A_REGISTER + "\nbit = 1\nscale = 2", "item.a: scale and offset go with numbers"),
        (A_REGISTER + '\nword_order = "middle"', "item.a.word_order: is one of big, little; not 'middle'"),
        (A_REGISTER + '\ncategory = "colour"', "item.a.category: is one of identity, firmware, program"),
        (A_REGISTER + '\nseverity = "worst"', "item.a.severity: is one of low, medium, high, critical"),
        (A_REGISTER + "\ntolerance = -1", "item.a: item.a: a tolerance is a finite number of 0 or more"),
        (A_REGISTER + "\ntolerance = nan", "item.a: item.a: a tolerance is a finite number of 0 or more"),
        (A_REGISTER + '\nvalues = { RUN = "3" }', "item.a.values: the keys are numbers"),
        (A_REGISTER + "\nvalues = { 3 = 4 }", "item.a.values: expected `str`, got `int`"),
        ('table = "holding"\naddress = 1\ntype = "float32"\nbit = 1', "item.a: bit is 0 to 31, of a bool or an"),
        ('table = "holding"\naddress = 1\ntype = "float32"\nmask = 1', "item.a: mask and shift go with integers"),
        ('table = "holding"\naddress = 1\ntype = "bool"', "item.a: a bool in a register needs `bit`"),
        ('table = "coil"\naddress = 1\ntype = "uint16"', "item.a: a coil is one bit"),
        ('table = "discrete"\naddress = 1\nbit = 0', "item.a: a discrete is one bit"),
        ('node = "ns=2;s=Mode"', "item.a: a node is named by its namespace URI"),
        ('node = "Mode"', "item.a: 'Mode' is no NodeId"),
        ('node = "nsu=urn:x;i=one"', "item.a: 'nsu=urn:x;i=one' is no NodeId"),
        ('node = "nsu=;s=x"', "item.a: 'nsu=;s=x' is no NodeId"),
        ('node = "i=1"\naddress = 5', "item.a.address: unknown key"),
        ("node = 5", "item.a.node: expected `str`, got `int`"),
    ],
)
def test_a_fault_of_an_item_has_its_key_path(text: str, expected: str) -> None:
    found = faults(f'name = "p"\n[item.a]\n{text}')
    assert any(fault.startswith(expected) for fault in found), found


def test_all_faults_are_listed_at_once() -> None:
    found = faults("""
        abuot = "x"
        match = { vendor = "x" }
        [limits]
        connections = 3
        timeout = "soon"
        [item.a]
        table = "holding"
        type = "uint16"
        [item."fill limit"]
        node = "ns=2;s=x"
        [item.c]
        table = "coil"
        address = 70000
        tolerence = 1
    """)
    for expected in (
        "abuot: unknown key; did you mean 'about'?",
        "name: is required",
        "limits.timeout: a duration",
        "item.a.address: is required",
        'item."fill limit": a node is named by its namespace URI',
        "item.c.tolerence: unknown key; did you mean 'tolerance'?",
    ):
        assert any(fault.startswith(expected) for fault in found), (expected, found)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 70000) | st.floats() | st.sampled_from(["holding", "coil", "bool"]),
    lambda value: st.lists(value, max_size=2) | st.dictionaries(st.text(max_size=4), value, max_size=2),
)
ITEM_KEYS = st.sampled_from(["table", "address", "type", "node", "values", "tolerance", *Register.__dataclass_fields__])
LIMIT_KEYS = st.sampled_from([field.name for field in fields(Limits)])
WRITTEN = st.fixed_dictionaries(
    {},
    optional={
        "name": ANYTHING | st.text(),
        "match": ANYTHING,
        "identity": ANYTHING,
        "limits": ANYTHING | st.dictionaries(LIMIT_KEYS, ANYTHING),
        "item": ANYTHING | st.dictionaries(st.text(max_size=3), ANYTHING | st.dictionaries(ITEM_KEYS, ANYTHING)),
        "x": ANYTHING,
    },
)


@given(WRITTEN)
def test_whatever_is_written_gives_a_profile_or_faults(written: dict[str, Any]) -> None:
    try:
        read = parse_profile(written, "p.toml")
    except FileError:
        return
    assert len(read.digest) == 64


def test_a_value_is_shown_by_its_label() -> None:
    def label(spec: Profile, value: Value) -> str | None:
        return spec.items[0].item(value).label

    mode = item(A_REGISTER + '\nvalues = { 3 = "RUN", -1 = "OFF" }')
    assert [label(mode, value) for value in (3, -1, 4, None)] == ["RUN", "OFF", None, None]
    key = item('table = "coil"\naddress = 1\nvalues = { 0 = "off", 1 = "on" }')
    assert [label(key, value) for value in (False, True)] == ["off", "on"]
    name = item('node = "i=1"\nvalues = { RUN = "running" }')
    assert [label(name, value) for value in ("RUN", "STOP")] == ["running", None]


def test_an_item_is_as_its_profile_says() -> None:
    said = '\ntolerance = 2\nunit = "l"\ncategory = "mode"\nseverity = "low"'
    (spec,) = item(A_REGISTER + said, '"fill limit"').items
    expected = Item('item."fill limit"', 5, Category.MODE, Severity.LOW, 2.0, "l", uncertain=True)
    assert spec.item(5, uncertain=True) == expected


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_a_bundled_profile_is_right_and_named_like_its_file(path: Path) -> None:
    assert load_profile(path).name == path.stem


def test_all_bundled_profiles_are_at_hand() -> None:
    assert Profiles().names == [path.stem for path in BUNDLED]
    assert [made.name for made in bundled()] == Profiles().names


@pytest.mark.parametrize("made", [made for made in bundled() if made.match], ids=lambda made: made.name)
def test_no_bundled_profile_steals_the_devices_of_another(made: Profile) -> None:
    its_own = {name: wanted.replace("*", "x").replace("?", "x") for name, wanted in made.match.items()}
    assert [other.name for other in bundled() if other.fits(its_own)] == [made.name]
    for protocol, generic in GENERIC.items():
        assert Profiles().choose(its_own, protocol).name == (made.name if made.reads(protocol) else generic)


CHOICE = Profiles(
    [
        Profile("x-any", match={"manufacturer": "X*"}),
        Profile("x-one", match={"manufacturer": "X", "product_code": "1?"}),
        Profile("x-one-b", match={"manufacturer": "X", "product_code": "1?"}),
        Profile("x-brackets", match={"manufacturer": "Y", "product_code": "P[1]"}),
        Profile("nothing-said"),
    ]
)


@pytest.mark.parametrize(
    ("identity", "protocol", "chosen"),
    [
        ({"manufacturer": "X", "product_code": "12"}, "modbus", "x-one"),
        ({"manufacturer": "X", "product_code": "2"}, "modbus", "x-any"),
        ({"manufacturer": "Xylon"}, "modbus", "x-any"),
        ({"manufacturer": "x"}, "modbus", "generic-modbus"),
        ({"manufacturer": "Y", "product_code": "P[1]"}, "modbus", "x-brackets"),
        ({"manufacturer": "Y", "product_code": "P1"}, "modbus", "generic-modbus"),
        ({"manufacturer": None}, "modbus", "generic-modbus"),
        ({}, "modbus", "generic-modbus"),
        ({}, "opc.tcp", "generic-opcua"),
        ({"manufacturer": "ACME", "product_code": "P-1"}, "modbus", "acme-p1"),
    ],
)
def test_the_profile_that_says_most_of_a_device_is_chosen(
    identity: dict[str, str | None], protocol: str, chosen: str
) -> None:
    assert CHOICE.choose(identity, protocol).name == chosen


SPEC = ItemSpec("a", Register("holding", 1, "uint32"), values={"1": "one"})
BASE = Profile("p", items=(SPEC, ItemSpec("b", Node("i=1"))))


def with_item(**changed: Any) -> Profile:
    return replace(BASE, items=(replace(SPEC, **changed), BASE.items[1]))


def with_register(**changed: Any) -> Profile:
    return with_item(source=replace(SPEC.source, **changed))


def test_the_digest_does_not_move_with_what_decides_no_item() -> None:
    for same in (
        replace(BASE, name="q"),
        replace(BASE, about="x"),
        replace(BASE, match={"manufacturer": "X"}),
        replace(BASE, limits=Limits(requests_per_second=1, timeout=9, read_gaps=True)),
        replace(BASE, items=BASE.items[::-1]),
        with_item(about="x"),
    ):
        assert same.digest == BASE.digest


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, identity={"serial_number": "object_128"}),
        replace(BASE, items=BASE.items[:1]),
        with_item(name="c"),
        with_item(category=Category.MODE),
        with_item(severity=Severity.LOW),
        with_item(tolerance=1.0),
        with_item(unit="l"),
        with_item(values={"1": "ONE"}),
        with_item(source=Node("i=2")),
        with_register(table="input"),
        with_register(address=2),
        with_register(type="int32"),
        with_register(word_order="little"),
        with_register(byte_order="little"),
        with_register(bit=3),
        with_register(mask=3),
        with_register(shift=3),
        with_register(scale=0.1),
        with_register(offset=1),
    ],
)
def test_the_digest_moves_with_all_that_decides_an_item(other: Profile) -> None:
    assert other.digest != BASE.digest
