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
