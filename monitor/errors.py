"""What may go wrong at a person's hand: its text is a sentence with the remedy, and the exit code is 2."""

from __future__ import annotations


class UserError(Exception):
    """The base of them all."""


class CallError(UserError):
    """The call cannot be carried out as it was made."""


class StoreError(UserError):
    """The store cannot be used."""


class LeadLost(UserError):
    """This process no longer is the one that polls the plant, and must stop at once."""


class NotNow(UserError):
    """It cannot be done as things stand."""


class Unverified(UserError):
    """Evidence does not verify, and nothing is built on it; the exit code is 4."""


class Gone(NotNow):
    """An asset that is no more, or no more called so."""

    def __init__(self, asset: str, why: str) -> None:
        super().__init__(f"{asset} {why}")
        self.asset = asset
        self.why = why
