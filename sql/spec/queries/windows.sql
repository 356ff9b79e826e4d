-- Window functions.

SELECT id, row_number() OVER (ORDER BY id) FROM emp;
SELECT id, rank() OVER (PARTITION BY dept_id ORDER BY salary DESC), dense_rank() OVER (PARTITION BY dept_id ORDER BY salary DESC) FROM emp;
SELECT id, sum(salary) OVER (PARTITION BY dept_id) FROM emp;
SELECT id, sum(salary) OVER (PARTITION BY dept_id ORDER BY hired, id) FROM emp;
SELECT id, sum(salary) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM emp;
SELECT id, count(*) OVER (ORDER BY hired ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM emp WHERE id < 2;
SELECT id, max(salary) OVER (ORDER BY hired GROUPS 1 PRECEDING) FROM emp;
SELECT id, sum(salary) OVER (ORDER BY hired RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) FROM emp;
SELECT id, lag(salary) OVER (ORDER BY id), lead(salary, 2, 0) OVER (ORDER BY id), lag(name, 1, 'none') OVER (ORDER BY id) FROM emp;
SELECT id, first_value(name) OVER w, last_value(name) OVER w, nth_value(name, 2) OVER w FROM emp WINDOW w AS (PARTITION BY dept_id ORDER BY id);
SELECT id, percent_rank() OVER (ORDER BY salary), cume_dist() OVER (ORDER BY salary), ntile(3) OVER (ORDER BY id) FROM emp;
SELECT dept_id, sum(sum(salary)) OVER (ORDER BY dept_id) FROM emp GROUP BY dept_id;
SELECT dept_id, rank() OVER (ORDER BY count(*) DESC) FROM emp GROUP BY dept_id;
SELECT id, count(*) FILTER (WHERE active) OVER (PARTITION BY dept_id) FROM emp;
SELECT id, count(DISTINCT 1) + 0 AS n FROM emp GROUP BY id;
SELECT * FROM (SELECT id, dept_id, row_number() OVER (PARTITION BY dept_id ORDER BY salary DESC, id) AS place FROM emp) q WHERE place <= 2;
SELECT id, rank() OVER (w ORDER BY salary) FROM emp WINDOW w AS (PARTITION BY dept_id);
SELECT DISTINCT dept_id, count(*) OVER (PARTITION BY dept_id) FROM emp;
SELECT id, sum(id) OVER (ORDER BY dept_id RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS a FROM emp;
SELECT id, sum(id) OVER (ORDER BY dept_id DESC NULLS LAST RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) AS a FROM emp;
SELECT id, sum(id) OVER (ORDER BY dept_id RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS a FROM emp;
SELECT id, count(*) OVER (ORDER BY hired RANGE BETWEEN '1 year' PRECEDING AND interval '1 month' FOLLOWING) AS a FROM emp;
SELECT id, count(*) OVER (ORDER BY sold_at RANGE BETWEEN '15 days' PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) AS a FROM sale;
SELECT id, count(*) OVER (ORDER BY salary RANGE BETWEEN 400.5 PRECEDING AND 1000 FOLLOWING) AS a FROM emp;
SELECT id, count(*) OVER (ORDER BY sold_at DESC RANGE BETWEEN CURRENT ROW AND '15 days' FOLLOWING) AS a FROM sale;
SELECT id, array_agg(salary::int) OVER (PARTITION BY active ORDER BY id) AS a, string_agg(name, ',') OVER (ORDER BY id DESC ROWS 2 PRECEDING) AS b FROM emp;
SELECT id, last_value(dept_id) OVER (ORDER BY dept_id) AS a, nth_value(dept_id, 2) OVER (ORDER BY dept_id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS b FROM emp;
