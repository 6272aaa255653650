-- The journal: what was to be done, what was done, who asked. Times are milliseconds since the epoch
-- and for people alone: nothing is decided by comparing them but the life of idempotency keys.

CREATE TABLE operations (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    word        TEXT    NOT NULL,               -- the kind of change
    target      TEXT    NOT NULL,
    host        TEXT    NOT NULL,
    endpoint    TEXT    NOT NULL,               -- where the host was
    engine      TEXT,                           -- the name its engine gave itself
    host_key    TEXT,                           -- the fingerprint of its ssh key
    principal   TEXT    NOT NULL,
    client      TEXT    NOT NULL,
    key         TEXT,                           -- the client's idempotency key
    fingerprint TEXT    NOT NULL,               -- tells equal arguments without holding them
    change      TEXT    NOT NULL,               -- JSON, secrets masked
    whole       INTEGER NOT NULL,               -- 0: something was masked, it cannot be gone on with
    limit_ms    INTEGER NOT NULL,
    state       TEXT    NOT NULL,
    back        TEXT,                           -- why it goes back
    words       TEXT,                           -- what is to be known about its state
    started     INTEGER NOT NULL,
    ended       INTEGER
);
CREATE INDEX operations_by_key ON operations (principal, word, key) WHERE key IS NOT NULL;
CREATE INDEX operations_open ON operations (number) WHERE ended IS NULL;

CREATE TABLE steps (
    operation TEXT    NOT NULL REFERENCES operations (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    state     TEXT    NOT NULL,
    before    TEXT    NOT NULL,                 -- JSON: what there was
    made      TEXT,                             -- JSON: what came of it
    words     TEXT,                             -- why it failed
    began     INTEGER NOT NULL,
    ended     INTEGER,
    PRIMARY KEY (operation, position)
) WITHOUT ROWID;

-- What operations of any kind hold on hosts and must let go.
CREATE TABLE held (
    operation TEXT    NOT NULL,
    name      TEXT    NOT NULL,                 -- the operation's
    host      TEXT    NOT NULL,
    endpoint  TEXT    NOT NULL,
    engine    TEXT,
    host_key  TEXT,
    resource  TEXT    NOT NULL,                 -- JSON
    at        INTEGER NOT NULL,
    PRIMARY KEY (operation, resource)
) WITHOUT ROWID;

CREATE TABLE phases (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    host   TEXT    NOT NULL,
    phase  TEXT    NOT NULL,
    cause  TEXT
);

CREATE TABLE audit (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    principal TEXT    NOT NULL,
    client    TEXT    NOT NULL,
    tool      TEXT    NOT NULL,
    host      TEXT,
    arguments TEXT    NOT NULL,                 -- JSON, secrets masked
    verdict   TEXT    NOT NULL,                 -- asked, accepted, joined, refused
    words     TEXT,                             -- why it was refused
    operation TEXT
);
-- What calls were answered that bore a key and began no change.
CREATE TABLE answers (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    principal   TEXT    NOT NULL,
    tool        TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    answer      TEXT    NOT NULL,               -- JSON
    at          INTEGER NOT NULL,
    UNIQUE (principal, tool, key) ON CONFLICT REPLACE
);

CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
