-- Who is connected to which gateway, for as long as the gateway says that it is at work. It survives no crash of the server (UNLOGGED):
-- gateways record it again.
CREATE UNLOGGED TABLE presence_gateways (
    gateway text COLLATE "C" PRIMARY KEY, expires_ms bigint NOT NULL
) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE presence (
    tenant text COLLATE "C", user_id text COLLATE "C", gateway text COLLATE "C", connections integer NOT NULL,
    PRIMARY KEY (tenant, user_id, gateway)
) WITH (fillfactor = 70);
CREATE INDEX presence_by_gateway ON presence (gateway);
SELECT protect_rows('presence'::regclass);
GRANT SELECT, INSERT, UPDATE, DELETE ON presence, presence_gateways TO clarion_worker;
GRANT SELECT ON presence, presence_gateways TO clarion_api;
