-- A publication: a row per table listed in it, one without a table when none is, no row when there is no publication.
-- `identity` is another once it is dropped and made anew, `version` once its options, or what it says of the table, are
-- altered, though they be put back. `is_intact`: it sends every change of the table, whole and under the table's own name, and sends nothing unlisted.
SELECT
    n.nspname,
    c.relname,
    p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot
        AND coalesce(to_jsonb(p) ->> 'pubgencols', 's') = 's' -- since version 18
        -- FOR ALL TABLES or TABLES IN SCHEMA
        AND NOT EXISTS (
            SELECT t.schemaname, t.tablename FROM pg_catalog.pg_publication_tables AS t WHERE t.pubname = p.pubname
            EXCEPT
            SELECT ln.nspname, lc.relname
            FROM pg_catalog.pg_publication_rel AS l
            JOIN pg_catalog.pg_class AS lc ON lc.oid = l.prrelid
            JOIN pg_catalog.pg_namespace AS ln ON ln.oid = lc.relnamespace
            WHERE l.prpubid = p.oid
        )
        AND to_jsonb(r) ->> 'prqual' IS NULL AND to_jsonb(r) ->> 'prattrs' IS NULL -- since version 15
        -- a partition's changes come as those of its topmost table listed
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_publication_rel AS a
            JOIN pg_catalog.pg_partition_ancestors(r.prrelid) AS above ON above.relid = a.prrelid
            WHERE a.prpubid = p.oid AND a.prrelid <> r.prrelid
        ) AS is_intact,
    p.oid::text AS identity,
    concat(p.xmin, ':', r.oid, ':', r.xmin) AS version
FROM pg_catalog.pg_publication AS p
LEFT JOIN pg_catalog.pg_publication_rel AS r ON r.prpubid = p.oid
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = r.prrelid
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.pubname = %s
