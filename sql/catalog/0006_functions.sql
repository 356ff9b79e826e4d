-- Functions of Postgres that views' expressions call, written out in DuckDB's. Names within are of one macro each, as in
-- 0004_numeric.sql.

-- Text with a function done to each character, but for `these`, which become those at their places in `others`.
CREATE OR REPLACE MACRO flashql.lowered(string, these, others) AS array_to_string([
    CASE
        WHEN strpos(these, flashql_character) > 0
            THEN substring(others, strpos(these, flashql_character), 1)
        ELSE lower(flashql_character)
    END
    FOR flashql_character IN string_split(string, '')
], '');
CREATE OR REPLACE MACRO flashql.uppered(string, these, others) AS array_to_string([
    CASE
        WHEN strpos(these, flashql_character) > 0
            THEN substring(others, strpos(these, flashql_character), 1)
        ELSE upper(flashql_character)
    END
    FOR flashql_character IN string_split(string, '')
], '');

-- The square root of a whole number below 10^38, rounded down: a double's, mended by one of Newton's steps.
CREATE OR REPLACE MACRO flashql.whole_root(number) AS [
    list_max([
        flashql_near + flashql_step FOR flashql_step IN [-2, -1, 0, 1, 2]
        IF (flashql_near + flashql_step) * (flashql_near + flashql_step) <= number
    ])
    FOR flashql_near IN [
        (flashql_guess + number // flashql_guess) // 2
        FOR flashql_guess IN [greatest(CAST(sqrt(CAST(number AS DOUBLE)) AS HUGEINT), CAST(1 AS HUGEINT))]
    ]
][1];

-- More digits of a root: of (root^2 + rest) * widening^2, rounded down, for a root large enough beside `widening`.
CREATE OR REPLACE MACRO flashql.widened_root(root, rest, widening) AS [
    CASE
        WHEN 2 * root * widening * flashql_more + flashql_more * flashql_more <= rest * widening * widening
            THEN root * widening + flashql_more
        ELSE root * widening + flashql_more - 1
    END
    FOR flashql_more IN [rest * widening * widening // (2 * root * widening)]
][1];

-- The square root of a number of units of 10^-digits, in such units, rounded half up: with one digit more, and in two
-- steps, so that each stays within 128 bits.
CREATE OR REPLACE MACRO flashql.root_of_units(units, digits) AS [
    [
        (flashql.widened_root(
            flashql_root, flashql_square - flashql_root * flashql_root, CASE WHEN digits < 6 THEN 1 ELSE 10000 END
        ) + 5) // 10
        FOR flashql_root IN [flashql.whole_root(flashql_square)]
    ][1]
    FOR flashql_square IN [
        units * flashql.power_of_ten(CASE WHEN digits < 6 THEN digits + 2 ELSE digits - 6 END)
    ]
][1];

-- As many digits after the point as Postgres gives dividend / divisor.
CREATE OR REPLACE MACRO flashql.quotient_digits(dividend, divisor, shown) AS [
    greatest(flashql.significant_scale(flashql_units['above'], flashql_units['below']), coalesce(shown, 0))
    FOR flashql_units IN [flashql.in_units(dividend, divisor)]
][1];

-- Units of 10^-digits as units of 10^-wanted, rounded half away from zero.
CREATE OR REPLACE MACRO flashql.rescaled(units, digits, wanted) AS
    CASE
        WHEN digits <= wanted THEN units * flashql.power_of_ten(wanted - digits)
        ELSE CAST(sign(units) AS HUGEINT) * (
            (abs(units) + 5 * flashql.power_of_ten(digits - wanted - 1)) // flashql.power_of_ten(digits - wanted)
        )
    END;

-- dividend / divisor in units of 10^-wanted: the quotient as Postgres rounds it, rounded again.
CREATE OR REPLACE MACRO flashql.rounded_quotient(dividend, divisor, shown, wanted) AS [
    flashql.rescaled(flashql.quotient(dividend, divisor, shown, flashql_digits), flashql_digits, wanted)
    FOR flashql_digits IN [flashql.quotient_digits(dividend, divisor, shown)]
][1];

-- The root of dividend / divisor, each as Postgres rounds it (numeric.c: numeric_stddev_internal), in units of 10^-wanted,
-- rounded again.
CREATE OR REPLACE MACRO flashql.rounded_deviation(dividend, divisor, shown, wanted) AS [
    [
        CASE
            WHEN flashql_variance = 0 THEN CAST(0 AS HUGEINT)
            ELSE flashql.rescaled(flashql.root_of_units(flashql_variance, flashql_digits), flashql_digits, wanted)
        END
        FOR flashql_variance IN [flashql.quotient(dividend, divisor, shown, flashql_digits)]
    ][1]
    FOR flashql_digits IN [flashql.quotient_digits(dividend, divisor, shown)]
][1];

-- The same where it has no more than `scale` digits after the point; raises where it has.
CREATE OR REPLACE MACRO flashql.deviation(dividend, divisor, shown, scale) AS
    CASE
        WHEN dividend <> 0 AND flashql.quotient_digits(dividend, divisor, shown) > scale
            THEN CAST(error('no exact local value for a deviation: round it, as in round(stddev(a), 6)') AS HUGEINT)
        ELSE flashql.rounded_deviation(dividend, divisor, shown, scale)
    END;
