-- WITH RECURSIVE.

WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i, i * i FROM n;
WITH RECURSIVE chain (id, top) AS (SELECT id, id FROM emp WHERE boss_id IS NULL UNION ALL SELECT e.id, c.top FROM emp e JOIN chain c ON e.boss_id = c.id) SELECT * FROM chain;
WITH RECURSIVE up AS (SELECT id, boss_id, name::text AS path FROM emp UNION SELECT u.id, e.boss_id, u.path || '>' || coalesce(e.name, '?') FROM up u JOIN emp e ON e.id = u.boss_id) SELECT * FROM up;
WITH RECURSIVE deep AS (SELECT id, 0 AS depth FROM emp WHERE id = 1 UNION ALL SELECT e.id, d.depth + 1 FROM deep d, emp e WHERE e.boss_id = d.id), wide AS (SELECT depth, count(*) AS n FROM deep GROUP BY depth) SELECT * FROM wide;
WITH RECURSIVE r AS (SELECT id, coalesce(note, 'none') AS note FROM sale WHERE id = 1 UNION SELECT s.id, s.note FROM r JOIN sale s ON s.id = r.id + 1) SELECT * FROM r;
WITH RECURSIVE r AS (SELECT 1 AS n, 1.5::numeric(6, 2) AS x UNION ALL SELECT n + 1, (x + 1)::numeric(6, 2) FROM r WHERE n < 4) SELECT * FROM r;
