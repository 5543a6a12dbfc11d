"""The certificate in use, and its renewal: changed files are taken without a restart, and bad ones are refused."""

import asyncio
import contextlib
import signal
import ssl
from typing import Final

from clarion.domain.limits_processes import CERTIFICATE_WARNING_MS, TLS_CONTEXT_MS_MAX
from clarion.domain.security_events import SecurityEvent
from clarion.edge.tls.context import Loaded, load
from clarion.edge.tls.files import UnusableFile
from clarion.edge.tls.settings import Tls
from clarion.ports.clock import Clock
from clarion.ports.telemetry import Telemetry

_DAY_MS: Final = 24 * 3600 * 1000
_SETTLE_S: Final = 1.0
"""Certificate and key are replaced one after the other: a bad pair is read again after this time."""


class ServerTls:
    """TLS of one process. New connections use `context`; connections that are open keep theirs."""

    def __init__(self, settings: Tls, telemetry: Telemetry, clock: Clock) -> None:
        """Raises `UnusableFile` when the files cannot be used. One that has expired is used, with a warning: clients
        will refuse it, and a restart must not take the API away from those that do not."""
        self.settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._check_now = asyncio.Event()
        self._refused = ""
        self._warned_ms = -_DAY_MS
        self._use(load(settings))

    @property
    def context(self) -> ssl.SSLContext:
        """The context for a new connection."""
        return self._loaded.context

    async def keep_fresh(self) -> None:
        """Check the files at every interval and at SIGHUP, until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._check_now.set)
        try:
            while True:
                self._warn()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.settings.reload_interval_s):
                        await self._check_now.wait()
                self._check_now.clear()
                try:
                    await self.renew()
                except Exception as error:  # noqa: BLE001 - the next check is as good, and requests are still answered
                    self._telemetry.log("error", "certificate_not_checked", error=repr(error))
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def renew(self, settle_s: float = _SETTLE_S) -> None:
        """Use the files if they changed and are good."""
        try:
            try:
                loaded = await self._load_valid()
            except UnusableFile:
                await asyncio.sleep(settle_s)
                loaded = await self._load_valid()
        except UnusableFile as error:
            if str(error) != self._refused:
                self._refused = str(error)
                self._telemetry.log("error", "certificate_refused", error=str(error))
                self._telemetry.security(
                    SecurityEvent.CERTIFICATE_REFUSED, reason=error.reason, subject=self.settings.certificate_file
                )
            return
        self._refused = ""
        if loaded.files.digest != self._loaded.files.digest:
            self._use(loaded)
            self._warned_ms = -_DAY_MS
            self._telemetry.security(SecurityEvent.CERTIFICATE_CHANGED, subject=self.settings.certificate_file)
        elif self._clock.now_ms() - self._since_ms >= TLS_CONTEXT_MS_MAX:
            self._use(loaded)

    async def _load_valid(self) -> Loaded:
        """Return the files' context. Raises `UnusableFile` when they cannot be used, or changed to a certificate that is not
        valid at this time."""
        loaded = await asyncio.to_thread(load, self.settings)
        files, now_ms = loaded.files, self._clock.now_ms()
        if files.digest != self._loaded.files.digest:
            path, setting = self.settings.certificate_file, "api.tls.certificate_file"
            if files.not_after_ms <= now_ms:
                raise UnusableFile(setting, path, "holds a certificate that has expired", "expired")
            if files.not_before_ms > now_ms:
                raise UnusableFile(setting, path, "holds a certificate that is not valid yet", "not_yet_valid")
        return loaded

    def _use(self, loaded: Loaded) -> None:
        self._loaded, self._since_ms = loaded, self._clock.now_ms()

    def _warn(self) -> None:
        now_ms, files = self._clock.now_ms(), self._loaded.files
        left_ms = files.not_after_ms - now_ms
        if left_ms > CERTIFICATE_WARNING_MS or now_ms - self._warned_ms < _DAY_MS:
            return
        self._warned_ms = now_ms
        reason = "expired" if left_ms <= 0 else f"days_left_{left_ms // _DAY_MS}"
        self._telemetry.security(
            SecurityEvent.CERTIFICATE_EXPIRES_SOON, reason=reason, subject=self.settings.certificate_file
        )
