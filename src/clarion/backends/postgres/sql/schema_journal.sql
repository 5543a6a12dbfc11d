-- The journal: streams and stage store.
CREATE SCHEMA journal;
