"""Names the fixture plugins, one concern each, and how examples are found."""

from hypothesis import settings

from tests.seeds import NEW

pytest_plugins = ["tests.fix_postgres", "tests.fix_proxy", "tests.fix_database", "tests.fix_walsender"]

settings.register_profile("flashql", derandomize=not NEW)
settings.load_profile("flashql")
