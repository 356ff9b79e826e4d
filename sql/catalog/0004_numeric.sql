-- Numerics as Postgres divides them (numeric.c: select_div_scale, div_var). Expressions of views call these.
-- A comprehension over a list of one is how DuckDB's SQL gives a value a name; names are of one macro each, because a
-- macro's arguments are put in its text and could be captured;
-- fields are in brackets, because DuckDB may take a dotted one for a column (in HAVING).

-- 10 to a power from 0 to 38, exactly.
CREATE OR REPLACE MACRO flashql.power_of_ten(exponent) AS CAST('1' || repeat('0', exponent) AS HUGEINT);

-- How many digits a DECIMAL's text has after the point.
CREATE OR REPLACE MACRO flashql.digits_after(shown) AS length(split_part(shown, '.', 2));

-- A DECIMAL's sign, its digits without point, and how many of them are after the point.
CREATE OR REPLACE MACRO flashql.digits_of(number) AS [
    {
        'sign': CASE WHEN starts_with(flashql_shown, '-') THEN -1 ELSE 1 END,
        'units': abs(CAST(replace(flashql_shown, '.', '') AS HUGEINT)),
        'scale': flashql.digits_after(flashql_shown)
    }
    FOR flashql_shown IN [CAST(number AS VARCHAR)]
][1];

-- The first digit to the base 10000, as Postgres stores numerics, of a whole number's digits.
CREATE OR REPLACE MACRO flashql.leading_digit(digits) AS CAST(left(digits, (length(digits) - 1) % 4 + 1) AS INTEGER);

-- Digits after the point for 16 significant ones in above / below, as select_div_scale estimates them; of their digits.
CREATE OR REPLACE MACRO flashql.significant_scale(above, below) AS
    16 - 4 * (
        (length(above) - 1) // 4 - (length(below) - 1) // 4
        - CAST(flashql.leading_digit(above) <= flashql.leading_digit(below) AS INTEGER)
    );

-- Two DECIMALs as whole numbers of units so small that both are whole, and a multiple of four digits after the point.
-- Here and below one step is in the list that the next is over: what is in the body of a comprehension DuckDB binds
-- several times, and more often for each body around it.
CREATE OR REPLACE MACRO flashql.in_units(dividend, divisor) AS [
    {
        'dividend': flashql_shown['dividend'],
        'divisor': flashql_shown['divisor'],
        'scale': flashql_shown['scale'],
        'above': CAST(
            replace(flashql_shown['dividend'], '.', '')
            || repeat('0', flashql_shown['scale'] - flashql.digits_after(flashql_shown['dividend'])) AS HUGEINT
        ),
        'below': CAST(
            replace(flashql_shown['divisor'], '.', '')
            || repeat('0', flashql_shown['scale'] - flashql.digits_after(flashql_shown['divisor'])) AS HUGEINT
        )
    }
    FOR flashql_shown IN [[
        {
            'dividend': flashql_texts['dividend'],
            'divisor': flashql_texts['divisor'],
            'scale': (
                greatest(flashql.digits_after(flashql_texts['dividend']), flashql.digits_after(flashql_texts['divisor']))
                + 3
            ) // 4 * 4
        }
        FOR flashql_texts IN [{'dividend': CAST(dividend AS VARCHAR), 'divisor': CAST(divisor AS VARCHAR)}]
    ][1]]
][1];

-- How many times one DECIMAL goes into another, what is left, and for how many digits after the point Postgres goes on.
CREATE OR REPLACE MACRO flashql.divided(dividend, divisor) AS [
    {
        'dividend': flashql_sides['dividend'],
        'divisor': flashql_sides['divisor'],
        'scale': flashql_sides['scale'],
        'above': flashql_sides['above'],
        'below': flashql_sides['below'],
        'by': nullif(flashql_sides['below'], 0),
        'whole': flashql_sides['above'] // nullif(flashql_sides['below'], 0),
        'digits': flashql.significant_scale(
            CAST(abs(flashql_sides['above']) AS VARCHAR), CAST(abs(flashql_sides['below']) AS VARCHAR)
        )
    }
    FOR flashql_sides IN [flashql.in_units(dividend, divisor)]
][1];

-- What `divided` leaves, divided on: in units of 10^-(scale + 1), and what is left then; in two steps, so that each
-- stays within 128 bits. As many digits as are `shown` are wanted at least.
CREATE OR REPLACE MACRO flashql.divided_on(parts, shown, scale) AS [
    {
        'dividend': flashql_half['of']['dividend'],
        'divisor': flashql_half['of']['divisor'],
        'scale': flashql_half['of']['scale'],
        'above': flashql_half['of']['above'],
        'below': flashql_half['of']['below'],
        'whole': flashql_half['of']['whole'],
        'digits': flashql_half['of']['digits'],
        'places': greatest(flashql_half['of']['digits'], coalesce(shown, 0)),
        'units': flashql_half['units'] * flashql.power_of_ten(scale + 1 - scale // 2)
            + flashql_half['rest'] // flashql_half['of']['by'],
        'rest': flashql_half['rest'] % flashql_half['of']['by']
    }
    FOR flashql_half IN [[
        {
            'of': flashql_parts,
            'units': flashql_parts['above'] % flashql_parts['by'] * flashql.power_of_ten(scale // 2)
                // flashql_parts['by'],
            'rest': flashql_parts['above'] % flashql_parts['by'] * flashql.power_of_ten(scale // 2)
                % flashql_parts['by'] * flashql.power_of_ten(scale + 1 - scale // 2)
        }
        FOR flashql_parts IN [parts]
    ][1]]
][1];

-- Units of 10^-(scale + 1) as units of 10^-scale, rounded half away from zero after `digits` digits.
CREATE OR REPLACE MACRO flashql.rounded_units(units, digits, scale) AS
    (units + CASE WHEN units < 0 THEN -5 ELSE 5 END * flashql.power_of_ten(scale - digits))
    // flashql.power_of_ten(scale + 1 - digits) * flashql.power_of_ten(scale - digits);

-- dividend / divisor in units of 10^-scale, rounded after as many digits as Postgres gives the result: no less than
-- `shown`, the scale that both sides are printed with, NULL where that is not known. Raises where Postgres raises, where
-- the result needs more than `scale` digits after the point, and where it depends on what is not known. (Both may be
-- aggregates: DuckDB cannot take one over a comprehension into another one, but into the list that it is over.)
CREATE OR REPLACE MACRO flashql.quotient(dividend, divisor, shown, scale) AS [
    CASE
        WHEN flashql_found['below'] = 0
            THEN CAST(error('division by zero of ' || flashql_found['dividend']) AS HUGEINT)
        WHEN flashql_found['above'] = 0 THEN CAST(0 AS HUGEINT)
        WHEN flashql_found['whole'] IS NOT NULL THEN flashql_found['whole'] * flashql.power_of_ten(scale) + CASE
            WHEN flashql_found['rest'] = 0 AND flashql_found['units'] % 10 = 0 AND flashql_found['digits'] >= scale
                THEN flashql_found['units'] // 10
            WHEN shown IS NULL AND flashql_found['digits'] < flashql_found['scale']
                THEN CAST(error('not known how many digits ' || flashql_found['dividend'] || ' / ' || flashql_found['divisor'] || ' has: cast both to numeric(p,s)') AS HUGEINT)
            WHEN flashql_found['places'] <= scale
                THEN flashql.rounded_units(flashql_found['units'], flashql_found['places'], scale)
            ELSE CAST(error('no exact local value for ' || flashql_found['dividend'] || ' / ' || flashql_found['divisor'] || ': round it, as in round(a / b, 6)') AS HUGEINT)
        END
    END
    FOR flashql_found IN [flashql.divided_on(flashql.divided(dividend, divisor), shown, scale)]
][1];

-- dividend / divisor as Postgres rounds it: units of 10^-places, and how many digits after the point these are.
CREATE OR REPLACE MACRO flashql.rounded_division(dividend, divisor, shown) AS [
    [
        {
            'units': CASE
                WHEN flashql_found['below'] = 0
                    THEN CAST(error('division by zero of ' || flashql_found['dividend']) AS HUGEINT)
                WHEN flashql_found['above'] = 0 THEN CAST(0 AS HUGEINT)
                WHEN shown IS NULL AND flashql_found['digits'] < flashql_found['scale'] AND (
                    flashql_found['digits'] < 0 OR flashql_found['rest'] <> 0 OR flashql_found['units'] % 10 <> 0
                )
                    THEN CAST(error('not known how many digits ' || flashql_found['dividend'] || ' / ' || flashql_found['divisor'] || ' has: cast both to numeric(p,s)') AS HUGEINT)
                ELSE flashql_found['whole'] * flashql.power_of_ten(flashql_found['places'])
                    + flashql.rounded_units(flashql_found['units'], 0, 0)
            END,
            'places': flashql_found['places']
        }
        FOR flashql_found IN [
            flashql.divided_on(flashql_known, shown, greatest(flashql_known['digits'], coalesce(shown, 0)))
        ]
    ][1]
    FOR flashql_known IN [flashql.divided(dividend, divisor)]
][1];
