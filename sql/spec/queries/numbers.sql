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
