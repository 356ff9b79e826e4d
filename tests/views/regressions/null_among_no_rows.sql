-- A null is not among no rows: DuckDB 2.0 says it might be where a subquery looks outside and at a subquery's value.

-- origin
CREATE TABLE q (k int PRIMARY KEY, c0 int, c1 float8);
CREATE TABLE r (k int PRIMARY KEY, c1 numeric(10,2), c3 int);
-- commit
INSERT INTO q VALUES (1, 5, 1.75), (2, 3, 2.5), (3, 1, 2.5), (4, NULL, 1.75);
INSERT INTO r VALUES (1, NULL, 5), (2, NULL, 1), (3, NULL, NULL), (4, 1, 5), (5, NULL, 77);
-- view s.v0
SELECT k FROM r WHERE c1 NOT IN (SELECT -1.10 FROM q WHERE q.c0 = r.c3 AND q.c1 >= (SELECT c1 FROM q AS o WHERE c0 >= 2 ORDER BY c1 DESC LIMIT 1));
-- view s.v1
SELECT k, c1 IN (SELECT -1.10 FROM q WHERE q.c0 = r.c3 AND q.c1 >= (SELECT c1 FROM q AS o WHERE o.k = 2)) AS c0 FROM r;
-- view s.v2
SELECT k, c1 < ALL (SELECT -1.10 FROM q WHERE q.c0 = r.c3 AND q.c1 >= (SELECT c1 FROM q AS o WHERE o.k = 2)) AS c0 FROM r;
-- view s.v3
SELECT k, c1 > ANY (SELECT -1.10 FROM q WHERE q.c0 = r.c3 AND q.c1 >= (SELECT c1 FROM q AS o WHERE o.k = 2)) AS c0 FROM r;
-- compare
-- commit
UPDATE q SET c1 = 9 WHERE k = 1;
UPDATE r SET c1 = NULL WHERE k = 4;
-- compare
-- commit
DELETE FROM q WHERE k = 2;
INSERT INTO r VALUES (6, -1.1, 1);
-- compare
-- view s.v4
SELECT k FROM r WHERE c3 NOT IN (SELECT o.c0 FROM (SELECT DISTINCT ON (q.c0) q.c0 FROM q RIGHT JOIN r AS x ON q.k = x.k ORDER BY q.c0 DESC LIMIT 8) AS o WHERE o.c0 = r.c3);
-- compare
-- commit
UPDATE r SET c3 = NULL WHERE k = 2;
-- compare
