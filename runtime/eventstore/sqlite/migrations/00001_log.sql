-- The shard log: aggregates, shards, events, and what is kept beside them.
-- Texts compare by their bytes (BINARY, the default). Times are microseconds
-- since 1970; hashes and tokens are raw bytes.

-- +goose Up

CREATE TABLE aggregate (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL UNIQUE,
    shards     INTEGER NOT NULL CHECK (shards BETWEEN 1 AND 256),
    definition BLOB,
    generation INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE shard (
    aggregate    INTEGER NOT NULL,
    shard        INTEGER NOT NULL CHECK (shard BETWEEN 0 AND 255),
    first_slot   INTEGER NOT NULL CHECK (first_slot BETWEEN 0 AND 65535),
    last_slot    INTEGER NOT NULL CHECK (last_slot BETWEEN first_slot AND 65535),
    epoch        INTEGER NOT NULL DEFAULT 0,
    token        BLOB NOT NULL DEFAULT (zeroblob(16)) CHECK (length(token) = 16),
    owner        TEXT NOT NULL DEFAULT '',
    address      TEXT NOT NULL DEFAULT '',
    head         INTEGER NOT NULL DEFAULT 0,
    head_hash    BLOB NOT NULL DEFAULT (zeroblob(32)) CHECK (length(head_hash) = 32),
    head_time    INTEGER,
    -- Reserved for splitting and merging shards: whose events come before this
    -- shard's, up to which heads (JSON arrays), and whether the shard may be
    -- claimed no more.
    parents      TEXT,
    parent_heads TEXT,
    closed       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (aggregate, shard)
) WITHOUT ROWID;

-- Clustered by the log: a shard is read as it was written, and an append touches
-- the ends of the shards it writes.
CREATE TABLE event (
    aggregate    INTEGER NOT NULL,
    shard        INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    entity       TEXT NOT NULL,
    version      INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    type         TEXT NOT NULL,
    type_version INTEGER NOT NULL,
    data         TEXT NOT NULL,
    time         INTEGER NOT NULL,
    principal    TEXT NOT NULL,
    command_id   TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    generation   INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    hash         BLOB NOT NULL,
    PRIMARY KEY (aggregate, shard, seq),
    UNIQUE (aggregate, entity, version)
) WITHOUT ROWID;

CREATE TABLE outcome (
    aggregate    INTEGER NOT NULL,
    entity       TEXT NOT NULL,
    command_id   TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    version      INTEGER NOT NULL,
    answer       BLOB NOT NULL,
    time         INTEGER NOT NULL,
    PRIMARY KEY (aggregate, entity, command_id)
) WITHOUT ROWID;

CREATE TABLE snapshot (
    aggregate INTEGER NOT NULL,
    entity    TEXT NOT NULL,
    version   INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    time      INTEGER NOT NULL,
    state     BLOB NOT NULL,
    dedup     BLOB NOT NULL,
    behavior  BLOB NOT NULL,
    UNIQUE (aggregate, entity)
);

CREATE TABLE member (
    incarnation TEXT PRIMARY KEY,
    runtime     TEXT NOT NULL,
    address     TEXT NOT NULL,
    heartbeat   INTEGER NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE member;
DROP TABLE snapshot;
DROP TABLE outcome;
DROP TABLE event;
DROP TABLE shard;
DROP TABLE aggregate;
