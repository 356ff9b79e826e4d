-- Numerics: sizes beyond 38 digits, division, averages, comparison with them.

SELECT avg(salary), avg(id) FROM emp;
SELECT dept_id, avg(salary), avg(amount) FROM emp JOIN sale USING (dept_id) GROUP BY dept_id;
SELECT avg(small), avg(big) FROM numbers WHERE big < 100;
SELECT avg(salary) FROM emp WHERE false;
SELECT avg(DISTINCT salary), avg(salary) FILTER (WHERE active) FROM emp;
SELECT id, avg(salary) OVER (ORDER BY id ROWS 2 PRECEDING) FROM emp;
SELECT sum(amount) / count(*), sum(amount) / 7.0, 100.00 * sum(amount) / sum(id) FROM sale;
SELECT id, amount / 3, amount / 0.07, 1 / amount, id / amount FROM sale;
SELECT sum(salary * (1 - amount) * (1 + amount)) FROM emp JOIN sale ON emp.id = sale.emp_id;
SELECT id FROM sale WHERE amount > (SELECT 0.2 * avg(amount) FROM sale);
SELECT id FROM emp e WHERE salary < (SELECT avg(salary) * 1.1 FROM emp x WHERE x.dept_id = e.dept_id);
SELECT dept_id FROM sale GROUP BY dept_id HAVING sum(amount) > avg(amount) * 2;
SELECT id, small / NULLIF(id - 3, 0), big % id, id / -1, small % -1 FROM numbers;
SELECT loose + 1, loose * 2, loose - id FROM numbers;
SELECT sum(loose), avg(loose) FROM numbers WHERE id < 4;
SELECT avg(x) FROM (SELECT round(avg(salary), 2) AS x FROM emp GROUP BY dept_id) q;
SELECT CASE WHEN count(*) > 0 THEN sum(amount) / count(*) END FROM sale WHERE id > 100;
SELECT id, CASE WHEN id <> 3 THEN 100 / (id - 3) END FROM numbers;
SELECT id FROM numbers WHERE id <> 3 AND 100 / (id - 3) > 10;
SELECT id FROM numbers WHERE id = 3 OR 100 / (id - 3) > 10;
SELECT coalesce(sum(amount), 0) / 3 FROM sale;
SELECT avg(salary)::float8 FROM emp;

-- Numerics without a size, held with different numbers of digits after the point.
SELECT id, COALESCE(rough, fine) AS c, GREATEST(rough, fine, 1) AS g, LEAST(fine, sized, rough, 0.5) AS l FROM rates;
SELECT id, CASE WHEN id > 2 THEN rough ELSE 1.00000000001 END AS k, COALESCE(fine, 100) AS h FROM rates;
SELECT id FROM rates WHERE rough = fine OR rough < sized;
SELECT id, rough = fine AS e, rough <> fine AS n, rough < fine AS l, rough IS DISTINCT FROM sized AS d, fine = sized AS s FROM rates;
SELECT a.id, b.id AS other FROM rates a JOIN rates b ON a.rough = b.fine;
SELECT id, NULLIF(rough, fine) AS x, NULLIF(fine, rough) AS y, rough BETWEEN fine AND sized AS b, rough IN (fine, sized, 10.5) AS i FROM rates;
SELECT rough AS x, a.id, b.id AS other FROM rates a FULL JOIN (SELECT fine AS rough, id FROM rates) b USING (rough);
SELECT id, lag(rough, 1, fine) OVER (ORDER BY id) AS x FROM rates;
SELECT id FROM rates ORDER BY fine LIMIT 2;
SELECT rough, min(fine) AS m, max(sized) AS x, count(DISTINCT fine) AS n FROM rates GROUP BY rough;
SELECT id FROM rates WHERE rough IN (SELECT rough FROM rates WHERE id > 2);
SELECT rough FROM rates UNION SELECT budget FROM dept;
WITH RECURSIVE r AS (SELECT id, rough FROM rates UNION ALL SELECT id + 10, rough * 1.5 FROM r WHERE id < 20) SELECT * FROM r;
SELECT x, x::numeric AS n, x::numeric * 2 AS d, x::numeric = 1.5 AS e, round(x::numeric, 1) AS r, x::numeric * 3 > 1 AS q FROM (VALUES ('1.5'), (' 2.50 '), ('-0.000000000001'), ('+7'), ('.5'), ('5.'), ('1.0000000000000000000000'), (NULL)) AS v (x), dept WHERE id = 1;
SELECT sum(csv::numeric) AS s FROM (SELECT left(salary::text, 3) AS csv FROM emp) AS q;
