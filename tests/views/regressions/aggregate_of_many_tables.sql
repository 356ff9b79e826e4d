-- Aggregates without GROUP BY over a join whose tables are empty, filled and emptied again: always one row.

-- origin
CREATE TABLE a (k int PRIMARY KEY, v int);
CREATE TABLE b (k int PRIMARY KEY, v int);
-- view s.v0
SELECT count(*) AS c0, sum(a.v) AS c1, max(b.v) AS c2, count(DISTINCT a.v) AS c3 FROM a JOIN b ON a.v = b.v;
-- view s.v1
SELECT sum(a.v) AS c0 FROM a HAVING count(*) > 1;
-- compare
-- commit
INSERT INTO a VALUES (1, 1), (2, 2);
-- compare
-- commit
INSERT INTO b VALUES (1, 2), (2, NULL);
-- compare
-- commit
UPDATE a SET v = 2;
DELETE FROM b WHERE k = 2;
-- compare
-- commit
TRUNCATE a;
-- compare
