-- Members of jsonb by names, places and paths that rows give; documents changed there; whether one contains another.

SELECT id, doc -> csv AS a, doc ->> csv AS b, doc -> low AS c, doc ->> low AS d, doc -> (low - 3) AS e, doc -> 'b' -> (low + 1) AS f, doc -> 'b' ->> low AS g FROM bag;
SELECT b.id, k.key, doc -> k.key AS a, doc ->> k.key AS v, doc ? k.key AS h FROM bag b, jsonb_each(doc) AS k WHERE id IN (1, 4);
SELECT id, doc #> tags AS a, doc #>> ARRAY['b', low::text] AS b, doc #> ARRAY['b', '-1'] AS c, doc #> ARRAY['c', NULL] AS e, doc #>> ARRAY['3', 'k'] AS f FROM bag;
SELECT id, doc ? csv AS a, doc ?| ARRAY['a', 'two'] AS b, doc ?& ARRAY['a', 'b'] AS c, doc ?| tags AS d, doc ?& tags AS e, doc ?& '{a,b}' AS f FROM bag;
SELECT a.id, b.id AS i, a.doc @> b.doc AS x, a.doc <@ b.doc AS y FROM bag a, bag b;
SELECT id, doc @> '[1]' AS a, doc @> '[{"k": 3.1}]' AS b, doc @> '"two"' AS c, doc @> '{"b": [2.5]}' AS d, doc @> '{"b": []}' AS e, doc @> '[[]]' AS f, doc @> '[[true]]' AS g, '["s"]' @> doc AS h, doc @> '[null, 1, 1]' AS i, doc @> '{"c": {}}' AS j, doc <@ '[1, "two", null, {"k": 3.1, "z": 2}, [true, false]]' AS k FROM bag;
SELECT id, doc - 1 AS a, doc - (-1) AS b, doc - 10 AS c, doc - low AS d FROM bag WHERE jsonb_typeof(doc) = 'array';
SELECT id, doc - ARRAY['a', 'two'] AS a, doc - tags AS b FROM bag WHERE jsonb_typeof(doc) <> 'string';
SELECT id, doc #- '{b,0}' AS a, doc #- '{c,d}' AS b, doc #- ARRAY['b', '-1'] AS c, doc #- '{a,b,c}' AS d FROM bag WHERE jsonb_typeof(doc) = 'object';
SELECT id, doc #- '{3,k}' AS a, doc #- '{-1}' AS b, doc #- '{4,0}' AS c FROM bag WHERE jsonb_typeof(doc) = 'array';
SELECT id, doc['a'] AS a, doc['b'][1] AS b, doc[0] AS c, doc[-1] AS d, doc['c']['d'] AS e, doc['b'][-1] AS f, doc['a']['b'] AS g, doc[csv] AS h FROM bag;
SELECT id, jsonb_set(doc, '{a}', '"new"') AS a, jsonb_set(doc, '{zz}', '[1.50]') AS b, jsonb_set(doc, '{zz}', '1', false) AS c, jsonb_set(doc, '{b,1}', 'null') AS d, jsonb_set(doc, '{b,9}', to_jsonb(id)) AS e, jsonb_set(doc, '{b,-9}', '0') AS f, jsonb_set(doc, '{b,-9}', '0', false) AS g, jsonb_set(doc, '{c,d}', '{}') AS h, jsonb_set(doc, '{x,y}', '{}') AS i, jsonb_set(doc, '{c,e}', '1') AS j, jsonb_set(doc, ARRAY['a', 'b'], '1') AS k FROM bag WHERE jsonb_typeof(doc) = 'object';
SELECT id, jsonb_set(doc, '{0}', '"new"') AS a, jsonb_set(doc, '{3,k}', '4') AS b, jsonb_set(doc, '{3,j}', '4') AS c, jsonb_set(doc, '{4,0}', to_jsonb(tags)) AS d, jsonb_set(doc, '{77}', '7', id = 2) AS e FROM bag WHERE jsonb_typeof(doc) = 'array';
SELECT id, jsonb_insert(doc, '{0}', '"new"') AS a, jsonb_insert(doc, '{0}', '"new"', true) AS b, jsonb_insert(doc, '{-1}', '1') AS c, jsonb_insert(doc, '{-1}', '1', true) AS d, jsonb_insert(doc, '{99}', '1') AS e, jsonb_insert(doc, '{-99}', '1', true) AS f, jsonb_insert(doc, '{3,j}', '4') AS g FROM bag WHERE jsonb_typeof(doc) = 'array';
SELECT id, jsonb_insert(doc, '{zz}', '"new"') AS a, jsonb_insert(doc, '{c,e}', '"new"', true) AS b FROM bag WHERE jsonb_typeof(doc) = 'object';
SELECT id, jsonb_set(doc, '{3,x,y}', '1') AS a, doc #- '{3,x,y}' AS b FROM bag WHERE id = 2;
SELECT id, jsonb_strip_nulls(doc) AS a, jsonb_strip_nulls(jsonb_build_object('a', NULL, 'b"": null, ', NULL, 'c', doc, 'd', '": null, }')) AS b FROM bag;
SELECT id, jsonb_extract_path(doc, 'b', '0') AS a, jsonb_extract_path_text(doc, 'b', '2') AS b, jsonb_extract_path_text(doc, csv) AS c FROM bag;
SELECT id, doc ->> 'it''s' AS a, doc -> 'a"b' AS b FROM bag;
