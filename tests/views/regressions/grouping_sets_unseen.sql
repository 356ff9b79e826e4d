-- GROUPING SETS, ROLLUP and CUBE were taken for a key when no key was shown.

-- origin
CREATE TABLE t (k int PRIMARY KEY, a int, b int);
-- commit
INSERT INTO t VALUES (1, 1, 9), (2, 1, 8), (3, NULL, 7);
-- view s.v0
SELECT max(b) AS c0 FROM t GROUP BY ROLLUP (a);
-- view s.v1
SELECT a AS c0, count(*) AS c1 FROM t GROUP BY GROUPING SETS ((a), ());
-- view s.v2
SELECT q.c0 FROM (SELECT sum(b) AS c0 FROM t GROUP BY CUBE (a)) AS q;
-- view s.v3
SELECT a AS c0, sum(k) AS c1 FROM t GROUP BY a, CUBE (b);
-- compare
-- commit
INSERT INTO t VALUES (4, 1, 10);
-- compare
-- commit
DELETE FROM t WHERE a = 1;
-- compare
