-- What Postgres checks of floating-point results (float.h): finite numbers never give infinity, and only 0 gives 0.

CREATE OR REPLACE MACRO flashql.total(a, b, result) AS
    CASE
        WHEN isinf(result) AND NOT (isinf(a) OR isinf(b)) THEN error('value out of range: overflow of ' || a || ', ' || b)
        ELSE result
    END;

CREATE OR REPLACE MACRO flashql.product(a, b, result) AS
    CASE
        WHEN isinf(result) AND NOT (isinf(a) OR isinf(b)) THEN error('value out of range: overflow of ' || a || ' * ' || b)
        WHEN result = 0 AND a <> 0 AND b <> 0 THEN error('value out of range: underflow of ' || a || ' * ' || b)
        ELSE result
    END;

CREATE OR REPLACE MACRO flashql.ratio(a, b, result) AS
    CASE
        WHEN b = 0 AND NOT isnan(a) THEN error('division by zero of ' || a)
        WHEN b = 0 THEN a
        WHEN isinf(result) AND NOT isinf(a) THEN error('value out of range: overflow of ' || a || ' / ' || b)
        WHEN result = 0 AND a <> 0 AND NOT isinf(b) THEN error('value out of range: underflow of ' || a || ' / ' || b)
        ELSE result
    END;

-- percentile_cont of sorted doubles: between the two values that the place falls between (float8_lerp).
CREATE OR REPLACE MACRO flashql.percentile_cont(sorted, fraction) AS
    CASE
        WHEN floor(fraction * (len(sorted) - 1)) = ceil(fraction * (len(sorted) - 1))
            THEN sorted[CAST(floor(fraction * (len(sorted) - 1)) AS BIGINT) + 1]
        ELSE sorted[CAST(floor(fraction * (len(sorted) - 1)) AS BIGINT) + 1]
            + (fraction * (len(sorted) - 1) - floor(fraction * (len(sorted) - 1)))
            * (
                sorted[CAST(ceil(fraction * (len(sorted) - 1)) AS BIGINT) + 1]
                - sorted[CAST(floor(fraction * (len(sorted) - 1)) AS BIGINT) + 1]
            )
    END;

-- The most frequent keys of a histogram: the first of them, and the last.
CREATE OR REPLACE MACRO flashql.first_mode(counts) AS [
    flashql_entry['key'] FOR flashql_entry IN map_entries(counts)
    IF flashql_entry['value'] = list_max(map_values(counts))
][1];
CREATE OR REPLACE MACRO flashql.last_mode(counts) AS [
    flashql_entry['key'] FOR flashql_entry IN map_entries(counts)
    IF flashql_entry['value'] = list_max(map_values(counts))
][-1];
