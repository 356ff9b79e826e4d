-- A row stayed that was past a scalar subquery no longer, when both sides of the comparison moved in one batch.

-- origin
CREATE TABLE a (k int PRIMARY KEY, g text, h int);
CREATE TABLE b (k int PRIMARY KEY, g text);
-- commit
INSERT INTO a VALUES (1, 'p', 1), (2, 'p', 2), (3, 'q', 1), (4, 'q', 2), (5, 'q', 3), (6, 'r', 1), (7, 'r', 2), (8, 'r', 3);
-- view s.v0
SELECT a.g, count(*) AS n FROM a GROUP BY a.g;
-- view s.v1
SELECT a.g, a.h FROM a;
-- view l.v2
SELECT g, count(*) AS n FROM s.v1 GROUP BY g;
-- view l.v3
SELECT r.g FROM l.v2 AS r WHERE r.n > (SELECT min(m.n) FROM s.v0 AS m);
-- compare
-- commit
INSERT INTO a VALUES (9, 'p', 3);
-- compare
-- commit
DELETE FROM a WHERE k = 5;
-- compare
-- commit
UPDATE a SET g = 'q' WHERE k = 9;
-- compare
-- commit
DELETE FROM a WHERE g = 'q';
-- compare
-- commit
UPDATE a SET g = 's' WHERE k = 6;
INSERT INTO a VALUES (10, 't', 1), (11, 't', 1);
-- compare
-- commit
UPDATE a SET g = 'r' WHERE k = 1;
-- compare
