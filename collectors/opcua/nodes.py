"""From the NodeId that a profile names to the one that a server understands, at this moment."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence

from collectors.profile import NODE_ID
from collectors.uabinary import U16, blob, node_id, text

OPC_UA = "http://opcfoundation.org/UA/"


def resolve(named: str, namespaces: Sequence[str]) -> bytes:
    """The encoded NodeId of "nsu=URI;s=NAME"; ValueError says why there is none at a server of these namespaces."""
    match = NODE_ID.fullmatch(named)
    if match is None:
        raise ValueError(f"{named!r} is no NodeId")
    uri = match[1][4:-1] if match[1] else OPC_UA
    index = 0 if uri == OPC_UA else _index(uri, namespaces)
    kind, name = match[2], match[3]
    if kind == "i":
        if int(name) >= 1 << 32:
            raise ValueError(f"{named!r} is no NodeId: a number is below 4294967296")
        return node_id(int(name), index)
    place = U16.pack(index)
    if kind == "s":
        return b"\x03" + place + text(name)
    try:
        if kind == "g":
            return b"\x04" + place + uuid.UUID(name).bytes_le
        return b"\x05" + place + blob(base64.b64decode(name, validate=True))
    except (ValueError, binascii.Error):
        written = "a Guid" if kind == "g" else "base64"
        raise ValueError(f"{named!r} is no NodeId: after {kind}= stands {written}") from None


def _index(uri: str, namespaces: Sequence[str]) -> int:
    try:
        return namespaces.index(uri)
    except ValueError:
        raise ValueError(f"namespace {uri} is not at this server") from None
