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

-- A double as a real, which is another one than 0 and infinity where the double is (float.c: dtof).
CREATE OR REPLACE MACRO flashql.narrowed(a, result) AS
    CASE
        WHEN isinf(result) AND NOT isinf(a) THEN error('value out of range: overflow of ' || a)
        WHEN result = 0 AND a <> 0 THEN error('value out of range: underflow of ' || a)
        ELSE result
    END;

-- width_bucket of doubles (float.c: width_bucket_float8), and of DECIMALs of one size (numeric.c).
CREATE OR REPLACE MACRO flashql.float_bucket(operand, low, high, count) AS
    CASE
        WHEN count <= 0 THEN CAST(error('count must be greater than zero') AS BIGINT)
        WHEN isnan(operand) OR isnan(low) OR isnan(high) THEN CAST(error('operand and bounds cannot be NaN') AS BIGINT)
        WHEN isinf(low) OR isinf(high) THEN CAST(error('lower and upper bounds must be finite') AS BIGINT)
        WHEN low = high THEN CAST(error('lower bound cannot equal upper bound') AS BIGINT)
        WHEN operand IS NULL OR count IS NULL THEN NULL
        WHEN low < high AND operand < low OR low > high AND operand > low THEN 0
        WHEN low < high AND operand >= high OR low > high AND operand <= high THEN CAST(count AS BIGINT) + 1
        WHEN isinf(high - low) THEN
            least(CAST(trunc(count * ((operand / 2 - low / 2) / (high / 2 - low / 2))) AS BIGINT), count - 1) + 1
        WHEN low < high THEN least(CAST(trunc(count * ((operand - low) / (high - low))) AS BIGINT), count - 1) + 1
        WHEN low > high THEN least(CAST(trunc(count * ((low - operand) / (low - high))) AS BIGINT), count - 1) + 1
    END;
CREATE OR REPLACE MACRO flashql.place_between(operand, thresholds) AS
    CASE
        WHEN operand IS NULL OR thresholds IS NULL THEN NULL
        WHEN list_count(thresholds) < len(thresholds) THEN error('thresholds array must not contain NULLs')
        WHEN list_sort(thresholds) <> thresholds THEN error('thresholds of width_bucket that do not ascend')
        ELSE len([flashql_one FOR flashql_one IN thresholds IF flashql_one <= operand])
    END;
CREATE OR REPLACE MACRO flashql.bucket(operand, low, high, count) AS
    CASE
        WHEN count <= 0 THEN CAST(error('count must be greater than zero') AS HUGEINT)
        WHEN low = high THEN CAST(error('lower bound cannot equal upper bound') AS HUGEINT)
        WHEN operand IS NULL OR count IS NULL THEN NULL
        WHEN low < high AND operand < low OR low > high AND operand > low THEN 0
        WHEN low < high AND operand >= high OR low > high AND operand <= high THEN CAST(count AS HUGEINT) + 1
        WHEN low <> high THEN flashql.whole_quotient((operand - low) * count, high - low) + 1
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

-- Aggregates of floats, of sums and counts (float8_avg, float8_var_samp, float8_corr and their like).
CREATE OR REPLACE MACRO flashql.float_sum(total, infinite) AS
    CASE
        WHEN isinf(total) AND infinite = 0 THEN CAST(error('value out of range: overflow of a sum') AS DOUBLE)
        ELSE total
    END;
CREATE OR REPLACE MACRO flashql.float_mean(total, n) AS CASE WHEN n > 0 THEN total / n END;

-- The sum of squares, or of products, of differences from the mean; `odd` counts what is not finite.
CREATE OR REPLACE MACRO flashql.float_squares(spread, n, odd) AS
    CASE
        WHEN n = 0 THEN NULL
        WHEN odd > 0 THEN CAST('NaN' AS DOUBLE)
        ELSE spread * n
    END;
CREATE OR REPLACE MACRO flashql.float_variance(squares, n, fewer) AS CASE WHEN n > fewer THEN squares / (n - fewer) END;
CREATE OR REPLACE MACRO flashql.float_corr(sxx, syy, sxy) AS
    CASE WHEN sxx <> 0 AND syy <> 0 THEN sxy / sqrt(sxx * syy) END;
CREATE OR REPLACE MACRO flashql.float_slope(sxx, sxy) AS CASE WHEN sxx <> 0 THEN sxy / sxx END;
CREATE OR REPLACE MACRO flashql.float_intercept(n, sx, sy, sxx, sxy) AS
    CASE WHEN sxx <> 0 THEN (sy - sx * sxy / sxx) / n END;
CREATE OR REPLACE MACRO flashql.float_r2(sxx, syy, sxy) AS
    CASE
        WHEN sxx = 0 THEN NULL
        WHEN syy = 0 THEN 1.0::DOUBLE
        ELSE (sxy * sxy) / (sxx * syy)
    END;

-- A positive finite number to so many digits after the first: its digits, and the power of ten of the last of them.
CREATE OR REPLACE MACRO flashql.float_near(magnitude, places) AS [
    {
        'units': CAST(replace(split_part(flashql_printed, 'e', 1), '.', '') AS BIGINT),
        'power': CAST(split_part(flashql_printed, 'e', 2) AS INTEGER) - places
    }
    FOR flashql_printed IN [format('{:.' || places || 'e}', CAST(magnitude AS DOUBLE))]
][1];

-- Whether units * 10^power is closer to this number than to any other: what is a little more and what is a little less
-- is read as this number too. What is halfway between two is neither's to Postgres (d2s.c: acceptBounds).
CREATE OR REPLACE MACRO flashql.float_reads(magnitude, single, units, power) AS
    CASE
        WHEN single THEN
            coalesce(TRY_CAST(units || repeat('0', 60) || '1e' || (power - 61) AS REAL) = magnitude, false)
            AND coalesce(TRY_CAST((units - 1) || repeat('9', 61) || 'e' || (power - 61) AS REAL) = magnitude, false)
        ELSE
            coalesce(TRY_CAST(units || repeat('0', 60) || '1e' || (power - 61) AS DOUBLE) = magnitude, false)
            AND coalesce(TRY_CAST((units - 1) || repeat('9', 61) || 'e' || (power - 61) AS DOUBLE) = magnitude, false)
    END;

-- The fewest digits that are read as a positive finite number, and of those the closest. 15 digits (6 of a real) tell
-- all decimals apart unless the number is denormal; below a power of two numbers are denser than above, so that the
-- closest digits may be none of it where the next ones are.
CREATE OR REPLACE MACRO flashql.float_shortest(magnitude, single) AS [
    CASE
        WHEN magnitude >= CASE WHEN single THEN 1.17549435e-38 ELSE 2.2250738585072014e-308 END
            AND flashql.float_reads(magnitude, single, flashql_first['units'], flashql_first['power'])
            THEN flashql_first
        ELSE [
            CASE
                WHEN flashql.float_reads(magnitude, single, flashql_near['units'], flashql_near['power'])
                    THEN flashql_near
                ELSE {'units': flashql_near['units'] + 1, 'power': flashql_near['power']}
            END
            FOR flashql_near IN [
                flashql.float_near(magnitude, flashql_places)
                FOR flashql_places IN range(0, CASE WHEN single THEN 9 ELSE 17 END)
                IF flashql_places > CASE WHEN single THEN 5 ELSE 14 END
                    OR magnitude < CASE WHEN single THEN 1.17549435e-38 ELSE 2.2250738585072014e-308 END
            ]
            IF flashql.float_reads(magnitude, single, flashql_near['units'], flashql_near['power'])
                OR flashql.float_reads(magnitude, single, flashql_near['units'] + 1, flashql_near['power'])
        ][1]
    END
    FOR flashql_first IN [flashql.float_near(magnitude, CASE WHEN single THEN 5 ELSE 14 END)]
][1];

-- A finite number's digits without zeros behind them, and the power of ten of the last.
CREATE OR REPLACE MACRO flashql.float_digits(number, single) AS [
    {
        'digits': rtrim(CAST(flashql_found['units'] AS VARCHAR), '0'),
        'power': flashql_found['power'] + length(CAST(flashql_found['units'] AS VARCHAR))
            - length(rtrim(CAST(flashql_found['units'] AS VARCHAR), '0'))
    }
    FOR flashql_found IN [flashql.float_shortest(abs(number), single)]
][1];

-- Digits and the power of ten of the last as a plain decimal number.
CREATE OR REPLACE MACRO flashql.float_plain(digits, power) AS
    CASE
        WHEN power >= 0 THEN digits || repeat('0', power)
        WHEN length(digits) > -power THEN digits[1:length(digits) + power] || '.' || digits[length(digits) + power + 1:]
        ELSE '0.' || repeat('0', -power - length(digits)) || digits
    END;

CREATE OR REPLACE MACRO flashql.float_scientific(digits, exponent) AS
    digits[1] || CASE WHEN length(digits) > 1 THEN '.' || digits[2:] ELSE '' END
    || 'e' || CASE WHEN exponent < 0 THEN '-' ELSE '+' END
    || CASE WHEN abs(exponent) < 10 THEN '0' ELSE '' END || abs(exponent);

-- A float's text (float8out, float4out): with an exponent where that is below -4 or has no digit for each place.
CREATE OR REPLACE MACRO flashql.float_text(number, single) AS
    CASE
        WHEN number IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN isnan(number) THEN 'NaN'
        WHEN isinf(number) THEN CASE WHEN number > 0 THEN 'Infinity' ELSE '-Infinity' END
        WHEN number = 0 THEN CASE WHEN starts_with(CAST(number AS VARCHAR), '-') THEN '-0' ELSE '0' END
        ELSE CASE WHEN number < 0 THEN '-' ELSE '' END || [
            CASE
                WHEN flashql_found['power'] + length(flashql_found['digits']) - 1 BETWEEN -4 AND CASE WHEN single THEN 5 ELSE 14 END
                    THEN flashql.float_plain(flashql_found['digits'], flashql_found['power'])
                ELSE flashql.float_scientific(
                    flashql_found['digits'], flashql_found['power'] + length(flashql_found['digits']) - 1
                )
            END
            FOR flashql_found IN [flashql.float_digits(number, single)]
        ][1]
    END;

-- A float as jsonb has it: the numeric of its text, and of what is no number a string.
CREATE OR REPLACE MACRO flashql.float_json(number, single) AS
    CASE
        WHEN number IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN isnan(number) OR isinf(number) THEN '"' || flashql.float_text(number, single) || '"'
        WHEN number = 0 THEN '0'
        ELSE CASE WHEN number < 0 THEN '-' ELSE '' END || [
            flashql.float_plain(flashql_found['digits'], flashql_found['power'])
            FOR flashql_found IN [flashql.float_digits(number, single)]
        ][1]
    END;
