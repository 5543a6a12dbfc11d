"""The API process: HTTP in, journal and stores behind it."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import uvicorn
import uvloop

from clarion.accept import routes as accept_routes
from clarion.accept import routes_broadcasts, routes_events, routes_test_send
from clarion.accept.intake import Intake
from clarion.accept.intake_door import Door
from clarion.accept.intake_steering import Known, Steering
from clarion.accept.shapes import NotificationIn
from clarion.accept.worker import AcceptWriter
from clarion.accept.worker_quota import QuotaGate
from clarion.app import garbage
from clarion.app.config import Config
from clarion.app.http.application import application
from clarion.app.http.protocol import BoundedHttp
from clarion.app.learning import keep_learning
from clarion.app.wiring import OPERATOR_KEY_FILE, Identity, Parts, Shared, operator_key
from clarion.control import routes as control_routes
from clarion.control.providers import standing as standing_routes
from clarion.control.providers.verify import Verifier
from clarion.control.schedules.timers import repair_timers
from clarion.control.unsubscribe import routes as unsubscribe_routes
from clarion.domain.errors import OperatorError
from clarion.domain.limits_deciding import SCHEDULE_REPAIR_MS
from clarion.feedback import routes as feedback_routes
from clarion.feedback.worker import Feedback
from clarion.journal import topics
from clarion.journal.find import find_accepted
from clarion.ops import health
from clarion.ops.metrics import CONTENT_TYPE
from clarion.plan import routes as plan_routes
from clarion.plan.gather_explanation import ExplanationGatherer
from clarion.ports.web import PUBLIC, Call, Reply, Route
from clarion.realtime import routes as realtime_routes
from clarion.realtime import routes_seen
from clarion.record import routes as record_routes

KEEP_ALIVE_S = 75
BACKLOG_GAUGE_S = 5


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises `OperatorError` when the port is taken."""
    uvloop.run(_serve(config))


async def _serve(config: Config) -> None:
    parts = Parts(config, "api")
    parts.telemetry.follow_loop()
    garbage.tune()
    try:
        await serve(parts)
    finally:
        await parts.close()


async def serve(parts: Parts) -> None:
    """Answer requests until SIGTERM or SIGINT. Raises `OperatorError` when the port is taken or a commit has failed."""
    config = parts.config
    failed = asyncio.Event()
    app = application(
        [*routes(parts), *_ops(parts)],
        Identity(parts, operator_key(config)),
        parts.telemetry,
        requests_max=config.api.max_requests,
        on_durability_lost=failed.set,
    )
    server = _Server(
        uvicorn.Config(
            app,
            host=config.api.host,
            port=config.api.port,
            http=BoundedHttp,
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=config.workers.drain_timeout_ms // 1000,
        ),
        parts,
    )
    learning = keep_learning(parts.directory, parts.telemetry, asyncio.Event())
    jobs = (learning, _gauge(parts), _repair(parts), _stop_on(failed, server))
    beside = [asyncio.create_task(job) for job in jobs]
    try:
        await server.serve()
    except SystemExit:
        raise OperatorError(f"Cannot listen on {config.api.host}:{config.api.port}: is it taken?") from None
    finally:
        for job in beside:
            job.cancel()
    if failed.is_set():
        raise OperatorError("A commit failed, so nothing more was acknowledged; check the disk.")


async def _stop_on(failed: asyncio.Event, server: uvicorn.Server) -> None:
    await failed.wait()
    server.handle_exit(signal.SIGTERM, None)


class _Server(uvicorn.Server):
    """Says when it is ready, and ends as the other processes do."""

    def __init__(self, config: uvicorn.Config, parts: Parts) -> None:
        super().__init__(config)
        self._parts = parts
        self._exiting = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the end, and keep the date in answers true at whole seconds, when the process wakes for other things, too."""
        loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exiting.wait(), 1 - loop.time() % 1)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End as uvicorn does, and at once."""
        super().handle_exit(sig, frame)
        self._exiting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, and send neither on afterwards: to end as asked is a success."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        config = self._parts.config
        key = "configured" if config.operator_key else str(config.data_dir / OPERATOR_KEY_FILE)
        docs = f"http://{config.api.host}:{config.api.port}/docs"
        self._parts.telemetry.log("info", "api_ready", docs=docs, operators_file=key)


async def _gauge(parts: Parts) -> None:
    while True:
        for group, events in (await parts.store.backlog_of(topics.GROUP_TOPICS)).items():
            parts.telemetry.metrics.backlog(group, events)
        await asyncio.sleep(BACKLOG_GAUGE_S)


async def _repair(parts: Parts) -> None:
    while True:
        try:
            await repair_timers(parts.control, parts.store, parts.clock.now_ms())
        except Exception as error:  # noqa: BLE001 - whatever it is, requests are answered and the next round may go better
            parts.telemetry.log("error", "schedules_unrepaired", error=repr(error))
        await asyncio.sleep(SCHEDULE_REPAIR_MS / 1000)


def _intake(parts: Shared) -> Intake:
    api = parts.config.api
    door = Door(
        parts.store,
        parts.directory,
        parts.schemas,
        AcceptWriter(parts.store, parts.clock, parts.telemetry, linger_ms=api.linger_ms),
        parts.clock,
        QuotaGate(parts.quotas, parts.clock, parts.telemetry),
        parts.control.audiences,
        backlog_max=api.max_backlog_events,
    )
    return Intake(door, parts.expressions)


def _knowing(parts: Shared) -> Known:
    async def known(tenant: str, id_: bytes) -> bool:
        if await parts.state.notification(tenant, id_) is not None:
            return True
        return await find_accepted(parts.streams, parts.store, id_, tenant) is not None

    return known


def routes(parts: Shared) -> list[Route]:
    """Return the endpoints of all stages and of the control plane."""
    intake, steering = _intake(parts), Steering(parts.store, parts.clock, _knowing(parts))
    traits = {key: vendor.TRAITS for key, vendor in parts.vendors.items()}
    return [
        *accept_routes.routes(intake, steering),
        *routes_broadcasts.routes(intake, steering),
        *routes_test_send.routes(intake, parts.control.templates),
        *routes_events.routes(intake),
        *plan_routes.routes(
            ExplanationGatherer(parts.store, parts.directory, parts.state, parts.contents()),
            intake.check,
            NotificationIn,
            parts.clock,
        ),
        *record_routes.routes(parts.state, parts.streams, parts.store, parts.directory, parts.clock),
        *realtime_routes.routes(parts.state, parts.directory, parts.clock, parts.control.users.touch, parts.store),
        *routes_seen.routes(parts.state, parts.streams, parts.store, parts.clock),
        *unsubscribe_routes.routes(parts.control, parts.unsubscribing, parts.clock),
        *_receipts(parts),
        *control_routes.routes(
            parts.control,
            parts.vault,
            parts.drafting,
            parts.schemas,
            traits,
            parts.clock,
            parts.store,
            parts.expressions,
            Verifier(parts.vendors, parts.directory, parts.http, parts.smtp, parts.clock),
        ),
        *standing_routes.routes(parts.control.providers, parts.standings, parts.state, parts.store, parts.clock),
    ]


def _receipts(parts: Shared) -> list[Route]:
    feedback = Feedback(
        parts.directory,
        parts.vendors,
        parts.state,
        parts.control.suppressions,
        parts.store,
        parts.http(),
        parts.clock,
        parts.telemetry,
    )
    return feedback_routes.routes(feedback, parts.config.public_url)


def _ops(parts: Parts) -> list[Route]:
    async def healthz(_call: Call) -> Reply:
        return Reply({"status": "ok"})

    async def readyz(_call: Call) -> Reply:
        (backlog,) = (await parts.store.backlog_of([topics.GROUP_PLAN])).values()
        report = health.report(
            [health.disk(parts.config.data_dir), health.backlog(backlog, parts.config.api.max_backlog_events)]
        )
        return Reply(report, 200 if report.ready else 503)

    async def metrics(_call: Call) -> Reply:
        return Reply(raw=parts.telemetry.metrics.exposition(), content_type=CONTENT_TYPE)

    return [
        Route("GET", "/healthz", healthz, PUBLIC, "Whether the process lives", tag="about"),
        Route("GET", "/readyz", readyz, PUBLIC, "Whether it can take work", reply=health.Report, tag="about"),
        Route("GET", "/metrics", metrics, PUBLIC, "Metrics of all processes (Prometheus)", tag="about"),
    ]
