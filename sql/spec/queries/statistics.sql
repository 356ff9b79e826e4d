-- Aggregates over lists, ordered sets, variances; floating-point arithmetic.

SELECT dept_id, array_agg(name ORDER BY id), array_agg(id ORDER BY id DESC) FROM emp GROUP BY dept_id;
SELECT array_agg(DISTINCT dept_id) FROM emp;
SELECT array_agg(hired ORDER BY hired), array_agg(active ORDER BY id) FILTER (WHERE id < 4) FROM emp;
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY salary), percentile_disc(0) WITHIN GROUP (ORDER BY hired DESC) FROM emp;
SELECT dept_id, percentile_disc(0.3) WITHIN GROUP (ORDER BY id) FILTER (WHERE active) FROM emp GROUP BY dept_id;
SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY id), percentile_cont(0.9) WITHIN GROUP (ORDER BY rate DESC) FROM numbers;
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY salary) FROM emp WHERE false;
SELECT mode() WITHIN GROUP (ORDER BY dept_id), mode() WITHIN GROUP (ORDER BY dept_id DESC) FROM emp;
SELECT variance(salary), var_pop(salary), var_samp(id), var_pop(id) FROM emp;
SELECT dept_id, variance(salary), var_pop(id) FROM emp GROUP BY dept_id;
SELECT bit_and(id), bit_or(small), bit_xor(id) FROM numbers;
SELECT id, rate * 2 + id, rate / 3, rate - small, id * rate FROM numbers;
SELECT id FROM numbers WHERE rate * 1.1 > 2 AND id / 2.0 > rate;
SELECT dept_id, stddev(salary), stddev_pop(id), stddev_samp(salary) FILTER (WHERE id > 1) FROM emp GROUP BY dept_id;
SELECT id, stddev(salary) OVER (ORDER BY id ROWS 3 PRECEDING) FROM emp;
SELECT stddev(amount), stddev(amount * 1000), round(stddev(amount), 1), variance(amount)::numeric(12, 3) FROM sale;
SELECT stddev(salary), variance(id), stddev_pop(id) FROM emp WHERE id < 0;
SELECT dept_id, mode() WITHIN GROUP (ORDER BY salary) FROM emp GROUP BY dept_id;
SELECT round(avg(salary), 2), round(sum(salary) / count(*), 1), avg(id)::numeric(10, 3) FROM emp;
SELECT id, round(loose * 0 + 1, 2), round(big / 3.0, 4), round(small / (big + 0.5), 30) FROM numbers WHERE id > 2;
SELECT q.a, count(*) FROM (SELECT array_agg(id ORDER BY id) AS a FROM emp GROUP BY dept_id) q GROUP BY q.a ORDER BY q.a LIMIT 3;
SELECT DISTINCT q.a FROM (SELECT array_agg(name ORDER BY id) AS a FROM emp GROUP BY dept_id) q;
