-- DuckDB 2.0 takes an outer join for empty where statistics tell that one side is: what moved in it was lost.

-- origin
CREATE TABLE t0 (k int PRIMARY KEY, i0 int, i1 int);
CREATE TABLE t1 (k int PRIMARY KEY, j int, i0 int);
-- commit
INSERT INTO t1 VALUES (14, 5, 3), (3, 3, 2);
-- view s.v0
SELECT COUNT('a_b') AS c0 FROM t1 AS r1 LEFT JOIN t0 AS r2 ON r1.j = r2.i1 AND r2.i0 >= 2;
-- view s.v1
SELECT r1.j AS c0, r2.k AS c1 FROM t1 AS r1 LEFT JOIN t0 AS r2 ON r1.j = r2.i1 AND r2.i0 >= 2;
-- view s.v2
SELECT r1.j AS c0, r2.k AS c1 FROM t1 AS r1 FULL JOIN (SELECT k, i1 FROM t0 WHERE i0 >= 2) AS r2 ON r1.j = r2.i1;
-- view s.v3
SELECT r1.j AS c0, r2.k AS c1 FROM t1 AS r1 LEFT JOIN t0 AS r2 ON r1.j < r2.i1 AND r2.i0 >= 2;
-- compare
-- commit
DELETE FROM t1 WHERE k = 14;
INSERT INTO t0 VALUES (16, 1, 3);
-- compare
-- strategy anew
-- commit
UPDATE t1 SET j = 3;
UPDATE t0 SET i1 = 4;
-- compare
-- commit
DELETE FROM t1;
-- compare
-- commit
INSERT INTO t1 VALUES (1, 3, 3), (2, 3, 2);
-- compare
