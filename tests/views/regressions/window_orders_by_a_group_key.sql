-- A window's ORDER BY spelled a key of GROUP BY otherwise, so the column in it became a key too.

-- origin
CREATE TABLE t1 (k int, t1 text, PRIMARY KEY (k));
-- commit
INSERT INTO t1 VALUES (6, NULL), (25, 'A');
-- view s.v3
SELECT MAX(6) OVER (ORDER BY COALESCE(r1.t1, 'A') DESC) AS c3 FROM t1 AS r1 GROUP BY COALESCE(r1.t1, 'A');
-- compare
