-- Where a definition comes from, what it may have to give way to, and which
-- definitions' events shards still take. Releases before this one leave the
-- columns alone.

-- +goose Up

-- Raised with every change of the row.
ALTER TABLE aggregate ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aggregate ADD COLUMN before BLOB;
ALTER TABLE aggregate ADD COLUMN source_uid TEXT NOT NULL DEFAULT '';
ALTER TABLE aggregate ADD COLUMN source_generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aggregate ADD COLUMN source_created INTEGER;

-- Events of a lower definition generation are refused.
ALTER TABLE shard ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;

ALTER TABLE projection ADD COLUMN source_uid TEXT NOT NULL DEFAULT '';
ALTER TABLE projection ADD COLUMN source_generation INTEGER NOT NULL DEFAULT 0;
-- 0 for none.
ALTER TABLE projection ADD COLUMN source_created INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE projection DROP COLUMN source_created;
ALTER TABLE projection DROP COLUMN source_generation;
ALTER TABLE projection DROP COLUMN source_uid;
ALTER TABLE shard DROP COLUMN floor;
ALTER TABLE aggregate DROP COLUMN source_created;
ALTER TABLE aggregate DROP COLUMN source_generation;
ALTER TABLE aggregate DROP COLUMN source_uid;
ALTER TABLE aggregate DROP COLUMN before;
ALTER TABLE aggregate DROP COLUMN revision;
