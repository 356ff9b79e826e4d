-- A scalar subquery with a name in the select list was taken for a FROM item when columns were renamed.

-- origin
CREATE TABLE t0 (k int, i0 int, t1 text, t2 text, t3 timestamptz, b4 boolean, PRIMARY KEY (k));
CREATE TABLE t2 (k int, i0 int, t1 text, n2 numeric(10,2), b3 bigint);
ALTER TABLE t2 REPLICA IDENTITY FULL;
-- view z.v0
SELECT (SELECT MIN(2.50) FROM t0 AS r3) AS c2 FROM t2 AS r1;
-- compare
