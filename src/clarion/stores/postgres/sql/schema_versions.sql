-- Values that many processes swap by version. They survive no crash of the server (UNLOGGED): losing them forgets usage
-- and which accounts were down, and no more. Versions never recur.
CREATE SEQUENCE swap_versions CACHE 1;
CREATE UNLOGGED TABLE usage (
    tenant text COLLATE "C", key_id text COLLATE "C", kind text COLLATE "C", version bigint NOT NULL,
    used_m bigint NOT NULL, at_ms bigint NOT NULL, period bigint NOT NULL, PRIMARY KEY (tenant, key_id, kind)
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE account_health (
    tenant text COLLATE "C", name text COLLATE "C", version bigint NOT NULL, health bytea NOT NULL,
    PRIMARY KEY (tenant, name)
) WITH (fillfactor = 50);
