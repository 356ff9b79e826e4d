-- Subqueries in expressions.

SELECT name FROM emp e WHERE EXISTS (SELECT 1 FROM sale s WHERE s.emp_id = e.id);
SELECT name FROM emp e WHERE NOT EXISTS (SELECT * FROM sale s WHERE s.emp_id = e.id AND s.amount > 10);
SELECT name FROM emp WHERE dept_id IN (SELECT id FROM dept WHERE budget > 100);
SELECT name FROM emp WHERE dept_id NOT IN (SELECT id FROM dept WHERE budget > 100);
SELECT name FROM emp WHERE id NOT IN (SELECT emp_id FROM sale);
SELECT name FROM emp WHERE salary > (SELECT min(budget) FROM dept);
SELECT name, (SELECT title FROM dept d WHERE d.id = emp.dept_id) FROM emp;
SELECT name, (SELECT count(*) FROM sale WHERE emp_id = emp.id) AS n FROM emp;
SELECT name FROM emp e WHERE salary = (SELECT max(salary) FROM emp x WHERE x.dept_id = e.dept_id);
SELECT name FROM emp WHERE salary > ALL (SELECT amount FROM sale WHERE amount < 100);
SELECT name FROM emp WHERE id = ANY (SELECT emp_id FROM sale);
SELECT name FROM emp WHERE id <> ALL (SELECT emp_id FROM sale WHERE emp_id IS NOT NULL);
SELECT d.title, CASE WHEN EXISTS (SELECT 1 FROM emp WHERE dept_id = d.id) THEN 'some' ELSE 'none' END FROM dept d;
SELECT id FROM emp e WHERE (SELECT count(*) FROM emp x WHERE x.salary > e.salary) < 3;
SELECT id IN (SELECT emp_id FROM sale) FROM emp;
SELECT id FROM sale s WHERE (s.emp_id, s.dept_id) IN (SELECT id, dept_id FROM emp) AND s.amount > 1;
SELECT id FROM sale s WHERE (s.emp_id, s.dept_id) NOT IN (SELECT id, dept_id FROM emp WHERE dept_id IS NOT NULL);
SELECT id, (emp_id, dept_id) IN (SELECT id, dept_id FROM emp) AS found FROM sale;
SELECT id FROM emp WHERE dept_id = ANY (ARRAY[1, 4]) AND (id, active) IN ((1, true), (6, true));
SELECT id FROM emp e WHERE EXISTS (SELECT 1 FROM sale s WHERE s.emp_id = e.id LIMIT 1);
SELECT id FROM dept d WHERE NOT EXISTS (SELECT FROM emp e WHERE e.dept_id = d.id);
