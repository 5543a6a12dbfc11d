"""The section `postgres`."""

from typing import Annotated

import msgspec

from clarion.domain.limits_postgres import POSTGRES_POOL_MAX
from clarion.domain.settings import Section


class Postgres(Section, frozen=True):
    """The PostgreSQL server, and the connections that one process has to it besides the one that listens. `owner_dsn` is the
    address for the owner of the schema, who migrates; empty where processes log in as the owner. `direct_dsn` leads past a
    pooler; empty where there is none."""

    dsn: str
    direct_dsn: str
    owner_dsn: str
    pool_size: Annotated[int, msgspec.Meta(ge=2, le=POSTGRES_POOL_MAX)]

    def __repr__(self) -> str:
        return f"Postgres(pool_size={self.pool_size})"
