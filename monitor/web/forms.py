"""What people type into forms: a form proves that we made it, and what is wrong in it is said beside what was typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from hmac import compare_digest
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from starlette.datastructures import FormData, UploadFile

from monitor.errors import CallError, NotNow
from monitor.moments import moment
from monitor.web.access import Denied, Somebody
from monitor.web.guard import hostname

FORM_KEY = "form_key"
LONGEST_TEXT = 4000  # letters of one field
FIELDS_MOST, FILES_MOST, FIELDS_OF_ANYBODY = 5000, 10, 20
NO_TEXT = "this form is no text: send it in UTF-8"
HALF_A_LETTER = re.compile("[\\ud800-\\udfff]")  # which no database takes


class Form(Mapping[str, str]):
    """A form as it was sent. As a mapping it has the text of each field, for showing it again."""

    def __init__(self, sent: FormData) -> None:
        self._sent = sent

    def __getitem__(self, name: str) -> str:
        if name == FORM_KEY or name.startswith("password"):  # which are never shown again
            raise KeyError(name)
        value = self._sent[name]
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._sent if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def text(self, name: str, what: str = "", required: bool = False) -> str:
        """A field without the white space around it; CallError, which calls it `what`, if it is missing or too long."""
        value = self._sent.get(name, "")
        if not isinstance(value, str):
            raise CallError(f"{what or name}: a file came where text is due")
        cleaned = value.replace("\0", "").replace("\r\n", "\n").strip()
        if required and not cleaned:
            raise CallError(f"{what or name} is missing")
        if len(cleaned) > LONGEST_TEXT:
            raise CallError(f"{what or name} is longer than {LONGEST_TEXT} letters")
        return cleaned

    def secret(self, name: str = "password") -> str:
        """A password, as it was typed."""
        value = self._sent.get(name, "")
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> list[str]:
        """All values of a field that may be there more than once, as check boxes are."""
        return [value for value in self._sent.getlist(name) if isinstance(value, str)]

    def numbers(self, name: str, what: str) -> list[int]:
        """The same as whole numbers from 1."""
        found = self.texts(name)
        if not all(text.isascii() and text.isdigit() and len(text) < 10 and int(text) for text in found):
            raise CallError(f"{what}: this is no number")
        return [int(text) for text in found]

    def is_ticked(self, name: str) -> bool:
        return bool(self._sent.get(name))

    def file(self, name: str) -> UploadFile | None:
        value = self._sent.get(name)
        return value if isinstance(value, UploadFile) and value.filename else None

    def moment(self, name: str, what: str, now: datetime, timezone: str) -> datetime:
        """A time as `<input type="datetime-local">` sends it, by the plant's clock; CallError if it is none."""
        typed = self.text(name, what, required=True)
        return moment(typed, now, ZoneInfo(timezone))


def assure_from_here(request: Request) -> None:
    """Denied if a page of another site sent this. Browsers say where a form comes from, the newer ones over TLS and at
    this machine also by Sec-Fetch-Site (W3C, Fetch Metadata); who says nothing is no browser, or a very old one."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none") or (origin is not None and not _is_here(origin, request)):
        raise Denied("this form comes from another site: open its page here, and send it from there")


def _is_here(origin: str, request: Request) -> bool:
    """Whether an origin (RFC 6454, 7) is this site; behind a proxy, one of the names that it has there."""
    scheme, _, place = origin.partition("://")
    if scheme not in ("https", request.url.scheme):
        return False
    proxied = request.app.state.site.plant().web.hosts
    return place == request.headers.get("host", "") or hostname(place) in proxied


async def _read(request: Request, fields: int, files: int) -> Form:
    """The form that comes with a request; CallError if it is no text. A form with files says itself how its text is
    written, and may name whatever Python can decode."""
    try:
        sent = await request.form(max_files=files, max_fields=fields)
    except UnicodeError:
        raise CallError(NO_TEXT) from None
    except OSError as error:  # files go to the disk
        raise NotNow(f"what was sent cannot be kept: {error.strerror or error}") from None
    for name, value in sent.multi_items():
        if HALF_A_LETTER.search(name) or (isinstance(value, str) and HALF_A_LETTER.search(value)):
            raise CallError(NO_TEXT)
    return Form(sent)


async def of_anybody(request: Request) -> Form:
    """A form that somebody sent of whom nobody knows who they are: text, and no files."""
    assure_from_here(request)
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise CallError("this form has no files")
    return await _read(request, FIELDS_OF_ANYBODY, 0)


async def ours(request: Request, caller: Somebody) -> Form:
    """The form of somebody who is signed in; Denied unless we made it for this session (OWASP: synchronizer token)."""
    assert caller.session is not None
    assure_from_here(request)
    form = await _read(request, FIELDS_MOST, FILES_MOST)
    if not compare_digest(form.secret(FORM_KEY).encode(), caller.session.form_key.encode()):
        raise Denied("this form is not of this session: open its page again, and send it from there")
    return form


FromAnybody = Annotated[Form, Depends(of_anybody)]
Sent = Annotated[Form, Depends(ours)]
