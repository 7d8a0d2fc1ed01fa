"""What asbuilt hears in captures, field by field against tshark.

    python -m benchmarks.agreement FOLDER [--differences]

tshark is the yardstick: of every value that it shows in a field of identity, how many are in our evidence; of every
frame in which it sees something done to a device, in how many we report an event. A value counts where the same
protocol says the same letters and digits in the same capture.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from baselines.wire import WireEvent
from collectors.passive.engine import Engine
from collectors.passive.heard import Heard
from collectors.passive.protocols.cip_names import device_types
from collectors.passive.source import NoCapture, open_capture

AGGREGATOR = "\x1e"
TOGETHER = "\x1f"  # between the values of two fields that are one of ours


def as_is(value: str) -> str:
    return value


def hexadecimal(value: str) -> str:
    return f"{int(value, 0):08x}"


def number(value: str) -> str:
    return str(int(value, 0))


def revision(value: str) -> str:
    """Of two fields; the minor one is written with two digits, as Rockwell prints it."""
    major, minor = value.split(TOGETHER)
    return f"{int(major, 0)}.{int(minor, 0):02d}"


def listed_revision(value: str) -> str:
    major, minor = value.split(".")
    return f"{int(major)}.{int(minor):02d}"


def device_type(value: str) -> str:
    """CIP's names, as ODVA lists them: tshark gives the number."""
    return device_types().get(int(value, 0)) or f"type {int(value, 0)}"


def bits(*names: str) -> Callable[[str], str]:
    """The names of the bits that are set, from the lowest."""
    return lambda value: "".join(sorted(name for bit, name in enumerate(names) if int(value, 0) >> bit & 1))


def hardware(value: str) -> str:
    """Ausbg of the module itself, index 1: of others it begins the version of a firmware."""
    index, version = value.split(TOGETHER)
    if int(index, 0) != 1:
        raise ValueError("no module")
    return number(version)


def characters(value: str) -> str:
    return bytes.fromhex(value.replace(":", "")).decode()


def somebody(value: str) -> str:
    """An IP address, but 0.0.0.0, which tshark shows where a device has none."""
    if value == "0.0.0.0":
        raise ValueError("nobody")
    return value


def firmware(value: str) -> str:
    """Ausbg, whose first byte is "V", and Ausbe, of a firmware: V3.2.6."""
    first, rest = (int(part, 0) for part in value.split(TOGETHER))
    if first >> 8 != ord("V"):
        raise ValueError("no firmware")
    return f"V{first & 0xFF}.{rest >> 8}.{rest & 0xFF}"


@dataclass(frozen=True)
class Field:
    """A field of tshark's (or two, with a blank between them), and where the same stands in our evidence."""

    theirs: str
    protocol: str
    ours: tuple[str, ...]
    written: Callable[[str], str] = as_is
    only: str = ""  # a display filter: the frames in which the field is an identity


@dataclass(frozen=True)
class Doing:
    """The frames in which tshark sees something done to a device, and the protocol that we report it under."""

    name: str
    shown: str  # display filter
    protocol: tuple[str, ...]


ENIP = ("enip", "enip-udp")
LLDP_CAPABILITIES = (  # IEEE 802.1AB, 8.5.8.1
    "other", "repeater", "bridge", "wlanap", "router", "telephone", "docsis", "station", "cvlan", "svlan", "tpmr",
)  # fmt: skip
CDP_CAPABILITIES = (
    "router", "transparentbridge", "sourceroutebridge", "switch", "host", "igmp", "repeater", "telephone",
    "remotelymanaged", "cvta", "twoportmacrelay",
)  # fmt: skip
DCP_ROLES = ("iodevice", "iocontroller", "iomultidevice", "iosupervisor")
FIELDS = (
    Field("lldp.chassis.id", "lldp", ("chassis_id",), characters),
    Field("lldp.chassis.id.mac", "lldp", ("chassis_id",)),
    Field("lldp.chassis.id.ip4", "lldp", ("chassis_id", "ip")),
    Field("lldp.port.id.ip4", "lldp", ("port_id", "ip")),
    Field("lldp.tlv.enable_system_cap", "lldp", ("capabilities",), bits(*LLDP_CAPABILITIES)),
    Field("lldp.ieee.802_1.port_vlan.id", "lldp", ("vlan",), number),
    Field("lldp.ieee.802_1.vlan.name", "lldp", ("vlan_name",)),
    Field("lldp.profinet.cm_mac_add", "lldp", ("*",)),
    Field("lldp.port.id", "lldp", ("port_id",)),
    Field("lldp.port.id.mac", "lldp", ("port_id",)),
    Field("lldp.port.desc", "lldp", ("port_description",)),
    Field("lldp.tlv.system.name", "lldp", ("name",)),
    Field("lldp.tlv.system.desc", "lldp", ("description",)),
    Field("lldp.mgn.addr.ip4", "lldp", ("ip",), somebody),
    Field("lldp.mgn.addr.ip6", "lldp", ("ip",)),
    Field("lldp.media.hardware", "lldp", ("hardware_revision",)),
    Field("lldp.media.firmware", "lldp", ("firmware_revision",)),
    Field("lldp.media.software", "lldp", ("software_revision",)),
    Field("lldp.media.sn", "lldp", ("serial_number",)),
    Field("lldp.media.manufacturer", "lldp", ("manufacturer",)),
    Field("lldp.media.model", "lldp", ("model",)),
    Field("lldp.media.asset", "lldp", ("asset_id",)),
    Field("cdp.deviceid", "cdp", ("name",)),
    Field("cdp.platform", "cdp", ("model",)),
    Field("cdp.software_version", "cdp", ("description",)),
    Field("cdp.portid", "cdp", ("port_id",)),
    Field("cdp.capabilities", "cdp", ("capabilities",), bits(*CDP_CAPABILITIES)),
    Field("cdp.nrgyz.ip_address", "cdp", ("ip",)),
    Field("cdp.native_vlan", "cdp", ("vlan",), number),
    Field("cdp.vtp_management_domain", "cdp", ("domain",)),
    Field("cdp.system_name", "cdp", ("system_name",)),
    Field("cdp.location", "cdp", ("location",)),
    Field("cdp.model_number", "cdp", ("model_number",)),
    Field("cdp.hardware_version_id", "cdp", ("hardware_revision",)),
    Field("cdp.system_serial_number", "cdp", ("serial_number",)),
    Field("pn_dcp.suboption_device_nameofstation", "profinet-dcp", ("name",), only="pn_dcp.service_type != 0"),
    Field("pn_dcp.suboption_device_devicevendorvalue", "profinet-dcp", ("model",)),
    Field("pn_dcp.suboption_device_id", "profinet-dcp", ("device_id",), only="pn_dcp.service_type != 0"),
    Field("pn_dcp.suboption_vendor_id", "profinet-dcp", ("vendor_id",), only="pn_dcp.service_type != 0"),
    Field("pn_dcp.suboption_ip_ip", "profinet-dcp", ("ip",), only="pn_dcp.service_type != 0"),
    Field("pn_dcp.suboption_ip_mac_address", "profinet-dcp", ("mac",), only="pn_dcp.service_type != 0"),
    Field("pn_dcp.suboption_device_aliasname", "profinet-dcp", ("alias",), only="pn_dcp.service_type != 0"),
    Field("pn_dcp.suboption_device_role", "profinet-dcp", ("role",), bits(*DCP_ROLES)),
    Field("pn_dcp.suboption_device_oem_ven_id", "profinet-dcp", ("oem_vendor_id",)),
    Field("pn_dcp.suboption_device_oem_dev_id", "profinet-dcp", ("oem_device_id",)),
    Field("dhcp.option.hostname", "dhcp", ("name",)),
    Field("dhcp.option.domain_name", "dhcp", ("domain",), only="dhcp.option.dhcp == 5"),
    Field("dhcp.client_id.undef", "dhcp", ("client_id",)),
    Field("dhcp.ip.client", "dhcp", ("ip",), somebody),
    Field("dhcp.ip.your", "dhcp", ("ip",), only="dhcp.option.dhcp == 5"),
    Field("dhcp.fqdn.name", "dhcp", ("name",)),
    Field("dhcp.option.vendor_class_id", "dhcp", ("vendor_class",)),
    Field("modbus.object_str_value", "modbus", ("*",)),
    Field("enip.lir.name", "enip", ("product_name",)),
    Field("enip.lir.serial", "enip", ("serial_number",), hexadecimal),
    Field("enip.lir.prodcode", "enip", ("product_code",)),
    Field("enip.lir.vendor", "enip", ("vendor_id",), number),
    Field("enip.lir.devtype", "enip", ("device_type",), device_type),
    Field("enip.lir.revision", "enip", ("software_revision",), listed_revision),
    Field("cip.id.vendor_id", "enip", ("*",), number),
    Field("cip.id.device_type", "enip", ("*",), device_type),
    Field("cip.id.major_rev cip.id.minor_rev", "enip", ("*",), revision),
    Field("cip.id.product_name", "enip", ("*",)),
    Field("cip.id.serial_number", "enip", ("*",), hexadecimal),
    Field("cip.id.product_code", "enip", ("*",)),
    Field("s7comm.szl.xy11.0001.anz", "s7comm", ("product_code", "*")),
    Field("s7comm.szl.xy11.0001.index s7comm.szl.xy11.0001.ausbg", "s7comm", ("hardware_revision", "*"), hardware),
    Field("s7comm.szl.xy11.0001.ausbg s7comm.szl.xy11.0001.ausbe", "s7comm", ("software_revision", "*"), firmware),
    Field("s7comm.szl.001c.0008.snmcmmc", "s7comm", ("*",)),
    Field("s7comm.szl.001c.000a.oem_copyright_string", "s7comm", ("*",)),
    Field("s7comm.szl.001c.000b.loc_id", "s7comm", ("*",)),
    Field("s7comm.szl.001c.0001.name", "s7comm", ("name",)),
    Field("s7comm.szl.001c.0002.name", "s7comm", ("module_name",)),
    Field("s7comm.szl.001c.0003.tag", "s7comm", ("plant_id",)),
    Field("s7comm.szl.001c.0004.copyright", "s7comm", ("copyright",)),
    Field("s7comm.szl.001c.0005.serialn", "s7comm", ("serial_number", "module_serial_number")),
    Field("s7comm.szl.001c.0007.cputypname", "s7comm", ("model",)),
    Field("opcua.ApplicationUri", "opcua", ("application_uri",)),
    Field("opcua.ProductUri", "opcua", ("product_uri",)),
    Field("opcua.EndpointUrl", "opcua", ("endpoint_url",)),
    Field("opcua.SecurityPolicyUri", "opcua", ("security_policy",), lambda uri: uri.rpartition("#")[2]),
    Field("opcua.ManufacturerName", "opcua", ("manufacturer",)),
    Field("opcua.ProductName", "opcua", ("product_name",)),
    Field("opcua.SoftwareVersion", "opcua", ("software_revision",)),
    Field("opcua.BuildNumber", "opcua", ("build_number",)),
    Field("bacapp.instance_number", "bacnet", ("*",), only="bacapp.unconfirmed_service == 0"),
    Field("bacapp.vendor_identifier", "bacnet", ("vendor_id",), only="bacapp.unconfirmed_service == 0"),
)
DOINGS = (
    Doing("Modbus writes", "modbus.func_code in {5,6,15,16,21,22,23} && tcp.dstport == 502", ("modbus",)),
    Doing("Modbus restarts", "modbus.func_code == 8 && modbus.diagnostic_code == 1 && tcp.dstport == 502", ("modbus",)),
    Doing("Modbus identity reads", "modbus.func_code == 43 && tcp.dstport == 502", ("modbus",)),
    Doing("S7 writes", "s7comm.header.rosctr == 1 && s7comm.param.func == 5", ("s7comm",)),
    Doing("S7 downloads", "s7comm.header.rosctr == 1 && s7comm.param.func == 0x1a", ("s7comm",)),
    Doing("S7 uploads", "s7comm.header.rosctr == 1 && s7comm.param.func == 0x1d", ("s7comm",)),
    Doing("S7 program invocations", "s7comm.header.rosctr == 1 && s7comm.param.func == 0x28", ("s7comm",)),
    Doing("S7 stops", "s7comm.header.rosctr == 1 && s7comm.param.func == 0x29", ("s7comm",)),
    Doing("S7 passwords", "s7comm.param.userdata.funcgroup == 5 && s7comm.param.userdata.type == 4", ("s7comm",)),
    Doing(
        "S7 clock sets",
        "s7comm.param.userdata.funcgroup == 7 && s7comm.param.userdata.type == 4 && s7comm.param.userdata.subfunc == 2",
        ("s7comm",),
    ),
    Doing("CIP starts, stops, resets", "cip.rr == 0 && cip.service in {5,6,7}", ENIP),
    Doing("CIP attributes set", "cip.rr == 0 && cip.service in {2,4,16}", ENIP),
    Doing("CIP tag writes", "cip.rr == 0 && cip.service in {0x4d,0x53} && cip.symbol", ENIP),
    # But its thousands of blocks, of which a connection's first is told.
    Doing("CIP firmware", "cip.rr == 0 && cip.class == 0xa1 && cip.service != 0x4d", ENIP),
    Doing("CIP programs", "cip.rr == 0 && cip.class == 0x68 && cip.service in {4,8,9,0x50}", ENIP),
    Doing("CIP controller modes", "cip.rr == 0 && cip.class == 0x8e && cip.service in {6,7}", ENIP),
    Doing("ListIdentity", "enip.command == 0x63 && !enip.lir.vendor", ENIP),
    Doing("OPC UA writes", "opcua.servicenodeid.numeric == 673", ("opcua",)),
    Doing("OPC UA calls", "opcua.servicenodeid.numeric == 712", ("opcua",)),
    Doing("DCP sets", "pn_dcp.service_id == 4 && pn_dcp.service_type == 0", ("profinet-dcp",)),
    Doing("DCP identifies", "pn_dcp.service_id == 5 && pn_dcp.service_type == 0", ("profinet-dcp",)),
    Doing("BACnet programs", "bacapp.type == 0 && bacapp.confirmed_service in {7,8,9,10,11,17}", ("bacnet",)),
    Doing("BACnet writes", "bacapp.type == 0 && bacapp.confirmed_service in {15,16}", ("bacnet",)),
    Doing("BACnet restarts", "bacapp.type == 0 && bacapp.confirmed_service == 20", ("bacnet",)),
)


def hear(path: Path) -> tuple[Heard, list[WireEvent]]:
    events: list[WireEvent] = []
    engine = Engine(events.append)
    for batch in open_capture(path):
        engine.take(batch)
    engine.finish()
    return engine.heard(), events


def spelt(value: str) -> str:
    """Letters and digits, as tshark and we may escape the rest otherwise."""
    for escaped in ("\\n", "\\r", "\\t"):
        value = value.replace(escaped, " ")
    return "".join(letter for letter in value.casefold() if letter.isalnum())


def their_values(path: Path, field: Field) -> set[str]:
    names = field.theirs.split()
    shown = f"({names[0]})" + (f" && ({field.only})" if field.only else "")
    found: set[str] = set()
    for line in tshark(path, shown, *names):
        for values in zip(*(column.split(AGGREGATOR) for column in line.split("\t")), strict=False):
            value = TOGETHER.join(values)
            try:
                found.add(spelt(field.written(value)))
            except ValueError:
                continue
    return found - {""}


def tshark(path: Path, shown: str, *fields: str) -> list[str]:
    """The fields' values in the frames that a display filter shows, with a tab between them."""
    command = ["tshark", "-r", str(path), "-Y", shown, "-T", "fields"]
    command += [part for field in fields for part in ("-e", field)]
    command += ["-E", f"aggregator={AGGREGATOR}", "-E", "occurrence=a"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return [line for line in done.stdout.split("\n") if line]  # splitlines() ends a line at the aggregator too


def protocols_in(path: Path) -> set[str]:
    """The dissectors that say anything of a capture, so that only their fields are asked for."""
    done = subprocess.run(
        ["tshark", "-r", str(path), "-q", "-z", "io,phs"], capture_output=True, text=True, errors="replace"
    )
    return {line.split()[0] for line in done.stdout.splitlines() if "frames:" in line}


def main(arguments: list[str]) -> int:
    if not shutil.which("tshark"):
        print("tshark is not installed: it is the yardstick (Debian: apt install tshark)", file=sys.stderr)
        return 2
    paths = sorted(path for path in Path(arguments[0]).rglob("*.pcap*") if path.is_file())
    theirs: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    differences: list[str] = []
    for path in paths:
        try:
            heard, events = hear(path)
        except NoCapture:
            continue
        spoken = protocols_in(path)
        for field in FIELDS:
            if field.theirs.split(".")[0] in spoken:
                _compare(
                    field.theirs, their_values(path, field), _our_values(heard, field), theirs, ours, path, differences
                )
        for doing in DOINGS:
            if doing.shown.lstrip("(!").split(".")[0] in spoken:
                frames = set(tshark(path, doing.shown, "frame.number"))
                mine = {str(event.frame) for event in events if event.protocol in doing.protocol}
                _compare(doing.name, frames, mine, theirs, ours, path, differences)
    width = max(map(len, theirs), default=0)
    for name in theirs:
        print(f"{name:<{width}}  {ours[name]:>6} of {theirs[name]:>6}  {ours[name] / theirs[name]:.1%}")
    total, agreed = theirs.total(), ours.total()
    print(f"{'all':<{width}}  {agreed:>6} of {total:>6}  {agreed / max(1, total):.2%}   ({len(paths)} captures)")
    if "--differences" in arguments:
        print("\n".join(differences))
    return 0


def _our_values(heard: Heard, field: Field) -> set[str]:
    return {
        spelt(found.value)
        for host in heard.hosts
        for found in host.evidence
        if (found.field in field.ours or "*" in field.ours) and found.protocol.startswith(field.protocol)
    }


def _compare(
    name: str,
    said: set[str],
    heard: set[str],
    theirs: Counter[str],
    ours: Counter[str],
    path: Path,
    differences: list[str],
) -> None:
    if said:
        theirs[name] += len(said)
        agreed = {value for value in said if value in heard or any(value in more for more in heard if len(value) > 7)}
        ours[name] += len(agreed)
        said -= agreed
    missing: Iterable[str] = sorted(said)
    differences += [f"{path.name}: {name}: tshark says {value!r}" for value in missing]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else 2)
