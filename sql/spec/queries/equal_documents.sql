-- Equality of jsonb: numbers are equal however many zeros they are written with.

SELECT doc -> 'b' AS d, count(*) AS n FROM bag GROUP BY doc -> 'b';
SELECT a.id, b.id AS i FROM bag a JOIN bag b ON a.doc = b.doc;
SELECT a.id, b.id AS i FROM bag a LEFT JOIN bag b ON a.doc = b.doc AND a.id < b.id;
SELECT d, count(*) AS n, d -> 'a' AS k FROM (VALUES ('{"a": 1.0}'::jsonb, 1), ('{"a": 1.0}', 2), ('[1.0, "1.0", 1.10]', 3), (NULL, 4), (NULL, 5)) AS v(d, i) GROUP BY d HAVING d IS NULL OR count(*) > 0;
SELECT DISTINCT d FROM (VALUES ('{"a": 1.0}'::jsonb, 1), ('{"a": 1.0}', 2), ('[1.0, "1.0", 1.10]', 3), (NULL, 4), (NULL, 5)) AS v(d, i);
SELECT DISTINCT d, i % 2 AS j, 1 AS k FROM (VALUES ('{"a": 1.0}'::jsonb, 1), ('{"a": 1.0}', 2), ('[1.0, "1.0", 1.10]', 3), (NULL, 4), (NULL, 5)) AS v(d, i);
SELECT count(DISTINCT d) AS n FROM (VALUES ('{"a": 1.0}'::jsonb, 1), ('{"a": 1}', 2), ('[1.0, "1.0", 1.10]', 3), ('[1.00, "1.0", 1.1]', 3), ('[1.00, "1.00", 1.1]', 3), (NULL, 5)) AS v(d, i);
SELECT count(*) AS n FROM (SELECT DISTINCT d FROM (VALUES ('{"a": 1.0}'::jsonb, 1), ('{"a": 1}', 2), ('[1.0, "1.0", 1.10]', 3), ('[1.00, "1.0", 1.1]', 3), ('[1.00, "1.00", 1.1]', 3), (NULL, 5), ('100', 1), ('100.0', 1), ('100.010', 1), ('0.00', 2), ('0', 3), ('[0.10,10]', 2)) AS v(d, i)) q;
SELECT doc FROM bag UNION SELECT '{}'::jsonb FROM bag;
SELECT doc, id FROM bag UNION SELECT doc, id + 1 FROM bag;
SELECT id FROM bag WHERE doc IN (SELECT doc FROM bag WHERE id > 2);
SELECT id, doc = ANY (SELECT doc FROM bag WHERE id > 2) AS a, (doc, id) IN (SELECT doc, id FROM bag) AS b FROM bag;
SELECT id, count(*) OVER (PARTITION BY doc) AS n FROM bag;
SELECT max(doc::text) AS m FROM bag GROUP BY doc;
SELECT doc, id FROM bag GROUP BY id;
SELECT id, doc -> 'a' = '1' AS a, doc -> 'a' = to_jsonb(1.0) AS b FROM bag;
SELECT doc, count(*) OVER () AS n, row_number() OVER (PARTITION BY doc) AS m FROM bag GROUP BY doc;
SELECT b.doc, c.n FROM bag b JOIN (SELECT doc, count(*) AS n FROM bag GROUP BY 1) c USING (doc);
SELECT id FROM bag b WHERE NOT EXISTS (SELECT 1 FROM bag c WHERE c.doc = b.doc AND c.id <> b.id);
