-- An OR in WHERE beside a subquery became part of a join's condition without its parentheses.

-- origin
CREATE TABLE a (k int PRIMARY KEY, v int, w int);
-- commit
INSERT INTO a VALUES (1, 2, 3), (2, 2, 0), (3, NULL, 3);
-- view s.v0
SELECT p.k AS c0, q.k AS c1 FROM a AS p JOIN a AS q ON p.v = q.v WHERE (p.k = 1 OR q.w = 3) AND NOT EXISTS (SELECT 1 FROM a AS r WHERE r.k = 9);
-- view l.v1
SELECT p.c0 AS c0, q.c1 AS c1 FROM s.v0 AS p JOIN s.v0 AS q ON p.c0 = q.c1 WHERE (p.c1 = 1 OR q.c0 = 1) AND p.c0 IN (SELECT r.c0 FROM s.v0 AS r);
-- compare
-- commit
INSERT INTO a VALUES (9, 2, 3);
-- compare
-- commit
DELETE FROM a WHERE k = 9;
-- compare
