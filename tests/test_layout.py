"""The house: who may import whom, by which door a library comes in, and that nothing can write to a device.

Read from the source with `ast`. What stands under `if TYPE_CHECKING:` is not imported when the program runs.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("baselines", "collectors", "monitor", "simulators", "migrations")

# What the modules of a package may import of ours.
HOUSE = {
    "baselines": ["baselines"],
    "collectors": ["baselines", "collectors"],
    "monitor": ["baselines", "collectors", "monitor", "simulators"],
    "simulators": ["simulators"],
    "migrations": ["migrations", "monitor.tables"],
}
# What stands in the way of more: modules that must not import others, although their package may.
NEVER = {"monitor.web": ["collectors", "monitor.daemon"], "monitor.report": ["collectors", "monitor.daemon"]}

DOORS = {  # a library, and the modules that may import it
    "pymodbus": ["collectors.modbus", "simulators"],
    "asyncua": ["collectors.opcua", "simulators"],
    "scapy": [],  # GPL-2.0-only
    "sqlalchemy": ["monitor.tables", "monitor.store", "migrations"],
    "alembic": ["monitor.store", "migrations"],
    "apscheduler": ["monitor.schedule"],
    "httpx": ["monitor.notify.webhook", "monitor.web.oidc"],
    "authlib": ["monitor.web.oidc"],
    "joserfc": ["monitor.web.oidc"],
    "aiosmtplib": ["monitor.notify.mail"],
    "paho": ["monitor.notify.mqtt"],
    "apprise": ["monitor.notify.chat"],
    "cyclonedx": ["monitor.report.hbom"],
    "jinja2": ["monitor.report.html", "monitor.web"],
    "typst": ["monitor.report.typesetting"],
    "xlsxwriter": ["monitor.report.xlsx"],
    "numpy": ["collectors.passive"],
    "tomlkit": ["monitor.edits"],
    "fastapi": ["monitor.web"],
    "markupsafe": ["monitor.web"],
    "starlette": ["monitor.web"],
    "uvicorn": ["monitor.web"],
    "prometheus_client": ["monitor.web"],
}


def is_of(module: str, names: list[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


class Imports(ast.NodeVisitor):
    """The modules that a source imports when it runs, and all names that it takes from them."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self.names: list[str] = []  # dotted, the module before

    def visit_If(self, node: ast.If) -> None:
        name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", "")
        for part in node.orelse if name == "TYPE_CHECKING" else [*node.body, *node.orelse]:
            self.visit(part)

    def visit_Import(self, node: ast.Import) -> None:
        self.modules += [alias.name for alias in node.names]
        self.names += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module is not None, "no relative imports: they are harder to read"
        assert node.level == 0
        self.modules.append(node.module)
        self.names += [f"{node.module}.{alias.name}" for alias in node.names]

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__"):
            self.modules.append(str(ast.literal_eval(node.args[0])))  # what is imported can be read
        self.generic_visit(node)


def imports(source: str) -> Imports:
    found = Imports()
    found.visit(ast.parse(source))
    return found


def sources(*packages: str) -> dict[str, str]:
    """The source of every module, by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path.read_text("utf-8")
        for package in packages
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def trespasses(module: str, source: str) -> list[str]:
    """The imports of a module that the house does not allow."""
    found, package = imports(source), module.split(".")[0]
    wrong = []
    # "from monitor import tables" imports monitor.tables: each name counts like a module of its own
    for name in {*found.modules, *found.names}:
        top = name.split(".")[0]
        whole = any(other.startswith(name + ".") for other in found.names)
        if top in OURS and not whole and not is_of(name, HOUSE[package]):
            wrong.append(f"{module} imports {name}")
        if any(is_of(module, [who]) and is_of(name, whom) for who, whom in NEVER.items()):
            wrong.append(f"{module} imports {name}")
        if package == "baselines" and top != "baselines" and top not in sys.stdlib_module_names:
            wrong.append(f"{module} imports {name}")
        if top in DOORS and not is_of(module, DOORS[top]):
            wrong.append(f"{module} imports {name}, whose doors are {', '.join(DOORS[top])}")
    return sorted(wrong)


def test_everybody_imports_only_what_the_house_allows() -> None:
    assert [wrong for module, source in sources(*OURS).items() for wrong in trespasses(module, source)] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("baselines.drift", "import msgspec"),
        ("baselines.drift", "from collectors.profile import Profile"),
        ("baselines.drift", "def f():\n    import httpx"),
        ("collectors.profile", "from monitor import tables"),
        ("collectors.profile", "import simulators.floor"),
        ("collectors.contract", "import pymodbus"),
        ("collectors.contract", "from scapy.all import sniff"),
        ("collectors.passive.source", "import scapy"),
        ("simulators.plc", "from baselines.snapshot import Item"),
        ("simulators.plc", "import collectors"),
        ("migrations.env", "from monitor import store"),
        ("migrations.env", "from monitor.store import Database"),
        ("migrations.versions.v0001", "import collectors"),
        ("monitor.pipeline", "from sqlalchemy import Connection"),
        ("monitor.config", "def f():\n    from sqlalchemy.engine import make_url"),
        ("monitor.actions", "import httpx"),
        ("monitor.actions", "import importlib\nimportlib.import_module('asyncua')"),
        ("monitor.web.pages", "from collectors.profile import Profile"),
        ("monitor.report.pdf", "from monitor import daemon"),
        ("monitor.show", "if TYPE_CHECKING:\n    pass\nelse:\n    import sqlalchemy"),
    ],
)
def test_a_trespass_is_found(module: str, source: str) -> None:
    assert trespasses(module, source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("baselines.drift", "import json\nfrom baselines.snapshot import Item"),
        ("collectors.modbus.registers", "from pymodbus.pdu import ModbusPDU\nfrom baselines.snapshot import Item"),
        ("migrations.env", "from monitor.tables import metadata\nimport sqlalchemy"),
        ("migrations.env", "from monitor import tables"),
        ("monitor.pipeline", "if TYPE_CHECKING:\n    from sqlalchemy import Connection"),
        ("monitor.store.runs", "from sqlalchemy import select"),
        ("monitor.web.pages", "from monitor import store"),
    ],
)
def test_what_is_allowed_is_no_trespass(module: str, source: str) -> None:
    assert trespasses(module, source) == []


def test_what_is_imported_is_named_in_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    every = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    named = {
        re.split(r"[^\w-]", each)[0].removesuffix("-mqtt").removesuffix("-python-lib").replace("-", "_")
        for each in every
    }  # paho-mqtt is paho
    found = {name.split(".")[0] for source in sources(*OURS).values() for name in imports(source).modules}
    assert found - {*sys.stdlib_module_names, *OURS} <= named


def test_importing_the_contract_imports_no_collector() -> None:
    assert imports(sources("collectors")["collectors"]).modules == []


# Do no harm: nothing in collectors/ can write to a device, call a method of it or hand it a file.

MODBUS_NAMES = re.compile(  # all that may be taken from pymodbus
    r"(Read(Coils|DiscreteInputs|HoldingRegisters|InputRegisters|DeviceInformation)|ReportDeviceId)(Request|Response)"
    r"|ModbusPDU|ModbusException"
)
OPCUA_NAMES = [  # all that may be taken from asyncua: its types, its cryptography, not its client
    "asyncua.ua",
    "asyncua.common.connection",
    "asyncua.common.utils.Buffer",
    "asyncua.crypto",
]
HARMFUL = re.compile(
    r"(Write|Mask|ReadWrite|HistoryUpdate|Call(Method|Request)|(Add|Delete)(Nodes|References)|Restart|Force)\w*"
    r"|\w*(FileRecord|FifoQueue|UaFile)\w*|UaClient|(Async)?Modbus\w*Client"
    r"|(write|mask_write|readwrite|set_value|set_writable|set_attr|set_data_value|call_method|history_update)\w*"
    r"|(add|delete)_(node|reference)\w*|diag_\w+|call|execute|send(all|to|file|msg)"
)
CARRIERS = ("ftplib", "http", "httpx", "paramiko", "requests", "smtplib", "subprocess", "telnetlib", "urllib.request")
WRITERS = {  # where bytes leave
    "collectors.modbus.link": "self._transport.write",  # for a device, behind a guard
    "collectors.opcua.channel": "self._transport.write",
    "collectors.passive.sensor": "sys.stdout.buffer.write",  # for the process that started it
}
LISTENER = "collectors.passive"
DECODERS = "collectors.passive.protocols"  # they name what others do, and can do nothing: they have no way out
WAYS_OUT = ("asyncio", "ctypes", "multiprocessing", "os", "select", "selectors", "socket", "ssl", "sys")
SOCKETS = ("collectors.passive.ring", "collectors.passive.engine")  # it receives; it writes addresses as text


def words(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every name in a source, also one that is spelt as a string for getattr."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node
            case ast.AsyncFunctionDef(name=name) | ast.keyword(arg=str(name)):
                yield name, node
            case ast.alias(name=name):
                yield from ((part, node) for part in name.split("."))
            case ast.Constant(value=str(text)) if text.isidentifier():
                yield text, node


def harm(module: str, source: str) -> list[str]:
    """What in a collector could change a device."""
    tree, found = ast.parse(source), imports(source)
    wrong = []
    for name, node in words(tree):
        out = isinstance(node, ast.Attribute) and ast.unparse(node) == WRITERS.get(module)
        said = isinstance(node, ast.Constant) and is_of(module, [DECODERS])
        if HARMFUL.fullmatch(name) and not (out or said):
            wrong.append(f"{module}: {name}")
    for name in found.names:
        top, last = name.split(".")[0], name.split(".")[-1]
        if top == "pymodbus" and not MODBUS_NAMES.fullmatch(last):
            wrong.append(f"{module}: {name}")
        if top == "asyncua" and not is_of(name, OPCUA_NAMES):
            wrong.append(f"{module}: {name}")
        if is_of(name, [*CARRIERS]) or (is_of(module, [DECODERS]) and is_of(name, [*WAYS_OUT])):
            wrong.append(f"{module}: {name}")
        if is_of(module, [LISTENER]) and is_of(name, ["socket"]) and module not in SOCKETS:
            wrong.append(f"{module}: {name}")
    return wrong


def test_nothing_in_collectors_can_change_a_device() -> None:
    assert [wrong for module, source in sources("collectors").items() for wrong in harm(module, source)] == []


@pytest.mark.parametrize(
    "source",
    [
        "from pymodbus.pdu.register_message import WriteSingleRegisterRequest",
        "from pymodbus.pdu.register_message import ReadWriteMultipleRegistersRequest",
        "from pymodbus.pdu.file_message import ReadFileRecordRequest",
        "from pymodbus.pdu.diag_message import RestartCommunicationsOptionRequest",
        "from pymodbus.pdu import register_message",
        "from pymodbus.client import AsyncModbusTcpClient",
        "import pymodbus",
        "def f(pdu): return pdu.MaskWriteRegisterRequest(address=1)",
        "async def f(client): await client.write_register(1, 2)",
        "async def f(client): await client.write_coils(1, [True])",
        "async def f(client): await getattr(client, 'write_register')(1, 2)",
        "from asyncua import Client",
        "from asyncua.client.client import Client",
        "from asyncua.common.node import Node",
        "import asyncua",
        "from asyncua import ua\nrequest = ua.WriteRequest()",
        "from asyncua import ua\nrequest = ua.CallRequest()",
        "from asyncua import ua\nrequest = ua.AddNodesRequest()",
        "from asyncua import ua\nrequest = ua.DeleteNodesRequest()",
        "from asyncua import ua\nrequest = ua.HistoryUpdateRequest()",
        "async def f(node): await node.write_value(5)",
        "async def f(node): await node.set_value(5)",
        "async def f(node): await node.set_writable()",
        "async def f(node): await node.call_method('2:Reset')",
        "async def f(client): await client.uaclient.call([])",
        "async def f(client): await client.uaclient.add_nodes([])",
        "import ftplib",
        "from urllib.request import urlopen",
        "import subprocess",
        "class Link:\n    def f(self): self._transport.write(b'')",
        "class Link:\n    def f(self): self._socket.sendall(b'')",
    ],
)
def test_what_could_change_a_device_is_found(source: str) -> None:
    assert harm("collectors.new", source)


def test_bytes_leave_only_where_a_guard_stands() -> None:
    source = "class Link:\n    def f(self): self._transport.write(b'')"
    assert harm("collectors.modbus.link", source) == []
    assert harm("collectors.modbus.link", source.replace("_transport", "_other"))
    assert harm("collectors.passive.sensor", source)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("collectors.passive.protocols.new", "import socket"),
        ("collectors.passive.protocols.new", "import os"),
        ("collectors.passive.protocols.new", "from asyncio import open_connection"),
        ("collectors.passive.protocols.new", "def f(other): other.write(b'')"),
        ("collectors.passive.source", "import socket"),
        ("collectors.passive.ring", "class Ring:\n    def f(self): self._socket.sendto(b'', ('lo', 0))"),
    ],
)
def test_a_listener_that_could_send_is_found(module: str, source: str) -> None:
    assert harm(module, source)
    assert harm("collectors.passive.protocols.new", "NAMES = {5: 'write', 6: 'call'}") == []


def test_the_guard_of_modbus_lets_only_reads_through() -> None:
    from collectors.modbus.link import DEVICE_IDENTIFICATION, READS

    assert {1, 2, 3, 4, 17, 43} == READS
    assert DEVICE_IDENTIFICATION == 14


def names_of(services: Iterable[int]) -> set[str]:
    from asyncua.ua.object_ids import ObjectIdNames

    return {ObjectIdNames[number].removesuffix("_Encoding_DefaultBinary") for number in services}


def test_the_guard_of_opc_ua_lets_only_reads_through() -> None:
    from collectors.opcua.services import ALLOWED, SERVICES

    assert set(ALLOWED.values()) == SERVICES.keys()
    assert names_of(SERVICES) <= {
        "FindServersRequest",
        "GetEndpointsRequest",
        "OpenSecureChannelRequest",
        "CloseSecureChannelRequest",
        "CreateSessionRequest",
        "ActivateSessionRequest",
        "CloseSessionRequest",
        "ReadRequest",
        "BrowseRequest",
        "BrowseNextRequest",
    }


def test_where_a_profile_says_subscribe_the_guard_lets_four_services_more_through() -> None:
    from collectors.opcua.services import ALLOWED_WATCHING, SERVICES, WATCHING

    assert set(ALLOWED_WATCHING.values()) == SERVICES.keys() | WATCHING.keys()
    assert names_of(WATCHING) == {
        "CreateSubscriptionRequest",
        "CreateMonitoredItemsRequest",
        "PublishRequest",
        "DeleteSubscriptionsRequest",
    }


def test_only_a_link_by_its_profile_opens_the_guard_for_subscriptions() -> None:
    opened = [module for module, source in sources("collectors").items() if "may_watch = True" in source]
    assert opened == ["collectors.opcua.link"]
