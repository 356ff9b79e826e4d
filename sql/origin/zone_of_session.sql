-- Whether a time zone's name is an abbreviation, whose meaning is the session's settings'.
SELECT EXISTS (SELECT FROM pg_catalog.pg_timezone_abbrevs WHERE lower(abbrev) = lower(%(zone)s))
