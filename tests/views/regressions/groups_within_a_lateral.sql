-- Groups in a derived table within LATERAL were kept by themselves although they look at the row they are joined to.

-- origin
CREATE TABLE t (k int PRIMARY KEY, v int, w int);
-- commit
INSERT INTO t VALUES (1, 1, 2), (2, 1, 3), (3, 2, 3), (4, NULL, 1);
-- view s.v0
SELECT r.v AS c0, max(q.c0) AS c1 FROM t AS r LEFT JOIN LATERAL (SELECT p.w AS c0 FROM t AS p WHERE p.v < r.w GROUP BY p.w ORDER BY 1 DESC FETCH FIRST 2 ROWS WITH TIES) AS q ON true GROUP BY r.v;
-- compare
-- commit
INSERT INTO t VALUES (5, 1, 9);
-- compare
-- commit
DELETE FROM t WHERE k = 3;
UPDATE t SET w = 5 WHERE k = 4;
-- compare
