-- The state store. Ids grow with time, so tables keyed by them grow at one end and need no index except their key. Keys
-- of deliveries, chunks and instances start with the id because the frames that change them hold no tenant; all others
-- start with the tenant. Text is compared by its bytes, so that lists have the same order on every installation.

CREATE TABLE fold_positions (
    partition integer PRIMARY KEY, "offset" bigint NOT NULL, fence bigint NOT NULL, numbers bytea
) WITH (fillfactor = 20);

CREATE TABLE notifications (
    tenant text COLLATE "C", id bytea, accepted_ms bigint NOT NULL, planned_ms bigint, scheduled_ms bigint,
    lane text NOT NULL, category text NOT NULL, template text NOT NULL, request bytea NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE TABLE subject_cancellations (
    tenant text COLLATE "C", id bytea, at_ms bigint NOT NULL, PRIMARY KEY (tenant, id)
);

-- No index but the key: with room on the page, the updates of a delivery touch no index.
CREATE TABLE deliveries (
    id bytea, tenant text COLLATE "C", user_id text NOT NULL, channel text NOT NULL, address text NOT NULL,
    state smallint NOT NULL, reason smallint NOT NULL, detail text NOT NULL, attempt integer NOT NULL,
    repeats integer NOT NULL, provider text NOT NULL, vendor text NOT NULL, vendor_message_id text NOT NULL,
    planned_ms bigint NOT NULL, started_ms bigint, finished_ms bigint, retry_ms bigint,
    accepted_attempt integer NOT NULL, accepted_ms bigint, chunk_id bytea, chunk_index integer NOT NULL,
    step text NOT NULL, profile_id bigint NOT NULL, setting bytea,
    PRIMARY KEY (id, tenant)
) WITH (fillfactor = 80);

-- Only of vendors that do not return Clarion's reference in their receipts.
CREATE TABLE delivery_vendor_ids (
    tenant text COLLATE "C", vendor text COLLATE "C", vendor_message_id text COLLATE "C", delivery_id bytea NOT NULL,
    PRIMARY KEY (tenant, vendor, vendor_message_id)
);

CREATE TABLE attempts (
    delivery_id bytea, tenant text COLLATE "C", attempt integer, finished_ms bigint, started_ms bigint NOT NULL,
    event text COLLATE "C", outcome text NOT NULL, reason smallint NOT NULL, detail text NOT NULL, provider text NOT NULL,
    vendor text NOT NULL, vendor_message_id text NOT NULL, retry_ms bigint, repeats integer NOT NULL,
    applied boolean NOT NULL,
    PRIMARY KEY (delivery_id, tenant, attempt, finished_ms, event)
);

CREATE TABLE chunks (
    chunk_id bytea, tenant text COLLATE "C", channel text NOT NULL, locale text NOT NULL, category text NOT NULL,
    planned_ms bigint NOT NULL, expires_ms bigint, count integer NOT NULL, min_ordinal bigint NOT NULL,
    max_ordinal bigint NOT NULL, content bytea NOT NULL, data bytea NOT NULL, metadata bytea NOT NULL,
    ordinals bytea NOT NULL, user_ids bytea NOT NULL, addresses bytea NOT NULL, users bytea NOT NULL,
    PRIMARY KEY (chunk_id, tenant)
);

CREATE TABLE chunk_states (
    chunk_id bytea, tenant text COLLATE "C", channel text NOT NULL, states bytea NOT NULL, reasons bytea NOT NULL,
    intents bytea NOT NULL, provider text NOT NULL, vendor text NOT NULL, finished_ms bigint,
    PRIMARY KEY (chunk_id, tenant)
) WITH (fillfactor = 50);

CREATE TABLE chunk_spans (
    tenant text COLLATE "C", broadcast_id bytea, channel text COLLATE "C", min_ordinal bigint, chunk_id bytea,
    max_ordinal bigint NOT NULL,
    PRIMARY KEY (tenant, broadcast_id, channel, min_ordinal, chunk_id)
);

-- `widest` is the largest max_ordinal - min_ordinal of any chunk: how far below an ordinal its chunk can begin.
CREATE TABLE broadcast_spans (
    tenant text COLLATE "C", channel text COLLATE "C", broadcast_id bytea, min_ordinal bigint NOT NULL,
    max_ordinal bigint NOT NULL, widest bigint NOT NULL,
    PRIMARY KEY (tenant, channel, broadcast_id)
) WITH (fillfactor = 50);

CREATE TABLE broadcast_totals (
    tenant text COLLATE "C", broadcast_id bytea, channel text COLLATE "C", state smallint, reason smallint,
    count bigint NOT NULL,
    PRIMARY KEY (tenant, broadcast_id, channel, state, reason)
) WITH (fillfactor = 30);

CREATE TABLE inbox_items (
    tenant text COLLATE "C", user_id text COLLATE "C", item_id bytea, created_ms bigint NOT NULL, content bytea NOT NULL,
    PRIMARY KEY (tenant, user_id, item_id)
);

CREATE TABLE inbox_marks (
    tenant text COLLATE "C", user_id text COLLATE "C", item_id bytea, seen_ms bigint, read_ms bigint, archived_ms bigint,
    PRIMARY KEY (tenant, user_id, item_id)
) WITH (fillfactor = 70);

CREATE TABLE inbox_horizons (
    tenant text COLLATE "C", user_id text COLLATE "C", item_id bytea NOT NULL, at_ms bigint NOT NULL,
    PRIMARY KEY (tenant, user_id)
) WITH (fillfactor = 70);

CREATE TABLE captures (
    tenant text COLLATE "C", delivery_id bytea, attempt integer, user_id text NOT NULL, channel text NOT NULL,
    address text NOT NULL, provider text NOT NULL, captured_ms bigint NOT NULL, content bytea NOT NULL,
    PRIMARY KEY (tenant, delivery_id, attempt)
);

CREATE TABLE dead_letters (
    tenant text COLLATE "C", delivery_id bytea, channel text NOT NULL, user_id text NOT NULL, reason smallint NOT NULL,
    detail text NOT NULL, attempt integer NOT NULL, dead_ms bigint NOT NULL, payload bytea NOT NULL,
    replayed_ms bigint, claimed_ms bigint,
    PRIMARY KEY (tenant, delivery_id)
) WITH (fillfactor = 80);

CREATE TABLE counters (
    tenant text COLLATE "C", minute_ms bigint, channel text COLLATE "C", what text COLLATE "C", reason smallint,
    count bigint NOT NULL,
    PRIMARY KEY (tenant, minute_ms, channel, what, reason)
) WITH (fillfactor = 30);

CREATE TABLE instances (
    id bytea, tenant text COLLATE "C", notification_id bytea NOT NULL, user_id text COLLATE "C" NOT NULL,
    workflow text NOT NULL, version bigint NOT NULL, step text NOT NULL, state text NOT NULL, started_ms bigint NOT NULL,
    ended_ms bigint, detail text NOT NULL,
    PRIMARY KEY (id, tenant)
) WITH (fillfactor = 70);

CREATE INDEX instances_of ON instances (notification_id, tenant);

CREATE TABLE progress (
    instance_id bytea, tenant text COLLATE "C", sequence integer, at_ms bigint NOT NULL, step text NOT NULL,
    event text NOT NULL, detail text NOT NULL,
    PRIMARY KEY (instance_id, tenant, sequence)
);

CREATE TABLE seen_receipts (
    tenant text COLLATE "C", notification_id bytea, user_id text COLLATE "C", first_ms bigint NOT NULL,
    last_ms bigint NOT NULL,
    PRIMARY KEY (tenant, notification_id, user_id)
) WITH (fillfactor = 80);

-- Facts by their digest. They are shared by whoever decided from the same ones, so no tenant owns them.
CREATE TABLE request_facts (digest bytea PRIMARY KEY, facts bytea NOT NULL);

CREATE TABLE health_changes (
    tenant text COLLATE "C", at_ms bigint, provider text COLLATE "C", sequence integer, channel text NOT NULL,
    vendor text NOT NULL, before text NOT NULL, state text NOT NULL, detail text NOT NULL,
    PRIMARY KEY (tenant, at_ms, provider, sequence)
);
