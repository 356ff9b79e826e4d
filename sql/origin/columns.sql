-- The columns of a table, in order. A stored generated column is in the stream from Postgres 18 on, a virtual one never.
SELECT
    a.attname::text,
    a.atttypid::int8,
    a.atttypmod,
    a.attnotnull,
    a.attgenerated = 'v' OR (a.attgenerated = 's' AND current_setting('server_version_num')::int < 180000),
    CASE
        WHEN a.attcollation = 0 THEN NULL
        WHEN coll.collprovider = 'd' THEN db.collation
        WHEN coll.collcollate = coll.collctype THEN coll.collcollate
        ELSE coalesce(coll.collcollate || '+' || coll.collctype, coll.collname)
    END
FROM pg_catalog.pg_attribute AS a
LEFT JOIN pg_catalog.pg_collation AS coll ON coll.oid = a.attcollation
CROSS JOIN (
    -- The provider column exists from Postgres 15 on (c libc, i ICU, b builtin from 17 on).
    SELECT CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
             WHEN 'c' THEN CASE WHEN d.datcollate = d.datctype THEN d.datcollate
                 ELSE d.datcollate || '+' || d.datctype END
             WHEN 'b' THEN to_jsonb(d) ->> 'datlocale'
             ELSE 'icu'
           END AS collation
    FROM pg_catalog.pg_database AS d
    WHERE d.datname = current_database()
) AS db
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
