-- CREATE VIEW: input and what it means. Fields that are empty are left out.

-- input
CREATE ORIGIN       VIEW shop.customers AS SELECT * FROM public.customers;
CREATE MATERIALIZED VIEW shop.products  AS SELECT id, name, price FROM public.products;
CREATE REALTIME     VIEW shop.orders    AS SELECT * FROM public.orders;
-- expected
CreateView {"name": "shop.customers", "persistence": "origin", "query": "SELECT * FROM public.customers"}
CreateView {"name": "shop.products", "persistence": "materialized", "query": "SELECT id, name, price FROM public.products"}
CreateView {"name": "shop.orders", "persistence": "realtime", "query": "SELECT * FROM public.orders"}

-- input
create or replace realtime view "Shop"."Open orders" (Id, "Total") as table orders
-- expected
CreateView {"name": "\"Shop\".\"Open orders\"", "columns": ["id", "Total"], "persistence": "realtime", "query": "table orders", "replace": true}

-- input
CREATE MATERIALIZED VIEW IF NOT EXISTS shop.order WITH (refresh_every = '5  minutes') AS VALUES (1)
-- expected
CreateView {"name": "shop.\"order\"", "persistence": "materialized", "options": {"refresh_every": "5 minutes"}, "query": "VALUES (1)", "if_not_exists": true}

-- input
CREATE VIEW v WITH (persistence = Realtime, "replication_origin" = 'postgres:primary') AS (SELECT 1)
-- expected
CreateView {"name": "v", "persistence": "realtime", "origin": "primary", "query": "(SELECT 1)"}

-- input
CREATE REALTIME VIEW v WITH (persistence = 'REALTIME') AS SELECT 1 WITH (numeric = 'Decimal(18, 3)', replication_origin = primary);
-- expected
CreateView {"name": "v", "persistence": "realtime", "origin": "primary", "options": {"numeric": "decimal(18,3)"}, "query": "SELECT 1"}

-- input
CREATE VIEW v AS WITH a (x) AS (SELECT 1), b AS MATERIALIZED (SELECT 2) SELECT x FROM a, b
-- expected
CreateView {"name": "v", "query": "WITH a (x) AS (SELECT 1), b AS MATERIALIZED (SELECT 2) SELECT x FROM a, b"}

-- input
CREATE ORIGIN VIEW v AS -- what follows is the query
SELECT ';' AS "a;b", $q$ ; WITH (x = 1)$q$, e'\';' /* ; /* nested ; */ */
FROM t -- and what comes here; is not
WITH (replication_origin = 'a b') -- the end;
;
-- expected
CreateView {"name": "v", "persistence": "origin", "origin": "a b", "query": "SELECT ';' AS \"a;b\", $q$ ; WITH (x = 1)$q$, e'\\';' /* ; /* nested ; */ */\nFROM t"}

-- input
CREATE MATERIALIZED VIEW local AS FROM shop.orders SELECT amount
-- expected
CreateView {"name": "local", "persistence": "materialized", "query": "FROM shop.orders SELECT amount"}

-- input
CREATE VIEW plain AS SELECT 1;
CREATE TEMP VIEW t AS SELECT 1;
CREATE OR REPLACE TEMPORARY VIEW t AS SELECT 1;
CREATE RECURSIVE VIEW r(n) AS SELECT 1;
CREATE VIEW other.main.v AS SELECT 1;
CREATE VIEW 'quoted' AS SELECT 1;
CREATE VIEW late WITH (DEFER_BINDING) AS SELECT 1;
CREATE VIEW d AS DESCRIBE t
-- expected
CreateView {"name": "plain", "query": "SELECT 1"}
LocalSQL {"sql": "CREATE TEMP VIEW t AS SELECT 1"}
LocalSQL {"sql": "CREATE OR REPLACE TEMPORARY VIEW t AS SELECT 1"}
LocalSQL {"sql": "CREATE RECURSIVE VIEW r(n) AS SELECT 1"}
LocalSQL {"sql": "CREATE VIEW other.main.v AS SELECT 1"}
LocalSQL {"sql": "CREATE VIEW 'quoted' AS SELECT 1"}
LocalSQL {"sql": "CREATE VIEW late WITH (DEFER_BINDING) AS SELECT 1"}
LocalSQL {"sql": "CREATE VIEW d AS DESCRIBE t"}

-- input
CREATE REALTIME VIEW shop.x(issue BIGINT, "Since" timestamp with time zone DEFAULT NULL, share numeric(5,2) DEFAULT -1.5)
    AS SELECT 1 WITH (default_subscription = false, priority = 2)
-- expected
CreateView {"name": "shop.x", "persistence": "realtime", "options": {"default_subscription": "false", "priority": "2"}, "query": "SELECT 1", "parameters": ["issue BIGINT", "Since timestamp with time zone DEFAULT NULL", "share numeric(5,2) DEFAULT '-1.5'"]}
