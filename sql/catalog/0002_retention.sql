-- What the slot that feeds a realtime view makes its origin keep, as it was last looked at.
--
-- First, no default of the table may call a function: DuckDB 1 cannot replay an ALTER TABLE from its log then (it binds
-- all defaults anew, and knows no catalog yet), so the file of a process that was killed would not open any more.
ALTER TABLE flashql.sync_jobs ALTER COLUMN updated_at DROP DEFAULT;
ALTER TABLE flashql.sync_jobs ADD COLUMN retained_bytes BIGINT;
ALTER TABLE flashql.sync_jobs ADD COLUMN safe_bytes BIGINT; -- that may still be written; NULL without a limit
ALTER TABLE flashql.sync_jobs ADD COLUMN seconds_to_loss BIGINT; -- an estimate; NULL while it does not come nearer
ALTER TABLE flashql.sync_jobs ADD COLUMN retained_at TIMESTAMPTZ; -- when that was looked at
