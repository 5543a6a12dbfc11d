"""Child of the crash test of people: commits a sign-in by an invitation and is killed just before the N-th step of the transaction.

Usage: crash_people.py BACKEND DATA_DIR N. It ends with 0 when the commit had fewer steps.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from clarion.domain.actor import Actor, ActorKind
from clarion.domain.person import INVITATION, Link, Person, Session, Subject
from clarion.ports.documents import Author
from clarion.ports.people import PeopleChange
from tests.contract.controls import ControlPlane
from tests.contract.crash_documents import Mortal

AT = 1_700_000_000_000
AUTHOR = Author("acme", Actor(ActorKind.PERSON, "prs_ada"))
ADA = Person("prs_ada", "ada@example.com", "Ada", AT, AT)
LINK = Link("lnk_a", b"link", INVITATION, "ada@example.com", "acme", "owner", "operator", AT, AT + 1000)
OLD, NEW = (
    Session(f"ses_{one}", one.encode(), "prs_ada", "acme", "password", AT, AT, AT + 1000) for one in ("old", "new")
)
BEFORE = PeopleChange("acme", "invitation.put", INVITATION, "lnk_a", AT, links=(LINK,), sessions=(OLD,))
CHANGE = PeopleChange(
    "acme", "session.begin", "session", "ses_new", AT, persons=(ADA,), subjects=(Subject("https://id", "1", "prs_ada"),),
    sessions=(NEW,), ended=(b"old",), used=(b"link",),
)  # fmt: skip


async def main(backend: str, data_dir: Path, steps: int) -> None:
    control_plane = ControlPlane(data_dir, backend=backend)
    people = control_plane.control.people
    people._engine = Mortal(people._engine, steps)
    await people.commit(AUTHOR, CHANGE)
    await control_plane.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
