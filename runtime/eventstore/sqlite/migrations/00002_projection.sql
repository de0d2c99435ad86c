-- Projections: what exists, which version of each is read, how far every
-- version is on every shard, and which entities are parked. The rows of a
-- version are in a table of their own, made when the version is.

-- +goose Up

-- One row a projection; serving is the pointer that readers follow, viewed the
-- version that the view under the table's name shows (it follows serving).
CREATE TABLE projection (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL UNIQUE,
    serving      INTEGER NOT NULL DEFAULT 0,
    viewed       INTEGER NOT NULL DEFAULT 0,
    last_version INTEGER NOT NULL DEFAULT 0,
    paused       INTEGER NOT NULL DEFAULT 0
);

-- The SQL names that projections have taken.
CREATE TABLE projection_relation (
    relation   TEXT PRIMARY KEY,
    projection INTEGER NOT NULL
) WITHOUT ROWID;

-- state: building (its rows are not read yet), serving, retired (to be dropped).
CREATE TABLE projection_version (
    projection  INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    state       TEXT NOT NULL,
    relation    TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    spec        TEXT NOT NULL,
    layout      TEXT NOT NULL,
    created_at  TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (projection, version)
) WITHOUT ROWID;

-- Moved by compare-and-set as the first statement of every batch.
CREATE TABLE projection_offset (
    projection INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    aggregate  INTEGER NOT NULL,
    shard      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (projection, version, aggregate, shard)
) WITHOUT ROWID;

-- An entity that is parked: failed_version and failed_seq are those of its
-- first event that is not in the rows; all later ones queue behind it.
CREATE TABLE projection_quarantine (
    projection     INTEGER NOT NULL,
    version        INTEGER NOT NULL,
    aggregate      INTEGER NOT NULL,
    entity         TEXT NOT NULL,
    shard          INTEGER NOT NULL,
    failed_version INTEGER NOT NULL,
    failed_seq     INTEGER NOT NULL,
    error          TEXT NOT NULL,
    retry          INTEGER NOT NULL DEFAULT 0,
    since          TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (projection, version, aggregate, entity)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE projection_quarantine;
DROP TABLE projection_offset;
DROP TABLE projection_version;
DROP TABLE projection_relation;
DROP TABLE projection;
