-- What in the catalog tells that rows of a table changed without a word in the stream; one statement, so one moment.
WITH RECURSIVE
-- Its partitions at every level, each with the transaction that linked it to its parent. Walked by hand:
-- pg_partition_tree() locks every partition, and would wait for whoever alters one.
tree AS (
    SELECT link.inhrelid AS oid, link.xmin::text AS linked
    FROM pg_catalog.pg_inherits AS link
    JOIN pg_catalog.pg_class AS root ON root.oid = link.inhparent AND root.relkind = 'p'
    WHERE link.inhparent = %(oid)s AND NOT link.inhdetachpending
    UNION ALL
    SELECT link.inhrelid, link.xmin::text
    FROM tree JOIN pg_catalog.pg_inherits AS link ON link.inhparent = tree.oid AND NOT link.inhdetachpending
),
part AS (
    SELECT
        concat(c.oid, ':', c.relfilenode, ':', tree.linked) AS token,
        -- Whether all rows it ever held as a partition are in the stream.
        CASE
            -- CREATE TABLE ... PARTITION OF writes the rows of all columns at once. ATTACH PARTITION writes those of
            -- the user's columns anew, and never that of ctid. (It writes pg_class and pg_inherits as well, as the
            -- first does: those tell nothing.) cmin holds as long as nobody tried to change the row: xmax 0.
            WHEN EXISTS (
                SELECT FROM pg_catalog.pg_attribute AS a
                JOIN pg_catalog.pg_attribute AS birth ON birth.attrelid = a.attrelid AND birth.attnum = -1
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.xmax::text = '0'
                  AND a.xmin = birth.xmin AND a.cmin = birth.cmin
            ) THEN true
            -- Attached, and empty now, so nothing it brought along is left. Asking a file's size waits for whoever
            -- alters the table, so those known to have pages are not asked.
            WHEN c.relkind = 'r' AND c.relpages = 0 THEN pg_catalog.pg_relation_size(c.oid) = 0
            ELSE false
        END AS streamed
    FROM tree JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid
),
-- Every type that has a say in how the values of a column are printed.
used AS (
    SELECT a.attname::text AS reader, a.atttypid AS oid
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT used.reader, inner_type.oid
    FROM used
    JOIN pg_catalog.pg_type AS t ON t.oid = used.oid
    CROSS JOIN LATERAL (
        SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL
        SELECT t.typelem WHERE t.typelem <> 0
        UNION ALL
        SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
    ) AS inner_type (oid)
),
meaning AS (
    -- A label bears its oid: one that changed names with another has the other's values.
    SELECT used.reader, concat('e', e.oid, '=', e.enumlabel) AS token
    FROM used JOIN pg_catalog.pg_enum AS e ON e.enumtypid = used.oid
    UNION ALL
    -- An attribute added to a composite type, or dropped, changes the text of every value there is.
    SELECT used.reader, concat('c', t.oid, '=', (
        SELECT string_agg(concat(a.attnum, ':', a.atttypid), ',' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ))
    FROM used JOIN pg_catalog.pg_type AS t ON t.oid = used.oid AND t.typtype = 'c'
)
SELECT
    c.relfilenode::int8,
    (
        SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    (
        SELECT array_agg(a.attnum ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    (
        SELECT array_agg(a.xmin::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    (SELECT array_agg(token ORDER BY token) FROM part),
    (SELECT array_agg(token ORDER BY token) FROM part WHERE streamed),
    (SELECT array_agg(reader ORDER BY reader, token) FROM meaning),
    (SELECT array_agg(token ORDER BY reader, token) FROM meaning)
FROM pg_catalog.pg_class AS c
WHERE c.oid = %(oid)s
