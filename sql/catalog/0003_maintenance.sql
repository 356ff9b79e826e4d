-- A realtime view may read many tables, so each definition lists them.
UPDATE flashql.views SET definition = json_merge_patch(definition, json_object('sources', json_array(json_object(
    'schema', definition->'$.base_table[0]',
    'name', definition->'$.base_table[1]',
    'columns', definition->'$.base_columns',
    'computed_from', coalesce(definition->'$.computed_from', json_array()),
    'computed_types', coalesce(definition->'$.computed_types', json_array())
)))) WHERE json_type(definition, '$.base_table') = 'ARRAY';

-- What the rows of each view that is kept equal to its query were computed from, and have followed since: a relation it
-- reads, and the table that held its rows. A view without such rows here is computed anew before it goes on.
CREATE TABLE flashql.view_inputs (
    relation_id VARCHAR NOT NULL,
    input VARCHAR, -- an origin's table, a view or a local table; NULL for a view that reads none
    local_table VARCHAR -- in schema flashql_data; NULL for one of DuckDB's own tables
);

-- The steps by which such a view follows, each with a table of its own.
CREATE TABLE flashql.view_steps (
    relation_id VARCHAR NOT NULL,
    step BIGINT NOT NULL, -- from 1, in the order they run
    local_table VARCHAR NOT NULL, -- in schema flashql_data
    strategy VARCHAR NOT NULL, -- delta, groups or recompute
    reason VARCHAR NOT NULL,
    query VARCHAR NOT NULL, -- what the table holds
    built_milliseconds DOUBLE NOT NULL, -- what computing it took at first
    batches BIGINT NOT NULL DEFAULT 0, -- how often it followed; this and what is below count from when it was built
    recomputed BIGINT NOT NULL DEFAULT 0, -- how often of these by computing it anew
    rows_moved BIGINT NOT NULL DEFAULT 0, -- deleted and inserted; a row changed in place is one
    milliseconds DOUBLE NOT NULL DEFAULT 0 -- spent in all
);
