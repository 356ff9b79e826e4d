-- Lists whose elements are the rows of Postgres's set-returning functions. Names within are of one macro each, as in
-- 0004_numeric.sql.

-- generate_series of integers; a step of 0 is an error, as in Postgres.
CREATE OR REPLACE MACRO flashql.series(start, stop, step) AS
    CASE
        WHEN step = 0 THEN CAST(error('step size cannot equal zero, as from ' || start) AS BIGINT[])
        ELSE generate_series(start, stop, step)
    END;

-- generate_series of timestamps, each the one before it plus the step.
CREATE OR REPLACE MACRO flashql.moments(start, stop, step) AS
    CASE
        WHEN step = INTERVAL 0 DAY THEN CAST(error('step size cannot equal zero, as from ' || start) AS TIMESTAMP[])
        ELSE generate_series(start, stop, step)
    END;

-- A part of a marked document (0006_functions.sql) as Postgres prints it, and as text: of a string what it says.
CREATE OR REPLACE MACRO flashql.json_part(marked) AS CAST(flashql.json_printed(CAST(marked AS VARCHAR)) AS JSON);
CREATE OR REPLACE MACRO flashql.json_part_text(marked) AS
    CASE
        WHEN json_type(marked) = 'NULL' THEN CAST(NULL AS VARCHAR)
        WHEN json_type(marked) = 'VARCHAR' AND NOT starts_with(CAST(marked AS VARCHAR), '"\u0000')
            THEN json_extract_string(marked, '$')
        ELSE flashql.json_printed(CAST(marked AS VARCHAR))
    END;

-- The document, where it is of the kind asked for.
CREATE OR REPLACE MACRO flashql.json_required(document, kind) AS
    CASE
        WHEN document IS NULL OR json_type(document) = kind THEN document
        ELSE CAST(error('this document is no ' || lower(kind) || ': ' || document) AS JSON)
    END;

-- jsonb_array_elements, jsonb_array_elements_text.
CREATE OR REPLACE MACRO flashql.json_list(document) AS [
    flashql.json_part(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'ARRAY')), '$[*]')
];
CREATE OR REPLACE MACRO flashql.json_texts(document) AS [
    flashql.json_part_text(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'ARRAY')), '$[*]')
];

-- jsonb_object_keys; the values of jsonb_each and jsonb_each_text.
CREATE OR REPLACE MACRO flashql.json_names(document) AS json_keys(flashql.json_required(document, 'OBJECT'));
CREATE OR REPLACE MACRO flashql.json_members(document) AS [
    flashql.json_part(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'OBJECT')), '$.*')
];
CREATE OR REPLACE MACRO flashql.json_member_texts(document) AS [
    flashql.json_part_text(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'OBJECT')), '$.*')
];

-- A text as a string of JSON. Postgres writes \u000b where DuckDB writes \u000B.
CREATE OR REPLACE MACRO flashql.json_string(string) AS
    CASE
        WHEN regexp_matches(string, '[\x0B\x0E\x0F\x1A-\x1F]')
            THEN error('no exact local value for a document with such characters: ' || string)
        ELSE CAST(to_json(string) AS VARCHAR)
    END;

-- Texts as an array of JSON; as strings where they are `quoted`.
CREATE OR REPLACE MACRO flashql.json_from_elements(elements, quoted, comma) AS
    CASE
        WHEN elements IS NOT NULL THEN '[' || coalesce(array_to_string([
            CASE
                WHEN flashql_element IS NULL THEN 'null'
                WHEN quoted THEN flashql.json_string(flashql_element)
                ELSE flashql_element
            END
            FOR flashql_element IN elements
        ], comma), '') || ']'
    END;

-- The texts of floats, dates and timestamps as json and jsonb have them.
CREATE OR REPLACE MACRO flashql.float_jsons(elements, single) AS [
    flashql.float_json(flashql_element, single) FOR flashql_element IN elements
];
CREATE OR REPLACE MACRO flashql.float_texts(elements, single) AS [
    CASE
        WHEN isnan(flashql_element) OR isinf(flashql_element) THEN '"' || flashql.float_text(flashql_element, single) || '"'
        ELSE flashql.float_text(flashql_element, single)
    END
    FOR flashql_element IN elements
];
CREATE OR REPLACE MACRO flashql.dates_shown(elements) AS [
    flashql.shown(flashql_element) FOR flashql_element IN elements
];
CREATE OR REPLACE MACRO flashql.moments_shown(elements) AS [
    regexp_replace(flashql.shown(flashql_element), ' ', 'T') FOR flashql_element IN elements
];

-- The name of a member of json, which is never null.
CREATE OR REPLACE MACRO flashql.json_name(named) AS
    CASE
        WHEN named IS NULL THEN error('field name must not be null' || coalesce(named, ''))
        ELSE flashql.json_string(named)
    END;

-- Elements of json_agg that begin lines: the first one does not.
CREATE OR REPLACE MACRO flashql.json_first_line(elements) AS
    CASE WHEN starts_with(elements, chr(10)) THEN elements[3:] ELSE elements END;

-- jsonb of names and the texts of their values: by length and bytes of the names, the last one of several alike.
CREATE OR REPLACE MACRO flashql.json_from_members(names, parts) AS
    CASE
        WHEN names IS NOT NULL AND list_count(names) < len(names)
            THEN error('field name must not be null: ' || CAST(names AS VARCHAR))
        WHEN names IS NOT NULL THEN '{' || coalesce(array_to_string([
            [
                flashql.json_string(flashql_sorted[flashql_place].named) || ': ' || flashql_sorted[flashql_place].part
                FOR flashql_place IN generate_series(1, len(flashql_sorted))
                IF flashql_place = len(flashql_sorted)
                    OR flashql_sorted[flashql_place + 1].named <> flashql_sorted[flashql_place].named
            ]
            FOR flashql_sorted IN [list_sort([
                {'bytes': strlen(names[flashql_at]), 'named': names[flashql_at], 'at': flashql_at, 'part': parts[flashql_at]}
                FOR flashql_at IN generate_series(1, len(names))
            ])]
        ][1], ', '), '') || '}'
    END;

-- So many times an interval of months, days and microseconds. Postgres multiplies in double precision (interval_mul).
CREATE OR REPLACE MACRO flashql.spans(number, months, days, microseconds) AS
    CASE
        WHEN abs(CAST(microseconds AS HUGEINT) * number) >= 9007199254740992
            THEN CAST(error('no exact local value for an interval times ' || number) AS INTERVAL)
        ELSE to_months(CAST(months * number AS INTEGER)) + to_days(CAST(days * number AS INTEGER))
            + to_microseconds(CAST(microseconds * number AS BIGINT))
    END;

-- age of two timestamps. Of infinite ones there is no interval here.
CREATE OR REPLACE MACRO flashql.ages(later, earlier) AS
    CASE
        WHEN isinf(later) OR isinf(earlier)
            THEN CAST(error('no exact local value for age(' || later || ', ' || earlier || ')') AS INTERVAL)
        ELSE age(later, earlier)
    END;

-- date_bin by so many microseconds; of an infinite moment itself.
CREATE OR REPLACE MACRO flashql.date_bin(stride, moment, origin) AS
    CASE
        WHEN isinf(origin) THEN CAST(error('origin out of range: ' || origin) AS TIMESTAMP)
        WHEN isinf(moment) THEN moment
        ELSE make_timestamp(CAST([
            epoch_us(origin) + flashql_span - ((flashql_span % stride) + stride) % stride
            FOR flashql_span IN [CAST(epoch_us(moment) AS HUGEINT) - epoch_us(origin)]
        ][1] AS BIGINT))
    END;

-- A list without the elements that are equal to one.
CREATE OR REPLACE MACRO flashql.without(listed, element) AS
    CASE
        WHEN listed IS NOT NULL
            THEN [flashql_one FOR flashql_one IN listed IF flashql_one IS DISTINCT FROM element]
    END;

-- The elements of an array as texts; of anything else itself.
CREATE OR REPLACE MACRO flashql.json_pieces_of(document) AS
    CASE
        WHEN json_type(document) = 'ARRAY' THEN CAST(flashql.json_list(document) AS VARCHAR[])
        ELSE [CAST(document AS VARCHAR)]
    END;

-- jsonb || jsonb: the members of both objects, or the elements of both (jsonfuncs.c: jsonb_concat).
CREATE OR REPLACE MACRO flashql.json_joined(document, other) AS
    CASE
        WHEN document IS NULL OR other IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) = 'OBJECT' AND json_type(other) = 'OBJECT' THEN flashql.json_from_members(
            list_concat(flashql.json_names(document), flashql.json_names(other)),
            CAST(list_concat(flashql.json_members(document), flashql.json_members(other)) AS VARCHAR[])
        )
        ELSE '[' || coalesce(array_to_string(
            list_concat(flashql.json_pieces_of(document), flashql.json_pieces_of(other)), ', '
        ), '') || ']'
    END;

-- jsonb - text: without the member of that name, or the strings that say it (jsonb_delete).
CREATE OR REPLACE MACRO flashql.json_less(document, name) AS
    CASE
        WHEN document IS NULL OR name IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) = 'OBJECT' THEN '{' || coalesce(array_to_string([
            flashql.json_string(flashql_pair[1]) || ': ' || flashql_pair[2]
            FOR flashql_pair IN [
                [flashql.json_names(document)[flashql_at], CAST(flashql.json_members(document)[flashql_at] AS VARCHAR)]
                FOR flashql_at IN generate_series(1, len(flashql.json_names(document)))
            ] IF flashql_pair[1] <> name
        ], ', '), '') || '}'
        WHEN json_type(document) = 'ARRAY' THEN '[' || coalesce(array_to_string([
            flashql_piece FOR flashql_piece IN flashql.json_pieces_of(document) IF flashql_piece <> flashql.json_string(name)
        ], ', '), '') || ']'
        ELSE error('cannot delete from scalar: ' || document)
    END;
