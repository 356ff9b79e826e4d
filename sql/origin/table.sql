-- A table: who it is, and the columns that identify its rows in the stream (its replica identity).
-- Under REPLICA IDENTITY FULL an immediate primary key still identifies a row, so it serves as the key.
SELECT
    c.oid::int8,
    n.nspname,
    c.relname,
    c.relkind::text,
    c.relreplident::text,
    c.reltuples::int8,
    CASE WHEN c.relkind IN ('r', 'm') THEN pg_catalog.pg_table_size(c.oid) ELSE 0 END,
    CASE
        WHEN c.relkind IN ('r', 'm')
        THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8
        ELSE 0
    END,
    (
        SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM pg_catalog.pg_index AS i
        CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE i.indrelid = c.oid
          AND k.place <= i.indnkeyatts
          AND i.indisvalid
          AND i.indimmediate
          AND CASE c.relreplident
                WHEN 'd' THEN i.indisprimary
                WHEN 'f' THEN i.indisprimary
                WHEN 'i' THEN i.indisreplident
                ELSE false
              END
    )
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%(name)s)
