-- What FlashQL needs at an origin, and no more. A superuser runs it once in each database to follow; running it again
-- does no harm. `role` is the one that FlashQL connects as, `owner` the one that owns the tables (run it once for each):
--
--     psql -d shop -v role=flashql -v owner=shop_owner -f setup.sql
--     psql -d shop -c '\password flashql'
\set ON_ERROR_STOP on

-- To log in, and to make, read and drop its replication slot.
SELECT format('CREATE ROLE %I', :'role')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN REPLICATION INHERIT;

-- To make its publication.
GRANT CONNECT, CREATE ON DATABASE :"DBNAME" TO :"role";

-- To read the tables, and to publish them, which Postgres lets only their owner do. It lets the owner write to them as
-- well; FlashQL never does.
GRANT :"owner" TO :"role";
