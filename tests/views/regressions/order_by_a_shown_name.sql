-- ORDER BY a place or name of the select list, with LIMIT, took the column of FROM that has this name.

-- origin
CREATE TABLE t (k int PRIMARY KEY, a int, b int);
-- commit
INSERT INTO t VALUES (1, 1, 9), (2, 2, 8), (3, NULL, 7);
-- view s.v0
SELECT k, a, b FROM t;
-- view l.v1
SELECT r.a AS b, r.b AS a FROM s.v0 AS r ORDER BY 2 ASC NULLS FIRST LIMIT 2;
-- view l.v2
SELECT r.a AS b, r.b AS a FROM s.v0 AS r ORDER BY a DESC NULLS LAST LIMIT 2;
-- compare
-- commit
INSERT INTO t VALUES (4, 0, 10);
-- compare
