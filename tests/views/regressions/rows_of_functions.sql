-- Set-returning functions: rows that move are joined with their own lists; a series or VALUES is cut down to keys.

-- origin
CREATE TABLE t0 (k int PRIMARY KEY, n int, a int[], w text[], d jsonb, x text, day date);
CREATE TABLE t1 (k int PRIMARY KEY, j int, t text);
-- commit
INSERT INTO t0 VALUES (1, 3, '{1,2,3}', '{x,y}', '{"a": 1, "b": [1, 2.50, "x"]}', 'a,b,c', '2024-01-01'),
(2, 0, '{}', '{}', '[1, "two", null, {"k": 3}]', '', '2024-01-03'), (3, NULL, NULL, NULL, NULL, NULL, NULL),
(4, 5, '{5,NULL,5}', '{NULL,"a b",""}', '{}', 'k', '2024-01-01');
INSERT INTO t1 VALUES (1, 1, 'p'), (2, 5, NULL), (3, 3, 'q'), (4, NULL, 'p');
-- view s.v0
SELECT r1.k AS c0, r2.c0 AS c1, r2.c1 AS c2 FROM t0 AS r1 LEFT JOIN LATERAL unnest(r1.a) WITH ORDINALITY AS r2(c0, c1) ON true;
-- view s.v1
SELECT r2 AS c0, count(*) AS c1, sum(r1.n) AS c2 FROM t0 AS r1, unnest(r1.w) AS r2 GROUP BY r2;
-- view s.v2
SELECT r1.c0 AS c0, count(r2.k) AS c1, jsonb_agg(r2.k ORDER BY r2.k) AS c2
FROM generate_series(0, 6) AS r1(c0) LEFT JOIN t0 AS r2 ON r2.n = r1.c0 GROUP BY r1.c0;
-- view s.v3
SELECT r1::date AS c0, r2.k AS c1 FROM generate_series(date '2023-12-30', date '2024-01-04', '1 day') AS r1
FULL JOIN t0 AS r2 ON r2.day = r1::date;
-- view s.v4
SELECT r1.c0 AS c0, r1.c1 AS c1, sum(r2.j) AS c2 FROM (VALUES (1, 'one'), (5, 'five'), (NULL, 'none')) AS r1(c0, c1)
LEFT JOIN t1 AS r2 ON r2.j = r1.c0 GROUP BY r1.c0, r1.c1;
-- view s.v5
SELECT k AS c0, e AS c1, o AS c2 FROM t0, jsonb_array_elements(d) WITH ORDINALITY AS r1(e, o) WHERE jsonb_typeof(d) = 'array';
-- view s.v6
SELECT r1.k AS c0, r2.c0 AS c1, r3.t AS c2 FROM t0 AS r1 CROSS JOIN unnest(r1.a) AS r2(c0) LEFT JOIN t1 AS r3 ON r3.j = r2.c0;
-- view s.v7
SELECT DISTINCT string_to_table(x, ',') AS c0 FROM t0;
-- view s.v8
SELECT k AS c0 FROM t0 WHERE EXISTS (SELECT unnest(t0.a) INTERSECT SELECT j FROM t1);
-- view s.v9
SELECT r1.c0 AS c0 FROM (VALUES (1), (2), (5), (NULL)) AS r1(c0) WHERE NOT EXISTS (SELECT 1 FROM t1 AS r2 WHERE r2.j = r1.c0);
-- compare
-- commit
UPDATE t0 SET a = '{7,8}', n = 4, d = '[{"q": [1, 2]}]', x = 'z,y', day = '2024-01-02' WHERE k = 1;
INSERT INTO t0 VALUES (7, 1, '{1,1}', '{x}', '[{"a": 5.10}]', 'x', '2024-01-02');
UPDATE t1 SET j = 7 WHERE k = 3;
-- compare
-- commit
DELETE FROM t0 WHERE k IN (2, 4);
UPDATE t0 SET k = 20 WHERE k = 7;
DELETE FROM t1 WHERE j = 1;
INSERT INTO t1 VALUES (9, 1, 'z');
-- compare
-- strategy anew
-- commit
UPDATE t0 SET a = NULL, n = NULL, day = NULL;
INSERT INTO t0 SELECT g, g % 4, ARRAY[g, g % 3] FROM generate_series(30, 36) AS g;
-- compare
