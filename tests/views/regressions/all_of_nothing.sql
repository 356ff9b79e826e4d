-- Less than ALL of an empty table: DuckDB joins outer for it, and takes that for empty when both sides were at first.

-- origin
CREATE TABLE t0 (k int PRIMARY KEY);
CREATE TABLE t1 (k int PRIMARY KEY);
-- view s.v0
SELECT r1.k AS c0, ntile(3) OVER (ORDER BY r1.k) AS c1 FROM t0 AS r1 WHERE r1.k < ALL (SELECT 5 FROM t1 AS r2);
-- compare
-- commit
INSERT INTO t0 VALUES (1), (2), (9);
-- compare
-- commit
INSERT INTO t1 VALUES (1);
-- compare
