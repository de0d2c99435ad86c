-- The shard log: aggregates, shards, events, and what is kept beside them.
-- Names are unqualified: the search path is the store's schema.

-- +goose Up

CREATE TABLE aggregate (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text COLLATE "C" NOT NULL UNIQUE,
    shards     integer NOT NULL CHECK (shards BETWEEN 1 AND 256),
    definition bytea,
    generation bigint NOT NULL DEFAULT 0
);

-- One row a shard, rewritten by every append. Room for many versions of a row
-- on its page, no index on a column that changes, and an eager autovacuum keep
-- those rewrites from growing the table or any index.
CREATE TABLE shard (
    aggregate    integer NOT NULL REFERENCES aggregate (id),
    shard        integer NOT NULL CHECK (shard BETWEEN 0 AND 255),
    first_slot   integer NOT NULL CHECK (first_slot BETWEEN 0 AND 65535),
    last_slot    integer NOT NULL CHECK (last_slot BETWEEN first_slot AND 65535),
    epoch        bigint NOT NULL DEFAULT 0,
    token        bytea NOT NULL DEFAULT '\x00000000000000000000000000000000' CHECK (octet_length(token) = 16),
    owner        text COLLATE "C" NOT NULL DEFAULT '',
    address      text COLLATE "C" NOT NULL DEFAULT '',
    head         bigint NOT NULL DEFAULT 0,
    head_hash    bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(head_hash) = 32),
    head_time    timestamptz,
    -- Reserved for splitting and merging shards: whose events come before this
    -- shard's, up to which head, and whether the shard may be claimed no more.
    parents      integer[],
    parent_heads bigint[],
    closed       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (aggregate, shard)
) WITH (
    fillfactor = 20,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = 5000,
    autovacuum_analyze_scale_factor = 0
);

-- No foreign key to shard: it would lock the shard's row once more for every
-- event.
CREATE TABLE event (
    aggregate    integer NOT NULL,
    shard        integer NOT NULL,
    seq          bigint NOT NULL,
    entity       text COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    epoch        bigint NOT NULL,
    type         text COLLATE "C" NOT NULL,
    type_version integer NOT NULL,
    data         jsonb NOT NULL,
    -- {"time": "2026-01-02T03:04:05.000006Z", "principal": "..."}
    meta         jsonb NOT NULL,
    command_id   text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    generation   bigint NOT NULL,
    recorded_at  timestamptz NOT NULL,
    hash         bytea NOT NULL,
    PRIMARY KEY (aggregate, shard, seq),
    UNIQUE (aggregate, entity, version)
);

CREATE TABLE outcome (
    aggregate    integer NOT NULL,
    entity       text COLLATE "C" NOT NULL,
    command_id   text COLLATE "C" NOT NULL,
    request_hash bytea NOT NULL,
    version      bigint NOT NULL,
    answer       bytea NOT NULL,
    time         timestamptz NOT NULL,
    PRIMARY KEY (aggregate, entity, command_id)
);

CREATE TABLE snapshot (
    aggregate    integer NOT NULL,
    entity       text COLLATE "C" NOT NULL,
    version      bigint NOT NULL,
    seq          bigint NOT NULL,
    hash         bytea NOT NULL,
    time         timestamptz NOT NULL,
    state        bytea NOT NULL,
    dedup_window bytea NOT NULL,
    behavior     bytea NOT NULL,
    PRIMARY KEY (aggregate, entity)
) WITH (fillfactor = 80);

CREATE TABLE member (
    incarnation text COLLATE "C" PRIMARY KEY,
    runtime     text COLLATE "C" NOT NULL,
    address     text COLLATE "C" NOT NULL,
    heartbeat   timestamptz NOT NULL
) WITH (
    fillfactor = 20,
    autovacuum_vacuum_threshold = 200,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);

-- +goose Down

DROP TABLE member, snapshot, outcome, event, shard, aggregate;
