-- Rows are made by functions of a select list though nobody reads what they return.

-- origin
CREATE TABLE t0 (k int PRIMARY KEY);
-- local
CREATE TABLE l.t1 (k int, a int[]);
-- commit local
INSERT INTO l.t1 VALUES (1, ARRAY[1, 2]), (2, ARRAY[]::int[]), (3, NULL), (4, ARRAY[2, 2]);
-- view l.v0
SELECT o.k AS c0 FROM l.t1 AS o WHERE EXISTS (SELECT unnest(o.a));
-- view l.v1
SELECT count(*) AS c0 FROM (SELECT k, unnest(a) AS x FROM l.t1) AS q WHERE k > 0;
-- view l.v2
SELECT k AS c0, unnest(a) AS c1 FROM l.t1;
-- view l.v3
SELECT o.k AS c0 FROM l.t1 AS o WHERE EXISTS (SELECT unnest(i.a) FROM l.t1 AS i WHERE i.k = o.k);
-- view s.v4
SELECT k AS c0 FROM t0 WHERE EXISTS (SELECT generate_series(1, t0.k));
-- compare
-- commit local
INSERT INTO l.t1 VALUES (5, ARRAY[7, 1]);
UPDATE l.t1 SET a = ARRAY[9] WHERE k = 1;
-- commit
INSERT INTO t0 VALUES (0), (1), (2);
-- compare
-- commit local
DELETE FROM l.t1 WHERE k = 4;
-- compare
