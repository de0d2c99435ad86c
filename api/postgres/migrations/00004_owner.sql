-- Whose schema it is, and which releases can use it.

-- +goose Up

-- One row at most. owner is "<cluster>/<namespace>/<name>" of an EventStore, where
-- the cluster goes by the UID of its namespace kube-system; uid is the object's.
CREATE TABLE owner (
    one_row    boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    owner      text COLLATE "C" NOT NULL,
    uid        text COLLATE "C" NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now()
);

-- One row. minimum_version is the oldest schema version whose release can still
-- use this schema; a migration that takes away what older releases need raises it.
CREATE TABLE compatibility (
    one_row         boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    minimum_version bigint NOT NULL
);
INSERT INTO compatibility (minimum_version) VALUES (1);

-- +goose Down
DROP TABLE compatibility;
DROP TABLE owner;
