-- What the slot that feeds a realtime view makes its origin keep, as it was last looked at.
ALTER TABLE flashql.sync_jobs ADD COLUMN retained_bytes BIGINT;
ALTER TABLE flashql.sync_jobs ADD COLUMN safe_bytes BIGINT; -- that may still be written; NULL without a limit
ALTER TABLE flashql.sync_jobs ADD COLUMN seconds_to_loss BIGINT; -- an estimate; NULL while it does not come nearer
ALTER TABLE flashql.sync_jobs ADD COLUMN retained_at TIMESTAMPTZ; -- when that was looked at
