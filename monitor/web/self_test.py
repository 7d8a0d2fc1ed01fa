"""The self-test, for whoever asks for it on the page or by the API."""

from __future__ import annotations

from typing import Any

from monitor.errors import NotNow
from monitor.watching import ask_for_self_test
from monitor.web.access import Caller
from monitor.web.site import Site


def test_itself(site: Site, caller: Caller) -> dict[str, Any]:
    """Have the daemon in whose process we run test itself; NotNow where it does not watch."""
    if not site.vitals.leads:
        raise NotNow("nobody watches the plant at this moment, so there is nothing to test: asbuilt run does not lead")
    return ask_for_self_test(site.plant(), site.database, caller.name)
