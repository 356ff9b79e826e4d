-- Statements that are FlashQL's and wrong: what is said, and where.

-- input
CREATE REALTIME VIEW shop.x SELECT 1
-- expected
SyntaxProblem: line 1, column 29: expected AS, found SELECT
Hint: CREATE REALTIME VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ...

-- input
SELECT 1;
CREATE REALTIME VIEW
-- expected
SyntaxProblem: line 2, column 21: expected the name of a view, found the end of the statement

-- input
CREATE REALTME VIEW x AS SELECT 1
-- expected
SyntaxProblem: line 1, column 8: unexpected REALTME
Hint: did you mean CREATE REALTIME VIEW?

-- input
CREATE MATERIALIZED TABLE x AS SELECT 1
-- expected
SyntaxProblem: line 1, column 21: expected VIEW, found TABLE
Hint: CREATE MATERIALIZED VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ...

-- input
CREATE TEMP REALTIME VIEW x AS SELECT 1
-- expected
SyntaxProblem: line 1, column 8: a FlashQL view cannot be temporary
Hint: CREATE REALTIME VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ...

-- input
CREATE REALTIME VIEW AS SELECT 1
-- expected
SyntaxProblem: line 1, column 22: expected the name of a view, found the reserved word AS
Hint: a name that is a reserved word needs quotes: "as"

-- input
CREATE REALTIME VIEW a.b.c AS SELECT 1
-- expected
SyntaxProblem: line 1, column 22: the name of a view has at most two parts
Hint: write schema.name

-- input
CREATE REALTIME VIEW "" AS SELECT 1
-- expected
SyntaxProblem: line 1, column 22: the name of a view cannot be empty or contain a zero character

-- input
CREATE REALTIME VIEW x AS
-- expected
SyntaxProblem: line 1, column 26: the query is missing
Hint: a view is made of a query: CREATE REALTIME VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ...

-- input
CREATE REALTIME VIEW x AS WITH (numeric = 'text')
-- expected
SyntaxProblem: line 1, column 27: the query is missing
Hint: a view is made of a query: CREATE REALTIME VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ...

-- input
CREATE REALTIME VIEW x AS INSERT INTO t VALUES (1)
-- expected
SyntaxProblem: line 1, column 27: INSERT does not begin a query
Hint: a view is made of a query: CREATE REALTIME VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ...

-- input
CREATE ORIGIN VIEW x AS WITH a AS (SELECT 1) DELETE FROM t
-- expected
SyntaxProblem: line 1, column 46: DELETE is not a query
Hint: a view is made of a query: CREATE ORIGIN VIEW name [(column, ...)] [WITH (option = value, ...)] AS SELECT ...

-- input
CREATE OR REPLACE REALTIME VIEW IF NOT EXISTS x AS SELECT 1
-- expected
SyntaxProblem: line 1, column 40: OR REPLACE and IF NOT EXISTS exclude each other

-- input
CREATE REALTIME VIEW shop.x(issue BIGINT, day) AS SELECT 1
-- expected
SyntaxProblem: line 1, column 43: some of these have types and some have none
Hint: write (column, ...), whose types come from the query, or (parameter type, ...)

-- input
CREATE MATERIALIZED VIEW shop.x(issue BIGINT) AS SELECT 1
-- expected
SyntaxProblem: line 1, column 26: only realtime views have parameters
Hint: CREATE REALTIME VIEW name (parameter type, ...) AS SELECT ...; for a column list leave out the types

-- input
CREATE REALTIME VIEW shop.x(issue BIGINT) AS SELECT 1 WITH (default_subscription = true)
-- expected
SyntaxProblem: line 1, column 22: default_subscription needs a default for every parameter; issue has none
Hint: write (name type DEFAULT value, ...)

-- input
CREATE REALTIME VIEW shop.x AS SELECT 1 WITH (priority = 2)
-- expected
SyntaxProblem: line 1, column 22: priority and default_subscription are for views with parameters
Hint: a view without parameters has all its rows as soon as it is synced

-- input
CREATE REALTIME VIEW shop.x(issue BIGINT) AS SELECT 1 WITH (priority = -1)
-- expected
SyntaxProblem: line 1, column 72: priority cannot be '-1'
Hint: 0 is the most urgent, 1000 the least

-- input
CREATE REALTIME VIEW x(a, B, b) AS SELECT 1
-- expected
SyntaxProblem: line 1, column 30: the column b is given twice

-- input
CREATE REALTIME VIEW x(a, ) AS SELECT 1
-- expected
SyntaxProblem: line 1, column 27: expected the name of a column, found )

-- input
CREATE REALTIME VIEW x WITH (persistence = 'origin') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 1: the view is created REALTIME but its options say persistence = origin
Hint: say it once

-- input
CREATE VIEW x WITH (persistence = 'realtme') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 35: persistence cannot be 'realtme'
Hint: did you mean realtime? persistence is one of: origin, materialized, realtime

-- input
CREATE VIEW x WITH (persistance = 'realtime') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 21: there is no option 'persistance'
Hint: did you mean persistence? known options: persistence, replication_origin, refresh_every, reconcile_every, seed, numeric, float_aggregates, default_subscription, priority

-- input
CREATE MATERIALIZED VIEW x WITH (numeric = auto) AS
  SELECT 1 WITH (refresh_every = '1 day',
                 numeric = text)
-- expected
SyntaxProblem: line 3, column 18: the option numeric is given twice

-- input
CREATE REALTIME VIEW x WITH (numeric 'auto') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 38: expected = after numeric, found a string
Hint: write (option = value, ...); values of more than one word need quotes

-- input
CREATE REALTIME VIEW x WITH (numeric = decimal(18, 3)) AS SELECT 1
-- expected
SyntaxProblem: line 1, column 40: numeric = 'decimal' is not a way to hold a numeric
Hint: Use 'auto', 'text' or 'decimal(p,s)' with 1 <= p <= 38 and 0 <= s <= p; a double would round.

-- input
CREATE REALTIME VIEW x WITH (numeric = 'decimal(39,2)') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 40: numeric = 'decimal(39,2)' is not a way to hold a numeric
Hint: Use 'auto', 'text' or 'decimal(p,s)' with 1 <= p <= 38 and 0 <= s <= p; a double would round.

-- input
CREATE REALTIME VIEW x WITH () AS SELECT 1
-- expected
SyntaxProblem: line 1, column 30: expected the name of an option, found )

-- input
CREATE REALTIME VIEW x WITH (numeric = ) AS SELECT 1
-- expected
SyntaxProblem: line 1, column 40: expected a value for numeric, found )

-- input
CREATE REALTIME VIEW x WITH (numeric = -'1') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 41: expected a number, found a string

-- input
CREATE REALTIME VIEW x WITH (refresh_every = '5 minutes') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 22: refresh_every is for materialized views only
Hint: CREATE MATERIALIZED VIEW name WITH (refresh_every = '5 minutes') AS SELECT ...; a realtime view follows its origin by itself, an origin view is always fresh

-- input
CREATE MATERIALIZED VIEW x WITH (refresh_every = '5') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 50: the interval '5' lacks a unit
Hint: write numbers with units, as in '30 s', '5 minutes', '1 hour 30 minutes' or '1 day'

-- input
CREATE MATERIALIZED VIEW x WITH (refresh_every = '1 month') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 50: 'month' is not a unit of fixed length
Hint: write numbers with units, as in '30 s', '5 minutes', '1 hour 30 minutes' or '1 day'

-- input
CREATE MATERIALIZED VIEW x WITH (refresh_every = '5 minuts') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 50: 'minuts' is not a unit of fixed length
Hint: did you mean minutes? write numbers with units, as in '30 s', '5 minutes', '1 hour 30 minutes' or '1 day'

-- input
CREATE MATERIALIZED VIEW x WITH (refresh_every = '0 s') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 50: the interval '0 s' is not above zero and at most ten years
Hint: write numbers with units, as in '30 s', '5 minutes', '1 hour 30 minutes' or '1 day'

-- input
CREATE REALTIME VIEW x WITH (replication_origin = 'mysql:primary') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 51: 'mysql' is not a kind of origin
Hint: known kinds: postgres; replication_origin takes the name that connect(origins={name: ...}) gives, as in 'primary'

-- input
CREATE REALTIME VIEW x WITH (replication_origin = 'postgresql://app:secret@localhost/shop') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 51: replication_origin is a connection string where a name belongs
Hint: replication_origin takes the name that connect(origins={name: ...}) gives, as in 'primary'

-- input
CREATE REALTIME VIEW x WITH (replication_origin = '') AS SELECT 1
-- expected
SyntaxProblem: line 1, column 51: replication_origin is empty
Hint: replication_origin takes the name that connect(origins={name: ...}) gives, as in 'primary'

-- input
CREATE MATERIALIZED VIEW x AS SELECT 1 WITH NO DATA
-- expected
SyntaxProblem: line 1, column 40: WITH NO DATA is not supported
Hint: leave it out: a new view has no data yet; call db.sync.sync() when you want it

-- input
CREATE MATERIALIZED VIEW x AS SELECT 1 WITH DATA
-- expected
SyntaxProblem: line 1, column 40: WITH DATA is not supported
Hint: leave it out: a new view has no data yet; call db.sync.sync() when you want it

-- input
CREATE REALTIME VIEW x AS
  SELECT 'never closed
-- expected
SyntaxProblem: line 2, column 10: the quote that begins here is never closed

-- input
CREATE REALTIME VIEW x AS SELECT 1 /* never closed
-- expected
SyntaxProblem: line 1, column 36: the comment that begins here is never closed

-- input
ALTER REALTIME VIEW x RENAME TO y
-- expected
SyntaxProblem: line 1, column 23: expected SET ( or RESET (, found RENAME
Hint: ALTER VIEW name SET (option = value, ...) or ALTER VIEW name RESET (option, ...)

-- input
ALTER VIEW x SET (numeric = 'text') CASCADE
-- expected
SyntaxProblem: line 1, column 37: unexpected CASCADE
Hint: ALTER VIEW name SET (option = value, ...) or ALTER VIEW name RESET (option, ...)

-- input
ALTER VIEW IF EXISTS x SET (numeric = 'text')
-- expected
SyntaxProblem: line 1, column 12: IF EXISTS cannot be combined with SET
Hint: ALTER VIEW name SET (option = value, ...) or ALTER VIEW name RESET (option, ...)

-- input
ALTER VIEW x RESET (persistence)
-- expected
SyntaxProblem: line 1, column 20: persistence has no default to go back to
Hint: ALTER VIEW name SET (persistence = origin | materialized | realtime)

-- input
ALTER VIEW x RESET (numeric = 'text')
-- expected
SyntaxProblem: line 1, column 29: expected , or ), found =
Hint: write (option, ...)

-- input
ALTER VIEW x SET (persistence = realtime, refresh_every = '5 minutes')
-- expected
SyntaxProblem: line 1, column 18: refresh_every is for materialized views only
Hint: CREATE MATERIALIZED VIEW name WITH (refresh_every = '5 minutes') AS SELECT ...; a realtime view follows its origin by itself, an origin view is always fresh

-- input
DROP REALTIME VIEW x y
-- expected
SyntaxProblem: line 1, column 22: unexpected y
Hint: DROP VIEW [IF EXISTS] name [, ...] [CASCADE | RESTRICT]

-- input
REFRESH TABLE x
-- expected
SyntaxProblem: line 1, column 9: expected VIEW, found TABLE
Hint: REFRESH VIEW name

-- input
REFRESH ORIGIN VIEW x
-- expected
SyntaxProblem: line 1, column 9: an origin view cannot be refreshed
Hint: it has no copy: it is always fresh

-- input
REFRESH MATERIALIZED VIEW CONCURRENTLY x
-- expected
SyntaxProblem: line 1, column 27: unexpected CONCURRENTLY
Hint: leave it out: a refresh never blocks. REFRESH VIEW name

-- input
REFRESH VIEW x WITH NO DATA
-- expected
SyntaxProblem: line 1, column 16: unexpected WITH
Hint: REFRESH VIEW name

-- input
CREATE SCHEMA shop WITH (replicaton_origin = 'primary')
-- expected
SyntaxProblem: line 1, column 26: there is no option 'replicaton_origin'
Hint: did you mean replication_origin? known options: replication_origin

-- input
CREATE SCHEMA a.b WITH (replication_origin = 'primary')
-- expected
SyntaxProblem: line 1, column 15: the name of a schema has one part
Hint: CREATE SCHEMA name WITH (replication_origin = 'primary')

-- input
ALTER SCHEMA shop SET (persistence = 'realtime')
-- expected
SyntaxProblem: line 1, column 24: there is no option 'persistence'
Hint: known options: replication_origin

-- input
EXPLAIN VIEW
-- expected
SyntaxProblem: line 1, column 13: expected the name of a view, found the end of the statement

-- input
EXPLAIN VIEW select
-- expected
SyntaxProblem: line 1, column 14: expected the name of a view, found the reserved word select
Hint: a name that is a reserved word needs quotes: "select"
