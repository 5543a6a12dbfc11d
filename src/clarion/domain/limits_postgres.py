"""Named bounds of the stores on a PostgreSQL server. Times are in the unit of the name."""

from typing import Final

POSTGRES_CONNECTIONS_MAX: Final = 8
"""Connections to PostgreSQL that one store of a process opens, besides the one that listens."""
POSTGRES_POOL_MAX: Final = 64
"""The largest number of connections that one process may be given (`postgres.pool_size`)."""
POSTGRES_CONNECT_S_MAX: Final = 10
"""How long connecting to PostgreSQL may take, and waiting for a connection of the pool."""
POSTGRES_STATEMENT_MS_MAX: Final = 30_000
"""How long one statement may run before the server cancels it."""
POSTGRES_ANSWER_S_MAX: Final = 35
"""How long a process waits for the answer to one statement before it gives the connection up."""
POSTGRES_IDLE_IN_TRANSACTION_MS_MAX: Final = 15_000
"""How long a transaction may be open without a statement before the server ends its connection."""
POSTGRES_IDLE_S_MAX: Final = 300
"""How long a connection of the pool may be unused before it is closed."""
POSTGRES_RETRIES_MAX: Final = 5
"""How often a transaction is run again that the server refused because of concurrent ones."""
POSTGRES_STATEMENTS_KEPT_MAX: Final = 200
"""Prepared statements that each connection keeps."""
POSTGRES_GROUP_STEPS_MAX: Final = 64
"""Steps that one call commits. Each is a subtransaction, and with more than 64 of them PostgreSQL slows down all readers."""
POSTGRES_GROUP_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of the frames of steps that one call commits, unless the first has more."""
POSTGRES_DOUBT_S_MAX: Final = 30
"""How long a process tries to find out whether a commit took effect whose connection was lost, before it stops."""
POSTGRES_CHECK_MS: Final = 1_000
"""How often a process that waits for growth looks for it by itself, as a wake-up may be lost."""
POSTGRES_QUIET_S: Final = 5
"""How long the sessions of a process have not been used when it is not at work any more, and the number of partitions may
change."""
POSTGRES_REGROUP_S_MAX: Final = 3_600
"""How long one statement of a change of the number of partitions may take, and another machine waits for its end."""
POSTGRES_WRITER_ENDED_KEPT_MS: Final = 30 * 24 * 3600 * 1000
"""How long it is remembered that a process may commit nothing more, as the number of partitions changed without it."""
POSTGRES_WRITER_KEPT_MS: Final = 24 * 3600 * 1000
"""How long the last commit of a process is remembered, which may have to ask for its outcome."""
POSTGRES_PERIODS_AHEAD: Final = 2
"""Periods of 30 days after the present one for which partitions of history are made ahead."""
POSTGRES_DUMP_LINE_BYTES_MAX: Final = 1024 * 1024
"""Bytes of a line of a dump that are in memory at once. A row may be longer; what is read of it stands before."""
POSTGRES_DUMP_ERROR_BYTES_MAX: Final = 4 * 1024
"""Bytes that are read of what `pg_restore` says of a dump that it cannot read."""
