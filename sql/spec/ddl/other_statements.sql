-- ALTER, DROP, REFRESH, CREATE SCHEMA, EXPLAIN, and what is DuckDB's.

-- input
ALTER VIEW shop.orders SET (persistence = materialized, refresh_every = '1 hour 30 minutes');
ALTER REALTIME VIEW orders RESET (replication_origin, numeric, numeric);
ALTER VIEW orders SET (replication_origin = 'postgres:replica');
ALTER VIEW orders RENAME TO sales
-- expected
AlterView {"name": "shop.orders", "set": {"persistence": "materialized", "refresh_every": "1 hour 30 minutes"}}
AlterView {"name": "orders", "reset": ["replication_origin", "numeric"]}
AlterView {"name": "orders", "set": {"replication_origin": "replica"}}
LocalSQL {"sql": "ALTER VIEW orders RENAME TO sales"}

-- input
DROP VIEW orders;
DROP VIEW IF EXISTS shop.orders, shop."Customers" CASCADE;
DROP MATERIALIZED VIEW orders RESTRICT;
DROP VIEW other.main.v;
DROP TABLE orders
-- expected
DropView {"names": ["orders"]}
DropView {"names": ["shop.orders", "shop.\"Customers\""], "if_exists": true, "cascade": true}
DropView {"names": ["orders"]}
LocalSQL {"sql": "DROP VIEW other.main.v"}
LocalSQL {"sql": "DROP TABLE orders"}

-- input
REFRESH VIEW shop.orders; refresh materialized view orders; REFRESH REALTIME VIEW "Orders"
-- expected
RefreshView {"name": "shop.orders"}
RefreshView {"name": "orders"}
RefreshView {"name": "\"Orders\""}

-- input
CREATE SCHEMA shop;
CREATE SCHEMA IF NOT EXISTS shop WITH (replication_origin = 'primary');
CREATE SCHEMA other.shop;
CREATE OR REPLACE SCHEMA shop;
DROP SCHEMA shop CASCADE
-- expected
CreateSchema {"name": "shop"}
CreateSchema {"name": "shop", "if_not_exists": true, "origin": "primary"}
LocalSQL {"sql": "CREATE SCHEMA other.shop"}
LocalSQL {"sql": "CREATE OR REPLACE SCHEMA shop"}
LocalSQL {"sql": "DROP SCHEMA shop CASCADE"}

-- input
ALTER SCHEMA shop SET (replication_origin = 'primary');
ALTER SCHEMA shop RESET (replication_origin);
ALTER SCHEMA shop RENAME TO store
-- expected
AlterSchema {"name": "shop", "origin": "primary"}
AlterSchema {"name": "shop"}
LocalSQL {"sql": "ALTER SCHEMA shop RENAME TO store"}

-- input
EXPLAIN VIEW shop.orders;
EXPLAIN SELECT 1;
explain analyze (with a as (select 1) from a);
EXPLAIN (FORMAT json) SELECT 1;
EXPLAIN INSERT INTO t VALUES (1);
EXPLAIN WITH a AS (SELECT 1) INSERT INTO t FROM a
-- expected
ExplainView {"name": "shop.orders"}
ExplainQuery {"query": "SELECT 1"}
ExplainQuery {"query": "(with a as (select 1) from a)", "analyze": true}
LocalSQL {"sql": "EXPLAIN (FORMAT json) SELECT 1"}
LocalSQL {"sql": "EXPLAIN INSERT INTO t VALUES (1)"}
LocalSQL {"sql": "EXPLAIN WITH a AS (SELECT 1) INSERT INTO t FROM a"}

-- input
;; -- nothing;
/* nothing /* ; */ */ ;
-- expected

-- input
SELECT $1,$2; SELECT $a$;$a$, $b; FROM t SELECT * EXCLUDE (a); COPY t TO 'x;y.parquet' (FORMAT parquet);
SELECT '\'; SELECT e'\';' ; SELECT [x + 1 FOR x IN l], l[1:2], {'a': ';'}; PIVOT t ON a; BEGIN; END
-- expected
LocalSQL {"sql": "SELECT $1,$2"}
LocalSQL {"sql": "SELECT $a$;$a$, $b"}
LocalSQL {"sql": "FROM t SELECT * EXCLUDE (a)"}
LocalSQL {"sql": "COPY t TO 'x;y.parquet' (FORMAT parquet)"}
LocalSQL {"sql": "SELECT '\\'"}
LocalSQL {"sql": "SELECT e'\\';'"}
LocalSQL {"sql": "SELECT [x + 1 FOR x IN l], l[1:2], {'a': ';'}"}
LocalSQL {"sql": "PIVOT t ON a"}
LocalSQL {"sql": "BEGIN"}
LocalSQL {"sql": "END"}

-- input
SELECT 1; SELECT 'never closed; SELECT 2
-- expected
LocalSQL {"sql": "SELECT 1"}
LocalSQL {"sql": "SELECT 'never closed; SELECT 2"}

-- input
SELECT 1 /* never closed; SELECT 2
-- expected
LocalSQL {"sql": "SELECT 1 /* never closed; SELECT 2"}
