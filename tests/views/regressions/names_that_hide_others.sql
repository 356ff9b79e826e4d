-- A CTE within another's query hides the outer one of its name, and a CTE reads a view of its own name.

-- origin
CREATE TABLE t (k int PRIMARY KEY, a int, b int);
-- commit
INSERT INTO t VALUES (1, 1, 2), (2, 1, 3), (3, 2, 2);
-- view s.v0
WITH q AS (SELECT a FROM t) SELECT s.b AS c0 FROM (WITH q AS (SELECT b FROM t) SELECT q.b FROM q) AS s JOIN q ON q.a = s.b;
-- view s.v1
WITH t AS (SELECT k, a FROM t WHERE a > 0), u AS (SELECT t.k FROM t) SELECT u.k AS c0, t.a AS c1 FROM u JOIN t ON t.k = u.k;
-- view s.v2
SELECT DISTINCT ON (a) a AS c0, count(*) AS c1, b AS c2 FROM t GROUP BY a, b ORDER BY a, count(*) DESC, b;
-- compare
-- commit
INSERT INTO t VALUES (4, 2, 1), (5, 1, 3);
-- compare
-- commit
UPDATE t SET a = 3 WHERE k = 1;
DELETE FROM t WHERE k = 5;
-- compare
