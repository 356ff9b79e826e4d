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
