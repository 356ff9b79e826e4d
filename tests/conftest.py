"""Names the fixture plugins; one concern each."""

pytest_plugins = ["tests.fix_postgres", "tests.fix_proxy", "tests.fix_database", "tests.fix_walsender"]
