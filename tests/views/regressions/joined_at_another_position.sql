-- A view that joined a running stream was at another position than the others until the next commit.

-- origin
CREATE TABLE t0 (k int, i0 int, i1 int, d2 date, b3 boolean, PRIMARY KEY (k));
CREATE TABLE t2 (k int, i0 int, t1 text, n2 numeric(10,2), t3 timestamptz, PRIMARY KEY (k));
-- view s.v1
SELECT r1.n2 AS c1 FROM t2 AS r1;
-- resume
-- view s.v9
SELECT r1.b3 AS c0 FROM t0 AS r1;
-- compare
