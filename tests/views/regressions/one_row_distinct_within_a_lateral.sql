-- DISTINCT or ORDER BY over a sum of no rows, within LATERAL: DuckDB leaves out the row that sum makes. There is one at
-- most, so both are left away.

-- origin
CREATE TABLE t (k int PRIMARY KEY, v int);
CREATE TABLE u (k int PRIMARY KEY, w int);
-- commit
INSERT INTO t VALUES (1, 0), (2, 3), (3, NULL);
INSERT INTO u VALUES (1, 1), (2, 5);
-- view s.v0
SELECT t.k, q.c0 FROM t CROSS JOIN LATERAL (SELECT DISTINCT ON (sum(u.w)) sum(u.w) AS c0 FROM u WHERE u.w < t.v ORDER BY sum(u.w)) AS q;
-- view s.v1
SELECT t.k, q.c0 FROM t CROSS JOIN LATERAL (SELECT DISTINCT count(*) AS c0 FROM u WHERE u.w < t.v HAVING true) AS q;
-- view s.v2
SELECT t.k, q.c0 FROM t LEFT JOIN LATERAL (SELECT sum(u.w) AS c0 FROM u WHERE u.w < t.v ORDER BY 1 LIMIT 1) AS q ON true;
-- compare
-- commit
INSERT INTO u VALUES (3, -4);
UPDATE t SET v = 9 WHERE k = 3;
-- compare
-- commit
DELETE FROM u;
-- compare
