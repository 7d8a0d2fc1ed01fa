"""E-mail, by SMTP with TLS."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib

from monitor.notify.channel import NotSent, read, tls
from monitor.notify.content import Document, lines, subject
from monitor.routes import Email

UNFOLDED = SMTP.clone(max_line_length=900)  # of the 998 that may be; folded short, a subject begins with a line break
TIMEOUT = 10.0  # seconds, of each step


async def send(route: Email, document: Document) -> None:
    """Mail a message. NotSent says why the server did not take it."""
    try:
        await aiosmtplib.send(
            mail(route, document).as_bytes(),
            sender=route.sender,
            recipients=list(route.to),
            hostname=route.server,
            port=route.at_port,
            username=route.user or None,
            password=read(route.password) if route.user else None,
            use_tls=route.security == "tls",
            start_tls=route.security == "starttls",
            tls_context=None if route.security == "none" else tls(route.ca_file),
            timeout=TIMEOUT,
        )
    except (aiosmtplib.SMTPException, OSError) as error:
        raise NotSent(str(error) or type(error).__name__) from error


def mail(route: Email, document: Document) -> EmailMessage:
    """The message as a mail. Sent again, it has the same Message-ID."""
    made = EmailMessage(policy=UNFOLDED)
    made["From"] = f"asbuilt <{route.sender}>"
    made["To"] = ", ".join(route.to)
    made["Subject"] = _encodable(subject(document))
    made["Date"] = format_datetime(datetime.fromisoformat(document["made_at"]))
    made["Message-ID"] = f"<{document['key']}@asbuilt.invalid>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    made["X-Asbuilt-Key"] = document["key"]
    made["X-Priority"] = "1" if document["severity"] == "critical" else "3"
    made.set_content(_encodable("\n".join(lines(document))) + "\n")
    return made


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
