"""`clarion demo`: starts an installation and a mail server, runs the scenario and prints where to look."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clarion.app.cli.remote import Remote, RequestRefused, Unreachable
from clarion.app.processes.supervisor import PARENT_VARIABLE
from clarion.domain.errors import OperatorError
from clarion_lab.demo import decisions, report, scenario, seed
from clarion_lab.demo.mailbox import HOST, Mailbox
from clarion_lab.machine.lock import alone
from clarion_lab.machine.ports import free_port

READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.05
LOG_FILE: Final = "demo.log"


def demo(
    once: Annotated[bool, typer.Option("--once", help="end after the table; the last line is one JSON object")] = False,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="port of the API; 0: any free one")] = 0,
    data_dir: Annotated[Path, typer.Option(help="folder of the demo's data; the next run uses it again")] = Path(
        "clarion-data/demo"
    ),
) -> None:
    """Start Clarion with sample data, send on every channel, show the results, and keep serving."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that all processes are ended in order
    folder = data_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    with contextlib.ExitStack() as busy:
        busy.enter_context(alone("clarion demo"))
        with Mailbox(folder) as mailbox, _installation(folder, port or free_port(), mailbox) as (process, remote):
            _wait_ready(process, remote, folder)
            summary = _run_demo(console, folder, remote, mailbox)
            if once:
                typer.echo(summary.line())
            else:
                busy.close()  # it is at rest now, and may serve for days
                _keep_running(console, process)
    raise typer.Exit(0 if summary.passed else 1)


def _run_demo(console: Console, folder: Path, remote: Remote, mailbox: Mailbox) -> report.Summary:
    """Create the sample data, send, wait for the results and return their summary."""
    tenant = _tenant(remote.with_credential((folder / "operator.key").read_text().strip()))
    seed.seed_data(tenant, mailbox)
    scenario.warm_up(tenant)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("finished deliveries", total=None)
        accepted = scenario.send(tenant)
        ending = scenario.watch(
            tenant, accepted, lambda done, of: progress.update(task, completed=done, total=of or None)
        )
    mailed = [one.id for one in ending.deliveries if one.provider == "smtp" and one.state in ("sent", "delivered")]
    missing = [id_ for id_ in mailed if id_ not in mailbox.received]
    summary = report.summarize(ending, missing)
    console.print(report.table(summary, ending))
    console.print(
        f"{summary.accepted} accepted, {summary.deliveries} deliveries, {summary.sent} sent, {summary.skipped} skipped, "
        f"{summary.failed} failed, {summary.lost} lost; {len(mailed)} mails sent over SMTP, "
        f"{len(mailed) - len(missing)} received",
        highlight=False,
    )
    _report(console, decisions.show(tenant))
    _report(console, _links(folder, remote, tenant))
    return summary


def _tenant(operator: Remote) -> Remote:
    """Return a client for the demo's tenant with a fresh key."""
    operator.put(f"/v1/tenants/{seed.TENANT}", {"name": "Demo"})
    made = operator.post(f"/v1/tenants/{seed.TENANT}/keys", {"name": "demo", "scopes": ["*"]})
    return operator.with_credential(made["key"])


def _links(folder: Path, remote: Remote, tenant: Remote) -> Iterable[tuple[str, str]]:
    token = tenant.post(f"/v1/users/{seed.user_id(1)}/tokens", {})["token"]
    return (
        ("API", f"{remote.url}/docs"),
        ("An inbox", f"curl -H 'Authorization: Bearer {token}' {remote.url}/v1/inbox"),
        ("Sandbox", f"curl -H 'Authorization: Bearer {tenant.key}' {remote.url}/v1/sandbox/messages"),
        ("Metrics", f"curl {remote.url}/metrics"),
        ("Mail", f"{folder / 'mail'}"),
        ("Logs", f"{folder / LOG_FILE}"),
    )


def _report(console: Console, lines: Iterable[tuple[str, str]]) -> None:
    for name, text in lines:
        console.print(f"{name:>9}  {text}", highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def _installation(folder: Path, port: int, mailbox: Mailbox) -> Iterator[tuple[subprocess.Popen[bytes], Remote]]:
    """Run `clarion up` on the folder, and end it with the context, also after an error."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    env |= {
        "CLARION_DATA_DIR": str(folder),
        "CLARION_API_HOST": HOST,
        "CLARION_API_PORT": str(port),
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_CA_FILE": str(mailbox.ca_file),
        "CLARION_WORKERS_COUNT": "2",
        # The default pause after a first failure, up to half a minute, is too long for a demo.
        "CLARION_DELIVER_RETRY_PAUSES_MS_SMS": "1000,30000",
        PARENT_VARIABLE: str(os.getpid()),
    }
    with (folder / LOG_FILE).open("ab") as log:
        command = [sys.executable, "-m", "clarion", "up"]
        # Its own folder as working directory: a clarion.toml in the current one is not for the demo.
        process = subprocess.Popen(  # noqa: S603
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process, Remote(f"http://{HOST}:{port}")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], remote: Remote, folder: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = (folder / LOG_FILE).read_text().strip().rpartition("\n")[2]
            raise OperatorError(f"Clarion did not start: {last or f'exit code {process.returncode}'}")
        try:
            remote.call("GET", "/readyz")
        except (Unreachable, RequestRefused):
            time.sleep(_POLL_S)
        else:
            return
    raise OperatorError(f"Clarion was not ready within {READY_TIMEOUT_S:.0f} s; see {folder / LOG_FILE}.")


def _keep_running(console: Console, process: subprocess.Popen[bytes]) -> None:
    """Serve until Ctrl-C or until the installation ends by itself."""
    console.print("Serving. Ctrl-C ends the demo; its data stays for the next run.")
    with contextlib.suppress(KeyboardInterrupt):
        process.wait()
