-- Documents composed of values: jsonb_build_object, to_jsonb, jsonb_agg, jsonb_object_agg, and of json those that keep their order.

SELECT id, jsonb_build_object('id', id, 'salary', salary, 'name', name, 'active', active, 'hired', hired, 'id', 1) AS j FROM emp;
SELECT id, json_build_object('id', id, 'salary', salary, 'name', name, 'active', active, 'hired', hired) AS j FROM emp;
SELECT id, jsonb_build_object(name, salary, 'zz', id) AS j FROM emp WHERE name IS NOT NULL;
SELECT id, jsonb_build_array(id, tags, ints, doc, at, csv, NULL, 'x', 1.50) AS j FROM bag;
SELECT id, json_build_array(id, tags, ints, doc, at, csv) AS j FROM bag;
SELECT id, to_jsonb(tags) AS a, to_jsonb(ints) AS b, to_jsonb(csv) AS c, to_jsonb(low) AS d, to_json(tags) AS e FROM bag;
SELECT dept_id, jsonb_agg(name ORDER BY id) AS j FROM emp GROUP BY dept_id;
SELECT dept_id, json_agg(id ORDER BY id DESC) FILTER (WHERE active) AS j FROM emp GROUP BY dept_id;
SELECT jsonb_agg(salary ORDER BY id) AS j FROM emp;
SELECT jsonb_agg(id) AS j FROM emp WHERE id > 100;
SELECT dept_id, jsonb_object_agg(id, salary) AS j FROM emp GROUP BY dept_id;
SELECT jsonb_object_agg(name, id ORDER BY id) AS j FROM emp WHERE name IS NOT NULL;
SELECT dept_id, jsonb_agg(jsonb_build_object('id', id, 'n', name) ORDER BY id) AS j FROM emp GROUP BY dept_id;
SELECT id, coalesce(doc, '{"zz": 1, "b": [2.50, null]}') AS d, '[]'::jsonb AS e FROM bag;
SELECT e.id, coalesce(jsonb_agg(s.note ORDER BY s.id) FILTER (WHERE s.id IS NOT NULL), '[]') AS notes FROM emp e LEFT JOIN sale s ON s.emp_id = e.id GROUP BY e.id;
SELECT d.id, (SELECT jsonb_agg(jsonb_build_object('name', e.name) ORDER BY e.id) FROM emp e WHERE e.dept_id = d.id) AS staff FROM dept d;
SELECT id, doc || '{"a": 10, "zz": [1]}' AS a, doc || doc AS b, '[0]'::jsonb || doc AS c FROM bag;
SELECT id, doc - 'a' AS a, doc - csv AS b FROM bag WHERE jsonb_typeof(doc) <> 'string';
SELECT id, doc - 'two' AS a FROM bag WHERE jsonb_typeof(doc) = 'array';
SELECT dept_id, jsonb_agg(1) AS a, jsonb_agg('x'::text ORDER BY id) AS b, array_agg(2) AS c, string_agg('z', ',') AS d, jsonb_object_agg('k', id) AS e FROM emp GROUP BY dept_id;
