from tests.test_keeping import *
def test_plan(origin, database_path):
    origin.execute(TABLES)
    with following(origin, database_path, **VIEWS) as pair:
        for r in pair.db.execute("select relation_id, step, strategy, query from flashql.view_steps order by all").fetchall(): print(*r)
        from flashql.maintenance import Maintenance
        for p in Maintenance.of(pair.db.store).programs():
            for st in p.steps.steps:
                if st.reasons: print(p.kept.view.relation_id, st.table, st.reasons)
            print(p.kept.view.name, "shown:", p.steps.shown.sql("duckdb") if p.steps.shown is not None else None)
