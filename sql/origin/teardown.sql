-- Takes back what setup.sql gave, and drops what FlashQL made with it: a superuser runs it in each database that was
-- followed. The role goes with the last of them, unless it was granted more. Running it again does no harm.
--
--     psql -d shop -v role=flashql -f teardown.sql
\set ON_ERROR_STOP on
SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'role') AS is_there \gset
\if :is_there

ALTER ROLE :"role" NOLOGIN;
SELECT count(pg_terminate_backend(pid, 10000)) AS sessions_ended
FROM pg_catalog.pg_stat_activity
WHERE usename = :'role' AND datname = current_database();

-- A slot has no owner, but the name of its publication, which has one.
SELECT count(pg_drop_replication_slot(s.slot_name)) AS slots_dropped
FROM pg_catalog.pg_replication_slots AS s
JOIN pg_catalog.pg_publication AS p ON p.pubname = s.slot_name
WHERE s.database = current_database() AND p.pubowner::regrole = quote_ident(:'role')::regrole;

SELECT format('DROP PUBLICATION %I', pubname)
FROM pg_catalog.pg_publication
WHERE pubowner::regrole = quote_ident(:'role')::regrole \gexec

REVOKE ALL ON DATABASE :"DBNAME" FROM :"role";

-- What it still owns or may do, in any database, is in pg_shdepend. Memberships end with the role.
SELECT CASE
    WHEN EXISTS (
        SELECT FROM pg_catalog.pg_shdepend
        WHERE refclassid = 'pg_catalog.pg_authid'::regclass AND refobjid = quote_ident(:'role')::regrole
    )
    THEN format('ALTER ROLE %I LOGIN', :'role')
    ELSE format('DROP ROLE %I', :'role')
END \gexec

\endif
