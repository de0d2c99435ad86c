-- Where a definition comes from, what it may have to give way to, and which
-- definitions' events shards still take. Releases before this one leave the
-- columns alone.

-- +goose Up

ALTER TABLE aggregate
    -- Raised with every change of the row.
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN before bytea,
    ADD COLUMN source_uid text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN source_generation bigint NOT NULL DEFAULT 0,
    ADD COLUMN source_created timestamptz;

-- Events of a lower definition generation are refused.
ALTER TABLE shard ADD COLUMN floor bigint NOT NULL DEFAULT 0;

ALTER TABLE projection
    ADD COLUMN source_uid text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN source_generation bigint NOT NULL DEFAULT 0,
    -- Microseconds since 1970, 0 for none.
    ADD COLUMN source_created bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE projection DROP COLUMN source_uid, DROP COLUMN source_generation, DROP COLUMN source_created;
ALTER TABLE shard DROP COLUMN floor;
ALTER TABLE aggregate DROP COLUMN revision, DROP COLUMN before, DROP COLUMN source_uid, DROP COLUMN source_generation,
    DROP COLUMN source_created;
