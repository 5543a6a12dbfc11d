"""A real mail server on loopback (STARTTLS and AUTH) that stores every mail as a file for people to read."""

import email
import hmac
import logging
import secrets
import ssl
from email import policy
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from clarion_lab.machine.ports import free_port
from clarion_lab.simulate.certificates import identity

HOST: Final = "127.0.0.1"
USER: Final = "clarion"


class Mailbox:
    """Receives mail during its context. `received` maps delivery ids (from Message-ID) to recipients."""

    def __init__(self, folder: Path) -> None:
        self._mail = folder / "mail"
        self._mail.mkdir(parents=True, exist_ok=True)
        files = identity(folder / "certificates", HOST)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(files.certificate_file, files.key_file)
        self.ca_file = files.ca_file
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        self.received: dict[str, str] = {}
        logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd warns of its own deprecations at every login
        self._controller = Controller(
            self,
            hostname=HOST,
            port=self.port,
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and hmac.compare_digest(data.password, self.password.encode())
        return AuthResult(success=good, handled=good)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
        """Store a mail; the reply is sent only after it is written."""
        mail = email.message_from_bytes(envelope.content, policy=policy.default)
        delivery = str(mail["message-id"]).strip("<>").partition("@")[0]
        (self._mail / f"{delivery}.eml").write_bytes(envelope.content)
        self.received[delivery] = envelope.rcpt_tos[0]
        return "250 2.0.0 message stored"
