"""The OPC UA collector.

What is asyncua's and what is ours. asyncua 2.1.0 gives the cryptography: `asyncua.common.connection.SecureConnection`
(secure channels and chunks) and `asyncua.crypto.security_policies`. Its client is not used: it reads once a second by
itself, takes its size limits from the server, leaks sockets, and its decoder believes every length that it is told.
The connection, the services and the decoding are ours, in files small enough to check: `channel` holds the only line
that sends a request, and the guard in front of it; `services` the table of what may be asked at all.

Before moving the pin on asyncua, check what is used of it here: `SecureConnection.message_to_binary`,
`.receive_from_header_and_body`, `.set_channel`, `.revolve_tokens`; `TransportLimits.update_client_limits` (overridden)
and `.max_send_buffer`; `ua_binary.header_from_binary`; the attributes of `SecurityPolicy`; `encrypt_asymmetric`. No
private name is touched.

Importing this package takes half a second, nearly all of it asyncua: import it where a plant has an OPC UA device.
"""

from __future__ import annotations

import logging

from collectors.opcua.channel import Forbidden, Lifetimes
from collectors.opcua.collector import OpcUaCollector

logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it logs a traceback for what we report in a sentence

__all__ = ["OpcUaCollector", "Lifetimes", "Forbidden"]
