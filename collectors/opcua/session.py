"""Logging in at a server and leaving it in good order (Part 4, 5.5 and 5.7)."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature

from collectors.collector import Clock, CollectError, Malformed, Refused, Target
from collectors.contract import Contract
from collectors.opcua import services
from collectors.opcua.channel import LARGEST_MESSAGE, Channel, Lifetimes
from collectors.opcua.security import NONE, Keys, Token, choose, identify, load_keys
from collectors.opcua.services import Created, Endpoint


@dataclass(slots=True)
class Session:
    """A channel with an activated session on it; `timeout` in seconds, after which the server forgets it.

    `endpoints` are what the server said of its endpoints while we logged in, undecoded.
    """

    channel: Channel
    timeout: float
    used_at: float
    endpoints: bytes

    @property
    def expired(self) -> bool:
        """What must have run out by now is not even tried."""
        return asyncio.get_running_loop().time() - self.used_at >= self.timeout

    async def usable(self) -> bool:
        """Whether it can serve one more poll."""
        return not self.expired and await self.channel.renew()

    async def close(self) -> None:
        """CloseSession and CloseSecureChannel, so that a server of few sessions has its place back at once."""
        try:
            if self.channel.alive and not self.expired:
                await self.channel.ask_raw(services.close_session())
        except CollectError:
            pass
        finally:
            await self.channel.close()


async def log_in(target: Target, contract: Contract, clock: Clock, lifetimes: Lifetimes) -> Session:
    """Connect and log in as the target's access says; Refused says which of its settings does not fit."""
    try:
        keys = load_keys(target.access, clock())
        server = keys.server or (await _certificate(target, contract, clock, lifetimes, keys) if keys.secured else b"")
        channel = Channel(target.asset, target.address, contract, clock, keys.security(server))
        await channel.open(lifetimes)
        try:
            return await _log_in(channel, target, keys, lifetimes)
        except (CollectError, ValueError):
            await channel.close()
            raise
        except BaseException:
            channel.abort()
            raise
    except ValueError as error:
        raise Refused(target.asset, str(error)) from error


async def _certificate(target: Target, contract: Contract, clock: Clock, lifetimes: Lifetimes, keys: Keys) -> bytes:
    """The server's certificate, from the server itself: one more connection each time, which a pinned one saves."""
    channel = Channel(target.asset, target.address, contract, clock, Keys(NONE, "None").security(b""))
    await channel.open(lifetimes)
    try:
        return choose(decode_endpoints(channel, await get_endpoints(channel)), keys).certificate
    except asyncio.CancelledError:
        channel.abort()
        raise
    finally:
        await channel.close()


async def get_endpoints(channel: Channel) -> bytes:
    """What the server says of its endpoints, undecoded."""
    return (await channel.ask_raw(services.get_endpoints(str(channel.address)))).rest()


def decode_endpoints(channel: Channel, said: bytes) -> tuple[Endpoint, ...]:
    return channel.understood(services.read_endpoints, said)


async def _log_in(channel: Channel, target: Target, keys: Keys, lifetimes: Lifetimes) -> Session:
    said = await get_endpoints(channel)
    endpoint = choose(decode_endpoints(channel, said), keys)
    security, nonce = channel.security, os.urandom(32)
    created = await channel.ask(
        services.create_session(
            str(target.address),
            keys.application_uri,
            nonce,
            security.host_certificate or None,
            lifetimes.session,
            LARGEST_MESSAGE,
        ),
        services.read_created,
    )
    channel.token = created.token
    session = Session(channel, max(created.timeout, 0), asyncio.get_running_loop().time(), said)
    try:
        if keys.secured:
            _verify(channel, created, nonce)
        server = security.peer_certificate or created.certificate or endpoint.certificate
        token = identify(target.access, endpoint, server, created.nonce)
        await channel.ask_raw(_activate(channel, created, token))
    except (CollectError, ValueError):
        await session.close()
        raise
    return session


def _verify(channel: Channel, created: Created, nonce: bytes) -> None:
    """It has the key of the certificate that the channel was opened for (Part 4, 5.7.2)."""
    security = channel.security
    if created.certificate != security.peer_certificate:
        raise Malformed(channel.asset, "it shows another certificate for the session than for the channel")
    try:
        signed = (security.host_certificate or b"") + nonce
        security.asymmetric_cryptography.verify(signed, created.signature)  # type: ignore[no-untyped-call]
    except InvalidSignature:
        raise Malformed(channel.asset, "its signature of the session is wrong") from None


def _activate(channel: Channel, created: Created, token: Token) -> services.Request:
    security = channel.security
    if not security.AsymmetricSignatureURI:
        return services.activate_session(None, None, token)
    challenge = created.certificate + created.nonce
    signature = security.asymmetric_cryptography.signature(challenge)  # type: ignore[no-untyped-call]
    return services.activate_session(security.AsymmetricSignatureURI, signature, token)
