-- Dates and times, without a time zone.

date_trunc('month', ts);
CAST(COALESCE(DATE_TRUNC('month', CAST("ts" AS TIMESTAMP)), NULL) AS TIMESTAMP);

date_trunc('week', ts);
CAST(COALESCE(DATE_TRUNC('week', CAST("ts" AS TIMESTAMP)), NULL) AS TIMESTAMP);

date_trunc('hour', ts);
CAST(COALESCE(DATE_TRUNC('hour', CAST("ts" AS TIMESTAMP)), NULL) AS TIMESTAMP);

date_trunc('year', ts);
CAST(COALESCE(DATE_TRUNC('year', CAST("ts" AS TIMESTAMP)), NULL) AS TIMESTAMP);

date_trunc('quarter', day::timestamp);
CAST(COALESCE(DATE_TRUNC('quarter', CAST(CAST("day" AS TIMESTAMP) AS TIMESTAMP)), NULL) AS TIMESTAMP);

date_trunc('milliseconds', ts);
CAST(COALESCE(DATE_TRUNC('milliseconds', CAST("ts" AS TIMESTAMP)), NULL) AS TIMESTAMP);

-- No start of a year: still null of null.
date_trunc('year', ts) <> timestamp '2021-01-03';
CAST(COALESCE(DATE_TRUNC('year', CAST("ts" AS TIMESTAMP)), NULL) AS TIMESTAMP) <> CAST('2021-01-03 00:00:00' AS TIMESTAMP);

date_trunc('week', ts) = timestamp '2021-01-03';
CAST(COALESCE(DATE_TRUNC('week', CAST("ts" AS TIMESTAMP)), NULL) AS TIMESTAMP) = CAST('2021-01-03 00:00:00' AS TIMESTAMP);

extract(year from day);
CAST(CASE WHEN ISINF(CAST("day" AS DATE)) THEN ERROR('the year of an infinite date has no exact local value') WHEN DATE_PART('year', CAST("day" AS DATE)) <= 0 THEN DATE_PART('year', CAST("day" AS DATE)) - 1 ELSE DATE_PART('year', CAST("day" AS DATE)) END AS DECIMAL(7, 0));

extract(year from day) >= 2024;
CAST(CASE WHEN ISINF(CAST("day" AS DATE)) THEN ERROR('the year of an infinite date has no exact local value') WHEN DATE_PART('year', CAST("day" AS DATE)) <= 0 THEN DATE_PART('year', CAST("day" AS DATE)) - 1 ELSE DATE_PART('year', CAST("day" AS DATE)) END AS DECIMAL(7, 0)) >= CAST('2024' AS DECIMAL(7, 0));

extract(month from day);
CAST(DATE_PART('month', CAST("day" AS DATE)) AS DECIMAL(7, 0));

extract(dow from day);
CAST(DATE_PART('dow', CAST("day" AS DATE)) AS DECIMAL(7, 0));

extract(isodow from ts);
CAST(DATE_PART('isodow', CAST("ts" AS TIMESTAMP)) AS DECIMAL(7, 0));

extract(doy from day);
CAST(DATE_PART('doy', CAST("day" AS DATE)) AS DECIMAL(7, 0));

extract(week from ts);
CAST(DATE_PART('week', CAST("ts" AS TIMESTAMP)) AS DECIMAL(7, 0));

extract(quarter from day);
CAST(DATE_PART('quarter', CAST("day" AS DATE)) AS DECIMAL(7, 0));

extract(hour from ts);
CAST(DATE_PART('hour', CAST("ts" AS TIMESTAMP)) AS DECIMAL(7, 0));

date_part('minute', ts);
CAST(CAST(DATE_PART('minute', CAST("ts" AS TIMESTAMP)) AS DECIMAL(7, 0)) AS DOUBLE);

date_part('day', day);
CAST(CAST(DATE_PART('day', CAST("day" AS DATE)) AS DECIMAL(7, 0)) AS DOUBLE);

extract(month from day)::int + 1;
CAST(CAST(CAST(DATE_PART('month', CAST("day" AS DATE)) AS DECIMAL(7, 0)) AS INT) AS INT) + CAST(1 AS INT);
