-- The journal: streams and stage store. Frames of a stream have the offsets 1, 2, 3, ... without gaps; `head` and `total` (the
-- number of events) of a stream are kept in its row, which every append locks. Rows of `streams` for markers (`timers`, `cursors`,
-- `cancellations`) count changes. Rows that are updated often leave room in their page, so that an update touches no index.
CREATE SCHEMA journal;

CREATE TABLE journal.meta (name text COLLATE "C" PRIMARY KEY, value bigint NOT NULL);

CREATE TABLE journal.streams (
    stream_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    head bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    appended_ms bigint NOT NULL DEFAULT 0,
    trimmed_offset bigint NOT NULL DEFAULT 0,
    trimmed_total bigint NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE journal.frames (
    stream_id integer NOT NULL,
    "offset" bigint NOT NULL,
    appended_ms bigint NOT NULL,
    count integer NOT NULL,
    total bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (stream_id, "offset")
);

CREATE TABLE journal.commits (
    "group" text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    topic text COLLATE "C" NOT NULL,
    "offset" bigint NOT NULL,
    numbers bytea,
    PRIMARY KEY ("group", partition, topic)
) WITH (fillfactor = 50);

CREATE TABLE journal.leases (
    "group" text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    owner text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY ("group", partition)
) WITH (fillfactor = 50);

CREATE TABLE journal.timers (
    timer_id bytea PRIMARY KEY,
    sequence bigint GENERATED ALWAYS AS IDENTITY,
    due_ms bigint NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    payload bytea NOT NULL,
    urgency smallint NOT NULL
);
CREATE INDEX timers_due ON journal.timers (urgency, due_ms, sequence);

CREATE TABLE journal.idempotency (
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    body_hash bytea NOT NULL,
    answer bytea NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_expires ON journal.idempotency (expires_ms);

CREATE TABLE journal.cancellations (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    subject_id bytea NOT NULL,
    at_ms bigint NOT NULL
);

CREATE TABLE journal.cursors (
    cursor_id bytea PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    status text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    planned bigint NOT NULL,
    skipped bigint NOT NULL,
    users bigint NOT NULL,
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX cursors_partition ON journal.cursors (partition, created_ms);

CREATE TABLE journal.cells (
    partition integer NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (partition, key)
) WITH (fillfactor = 70);

CREATE TABLE journal.waits (
    tenant text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    subject bytea NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY (tenant, key, subject)
);
CREATE INDEX waits_expires ON journal.waits (expires_ms);

CREATE TABLE journal.caps (
    tenant text COLLATE "C" NOT NULL,
    rule bytea NOT NULL,
    block bigint NOT NULL,
    times bytea NOT NULL,
    PRIMARY KEY (tenant, block, rule)
) WITH (fillfactor = 70);

CREATE TABLE journal.intents (
    "group" text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY ("group", partition, number)
);

-- The last commit of each writer with its answer, so that a writer whose connection was lost can ask what became of it.
CREATE TABLE journal.writers (
    writer bytea PRIMARY KEY,
    number bigint NOT NULL,
    at_ms bigint NOT NULL,
    answer text
) WITH (fillfactor = 50);
