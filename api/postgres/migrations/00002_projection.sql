-- Projections: what exists, which version of each is read, how far every
-- version is on every shard, and which entities are parked. The rows of a
-- version are in a table of their own, made when the version is.

-- +goose Up

-- One row a projection; serving is the pointer that readers follow, viewed the
-- version that the view under the table's name shows (it follows serving).
CREATE TABLE projection (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text COLLATE "C" NOT NULL UNIQUE,
    serving      integer NOT NULL DEFAULT 0,
    viewed       integer NOT NULL DEFAULT 0,
    last_version integer NOT NULL DEFAULT 0,
    paused       boolean NOT NULL DEFAULT false
);

-- The SQL names that projections have taken.
CREATE TABLE projection_relation (
    relation   text COLLATE "C" PRIMARY KEY,
    projection bigint NOT NULL
);

-- state: building (its rows are not read yet), serving, retired (to be dropped).
CREATE TABLE projection_version (
    projection  bigint NOT NULL,
    version     integer NOT NULL,
    state       text COLLATE "C" NOT NULL,
    relation    text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    spec        text NOT NULL,
    layout      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version)
);

-- Moved by compare-and-set as the first statement of every batch. Updated in
-- place (HOT): room on the page, no index on what changes.
CREATE TABLE projection_offset (
    projection bigint NOT NULL,
    version    integer NOT NULL,
    aggregate  integer NOT NULL,
    shard      integer NOT NULL,
    seq        bigint NOT NULL,
    PRIMARY KEY (projection, version, aggregate, shard)
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0
);

-- An entity that is parked: failed_version and failed_seq are those of its
-- first event that is not in the rows; all later ones queue behind it.
CREATE TABLE projection_quarantine (
    projection     bigint NOT NULL,
    version        integer NOT NULL,
    aggregate      integer NOT NULL,
    entity         text COLLATE "C" NOT NULL,
    shard          integer NOT NULL,
    failed_version bigint NOT NULL,
    failed_seq     bigint NOT NULL,
    error          text NOT NULL,
    retry          boolean NOT NULL DEFAULT false,
    since          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version, aggregate, entity)
);

-- +goose Down
DROP TABLE projection_quarantine;
DROP TABLE projection_offset;
DROP TABLE projection_version;
DROP TABLE projection_relation;
DROP TABLE projection;
