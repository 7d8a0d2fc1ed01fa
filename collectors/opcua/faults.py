"""What a server's refusals mean, in sentences with the remedy where there is one."""

from __future__ import annotations

from collectors.collector import Refused, Unreachable
from collectors.opcua.status import status_name

BAD_LOGIN = "the server refused the user name or password: check user and password_env of the asset"
UNTRUSTED = (
    "the server may not trust us (put our certificate into the server's list of trusted clients), "
    "or have another certificate than server_certificate of the asset says"
)
FULL = (
    "all sessions of the server are taken: close other clients, or let us in for each poll only "
    "(close_after_poll in the profile's limits)"
)
UNSECURED = "the server takes no such connection: check security of the asset"

MEANINGS = {
    "BadUserAccessDenied": BAD_LOGIN,
    "BadIdentityTokenRejected": BAD_LOGIN,
    "BadIdentityTokenInvalid": BAD_LOGIN,
    "BadTooManySessions": FULL,
    "BadMaxConnectionsReached": FULL,
    "BadTcpServerTooBusy": FULL,
    "BadTcpNotEnoughResources": FULL,
    "BadSecurityChecksFailed": UNTRUSTED,
    "BadCertificateUntrusted": UNTRUSTED,
    "BadCertificateChainIncomplete": UNTRUSTED,
    "BadCertificateIssuerUseNotAllowed": UNTRUSTED,
    "BadCertificateUriInvalid": "the server found another ApplicationUri than ours in our certificate: make a new one",
    "BadCertificateUseNotAllowed": "our certificate is not for this use: make one for client authentication",
    "BadCertificateTimeInvalid": "the server finds our certificate expired or not yet valid: check both clocks",
    "BadSecurityPolicyRejected": UNSECURED,
    "BadSecurityModeRejected": UNSECURED,
    "BadSecurityModeInsufficient": UNSECURED,
    "BadTcpEndpointUrlInvalid": "the server has no endpoint of this path: check the address of the asset",
    "BadShutdown": "the server is shutting down",
    "BadServerHalted": "the server has stopped",
}
STALE = {  # the session or the channel is gone, and a new one helps
    "BadSessionIdInvalid",
    "BadSessionClosed",
    "BadSessionNotActivated",
    "BadSecureChannelIdInvalid",
    "BadSecureChannelClosed",
    "BadSecureChannelTokenUnknown",
    "BadTcpSecureChannelUnknown",
    "BadConnectionClosed",
    "BadNotConnected",
}
TOO_LARGE = {  # fewer nodes at once help
    "BadTooManyOperations",
    "BadRequestTooLarge",
    "BadResponseTooLarge",
    "BadEncodingLimitsExceeded",
    "BadTcpMessageTooLarge",
}


class Fault(Refused):
    """The server answered with a status code instead of what it was asked for."""

    def __init__(self, asset: str, code: int, reason: str = "") -> None:
        self.status = status_name(code)
        said = "".join(letter for letter in reason if letter.isprintable())[:200].strip()
        meaning = MEANINGS.get(self.status, "the server says no")
        super().__init__(asset, f"{meaning} ({self.status}{': ' + said if said else ''})")


class Gone(Unreachable):
    """The connection ended without a word."""
