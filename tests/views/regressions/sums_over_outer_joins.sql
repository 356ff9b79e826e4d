-- DuckDB 2.0 takes a sum over an outer join for 0 where statistics tell that one side is empty: what compares it is
-- decided as for 0, and where it is sorted or made distinct it is packed as if it were.

-- origin
CREATE TABLE t0 (k int PRIMARY KEY, i0 int, n numeric(10,2));
CREATE TABLE t1 (k int PRIMARY KEY, j int);
-- commit
INSERT INTO t0 VALUES (1, 5, 1.50), (2, -50000, 2.25), (3, 3000000, 9.00), (4, 7, NULL);
INSERT INTO t1 VALUES (1, 1), (2, 2);
-- view s.v0
SELECT r1.k % 2 AS c0, sum(r1.i0) AS c1 FROM t0 AS r1 LEFT JOIN t1 AS r2 ON r2.k = r1.k AND r2.k > 100
GROUP BY ROLLUP (r1.k % 2) HAVING sum(r1.i0) <> 0;
-- view s.v1
SELECT r1.k % 2 AS c0, sum(r1.i0) > 0 AS c1, avg(r1.n) AS c2, avg(r1.i0) AS c3
FROM t0 AS r1 LEFT JOIN t1 AS r2 ON r2.k = r1.k AND r2.j > 100 GROUP BY CUBE (r1.k % 2);
-- view s.v2
SELECT DISTINCT sum(r1.i0) AS c0 FROM t0 AS r1 FULL JOIN (SELECT k FROM t1 WHERE j > 100) AS r2 ON r2.k = r1.k
GROUP BY GROUPING SETS ((r1.k), ());
-- view s.v3
SELECT r1.k AS c0 FROM t0 AS r1 WHERE (SELECT sum(r2.i0) FROM t0 AS r2 LEFT JOIN t1 AS r3 ON r3.k = r2.k AND r3.k > 100
WHERE r2.k <= r1.k) > 0;
-- view s.v4
SELECT r1.k % 2 AS c0 FROM t0 AS r1 LEFT JOIN t1 AS r2 ON r2.k = r1.k AND r2.k > 100 GROUP BY r1.k % 2 HAVING sum(r1.i0) > 0;
-- view s.v5
SELECT r1.k AS c0, (SELECT sum(r2.i0) FROM t0 AS r2 WHERE r2.k < r1.k AND r2.k IN (SELECT j FROM t1)) AS c1
FROM t0 AS r1 EXCEPT ALL SELECT j, j FROM t1;
-- compare
-- commit
UPDATE t0 SET i0 = i0 + 1;
DELETE FROM t1 WHERE k = 1;
-- compare
-- strategy anew
-- commit
UPDATE t0 SET i0 = 12 WHERE k = 3;
INSERT INTO t0 VALUES (5, -100000, 0.01);
-- compare
-- commit
DELETE FROM t1;
-- compare
