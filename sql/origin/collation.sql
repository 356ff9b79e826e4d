-- A collation with the library's or the catalog's name, as SQL spells it; only what UTF-8 text can be compared by.
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname)
FROM pg_catalog.pg_collation AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace
WHERE c.collencoding IN (-1, pg_char_to_encoding('UTF8')) AND getdatabaseencoding() = 'UTF8'
    AND %(name)s IN (
        c.collname::text,
        CASE WHEN c.collcollate = c.collctype THEN c.collcollate::text ELSE c.collcollate || '+' || c.collctype END
    )
ORDER BY c.collname::text = %(name)s DESC, c.oid
LIMIT 1
