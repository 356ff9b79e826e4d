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
