-- Dates and times.

to_char(CASE WHEN day > '0001-01-01' THEN day END, 'YYYY-MM-DD');
to_char(CASE WHEN ts > '0002-01-01' THEN ts END, 'YYYY-MM-DD"T"HH24:MI:SS.MS');
to_char(CASE WHEN ts > '0002-01-01' THEN ts END, 'Dy, DD Mon YYYY HH12:MI AM');
to_char(CASE WHEN ts > '0002-01-01' THEN ts END, 'FMMonth, MON, dy, FMDay, DDD, Q, YY, US, HH:MI PM');
to_char(CASE WHEN ts > '0002-01-01' THEN ts END, 'IYYY-IW-ID');
extract(epoch from CASE WHEN isfinite(ts) THEN ts END - timestamp '2020-01-01 12:34:56.789');
extract(epoch from CASE WHEN isfinite(ts) THEN ts - day END);
extract(epoch from CASE WHEN isfinite(tz) THEN tz - timestamptz '2024-02-29 10:00:00.5+00' END) / 3600;
date_part('epoch', CASE WHEN isfinite(ts) THEN timestamp '2020-01-01' - ts END);
CASE WHEN isfinite(ts) THEN ts - timestamp '2020-01-01 12:34:56.789' END;
make_date(2000 + abs(i2 % 30), abs(j4 % 12) + 1, 28);
isfinite(ts);
isfinite(day);
-- to_char: names in every case, filled and not; numbers that are computed; text in quotes.
to_char(CASE WHEN ts > '0002-01-01' THEN ts END, 'Day DAY day Month MONTH month');
to_char(CASE WHEN ts > '0002-01-01' THEN ts END, 'FMDD. FMmonth yyyy "at" FMHH24:mi am');
to_char(CASE WHEN day > '0002-01-01' THEN day END, 'Q W WW D J SSSS FMWW/FMIW');
