-- Functions over frames of peers: an order completed in the window makes other peers, and other frames.

-- origin
CREATE TABLE t0 (k int PRIMARY KEY, m int, y text);
-- commit
INSERT INTO t0 VALUES (1, 2, 'a'), (2, 5, 'a'), (3, NULL, 'b'), (4, 2, 'a'), (5, 2, 'b'), (6, 3, 'b');
-- view s.v0
SELECT k AS c0, last_value(m) OVER (ORDER BY m) AS c1, first_value(m) OVER (ORDER BY m GROUPS 1 PRECEDING) AS c2 FROM t0;
-- view s.v1
SELECT k AS c0, nth_value(m, 2) OVER (ORDER BY m GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS c1 FROM t0;
-- view s.v2
SELECT k AS c0, first_value(m) OVER (ORDER BY m RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS c1 FROM t0;
-- view s.v3
SELECT k AS c0, last_value(y) OVER (PARTITION BY y) AS c1 FROM t0;
-- view s.v4
SELECT k AS c0, array_agg(m) OVER (PARTITION BY y ORDER BY k DESC) AS c1 FROM t0;
-- view s.v5
SELECT k AS c0, string_agg(y, ',') OVER (ORDER BY k DESC ROWS 1 PRECEDING) AS c1 FROM t0;
-- compare
-- commit
DELETE FROM t0 WHERE k = 2;
INSERT INTO t0 VALUES (7, 1, 'a');
-- compare
-- commit
UPDATE t0 SET m = 3 WHERE k IN (1, 7);
-- compare
