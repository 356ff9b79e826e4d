-- The parentheses of a set operation within another were lost, and LIMIT after a query in parentheses.

-- origin
CREATE TABLE t (k int PRIMARY KEY, a int, b int);
-- commit
INSERT INTO t VALUES (1, 1, 2), (2, 1, 3), (3, 2, 2), (4, NULL, 1);
-- view s.v0
SELECT a FROM t UNION ALL (SELECT a FROM t UNION SELECT b FROM t);
-- view s.v1
SELECT a FROM t UNION (SELECT a FROM t EXCEPT SELECT b FROM t);
-- view s.v2
SELECT a FROM t UNION ALL (SELECT a FROM t EXCEPT ALL SELECT b FROM t);
-- view s.v3
(SELECT a FROM t UNION SELECT b FROM t) INTERSECT SELECT b FROM t;
-- view s.v4
SELECT k FROM t WHERE a IN (SELECT a FROM t UNION ALL (SELECT a FROM t EXCEPT SELECT b FROM t));
-- view s.v5
SELECT k, a, b FROM t;
-- view l.v6
SELECT r.a FROM s.v5 AS r UNION ALL ((SELECT r.b FROM s.v5 AS r) ORDER BY b NULLS LAST LIMIT 1);
-- view l.v7
SELECT r.k FROM s.v5 AS r WHERE r.a IN ((SELECT q.b FROM s.v5 AS q) ORDER BY b NULLS LAST LIMIT 1);
-- compare
-- commit
INSERT INTO t VALUES (5, 3, 1), (6, 2, 1);
-- compare
-- commit
UPDATE t SET b = 2 WHERE b = 3;
DELETE FROM t WHERE k = 1;
-- compare
-- commit
DELETE FROM t WHERE b = 1;
-- compare
