-- Items stand in the inbox in the order of their arrival: in a sequence of the user, counted in a row per user, and in a shared one
-- of the tenant, counted in a row per tenant. Both are counted by the fold that stores the items.
CREATE TABLE inbox_epochs (number integer PRIMARY KEY, epoch bytea NOT NULL);
INSERT INTO inbox_epochs VALUES (1, substring(uuid_send(gen_random_uuid()) FOR 8));

CREATE TABLE inbox_users (
    tenant text COLLATE "C", user_id text COLLATE "C", own_seq bigint NOT NULL, PRIMARY KEY (tenant, user_id)
) WITH (fillfactor = 50);
CREATE TABLE inbox_tenants (tenant text COLLATE "C" PRIMARY KEY, shared_seq bigint NOT NULL) WITH (fillfactor = 20);

-- Deliveries of a recorded chunk that arrived later, such as held ones: a byte each, not 0 for those.
CREATE TABLE chunk_arrivals (
    chunk_id bytea, tenant text COLLATE "C", seq bigint, at_ms bigint NOT NULL, members bytea NOT NULL,
    PRIMARY KEY (chunk_id, tenant, seq)
) PARTITION BY RANGE (chunk_id);
CREATE TABLE broadcast_collapses (
    tenant text COLLATE "C", collapse_key text COLLATE "C", broadcast_id bytea,
    PRIMARY KEY (tenant, collapse_key, broadcast_id)
) PARTITION BY RANGE (broadcast_id);
CREATE TABLE inbox_withdrawals (
    tenant text COLLATE "C", notification_id bytea, seq bigint NOT NULL, at_ms bigint NOT NULL,
    PRIMARY KEY (tenant, notification_id)
) PARTITION BY RANGE (notification_id);
CREATE INDEX inbox_withdrawals_by_seq ON inbox_withdrawals (tenant, seq);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['chunk_arrivals', 'broadcast_collapses', 'inbox_withdrawals'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', name || '_other', name);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name || '_other');
    END LOOP;
    FOREACH name IN ARRAY ARRAY['chunk_arrivals', 'broadcast_collapses', 'inbox_withdrawals', 'inbox_users', 'inbox_tenants'] LOOP
        PERFORM protect_rows(name::regclass);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO clarion_worker; GRANT SELECT ON %1$I TO clarion_api', name);
    END LOOP;
END $$;
GRANT SELECT ON inbox_epochs TO clarion_api, clarion_worker;
GRANT INSERT, UPDATE ON inbox_users, inbox_tenants, inbox_withdrawals TO clarion_api;

CREATE OR REPLACE FUNCTION history_tables() RETURNS TABLE (name text, key text) LANGUAGE sql IMMUTABLE AS $$
    VALUES ('attempts', 'delivery_id'), ('broadcast_collapses', 'broadcast_id'), ('broadcast_spans', 'broadcast_id'),
        ('broadcast_totals', 'broadcast_id'), ('captures', 'delivery_id'), ('chunk_arrivals', 'chunk_id'),
        ('chunk_spans', 'broadcast_id'), ('chunk_states', 'chunk_id'), ('chunks', 'chunk_id'),
        ('dead_letters', 'delivery_id'), ('deliveries', 'id'), ('inbox_items', 'item_id'), ('inbox_marks', 'item_id'),
        ('inbox_withdrawals', 'notification_id'), ('instances', 'id'), ('notifications', 'id'),
        ('progress', 'instance_id'), ('seen_receipts', 'notification_id'), ('subject_cancellations', 'id')
$$;

ALTER TABLE inbox_items ADD COLUMN shared_seq bigint NOT NULL DEFAULT 0, ADD COLUMN own_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN category text NOT NULL DEFAULT '', ADD COLUMN expires_ms bigint,
    ADD COLUMN collapse_key text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE inbox_marks ADD COLUMN snoozed_ms bigint, ADD COLUMN deleted_ms bigint,
    ADD COLUMN read_seq bigint NOT NULL DEFAULT 0, ADD COLUMN seq bigint NOT NULL DEFAULT 0;
ALTER TABLE inbox_horizons ADD COLUMN own_seq bigint NOT NULL DEFAULT 0, ADD COLUMN shared_seq bigint NOT NULL DEFAULT 0,
    ADD COLUMN seq bigint NOT NULL DEFAULT 0;
ALTER TABLE chunk_spans ADD COLUMN seq bigint NOT NULL DEFAULT 0;
ALTER TABLE broadcast_spans ADD COLUMN first_seq bigint NOT NULL DEFAULT 0, ADD COLUMN last_seq bigint NOT NULL DEFAULT 0;

-- What was stored before gets the places of its old order, which was by id.
SELECT set_tenants('*');
UPDATE broadcast_spans AS b SET first_seq = p.seq, last_seq = p.seq FROM (
        SELECT tenant, broadcast_id, row_number() OVER (PARTITION BY tenant ORDER BY broadcast_id) AS seq
        FROM broadcast_spans WHERE channel = 'inapp') AS p
    WHERE b.channel = 'inapp' AND b.tenant = p.tenant AND b.broadcast_id = p.broadcast_id;
UPDATE chunk_spans AS c SET seq = b.last_seq FROM broadcast_spans AS b
    WHERE c.channel = 'inapp' AND b.channel = 'inapp' AND b.tenant = c.tenant AND b.broadcast_id = c.broadcast_id;
INSERT INTO inbox_tenants SELECT tenant, max(last_seq) FROM broadcast_spans WHERE channel = 'inapp' GROUP BY tenant;
UPDATE inbox_items AS i SET own_seq = p.seq, shared_seq = p.shared FROM (
        SELECT tenant, user_id, item_id,
            row_number() OVER (PARTITION BY tenant, user_id ORDER BY item_id) AS seq,
            coalesce((SELECT b.last_seq FROM broadcast_spans AS b WHERE b.tenant = s.tenant AND b.channel = 'inapp'
                AND b.broadcast_id < s.item_id ORDER BY b.broadcast_id DESC LIMIT 1), 0) AS shared
        FROM inbox_items AS s) AS p
    WHERE i.tenant = p.tenant AND i.user_id = p.user_id AND i.item_id = p.item_id;
INSERT INTO inbox_users SELECT tenant, user_id, max(own_seq) FROM inbox_items GROUP BY tenant, user_id;
UPDATE inbox_horizons AS h SET
    own_seq = coalesce((SELECT max(i.own_seq) FROM inbox_items AS i
        WHERE i.tenant = h.tenant AND i.user_id = h.user_id AND i.item_id <= h.item_id), 0),
    shared_seq = coalesce((SELECT b.last_seq FROM broadcast_spans AS b WHERE b.tenant = h.tenant AND b.channel = 'inapp'
        AND b.broadcast_id <= h.item_id ORDER BY b.broadcast_id DESC LIMIT 1), 0);
SELECT set_tenants('');

CREATE INDEX inbox_items_by_place ON inbox_items (tenant, user_id, shared_seq, own_seq);
CREATE INDEX inbox_items_by_collapse_key ON inbox_items (tenant, user_id, collapse_key, shared_seq, own_seq)
    WHERE collapse_key <> '';
CREATE INDEX inbox_marks_by_seq ON inbox_marks (tenant, user_id, seq);
CREATE INDEX broadcast_spans_by_arrival ON broadcast_spans (tenant, last_seq) WHERE channel = 'inapp';
SELECT history_make(2);
