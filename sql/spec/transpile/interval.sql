-- Intervals: months, days and microseconds apart in both; the last day of a shorter month in both.

ts + interval '1 day';
CAST(CAST("ts" AS TIMESTAMP) + TO_DAYS(1) AS TIMESTAMP);

ts - interval '1 year 2 months 3 days 04:05:06.7';
CAST(CAST("ts" AS TIMESTAMP) - (TO_MONTHS(14) + TO_DAYS(3) + TO_MICROSECONDS(14706700000)) AS TIMESTAMP);

day + interval '1' month;
CAST(CAST("day" AS TIMESTAMP) + TO_MONTHS(1) AS TIMESTAMP);

date '1998-12-01' - interval '90' day;
CAST(CAST(CAST('1998-12-01' AS DATE) AS TIMESTAMP) - TO_DAYS(90) AS TIMESTAMP);

interval '-2 hours' + ts;
CAST(CAST("ts" AS TIMESTAMP) + TO_MICROSECONDS(-7200000000) AS TIMESTAMP);

day + 3;
CAST("day" + CAST(3 AS INT) AS DATE);

2 + day;
CAST("day" + CAST(2 AS INT) AS DATE);

day - 400;
CAST("day" - CAST(400 AS INT) AS DATE);

tz + interval '90 minutes';
CAST(CAST("tz" AS TIMESTAMPTZ) + TO_MICROSECONDS(5400000000) AS TIMESTAMPTZ);

day - date '2024-01-01';
CAST(CASE WHEN ISINF(CAST("day" AS DATE)) OR ISINF(CAST(CAST('2024-01-01' AS DATE) AS DATE)) THEN ERROR('cannot subtract infinite dates, as in ' || CAST("day" AS DATE)) ELSE CAST("day" AS DATE) - CAST(CAST('2024-01-01' AS DATE) AS DATE) END AS INT);

date_part('dow', day);
CAST(CAST(DATE_PART('dow', CAST("day" AS DATE)) AS DECIMAL(7, 0)) AS DOUBLE);

extract(year from day) * 1.5;
CAST((CAST(CAST(CASE WHEN ISINF(CAST("day" AS DATE)) THEN ERROR('the year of an infinite date has no exact local value') WHEN DATE_PART('year', CAST("day" AS DATE)) <= 0 THEN DATE_PART('year', CAST("day" AS DATE)) - 1 ELSE DATE_PART('year', CAST("day" AS DATE)) END AS DECIMAL(7, 0)) AS DECIMAL(9, 0)) * CAST('1.5' AS DECIMAL(9, 1))) AS DECIMAL(9, 1));
