-- An aggregate without GROUP BY over a join showed a second row after a batch that none of its rows came from.

-- origin
CREATE TABLE t0 (k int, i0 int, i1 int, t2 timestamptz, d3 date);
ALTER TABLE t0 REPLICA IDENTITY FULL;
CREATE TABLE t1 (k int, i0 int, i1 int, t2 text);
ALTER TABLE t1 REPLICA IDENTITY FULL;
-- view z.v6
SELECT STRING_AGG(r2.t2, ',' ORDER BY r2.t2) AS c1 FROM t0 AS r1 FULL JOIN t1 AS r2 ON r1.i1 = r2.i1 WHERE r2.t2 <> '';
-- compare
-- commit
INSERT INTO t0 (k) VALUES (3);
-- compare
