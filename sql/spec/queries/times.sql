-- Functions of dates and times, over ordinary ones.

SELECT id, to_char(sold_at, 'YYYY-MM-DD HH24:MI:SS'), to_char(sold_at, 'YYYY/MM') FROM sale;
SELECT id, extract(epoch FROM sold_at), date_part('epoch', sold_at), extract(second FROM sold_at) FROM sale;
SELECT date_trunc('month', hired)::date AS month, count(*) FROM emp GROUP BY date_trunc('month', hired)::date;
SELECT id, sold_at AT TIME ZONE 'UTC' AT TIME ZONE 'UTC' FROM sale;
SELECT id, extract(epoch FROM sold_at AT TIME ZONE 'UTC') FROM sale;
SELECT id, sold_at - interval '1 month', hired + interval '30 days 01:00' FROM emp JOIN sale USING (id);
SELECT max(hired) - min(hired), min(hired) + 1 FROM emp;
SELECT id FROM sale WHERE sold_at >= date '2024-01-01' AND sold_at < date '2024-01-01' + interval '1 month';
SELECT to_char(sold_at, 'YYYY-MM') AS month, sum(amount) FROM sale GROUP BY 1 HAVING sum(amount) > 10;
SELECT id, sold_at + id * interval '1 day 2 hours' AS a, sold_at - 2 * interval '1 month' AS b, sold_at + '12 hours'::interval AS c FROM sale;
SELECT id, sold_at + make_interval(days => id, months => 1) AS a, hired + make_interval(weeks => dept_id) FROM (SELECT s.id, sold_at, hired, e.dept_id FROM sale s JOIN emp e ON e.id = s.emp_id) q;
SELECT id, extract(day FROM sold_at - timestamp '2024-01-15 12:00') AS a, extract(hour FROM timestamp '2024-01-15' - sold_at) AS b, extract(second FROM sold_at - timestamp '2024-01-15 12:00:01.5') AS c, date_part('minute', sold_at - timestamp '2024-01-15') AS d FROM sale;
SELECT id, age(sold_at, timestamp '2000-02-29') AS a, age(timestamp '2024-03-30 12:00', sold_at) AS b FROM sale;
SELECT id, age(hired, date '2023-05-31') AS a FROM emp;
SELECT id, date_bin('15 minutes', sold_at, timestamp '2001-01-01') AS a, date_bin('7 days', sold_at, timestamp '2024-01-03 05:00') AS b FROM sale;
SELECT id, date_trunc('month', sold_at AT TIME ZONE 'UTC', 'UTC') AS a FROM sale;
SELECT (sold_at AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::date AS day, count(*), sum(amount) FROM sale GROUP BY 1;
SELECT id, date_trunc('day', sold_at AT TIME ZONE 'Asia/Tokyo', 'Europe/Berlin') AS a, date_trunc('hour', sold_at AT TIME ZONE 'UTC', 'Asia/Kathmandu') FROM sale;
SELECT id FROM sale WHERE extract(hour FROM sold_at AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Kolkata') BETWEEN 6 AND 18;
SELECT id, rank() OVER (PARTITION BY (sold_at AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Paris')::date ORDER BY id) FROM sale;
SELECT dept_id, avg(sold_at - timestamp '2024-01-01') AS a, sum(sold_at - timestamp '2024-01-01')::text AS s, max(age(sold_at, timestamp '2023-11-30')) AS m FROM sale GROUP BY dept_id;
SELECT id FROM sale WHERE sold_at - timestamp '2024-01-15' > interval '-3 days' AND age(sold_at, timestamp '2023-01-01') <> interval '12 mons';
SELECT id, rank() OVER (ORDER BY sold_at - timestamp '2024-01-15') FROM sale;
SELECT dept_id, avg(extract(epoch FROM sold_at - timestamp '2024-01-01')) AS a, round(avg(extract(hour FROM sold_at AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Tokyo')), 2) AS h FROM sale GROUP BY dept_id;
SELECT dept_id, justify_interval(sum(sold_at - timestamp '2024-01-01') / 2 * 3)::text AS s, date_trunc('hour', max(sold_at AT TIME ZONE 'Europe/Berlin'), 'Asia/Kolkata') AS m FROM sale GROUP BY dept_id;
SELECT dept_id, stddev(extract(minute FROM sold_at AT TIME ZONE 'UTC' AT TIME ZONE 'Asia/Kathmandu')) AS d FROM sale GROUP BY dept_id;
