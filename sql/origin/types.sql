-- What types are, domains resolved to what is below them: one row per (oid, typmod) asked for, in order.
WITH RECURSIVE
asked AS (
    SELECT oid, typmod, place
    FROM unnest(%(oids)s::oid[], %(typmods)s::int4[]) WITH ORDINALITY AS a (oid, typmod, place)
),
base AS (
    SELECT asked.place, asked.oid AS declared, asked.typmod AS declared_typmod, t.oid, asked.typmod,
           t.typtype, t.typbasetype, t.typtypmod
    FROM asked JOIN pg_catalog.pg_type AS t ON t.oid = asked.oid
    UNION ALL
    SELECT base.place, base.declared, base.declared_typmod, t.oid,
           CASE WHEN base.typtypmod = -1 THEN base.typmod ELSE base.typtypmod END,
           t.typtype, t.typbasetype, t.typtypmod
    FROM base JOIN pg_catalog.pg_type AS t ON t.oid = base.typbasetype
    WHERE base.typtype = 'd'
)
SELECT
    base.oid::int8,
    base.typmod,
    pg_catalog.format_type(base.declared, base.declared_typmod),
    t.typtype::text,
    CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem::int8 ELSE 0 END,
    element.typtype::text,
    pg_catalog.format_type(element.oid, NULL),
    CASE WHEN t.typtype = 'e' THEN ARRAY(
        SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder
    ) END
FROM base
JOIN pg_catalog.pg_type AS t ON t.oid = base.oid
LEFT JOIN pg_catalog.pg_type AS element ON element.oid = t.typelem AND t.typcategory = 'A'
WHERE base.typtype <> 'd'
ORDER BY base.place
