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
    flashql.rescaled(flashql_rounded['units'], flashql_rounded['places'], wanted)
    FOR flashql_rounded IN [flashql.rounded_division(dividend, divisor, shown)]
][1];

-- The root of dividend / divisor, each as Postgres rounds it (numeric.c: numeric_stddev_internal), in units of 10^-wanted,
-- rounded again.
CREATE OR REPLACE MACRO flashql.rounded_deviation(dividend, divisor, shown, wanted) AS [
    CASE
        WHEN flashql_variance['units'] = 0 THEN CAST(0 AS HUGEINT)
        ELSE flashql.rescaled(
            flashql.root_of_units(flashql_variance['units'], flashql_variance['places']), flashql_variance['places'], wanted
        )
    END
    FOR flashql_variance IN [flashql.rounded_division(dividend, divisor, shown)]
][1];

-- The same where it has no more than `scale` digits after the point; raises where it has.
CREATE OR REPLACE MACRO flashql.deviation(dividend, divisor, shown, scale) AS [
    CASE
        WHEN flashql_variance['units'] = 0 THEN CAST(0 AS HUGEINT)
        WHEN flashql_variance['places'] > scale
            THEN CAST(error('no exact local value for a deviation: round it, as in round(stddev(a), 6)') AS HUGEINT)
        ELSE flashql.rescaled(
            flashql.root_of_units(flashql_variance['units'], flashql_variance['places']), flashql_variance['places'], scale
        )
    END
    FOR flashql_variance IN [flashql.rounded_division(dividend, divisor, shown)]
][1];

-- Characters from the last to the first.
CREATE OR REPLACE MACRO flashql.reversed(string) AS array_to_string(list_reverse(string_split(string, '')), '');

-- initcap of ASCII's letters.
CREATE OR REPLACE MACRO flashql.initcap(string) AS array_to_string([
    CASE
        WHEN regexp_matches(flashql_pair[2], '[a-z]') AND NOT regexp_matches(flashql_pair[1], '[A-Za-z0-9]')
            THEN upper(flashql_pair[2])
        WHEN regexp_matches(flashql_pair[2], '[A-Z]') AND regexp_matches(flashql_pair[1], '[A-Za-z0-9]')
            THEN lower(flashql_pair[2])
        ELSE flashql_pair[2]
    END
    FOR flashql_pair IN [
        [CASE WHEN flashql_place = 1 THEN '' ELSE substring(string, flashql_place - 1, 1) END,
         substring(string, flashql_place, 1)]
        FOR flashql_place IN range(1, length(string) + 1)
    ]
], '');

-- substring(string FROM start FOR count): a window that may begin before the text.
CREATE OR REPLACE MACRO flashql.substring(string, start, count) AS
    CASE
        WHEN count < 0 THEN error('negative substring length not allowed')
        WHEN start IS NOT NULL AND count IS NOT NULL THEN substring(
            string, greatest(start, 1), greatest(greatest(start, 1), start + count) - greatest(start, 1)
        )
    END;

-- Text in place of what is from a place on; parts of text by what may be nothing; text as a constant says it.
CREATE OR REPLACE MACRO flashql.overlay(string, new, start, count) AS
    CASE
        WHEN string IS NULL OR new IS NULL OR start IS NULL OR count IS NULL THEN NULL
        WHEN start <= 0 THEN error('negative substring length not allowed')
        ELSE left(string, start - 1) || new || substring(string, greatest(start + count, 1))
    END;
CREATE OR REPLACE MACRO flashql.split_part(string, separator, place) AS
    CASE
        WHEN string IS NULL OR separator IS NULL OR place IS NULL THEN NULL
        WHEN place = 0 THEN error('field position must not be zero')
        WHEN separator <> '' THEN split_part(string, separator, place)
        WHEN place IN (1, -1) THEN string
        ELSE ''
    END;
CREATE OR REPLACE MACRO flashql.quoted(string) AS
    CASE WHEN contains(string, '\') THEN 'E' ELSE '' END
    || '''' || replace(replace(string, '\', '\\'), '''', '''''') || '''';

-- Bytes by their hexadecimal digits.
CREATE OR REPLACE MACRO flashql.bytes_between(bytes, start, count) AS
    unhex(flashql.substring(hex(bytes), 2 * CAST(start AS BIGINT) - 1, 2 * CAST(count AS BIGINT)));
CREATE OR REPLACE MACRO flashql.byte_at(bytes, place) AS
    CASE
        WHEN place < 0 OR place >= octet_length(bytes) THEN error('index ' || place || ' out of valid range')
        ELSE 16 * (strpos('0123456789ABCDEF', substring(hex(bytes), 2 * place + 1, 1)) - 1)
            + strpos('0123456789ABCDEF', substring(hex(bytes), 2 * place + 2, 1)) - 1
    END;
CREATE OR REPLACE MACRO flashql.bytes_of(digits) AS
    CASE
        WHEN regexp_full_match(digits, '([0-9a-fA-F]{2})*') THEN unhex(digits)
        WHEN digits IS NOT NULL THEN CAST(error('text that is not plainly hexadecimal: ' || digits) AS BLOB)
    END;
-- Lines of 76 characters, each of which ends, but the last one where it is filled up (encode.c: pg_base64_encode).
CREATE OR REPLACE MACRO flashql.base64_lines(bytes) AS
    regexp_replace(to_base64(bytes), '([^=]{76})', '\1' || chr(10), 'g');

-- How many times one DECIMAL goes into another.
CREATE OR REPLACE MACRO flashql.whole_quotient(dividend, divisor) AS [
    CASE
        WHEN flashql_sides['below'] = 0 THEN CAST(error('division by zero of ' || flashql_sides['dividend']) AS HUGEINT)
        ELSE flashql_sides['above'] // flashql_sides['below']
    END
    FOR flashql_sides IN [flashql.in_units(dividend, divisor)]
][1];

-- A DECIMAL's digits without point or sign, in units of 10^-scale.
CREATE OR REPLACE MACRO flashql.units_of(number, scale) AS [
    flashql_parts['units'] * flashql.power_of_ten(scale - flashql_parts['scale'])
    FOR flashql_parts IN [flashql.digits_of(number)]
][1];

-- A DECIMAL with so many digits after the point, rounded half away from zero or cut, in units of 10^-scale.
CREATE OR REPLACE MACRO flashql.to_digits(number, digits, scale, rounded) AS
    CASE WHEN number IS NOT NULL AND digits IS NOT NULL THEN [
        flashql_parts['sign'] * CASE
            WHEN digits >= scale THEN flashql_parts['units'] * flashql.power_of_ten(scale - flashql_parts['scale'])
            WHEN digits < flashql_parts['scale'] - 37 THEN CAST(0 AS HUGEINT)
            ELSE (
                flashql_parts['units']
                + CASE WHEN rounded THEN 5 * flashql.power_of_ten(flashql_parts['scale'] - digits - 1) ELSE 0 END
            ) // flashql.power_of_ten(flashql_parts['scale'] - digits) * flashql.power_of_ten(scale - digits)
        END
        FOR flashql_parts IN [flashql.digits_of(number)]
    ][1] END;

-- How many digits a DECIMAL has after the point without zeros at the end.
CREATE OR REPLACE MACRO flashql.least_scale(number) AS length(rtrim(split_part(CAST(number AS VARCHAR), '.', 2), '0'));

-- The square root of a DECIMAL in units of 10^-20, of as many digits as Postgres gives it: 16 significant ones, and no
-- less than it is `shown` with, NULL where that is not known (numeric.c: numeric_sqrt).
CREATE OR REPLACE MACRO flashql.root(number, shown) AS
    CASE
        WHEN number < 0 THEN CAST(error('cannot take square root of a negative number') AS HUGEINT)
        WHEN number = 0 THEN CAST(0 AS HUGEINT)
        WHEN number IS NOT NULL THEN [
            [
                CASE
                    WHEN flashql_digits > 20 OR (shown IS NULL AND flashql_digits < flashql_parts['scale'])
                        THEN CAST(error('no exact local value for the root of ' || number || ': cast it to numeric(p,s)') AS HUGEINT)
                    ELSE (
                        flashql.whole_root(
                            flashql_parts['units'] * flashql.power_of_ten(2 * flashql_digits + 2 - flashql_parts['scale'])
                        ) + 5
                    ) // 10 * flashql.power_of_ten(20 - flashql_digits)
                END
                FOR flashql_digits IN [
                    greatest(
                        15 - 2 * CAST(
                            floor((length(CAST(flashql_parts['units'] AS VARCHAR)) - 1 - flashql_parts['scale']) / 4.0)
                            AS INTEGER
                        ),
                        coalesce(shown, 0), 0
                    )
                ]
            ][1]
            FOR flashql_parts IN [flashql.digits_of(number)]
        ][1]
    END;

-- A whole power of a whole number; beyond 2^53 a double is not sure to be the same one everywhere.
CREATE OR REPLACE MACRO flashql.whole_power(base, exponent) AS
    CASE
        WHEN abs(base) > 1 AND exponent * log2(abs(CAST(base AS DOUBLE))) > 53.5
            THEN CAST(error('no exact local value for ' || base || ' ^ ' || exponent) AS DOUBLE)
        WHEN base IS NOT NULL
            THEN list_reduce(list_prepend(1.0::DOUBLE, [CAST(base AS DOUBLE) FOR _ IN range(exponent)]), lambda x, y: x * y)
    END;

-- Bits of a whole number moved, in as many as there are; the upper ones are lost (int.c: int4shl).
CREATE OR REPLACE MACRO flashql.wrapped(number, bits) AS
    ((number + (CAST(1 AS HUGEINT) << (bits - 1))) % (CAST(1 AS HUGEINT) << bits) + (CAST(1 AS HUGEINT) << bits))
    % (CAST(1 AS HUGEINT) << bits) - (CAST(1 AS HUGEINT) << (bits - 1));
CREATE OR REPLACE MACRO flashql.shifted_left(number, places, bits) AS
    CASE
        WHEN places < 0 OR places >= bits THEN CAST(error('a shift by ' || places || ' bits depends on the machine') AS HUGEINT)
        ELSE flashql.wrapped(number * (CAST(1 AS HUGEINT) << places), bits)
    END;
CREATE OR REPLACE MACRO flashql.shifted_right(number, places, bits) AS
    CASE
        WHEN places < 0 OR places >= bits THEN CAST(error('a shift by ' || places || ' bits depends on the machine') AS HUGEINT)
        ELSE number >> places
    END;

-- A number printed with few digits as a DECIMAL that has all of them.
CREATE OR REPLACE MACRO flashql.decimal_of(shown) AS
    CASE
        WHEN shown IN ('nan', '-nan', 'inf', '-inf') OR abs(CAST(shown AS DOUBLE)) >= 1e18
            OR (abs(CAST(shown AS DOUBLE)) < 1e-4 AND CAST(shown AS DOUBLE) <> 0)
            THEN CAST(error('no exact local value for numeric ' || shown) AS DECIMAL(38, 19))
        ELSE CAST(shown AS DECIMAL(38, 19))
    END;

-- A date or timestamp as Postgres prints it: the era is last.
CREATE OR REPLACE MACRO flashql.shown(moment) AS regexp_replace(moment, '^(\S+) \(BC\)(.*)$', '\1\2 BC');

-- The strings of a document, and what is between them.
CREATE OR REPLACE MACRO flashql.json_pieces(document) AS
    regexp_extract_all(CAST(document AS VARCHAR), '"(?:[^"\\]|\\.)*"|[^"]+');

-- What equality of jsonb asks of: its text, numbers outside of strings without zeros behind their fraction.
CREATE OR REPLACE MACRO flashql.json_key(document) AS
    CASE
        WHEN regexp_matches(CAST(document AS VARCHAR), '\.[0-9]*0([^0-9]|$)') THEN array_to_string([
            CASE
                WHEN starts_with(flashql_piece, '"') THEN flashql_piece
                ELSE regexp_replace(
                    regexp_replace(flashql_piece, '(\.[0-9]*[1-9])0+([^0-9]|$)', '\1\2', 'g'), '\.0+([^0-9]|$)', '\1', 'g'
                )
            END
            FOR flashql_piece IN flashql.json_pieces(document)
        ], '')
        ELSE CAST(document AS VARCHAR)
    END;

-- A document whose numbers are strings that begin with a null character, which no string of jsonb has.
CREATE OR REPLACE MACRO flashql.json_marked(document) AS CAST(array_to_string([
    CASE
        WHEN starts_with(flashql_piece, '"') THEN flashql_piece
        ELSE regexp_replace(flashql_piece, '(-?[0-9][0-9.eE+-]*)', '"\\u0000\1"', 'g')
    END
    FOR flashql_piece IN flashql.json_pieces(document)
], '') AS JSON);

-- A marked document as Postgres prints it: numbers as they were, a space after each comma and colon outside of strings.
CREATE OR REPLACE MACRO flashql.json_printed(marked) AS
    CASE
        WHEN regexp_matches(marked, '\\u00[01][B-F]')
            THEN error('no exact local value for a document with such characters: ' || marked)
        WHEN marked IS NOT NULL THEN array_to_string([
            CASE
                WHEN starts_with(flashql_piece, '"\u0000') THEN flashql_piece[8:-2]
                WHEN starts_with(flashql_piece, '"') THEN flashql_piece
                ELSE regexp_replace(flashql_piece, '([,:])', '\1 ', 'g')
            END
            FOR flashql_piece IN flashql.json_pieces(marked)
        ], '')
    END;

-- What is at a path of a document, as a document; as it is printed where that is short and plain.
CREATE OR REPLACE MACRO flashql.json_value(document, path) AS
    CASE
        WHEN json_type(document, path) IN ('BOOLEAN', 'NULL', 'UBIGINT', 'BIGINT') THEN json_extract(document, path)
        ELSE CAST(flashql.json_printed(CAST(json_extract(flashql.json_marked(document), path) AS VARCHAR)) AS JSON)
    END;

-- What is at a path of a document, as text: of a string what it says.
CREATE OR REPLACE MACRO flashql.json_text(document, path) AS
    CASE
        WHEN json_type(document, path) IN ('VARCHAR', 'BOOLEAN', 'NULL', 'UBIGINT', 'BIGINT')
            THEN json_extract_string(document, path)
        ELSE flashql.json_printed(CAST(json_extract(flashql.json_marked(document), path) AS VARCHAR))
    END;

CREATE OR REPLACE MACRO flashql.json_kind(document) AS
    CASE json_type(document)
        WHEN 'OBJECT' THEN 'object'
        WHEN 'ARRAY' THEN 'array'
        WHEN 'VARCHAR' THEN 'string'
        WHEN 'BOOLEAN' THEN 'boolean'
        WHEN 'NULL' THEN 'null'
        ELSE CASE WHEN document IS NOT NULL THEN 'number' END
    END;

CREATE OR REPLACE MACRO flashql.json_elements(document) AS
    CASE
        WHEN document IS NULL OR json_type(document) = 'ARRAY' THEN json_array_length(document)
        ELSE CAST(error('cannot get array length of what is no array: ' || document) AS UBIGINT)
    END;

-- Whether an object has a name, or an array or the document itself is a string; `shown` is that as JSON.
CREATE OR REPLACE MACRO flashql.json_has(document, path, shown) AS
    CASE json_type(document)
        WHEN 'OBJECT' THEN json_exists(document, path)
        WHEN 'ARRAY' THEN list_contains(CAST(json_extract(document, '$[*]') AS VARCHAR[]), shown)
        ELSE CASE WHEN document IS NOT NULL THEN CAST(document AS VARCHAR) = shown END
    END;

-- value = ANY (listed): null where nothing is equal and a null might be.
CREATE OR REPLACE MACRO flashql.any_equal(value, listed) AS
    CASE
        WHEN len(listed) = 0 THEN false
        WHEN value IS NULL OR listed IS NULL THEN CAST(NULL AS BOOLEAN)
        WHEN list_contains(listed, value) THEN true
        WHEN list_count(listed) < len(listed) THEN CAST(NULL AS BOOLEAN)
        ELSE false
    END;

-- value < each of (listed), and so on: a list of truths.
CREATE OR REPLACE MACRO flashql.each_equal(value, listed) AS [value = flashql_one FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.each_unequal(value, listed) AS [value <> flashql_one FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.each_above(value, listed) AS [value < flashql_one FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.each_not_below(value, listed) AS [value <= flashql_one FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.each_below(value, listed) AS [value > flashql_one FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.each_not_above(value, listed) AS [value >= flashql_one FOR flashql_one IN listed];

-- Parts of lists, and places in them, as Postgres has them: a null place gives null, and none is counted from the end.
CREATE OR REPLACE MACRO flashql.sliced(listed, low, high) AS
    CASE WHEN low IS NOT NULL AND high IS NOT NULL THEN list_slice(listed, greatest(low, 1), greatest(high, 0)) END;
CREATE OR REPLACE MACRO flashql.trimmed(listed, number) AS
    CASE
        WHEN listed IS NULL OR number IS NULL THEN NULL
        WHEN number < 0 OR number > len(listed) THEN error('number of elements to trim must be between 0 and ' || len(listed))
        ELSE list_slice(listed, 1, len(listed) - number)
    END;
CREATE OR REPLACE MACRO flashql.exchanged(listed, these, those) AS
    [CASE WHEN flashql_one IS NOT DISTINCT FROM these THEN those ELSE flashql_one END FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.places(listed, wanted) AS
    CASE WHEN listed IS NOT NULL THEN [
        flashql_place FOR flashql_place IN range(1, len(listed) + 1)
        IF list_extract(listed, flashql_place) IS NOT DISTINCT FROM wanted
    ] END;
CREATE OR REPLACE MACRO flashql.place_from(listed, wanted, begin) AS
    CASE
        WHEN listed IS NULL THEN NULL
        WHEN begin IS NULL THEN error('initial position must not be null')
        ELSE [
            flashql_place FOR flashql_place IN range(greatest(begin, 1), len(listed) + 1)
            IF list_extract(listed, flashql_place) IS NOT DISTINCT FROM wanted
        ][1]
    END;

-- Whether every element of the other list is in this one; a null is equal to nothing.
CREATE OR REPLACE MACRO flashql.contains_all(listed, others) AS
    CASE
        WHEN listed IS NULL OR others IS NULL THEN CAST(NULL AS BOOLEAN)
        ELSE list_count(others) = len(others) AND list_has_all(listed, others)
    END;
CREATE OR REPLACE MACRO flashql.overlaps(listed, others) AS
    CASE
        WHEN listed IS NULL OR others IS NULL THEN CAST(NULL AS BOOLEAN)
        ELSE list_has_any([flashql_one FOR flashql_one IN listed IF flashql_one IS NOT NULL], others)
    END;
CREATE OR REPLACE MACRO flashql.joined(listed, others) AS
    CASE WHEN listed IS NULL AND others IS NULL THEN NULL ELSE list_concat(listed, others) END;
CREATE OR REPLACE MACRO flashql.without_nulls(listed, replacement) AS
    [coalesce(flashql_one, replacement) FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.with_nulls(listed, these) AS
    [CASE WHEN flashql_one = these THEN NULL ELSE flashql_one END FOR flashql_one IN listed];
CREATE OR REPLACE MACRO flashql.split_by(string, separator) AS
    CASE
        WHEN string = '' THEN CAST([] AS VARCHAR[])
        WHEN separator = '' THEN CASE WHEN string IS NOT NULL THEN [string] END
        ELSE string_split(string, coalesce(separator, ''))
    END;
CREATE OR REPLACE MACRO flashql.split(string, separator) AS
    CASE WHEN string = '' THEN CAST([] AS VARCHAR[]) ELSE string_split(string, separator) END;

-- array_to_string, which is the empty text where there is nothing to show.
CREATE OR REPLACE MACRO flashql.listed(elements, separator) AS
    CASE WHEN elements IS NOT NULL AND separator IS NOT NULL THEN coalesce(array_to_string(elements, separator), '') END;

-- The same by a separator of each row's own.
CREATE OR REPLACE MACRO flashql.listed_by(elements, separator) AS
    CASE
        WHEN list_count(elements) = 0 THEN CASE WHEN separator IS NOT NULL THEN '' END
        WHEN separator IS NOT NULL THEN substring(array_to_string(
            [separator || flashql_one FOR flashql_one IN elements IF flashql_one IS NOT NULL], ''
        ), length(separator) + 1)
    END;

-- From one moment to another in days and time, both of the same sign; of infinite ones there is no interval here: text
-- that is none raises, and unlike error() leaves an expression that windows may be ordered by.
CREATE OR REPLACE MACRO flashql.between_moments(later, earlier) AS
    CASE
        WHEN isinf(later) OR isinf(earlier)
            THEN CAST('no exact local value for ' || later || ' - ' || earlier AS INTERVAL)
        ELSE to_days(CAST((epoch_us(later) - epoch_us(earlier)) // 86400000000 AS INTEGER))
            + to_microseconds((epoch_us(later) - epoch_us(earlier)) % 86400000000)
    END;

-- An interval's epoch: years of 365.25 days, months of 30 (interval_part_common).
CREATE OR REPLACE MACRO flashql.interval_microseconds(span) AS
    CAST(datepart('year', span) AS HUGEINT) * 31557600000000
    + CAST(datepart('month', span) AS HUGEINT) * 2592000000000
    + CAST(datepart('day', span) AS HUGEINT) * 86400000000
    + CAST(datepart('hour', span) AS HUGEINT) * 3600000000
    + CAST(datepart('minute', span) AS HUGEINT) * 60000000
    + CAST(datepart('microsecond', span) AS HUGEINT);

-- Time zones (flashql/planner/zones.py): how far one is from UTC at a second, found in the list of those at which that
-- changed, in nine halvings. `turns` and `shifts` are constant text of lists, which is read once.
CREATE OR REPLACE MACRO flashql.shift_at(second, turns, shifts) AS
    [
        [
            [
                [
                    [
                        [
                            [
                                [
                                    [
                                        CAST(shifts AS INTEGER[])[1 + flashql_turn1]
                                    FOR flashql_turn1 IN [flashql_turn2 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn2 + 1] <= second THEN 1 ELSE 0 END]][1]
                                FOR flashql_turn2 IN [flashql_turn4 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn4 + 2] <= second THEN 2 ELSE 0 END]][1]
                            FOR flashql_turn4 IN [flashql_turn8 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn8 + 4] <= second THEN 4 ELSE 0 END]][1]
                        FOR flashql_turn8 IN [flashql_turn16 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn16 + 8] <= second THEN 8 ELSE 0 END]][1]
                    FOR flashql_turn16 IN [flashql_turn32 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn32 + 16] <= second THEN 16 ELSE 0 END]][1]
                FOR flashql_turn32 IN [flashql_turn64 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn64 + 32] <= second THEN 32 ELSE 0 END]][1]
            FOR flashql_turn64 IN [flashql_turn128 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn128 + 64] <= second THEN 64 ELSE 0 END]][1]
        FOR flashql_turn128 IN [flashql_turn256 + CASE WHEN CAST(turns AS BIGINT[])[flashql_turn256 + 128] <= second THEN 128 ELSE 0 END]][1]
    FOR flashql_turn256 IN [CASE WHEN CAST(turns AS BIGINT[])[256] <= second THEN 256 ELSE 0 END]][1];

-- From `until` on a second stands for the same one of the year of the table that has the same days.
CREATE OR REPLACE MACRO flashql.second_of_rule(second, until, years) AS
    CASE
        WHEN second >= until THEN [
            second - CAST(epoch(flashql_year) AS BIGINT) + CAST(years AS BIGINT[])[
                CAST(1 + 2 * datepart('dow', flashql_year) AS BIGINT)
                + datepart('doy', flashql_year + to_months(12) - to_days(1)) - 365
            ]
            FOR flashql_year IN [date_trunc('year', make_timestamp(second * 1000000))]
        ][1]
        ELSE second
    END;

-- A time moved by seconds, as microseconds; of what Postgres has no timestamp for, more than DuckDB makes one of: that
-- raises too, and unlike error() leaves the expression one that windows may be ordered by.
CREATE OR REPLACE MACRO flashql.moved_microseconds(microseconds, shift) AS [
    CASE WHEN flashql_moved < -210866803200000000 THEN 9223372036854775807 ELSE flashql_moved END
    FOR flashql_moved IN [microseconds + 1000000 * CAST(shift AS BIGINT)]
][1];

-- A moment's local time in a zone of one offset, and the moment of a local time.
CREATE OR REPLACE MACRO flashql.local_time_fixed(moment, shift) AS
    CASE
        WHEN isinf(moment) THEN CAST(
            CASE WHEN moment > CAST('-infinity' AS TIMESTAMPTZ) THEN 'infinity' ELSE '-infinity' END AS TIMESTAMP
        )
        ELSE make_timestamp(flashql.moved_microseconds(epoch_us(moment), shift))
    END;
CREATE OR REPLACE MACRO flashql.moment_of_fixed(local, shift) AS
    CASE
        WHEN isinf(local) THEN CAST(
            CASE WHEN local > CAST('-infinity' AS TIMESTAMP) THEN 'infinity' ELSE '-infinity' END AS TIMESTAMPTZ
        )
        ELSE make_timestamptz(flashql.moved_microseconds(epoch_us(local), -(shift)))
    END;

-- The second that a number of microseconds is in.
CREATE OR REPLACE MACRO flashql.second_of(microseconds) AS
    microseconds // 1000000 - CAST(microseconds % 1000000 < 0 AS INTEGER);
CREATE OR REPLACE MACRO flashql.shift_of(microseconds, turns, shifts, until, years) AS [
    flashql.shift_at(flashql_second, turns, shifts)
    FOR flashql_second IN [flashql.second_of_rule(flashql.second_of(microseconds), until, years)]
][1];

-- The same in a zone whose offset changes.
CREATE OR REPLACE MACRO flashql.local_time(moment, turns, shifts, until, years) AS [
    flashql.local_time_fixed(flashql_at, flashql.shift_of(epoch_us(flashql_at), turns, shifts, until, years))
    FOR flashql_at IN [moment]
][1];
CREATE OR REPLACE MACRO flashql.moment_of(local, turns, shifts, until, years) AS [
    flashql.moment_of_fixed(flashql_at, flashql.shift_of(epoch_us(flashql_at), turns, shifts, until, years))
    FOR flashql_at IN [local]
][1];

-- A moment cut to an hour or less of its local time, whose offset stays what it is (timestamptz_trunc_internal).
CREATE OR REPLACE MACRO flashql.cut_within(moment, local, unit) AS [
    CASE
        WHEN isinf(flashql_sides['moment']) THEN flashql_sides['moment']
        ELSE make_timestamptz(
            epoch_us(flashql_sides['moment']) - epoch_us(flashql_sides['local'])
            + epoch_us(date_trunc(unit, flashql_sides['local']))
        )
    END
    FOR flashql_sides IN [{'moment': moment, 'local': local}]
][1];

-- The place of an enum's label among those that the origin had when the view was defined, from 1; of another, an error
-- by a cast (DuckDB takes no error() in the order of a window).
CREATE OR REPLACE MACRO flashql.enum_place(label, labels) AS
    CASE
        WHEN label IS NULL THEN NULL
        WHEN list_contains(labels, label) THEN CAST(list_position(labels, label) AS INTEGER)
        ELSE CAST(
            'label ' || label || ' came to its enum later, and its place is not known: define the view again '
            || '(CREATE OR REPLACE VIEW)' AS INTEGER
        )
    END;

-- Intervals: months, days and microseconds apart, in both databases. In a day 24 hours and in a month 30 days is what
-- they are compared by (interval_cmp_value).
CREATE OR REPLACE MACRO flashql.months_of(span) AS datepart('year', span) * 12 + datepart('month', span);
CREATE OR REPLACE MACRO flashql.microseconds_of(span) AS
    datepart('hour', span) * 3600000000 + datepart('minute', span) * 60000000 + datepart('microsecond', span);
CREATE OR REPLACE MACRO flashql.interval_units(span) AS
    CAST(flashql.months_of(span) * 30 + datepart('day', span) AS HUGEINT) * 86400000000 + flashql.microseconds_of(span);
CREATE OR REPLACE MACRO flashql.interval_of(months, days, microseconds) AS
    to_months(CAST(months AS INTEGER)) + to_days(CAST(days AS INTEGER)) + to_microseconds(CAST(microseconds AS BIGINT));

-- What tells intervals apart that compare as equal, behind what they are compared by: of those the same one is chosen.
CREATE OR REPLACE MACRO flashql.interval_key(span) AS
    [flashql.interval_units(span), CAST(flashql.months_of(span) AS HUGEINT), CAST(datepart('day', span) AS HUGEINT)];

-- interval_justify_hours, _days, _interval. What they are called with is in a list: it may be an aggregate (see quotient).
CREATE OR REPLACE MACRO flashql.justify_hours_of(span) AS [
    [
        CASE
            WHEN flashql_whole_days > 0 AND flashql_of_day < 0
                THEN flashql.interval_of(flashql.months_of(span), flashql_whole_days - 1, flashql_of_day + 86400000000)
            WHEN flashql_whole_days < 0 AND flashql_of_day > 0
                THEN flashql.interval_of(flashql.months_of(span), flashql_whole_days + 1, flashql_of_day - 86400000000)
            ELSE flashql.interval_of(flashql.months_of(span), flashql_whole_days, flashql_of_day)
        END
        FOR flashql_of_day IN [flashql.microseconds_of(span) % 86400000000]
    ][1]
    FOR flashql_whole_days IN [datepart('day', span) + flashql.microseconds_of(span) // 86400000000]
][1];
CREATE OR REPLACE MACRO flashql.justify_days_of(span) AS [
    [
        CASE
            WHEN flashql_whole_months > 0 AND flashql_of_month < 0
                THEN flashql.interval_of(flashql_whole_months - 1, flashql_of_month + 30, flashql.microseconds_of(span))
            WHEN flashql_whole_months < 0 AND flashql_of_month > 0
                THEN flashql.interval_of(flashql_whole_months + 1, flashql_of_month - 30, flashql.microseconds_of(span))
            ELSE flashql.interval_of(flashql_whole_months, flashql_of_month, flashql.microseconds_of(span))
        END
        FOR flashql_of_month IN [datepart('day', span) % 30]
    ][1]
    FOR flashql_whole_months IN [flashql.months_of(span) + datepart('day', span) // 30]
][1];
CREATE OR REPLACE MACRO flashql.justify_months(months, days, microseconds) AS
    CASE
        WHEN months > 0 AND (days < 0 OR (days = 0 AND microseconds < 0))
            THEN flashql.justify_hours_of(flashql.interval_of(months - 1, days + 30, microseconds))
        WHEN months < 0 AND (days > 0 OR (days = 0 AND microseconds > 0))
            THEN flashql.justify_hours_of(flashql.interval_of(months + 1, days - 30, microseconds))
        ELSE flashql.justify_hours_of(flashql.interval_of(months, days, microseconds))
    END;
CREATE OR REPLACE MACRO flashql.justify_interval_of(span) AS [
    flashql.justify_months(
        flashql.months_of(span) + flashql_days // 30, flashql_days % 30, flashql.microseconds_of(span) % 86400000000
    )
    FOR flashql_days IN [datepart('day', span) + flashql.microseconds_of(span) // 86400000000]
][1];

CREATE OR REPLACE MACRO flashql.justify_hours(span) AS
    [flashql.justify_hours_of(flashql_justified) FOR flashql_justified IN [span]][1];
CREATE OR REPLACE MACRO flashql.justify_days(span) AS
    [flashql.justify_days_of(flashql_justified) FOR flashql_justified IN [span]][1];
CREATE OR REPLACE MACRO flashql.justify_interval(span) AS
    [flashql.justify_interval_of(flashql_justified) FOR flashql_justified IN [span]][1];

-- interval_div, in double precision: what is left of months is days, what is left of days is time. Some machines add the
-- last product before they round it; where that decides how the sum is rounded there is no exact value. What rounding
-- took from the product is computed with halves of the factor's digits (Dekker). A cast rounds to the nearest, half to
-- even, also what is too large for round_even of DuckDB 1.5.
CREATE OR REPLACE MACRO flashql.to_microsecond(number) AS round_even(number * 1000000.0::DOUBLE, 0) / 1000000.0::DOUBLE;
CREATE OR REPLACE MACRO flashql.upper_digits(number) AS
    number * 134217729.0::DOUBLE - (number * 134217729.0::DOUBLE - number);
CREATE OR REPLACE MACRO flashql.lost_digits(number) AS
    flashql.upper_digits(number) * 1000000.0::DOUBLE - number * 1000000.0::DOUBLE
    + (number - flashql.upper_digits(number)) * 1000000.0::DOUBLE;
CREATE OR REPLACE MACRO flashql.rounded_time(whole, seconds) AS
    CASE
        WHEN CAST(whole + seconds * 1000000.0::DOUBLE AS BIGINT)
            <> CAST(whole + seconds * 1000000.0::DOUBLE + flashql.lost_digits(seconds) AS BIGINT)
            THEN CAST(error('no exact local value for a part of an interval') AS BIGINT)
        ELSE CAST(whole + seconds * 1000000.0::DOUBLE AS BIGINT)
    END;
CREATE OR REPLACE MACRO flashql.interval_quotient(months, days, microseconds, divisor) AS [
    [
        flashql.interval_of(
            trunc(months / divisor),
            trunc(days / divisor) + trunc(flashql_seconds / 86400) + trunc(flashql_days),
            flashql.rounded_time(
                microseconds / divisor, flashql_seconds - trunc(flashql_seconds / 86400) * 86400
            )
        )
        FOR flashql_seconds IN [flashql.to_microsecond(
            (days / divisor - trunc(days / divisor) + flashql_days - trunc(flashql_days)) * 86400.0::DOUBLE
        )]
    ][1]
    FOR flashql_days IN [flashql.to_microsecond((months / divisor - trunc(months / divisor)) * 30.0::DOUBLE)]
][1];
CREATE OR REPLACE MACRO flashql.interval_parts_quotient(months, days, microseconds, divisor) AS [
    CASE
        WHEN flashql_parts[4] = 0 THEN CAST(error('division by zero of an interval') AS INTERVAL)
        ELSE flashql.interval_quotient(flashql_parts[1], flashql_parts[2], flashql_parts[3], flashql_parts[4])
    END
    FOR flashql_parts IN [[
        CAST(CAST(months AS INTEGER) AS DOUBLE), CAST(CAST(days AS INTEGER) AS DOUBLE),
        CAST(CAST(microseconds AS BIGINT) AS DOUBLE), CAST(divisor AS DOUBLE)
    ]]
][1];
CREATE OR REPLACE MACRO flashql.interval_divided(span, divisor) AS [
    flashql.interval_parts_quotient(
        flashql.months_of(flashql_sides['span']), datepart('day', flashql_sides['span']),
        flashql.microseconds_of(flashql_sides['span']), flashql_sides['divisor']
    )
    FOR flashql_sides IN [{'span': span, 'divisor': divisor}]
][1];

-- interval_mul by a number whose products are exact: that of what is left too.
CREATE OR REPLACE MACRO flashql.interval_product(months, days, microseconds, factor) AS [
    [
        flashql.interval_of(
            trunc(months * factor),
            trunc(days * factor) + trunc(flashql_seconds / 86400) + trunc(flashql_days),
            flashql.rounded_time(
                microseconds * factor, flashql_seconds - trunc(flashql_seconds / 86400) * 86400
            )
        )
        FOR flashql_seconds IN [flashql.to_microsecond(
            (days * factor - trunc(days * factor) + flashql_days - trunc(flashql_days)) * 86400.0::DOUBLE
        )]
    ][1]
    FOR flashql_days IN [flashql.to_microsecond((months * factor - trunc(months * factor)) * 30.0::DOUBLE)]
][1];

CREATE OR REPLACE MACRO flashql.interval_multiplied(span, factor) AS [
    flashql.interval_product(
        CAST(flashql.months_of(flashql_sides['span']) AS DOUBLE), CAST(datepart('day', flashql_sides['span']) AS DOUBLE),
        CAST(flashql.microseconds_of(flashql_sides['span']) AS DOUBLE), flashql_sides['factor']
    )
    FOR flashql_sides IN [{'span': span, 'factor': factor}]
][1];

-- An interval as Postgres prints it (EncodeInterval, IntervalStyle postgres): after a negative part a positive one says
-- so.
CREATE OR REPLACE MACRO flashql.interval_part(number, unit, after) AS
    CASE
        WHEN number = 0 THEN ''
        ELSE CASE WHEN after < 0 AND number > 0 THEN '+' ELSE '' END || number
            || CASE WHEN number = 1 THEN unit ELSE unit || 's' END || ' '
    END;
CREATE OR REPLACE MACRO flashql.interval_time(microseconds, after) AS
    CASE WHEN microseconds < 0 THEN '-' WHEN after < 0 THEN '+' ELSE '' END
    || CASE WHEN abs(microseconds) < 36000000000 THEN '0' ELSE '' END || CAST(abs(microseconds) // 3600000000 AS VARCHAR)
    || ':' || lpad(CAST(abs(microseconds) // 60000000 % 60 AS VARCHAR), 2, '0')
    || ':' || lpad(CAST(abs(microseconds) // 1000000 % 60 AS VARCHAR), 2, '0')
    || rtrim(rtrim('.' || lpad(CAST(abs(microseconds) % 1000000 AS VARCHAR), 6, '0'), '0'), '.');
CREATE OR REPLACE MACRO flashql.interval_text(span) AS [
    rtrim(
        flashql.interval_part(datepart('year', flashql_span), ' year', 0)
        || flashql.interval_part(datepart('month', flashql_span), ' mon', datepart('year', flashql_span))
        || flashql.interval_part(datepart('day', flashql_span), ' day', flashql.months_of(flashql_span))
        || CASE
            WHEN flashql.microseconds_of(flashql_span) = 0
                AND (flashql.months_of(flashql_span) <> 0 OR datepart('day', flashql_span) <> 0) THEN ''
            ELSE flashql.interval_time(
                CAST(flashql.microseconds_of(flashql_span) AS HUGEINT),
                CASE
                    WHEN datepart('day', flashql_span) <> 0 THEN datepart('day', flashql_span)
                    ELSE flashql.months_of(flashql_span)
                END
            )
        END
    )
    FOR flashql_span IN [span]
][1];

-- Times of day. Microseconds from any midnight as a time; what is added to one goes round (time_pl_interval).
CREATE OR REPLACE MACRO flashql.clock_of(microseconds) AS
    CAST(make_timestamp(((microseconds) % 86400000000 + 86400000000) % 86400000000) AS TIME);
CREATE OR REPLACE MACRO flashql.clock_of_moment(moment) AS CAST(moment AS TIME);
CREATE OR REPLACE MACRO flashql.made_clock(hour, minute, second) AS
    CASE
        WHEN isnan(second) OR hour NOT BETWEEN 0 AND 24 OR minute NOT BETWEEN 0 AND 59
            OR round_even(second * 1000000.0::DOUBLE, 0) NOT BETWEEN 0 AND 60000000
            OR (hour * 60 + minute) * 60000000 + round_even(second * 1000000.0::DOUBLE, 0) > 86400000000
            THEN CAST('time field value out of range: ' || hour || ':' || minute || ':' || second AS TIME)
        WHEN (hour * 60 + minute) * 60000000 + round_even(second * 1000000.0::DOUBLE, 0) = 86400000000
            THEN CAST('24:00:00' AS TIME)
        ELSE flashql.clock_of(
            (hour * 60 + minute) * 60000000 + CAST(round_even(second * 1000000.0::DOUBLE, 0) AS BIGINT)
        )
    END;

-- Decades, centuries and millennia by Postgres's count (timestamp_trunc, timestamp_part_common): years are as DuckDB
-- numbers them, where 0 is 1 BC; so many years are one `length`, and the first of the first is `start`, 0 or 1.
CREATE OR REPLACE MACRO flashql.age_of_years(year, length, start) AS
    CASE
        WHEN start = 0 AND year >= 0 THEN year // length
        WHEN start = 0 THEN -((length - 1 - year) // length)
        WHEN year > 0 THEN (year + length - 1) // length
        ELSE -((length - year) // length)
    END;
CREATE OR REPLACE MACRO flashql.first_year(year, length, start) AS
    CASE
        WHEN start = 0 THEN flashql.age_of_years(year, length, start) * length
        WHEN year > 0 THEN flashql.age_of_years(year, length, start) * length - length + 1
        ELSE flashql.age_of_years(year, length, start) * length + 1
    END;
CREATE OR REPLACE MACRO flashql.cut_to_years(moment, length, start) AS
    CASE
        WHEN isinf(moment) THEN moment
        WHEN flashql.first_year(datepart('year', moment), length, start) < -4712
            THEN CAST('timestamp out of range: ' || moment AS TIMESTAMP)
        ELSE date_trunc('year', moment) + to_months(CAST(
            (flashql.first_year(datepart('year', moment), length, start) - datepart('year', moment)) * 12 AS INTEGER
        ))
    END;

-- A moment with few digits of its second: half away from 2000-01-01, by which Postgres counts (AdjustTimestampForTypmod).
CREATE OR REPLACE MACRO flashql.rounded_microseconds(microseconds, unit) AS
    (microseconds - 946684800000000 + CASE WHEN microseconds < 946684800000000 THEN -unit ELSE unit END // 2)
    // unit * unit + 946684800000000;
CREATE OR REPLACE MACRO flashql.rounded_timestamp(moment, unit) AS
    CASE WHEN isinf(moment) THEN moment ELSE make_timestamp(flashql.rounded_microseconds(epoch_us(moment), unit)) END;
CREATE OR REPLACE MACRO flashql.rounded_timestamptz(moment, unit) AS
    CASE WHEN isinf(moment) THEN moment ELSE make_timestamptz(flashql.rounded_microseconds(epoch_us(moment), unit)) END;

-- to_timestamp of seconds of the epoch (float8_timestamptz).
CREATE OR REPLACE MACRO flashql.moment_of_epoch(seconds) AS
    CASE
        WHEN isnan(seconds) THEN CAST('timestamp cannot be ' || seconds AS TIMESTAMPTZ)
        WHEN isinf(seconds) THEN CAST(CASE WHEN seconds > 0 THEN 'infinity' ELSE '-infinity' END AS TIMESTAMPTZ)
        WHEN seconds < -210866803200 THEN CAST('timestamp out of range: ' || seconds AS TIMESTAMPTZ)
        ELSE make_timestamptz(
            CAST((seconds - 946684800.0::DOUBLE) * 1000000.0::DOUBLE AS BIGINT) + 946684800000000
        )
    END;

-- (a, b) OVERLAPS (c, d), each pair in order (overlaps_timestamp): a null end is one that is not known.
CREATE OR REPLACE MACRO flashql.overlapping(first, until, other, other_until) AS
    CASE
        WHEN first > other THEN CASE
            WHEN other_until IS NULL THEN NULL
            WHEN first < other_until THEN true
            WHEN until IS NOT NULL THEN false
        END
        WHEN first < other THEN CASE
            WHEN until IS NULL THEN NULL
            WHEN other < until THEN true
            WHEN other_until IS NOT NULL THEN false
        END
        WHEN first = other THEN CASE WHEN until IS NOT NULL AND other_until IS NOT NULL THEN true END
    END;
CREATE OR REPLACE MACRO flashql.overlap(one, another, other, yet_another) AS flashql.overlapping(
    least(one, another), CASE WHEN one IS NOT NULL AND another IS NOT NULL THEN greatest(one, another) END,
    least(other, yet_another),
    CASE WHEN other IS NOT NULL AND yet_another IS NOT NULL THEN greatest(other, yet_another) END
);

-- to_char of a number (NUM_processor): `shown` is the number, rounded. `marks` are, for a positive number and a negative
-- one: what stands first, the sign before the digits, what follows them, what stands last. `spans` are the first and last
-- places of digits between commas; `zeros` so many places before the point are filled with 0; `least` so many digits after
-- it stay; `template` is all places of a number that is too large; `width` is that of sign and digits, 0 where they are
-- not filled; `letters` are th or TH. 0 before the point is left out where something follows and no place is filled.
CREATE OR REPLACE MACRO flashql.format_whole(digits, spans, zeros) AS
    ltrim(array_to_string([
        lpad(lpad(digits, CAST(greatest(zeros, length(digits)) AS INTEGER), '0'), spans[-1][2], ' ')[flashql_span[1]:flashql_span[2]]
        FOR flashql_span IN spans
    ], ','), ' ,');
CREATE OR REPLACE MACRO flashql.format_digits(digits, fraction, spans, zeros, point, template) AS
    CASE
        WHEN length(digits) > spans[-1][2] THEN template
        ELSE flashql.format_whole(
            CASE WHEN digits NOT IN ('', '0') THEN digits WHEN zeros > 0 OR fraction = '' THEN '0' ELSE '' END, spans, zeros
        ) || point || fraction
    END;
CREATE OR REPLACE MACRO flashql.filled(text, width) AS
    lpad(text, CAST(greatest(width, length(text)) AS INTEGER), ' ');
-- The letters of 1st, 2nd, 3rd and 4th (get_th), of a number that is printed in so many places.
CREATE OR REPLACE MACRO flashql.ordinal(shown, places, letters) AS
    CASE
        WHEN letters = '' OR starts_with(shown, '-') OR length(shown) > places THEN ''
        WHEN length(shown) > 1 AND shown[-2] = '1' THEN letters
        ELSE CASE shown[-1]
            WHEN '1' THEN CASE letters WHEN 'th' THEN 'st' ELSE 'ST' END
            WHEN '2' THEN CASE letters WHEN 'th' THEN 'nd' ELSE 'ND' END
            WHEN '3' THEN CASE letters WHEN 'th' THEN 'rd' ELSE 'RD' END
            ELSE letters
        END
    END;
CREATE OR REPLACE MACRO flashql.format_number(shown, marks, spans, zeros, point, least, template, width, letters) AS [
    flashql_parts['marks'][1]
    || flashql.filled(
        flashql_parts['marks'][2]
        || flashql.format_digits(flashql_parts['whole'], flashql_parts['fraction'], spans, zeros, point, template),
        width
    )
    || flashql_parts['marks'][3]
    || flashql.ordinal(flashql_parts['shown'], spans[-1][2], letters)
    || flashql_parts['marks'][4]
    FOR flashql_parts IN [
        {
            'shown': flashql_shown,
            'marks': marks[CASE WHEN starts_with(flashql_shown, '-') THEN 2 ELSE 1 END],
            'whole': ltrim(split_part(flashql_shown, '.', 1), '-'),
            'fraction': left(split_part(flashql_shown, '.', 2), least)
            || rtrim(substring(split_part(flashql_shown, '.', 2), least + 1), '0')
        }
        FOR flashql_shown IN [shown]
    ]
][1];

-- Each element as a list of its own.
CREATE OR REPLACE MACRO flashql.each_alone(texts) AS [[flashql_text] for flashql_text in texts];
