-- What the database's own collation is called. The provider's column exists from Postgres 15 on (c libc, i ICU, b
-- builtin from 17 on), and its locale's name moved.
SELECT CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c')
    WHEN 'c' THEN CASE WHEN d.datcollate = d.datctype THEN d.datcollate ELSE d.datcollate || '+' || d.datctype END
    WHEN 'b' THEN to_jsonb(d) ->> 'datlocale'
    ELSE 'icu'
END
FROM pg_catalog.pg_database AS d
WHERE d.datname = current_database()
