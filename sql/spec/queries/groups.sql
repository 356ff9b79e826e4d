-- Grouping, aggregates, HAVING.

SELECT count(*) FROM emp;
SELECT count(*), count(dept_id), count(DISTINCT dept_id), sum(salary), min(salary), max(hired) FROM emp;
SELECT count(*), sum(salary) FROM emp WHERE false;
SELECT dept_id, count(*), sum(salary) FROM emp GROUP BY dept_id;
SELECT dept_id, count(*) FROM emp GROUP BY 1 HAVING count(*) > 1;
SELECT dept_id AS d, sum(salary * 2) AS twice FROM emp GROUP BY d HAVING sum(salary) > 2000 OR min(id) = 1;
SELECT d.id, d.title, count(e.id) FROM dept d LEFT JOIN emp e ON e.dept_id = d.id GROUP BY d.id;
SELECT d.title || '!' AS t, sum(s.amount) FROM dept d JOIN sale s ON s.dept_id = d.id GROUP BY d.id HAVING max(d.budget) > 0;
SELECT date_trunc('month', sold_at) AS month, sum(amount) FROM sale GROUP BY date_trunc('month', sold_at);
SELECT extract(year FROM hired) AS y, count(*) FROM emp GROUP BY 1;
SELECT dept_id, sum(salary) FILTER (WHERE active), count(*) FILTER (WHERE NOT active) FROM emp GROUP BY dept_id;
SELECT bool_and(active), bool_or(active), every(active) FROM emp;
SELECT dept_id, string_agg(name, ', ' ORDER BY id) FROM emp GROUP BY dept_id;
SELECT dept_id, string_agg(DISTINCT name COLLATE "C", ',' ORDER BY name COLLATE "C") FROM emp GROUP BY dept_id;
SELECT dept_id, active, count(*) FROM emp GROUP BY GROUPING SETS ((dept_id), (active), ());
SELECT dept_id, active, count(*), grouping(dept_id, active) FROM emp GROUP BY ROLLUP (dept_id, active);
SELECT dept_id, active, sum(salary) FROM emp GROUP BY CUBE (dept_id, active);
SELECT 'all' AS what, 1 AS one, count(*) FROM emp GROUP BY what, one;
SELECT CASE WHEN salary > 1000 THEN 'high' ELSE 'low' END AS band, count(*) FROM emp GROUP BY band;
SELECT sum(big), sum(id), sum(small) FROM numbers;
SELECT min(name COLLATE "C"), max(name COLLATE "C") FROM emp;
SELECT max(q.total) FROM (SELECT dept_id, sum(amount) AS total FROM sale GROUP BY dept_id) q;
SELECT count(*) FROM (SELECT DISTINCT dept_id FROM emp) q;
SELECT sum(amount) FROM sale HAVING count(*) > 100;
SELECT dept_id FROM emp GROUP BY dept_id HAVING sum(salary) > (SELECT min(budget) FROM dept);
SELECT sum(a) + count(*) FROM (SELECT id AS a FROM emp) q;
SELECT dept_id, regr_count(id, salary) AS n FROM emp GROUP BY dept_id;
