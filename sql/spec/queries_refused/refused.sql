-- Queries whose rows cannot be told, or not alike; and the reason.

SELECT id FROM emp LIMIT 2;
leaves to chance;

SELECT sum(rate) FROM numbers;
depends on the order;

SELECT emp FROM emp;
a whole row;

SELECT now() FROM emp;
is not translated;

SELECT id FROM emp FOR UPDATE;
FOR UPDATE;

SELECT id FROM emp TABLESAMPLE SYSTEM (10);
TABLESAMPLE;

SELECT avg(x) FROM (SELECT avg(salary) AS x FROM emp GROUP BY dept_id) q;
division of what a division or the like gave;

WITH RECURSIVE r AS (SELECT 1 AS n, 1.5 AS x UNION ALL SELECT n + 1, x * 1.5 FROM r WHERE n < 4) SELECT * FROM r;
which grows;

SELECT id, random() FROM emp;
another one at each call;

SELECT id FROM emp WHERE hired < current_date;
another one at each call;

SELECT avg(rate) FROM numbers;
depends on the order;

SELECT date_trunc('month', hired) FROM emp;
date_trunc of date;

SELECT name FROM emp ORDER BY id OFFSET 1 FETCH FIRST 2 ROWS WITH TIES;
WITH TIES beside OFFSET;

SELECT stddev_samp(rate) FILTER (WHERE id > 1) FROM numbers;
depends on the order;

SELECT 0.5, count(*) FROM emp GROUP BY ROLLUP (1);
a constant among the keys of grouping sets;

SELECT dept_id, active, count(*) FROM emp GROUP BY DISTINCT ROLLUP (dept_id), ROLLUP (dept_id, active);
GROUP BY DISTINCT;

SELECT g FROM emp, generate_series('2024-01-01'::date, '2024-01-02'::date, '1 day') AS g;
midnights of the session's time zone;

SELECT g::date FROM emp, generate_series('2024-01-01'::date, '2024-01-02'::date, '1 hour') AS g;
by less than days;

SELECT g FROM emp, generate_series(1.5, 3) AS g;
generate_series of numeric;

SELECT w FROM bag, regexp_split_to_table(csv, 'a|ab') AS w;
regexp_split_to_array of the pattern;

SELECT corr(id, salary) FROM emp;
depends on the order in which Postgres happens to read rows;

SELECT id, sum(id) OVER (ORDER BY rate RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM numbers;
a frame of RANGE by 1 over double precision;

SELECT age(sold_at) FROM sale;
another one at each call;

SELECT ARRAY(SELECT DISTINCT dept_id FROM emp) FROM dept;
is not translated;

SELECT date_bin('1 month', sold_at, timestamp '2001-01-01') FROM sale;
date_bin of timestamp;

SELECT jsonb_agg(DISTINCT e) FROM emp e;
DISTINCT of whole rows;

SELECT row_to_json(q) FROM dept d LEFT JOIN (SELECT id, dept_id FROM emp) q ON q.dept_id = d.id;
the whole row q;

SELECT to_json(t) FROM (SELECT at::timestamptz AS t FROM bag) AS t(x);
is not translated;

SELECT doc FROM bag EXCEPT SELECT '{}'::jsonb FROM bag;
EXCEPT of jsonb;

SELECT jsonb_agg(DISTINCT doc) FROM bag;
the order of jsonb;

SELECT doc, count(*) FROM bag GROUP BY ROLLUP (doc);
jsonb among the keys of grouping sets;

WITH RECURSIVE r AS (SELECT doc AS d FROM bag UNION SELECT d -> 'a' FROM r) SELECT * FROM r;
jsonb in WITH RECURSIVE;

SELECT json_build_object('x', 1) -> 'x' FROM bag;
this operator of json;

SELECT x.a FROM bag b, jsonb_to_recordset(b.doc) AS x(a int[]);
of a record of jsonb;

SELECT regexp_matches(csv, '[a-z]*', 'g') FROM bag;
regexp_matches of the pattern;

SELECT regexp_matches(csv, '([a-z]+)([a-z])') FROM bag;
regexp_matches of the pattern;

SELECT DISTINCT m FROM felt ORDER BY m LIMIT 1;
the order of an enum beside DISTINCT;

SELECT m FROM felt UNION SELECT was FROM felt ORDER BY 1 LIMIT 1;
the order of an enum beside DISTINCT;

SELECT array_agg(DISTINCT m ORDER BY m) AS ms FROM felt;
DISTINCT values in the order of an enum;

SELECT mode() WITHIN GROUP (ORDER BY m) AS often FROM felt;
mode of an enum;

SELECT json_agg(DISTINCT m) AS ms FROM felt;
the order of enum feeling;

SELECT id FROM felt WHERE ARRAY[m] < ARRAY[was];
is not translated;

SELECT to_date(name, 'YYYY-Mon-DD') FROM emp;
to_date of this pattern;

SELECT id, count(*) OVER (PARTITION BY dept_id) AS n FROM emp ORDER BY n DESC, hired FETCH FIRST 3 ROWS WITH TIES;
WITH TIES by a window function and what is not shown;
