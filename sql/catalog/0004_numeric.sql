-- Numerics as Postgres divides them (numeric.c: select_div_scale, div_var). Expressions of views call these.
-- A comprehension over a list of one is how DuckDB's SQL gives a value a name; names are of one macro each, because a
-- macro's arguments are put in its text and could be captured;
-- fields are in brackets, because DuckDB may take a dotted one for a column (in HAVING).

-- 10 to a power from 0 to 38, exactly.
CREATE OR REPLACE MACRO flashql.power_of_ten(exponent) AS CAST('1' || repeat('0', exponent) AS HUGEINT);

-- A DECIMAL's sign, its digits without point, and how many of them are after the point.
CREATE OR REPLACE MACRO flashql.digits_of(number) AS [
    {
        'sign': CASE WHEN starts_with(flashql_shown, '-') THEN -1 ELSE 1 END,
        'units': abs(CAST(replace(flashql_shown, '.', '') AS HUGEINT)),
        'scale': CASE
            WHEN contains(flashql_shown, '.') THEN length(flashql_shown) - strpos(flashql_shown, '.') ELSE 0
        END
    }
    FOR flashql_shown IN [CAST(number AS VARCHAR)]
][1];

-- The first digit to the base 10000, as Postgres stores numerics, and how many follow it.
CREATE OR REPLACE MACRO flashql.leading_digit(units) AS [
    {
        'digit': CAST(left(flashql_digits, (length(flashql_digits) - 1) % 4 + 1) AS INTEGER),
        'following': (length(flashql_digits) - 1) // 4
    }
    FOR flashql_digits IN [CAST(units AS VARCHAR)]
][1];

-- Digits after the point for 16 significant ones in above / below, as select_div_scale estimates them.
CREATE OR REPLACE MACRO flashql.significant_scale(above, below) AS [
    16 - 4 * (
        flashql_leading['above']['following'] - flashql_leading['below']['following']
        - CASE WHEN flashql_leading['above']['digit'] <= flashql_leading['below']['digit'] THEN 1 ELSE 0 END
    )
    FOR flashql_leading IN [{'above': flashql.leading_digit(above), 'below': flashql.leading_digit(below)}]
][1];

-- What rest / below (less than 1) has after the point, in units of 10^-(scale + 1), and what is left; in two steps, so
-- that each stays within 128 bits.
CREATE OR REPLACE MACRO flashql.fraction(rest, below, scale) AS [
    {
        'units': flashql_half['units'] * flashql.power_of_ten(scale + 1 - scale // 2)
            + flashql_half['rest'] * flashql.power_of_ten(scale + 1 - scale // 2) // below,
        'rest': flashql_half['rest'] * flashql.power_of_ten(scale + 1 - scale // 2) % below
    }
    FOR flashql_half IN [{
        'units': rest * flashql.power_of_ten(scale // 2) // below,
        'rest': rest * flashql.power_of_ten(scale // 2) % below
    }]
][1];

-- Units of 10^-(scale + 1) as units of 10^-scale, rounded half up after `digits` digits.
CREATE OR REPLACE MACRO flashql.rounded_units(units, digits, scale) AS
    (units + 5 * flashql.power_of_ten(scale - digits)) // flashql.power_of_ten(scale + 1 - digits)
    * flashql.power_of_ten(scale - digits);

-- Two DECIMALs as whole numbers of units so small that both are whole, and a multiple of four digits after the point.
CREATE OR REPLACE MACRO flashql.in_units(dividend, divisor) AS [
    [
        {
            'sign': flashql_each['above']['sign'] * flashql_each['below']['sign'],
            'above': flashql_each['above']['units']
                * flashql.power_of_ten((flashql_scale + 3) // 4 * 4 - flashql_each['above']['scale']),
            'below': flashql_each['below']['units']
                * flashql.power_of_ten((flashql_scale + 3) // 4 * 4 - flashql_each['below']['scale']),
            'scale': flashql_scale
        }
        FOR flashql_scale IN [greatest(flashql_each['above']['scale'], flashql_each['below']['scale'])]
    ][1]
    FOR flashql_each IN [{'above': flashql.digits_of(dividend), 'below': flashql.digits_of(divisor)}]
][1];

-- dividend / divisor in units of 10^-scale, rounded after as many digits as Postgres gives the result: no less than
-- `shown`, the scale that both sides are printed with, NULL where that is not known. Raises where Postgres raises, where
-- the result needs more than `scale` digits after the point, and where it depends on what is not known.
CREATE OR REPLACE MACRO flashql.quotient_of(dividend, divisor, shown, scale) AS [
    CASE
        WHEN flashql_sides['below'] = 0 THEN CAST(error('division by zero of ' || dividend) AS HUGEINT)
        WHEN flashql_sides['above'] = 0 THEN CAST(0 AS HUGEINT)
        WHEN flashql_sides['below'] IS NOT NULL THEN flashql_sides['sign'] * [
            flashql_sides['above'] // flashql_sides['below'] * flashql.power_of_ten(scale) + CASE
                WHEN flashql_found['rest'] = 0 AND flashql_found['units'] % 10 = 0 AND flashql_found['digits'] >= scale
                    THEN flashql_found['units'] // 10
                WHEN shown IS NULL AND flashql_found['digits'] < flashql_sides['scale']
                    THEN CAST(error('not known how many digits ' || dividend || ' / ' || divisor || ' has: cast both to numeric(p,s)') AS HUGEINT)
                WHEN greatest(flashql_found['digits'], coalesce(shown, 0)) <= scale
                    THEN flashql.rounded_units(
                        flashql_found['units'], greatest(flashql_found['digits'], coalesce(shown, 0)), scale
                    )
                ELSE CAST(error('no exact local value for ' || dividend || ' / ' || divisor || ': round it, as in round(a / b, 6)') AS HUGEINT)
            END
            FOR flashql_found IN [
                struct_insert(
                    flashql.fraction(
                        flashql_sides['above'] % flashql_sides['below'], flashql_sides['below'], scale
                    ),
                    digits := flashql.significant_scale(flashql_sides['above'], flashql_sides['below'])
                )
            ]
        ][1]
    END
    FOR flashql_sides IN [flashql.in_units(dividend, divisor)]
][1];

-- The same of any expressions. DuckDB cannot take an aggregate over a list comprehension into another one, but into the
-- list that it is over.
CREATE OR REPLACE MACRO flashql.quotient(dividend, divisor, shown, scale) AS [
    flashql.quotient_of(flashql_terms['above'], flashql_terms['below'], shown, scale)
    FOR flashql_terms IN [{'above': dividend, 'below': divisor}]
][1];
