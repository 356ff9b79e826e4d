-- FETCH FIRST ... WITH TIES: the rows that tie with the last one too.

SELECT name FROM emp ORDER BY salary DESC NULLS LAST FETCH FIRST 2 ROWS WITH TIES;
SELECT name, salary * 2 FROM emp ORDER BY 2 FETCH FIRST ROW WITH TIES;
SELECT DISTINCT salary FROM emp ORDER BY 1 FETCH FIRST 2 ROWS WITH TIES;
SELECT dept_id, count(*) FROM emp GROUP BY dept_id ORDER BY count(*) DESC FETCH FIRST 1 ROWS WITH TIES;
SELECT dept_id, count(*) AS c FROM emp GROUP BY dept_id HAVING count(*) > 0 ORDER BY c, sum(salary) FETCH FIRST 3 ROWS WITH TIES;
SELECT id FROM emp UNION SELECT id FROM dept ORDER BY 1 FETCH FIRST 3 ROWS WITH TIES;
SELECT q.name FROM (SELECT name, salary FROM emp ORDER BY salary FETCH FIRST 3 ROWS WITH TIES) q JOIN emp e ON e.name = q.name;
SELECT d.id, x.id FROM dept d, LATERAL (SELECT e.id FROM emp e WHERE e.dept_id = d.id ORDER BY e.salary FETCH FIRST 1 ROW WITH TIES) x;
SELECT id, count(*) OVER (PARTITION BY dept_id) AS n FROM emp ORDER BY 2 DESC FETCH FIRST 3 ROWS WITH TIES;
SELECT id, count(*) OVER (PARTITION BY extract(month FROM hired)) AS n FROM emp ORDER BY n DESC FETCH FIRST 3 ROWS WITH TIES;
SELECT DISTINCT ON (stddev_pop(id)) stddev_pop(id) AS c0, log FROM dept, (SELECT 1) log (log) GROUP BY log ORDER BY stddev_pop(id);
