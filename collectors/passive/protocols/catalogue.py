"""The protocols that are decoded. A new one is a module beside this one, a line here, and recorded messages."""

from __future__ import annotations

from collectors.passive.makers import listed
from collectors.passive.protocols.arp import ARP
from collectors.passive.protocols.bacnet import BACNET
from collectors.passive.protocols.cdp import CDP
from collectors.passive.protocols.dcp import DCP
from collectors.passive.protocols.dhcp import DHCP
from collectors.passive.protocols.enip import CIP_IO, ENIP, ENIP_UDP
from collectors.passive.protocols.lldp import LLDP
from collectors.passive.protocols.modbus import MODBUS
from collectors.passive.protocols.opcua import OPCUA
from collectors.passive.protocols.protocol import Protocol
from collectors.passive.protocols.s7comm import S7COMM
from collectors.passive.protocols.tls import TLS


def prepare() -> None:
    """Load all that hearing ever needs from a file, while files can still be opened (see confine)."""
    import numpy.ma  # noqa: F401  (np.unique does so when it is first called)

    listed()
    for protocol in PROTOCOLS:
        if protocol.prepare:
            protocol.prepare()


PROTOCOLS: tuple[Protocol, ...] = (
    ARP,
    LLDP,
    CDP,
    DCP,
    DHCP,
    BACNET,
    CIP_IO,
    ENIP_UDP,
    ENIP,
    MODBUS,
    S7COMM,
    OPCUA,
    TLS,
)
