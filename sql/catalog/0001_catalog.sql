-- FlashQL's own state: everything it knows is in schema flashql, as ordinary rows anyone can read.
-- Copies themselves live in schema flashql_data.

CREATE SCHEMA IF NOT EXISTS flashql_data;

-- Who this file is: the name of its slots and publications at origins is made from it.
CREATE TABLE flashql.identity (
    database_id VARCHAR NOT NULL
);
INSERT INTO flashql.identity SELECT substr(replace(CAST(uuid() AS VARCHAR), '-', ''), 1, 12);

CREATE SEQUENCE flashql.ids;

CREATE TABLE flashql.schemas (
    name VARCHAR NOT NULL,
    replication_origin VARCHAR
);

CREATE TABLE flashql.views (
    namespace VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    persistence VARCHAR NOT NULL,
    origin VARCHAR,
    query VARCHAR NOT NULL,
    definition JSON NOT NULL, -- columns, options and what binding found out, as the catalog's values
    local_table VARCHAR, -- rows of its own in flashql_data: a materialized copy, or a stopped view's frozen rows
    shows VARCHAR, -- the table in flashql_data it reads now; NULL while it has none
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE flashql.origins (
    name VARCHAR NOT NULL,
    slot VARCHAR,
    publication VARCHAR,
    system_identifier VARCHAR,
    timeline BIGINT,
    applied_lsn UBIGINT NOT NULL DEFAULT 0 -- every transaction that ends at or before it is in the live copies
);

CREATE TABLE flashql.copies (
    id BIGINT NOT NULL,
    origin VARCHAR NOT NULL,
    schema_name VARCHAR NOT NULL,
    table_name VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    local_table VARCHAR, -- the rows, in schema flashql_data; NULL while there are none
    lsn UBIGINT NOT NULL DEFAULT 0, -- of its snapshot; later transactions are counted in origins.applied_lsn
    definition JSON NOT NULL -- columns with their types and the local type in use, key
);

CREATE TABLE flashql.sync_jobs (
    relation_id VARCHAR NOT NULL,
    namespace VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    persistence VARCHAR NOT NULL,
    mode VARCHAR NOT NULL, -- query, snapshot or stream: how its rows come
    origin VARCHAR,
    enabled BOOLEAN NOT NULL DEFAULT true,
    state VARCHAR NOT NULL DEFAULT 'idle', -- idle, synced, running or failed
    phase VARCHAR, -- what it is doing: copy or stream; NULL when nothing
    slot_id VARCHAR,
    last_seen_commit VARCHAR, -- LSN, written in the same transaction as the rows
    rows BIGINT,
    lag_bytes BIGINT,
    retry_count BIGINT NOT NULL DEFAULT 0,
    last_error VARCHAR,
    next_retry_at TIMESTAMPTZ,
    last_success_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
