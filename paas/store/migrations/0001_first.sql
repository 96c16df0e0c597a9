CREATE TABLE apps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    current_release INTEGER,             -- the number of the release that serves, NULL before the first
    stopped INTEGER NOT NULL DEFAULT 0,  -- 1 after ps:stop
    slot INTEGER NOT NULL UNIQUE         -- the router's backend
) STRICT;

CREATE TABLE properties (
    app_id INTEGER NOT NULL,             -- 0: global
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (app_id, namespace, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE config (
    app_id INTEGER NOT NULL,             -- 0: global
    key TEXT NOT NULL,
    value BLOB NOT NULL,                 -- encrypted
    PRIMARY KEY (app_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE domains (
    domain TEXT PRIMARY KEY,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX domains_by_app ON domains (app_id);

CREATE TABLE formation (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    process_type TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (app_id, process_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    operation_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    description TEXT NOT NULL,
    commit_id TEXT,                      -- the commit it was built from
    image_name TEXT,                     -- the image as the user named it, for image deploys
    image_id TEXT NOT NULL,
    image_tag TEXT NOT NULL,             -- the tag that keeps the image from being pruned
    config BLOB NOT NULL,                -- encrypted JSON object
    manifest TEXT NOT NULL,              -- JSON: process types with commands, port, checks, release commands
    formation TEXT NOT NULL,             -- JSON object: process type to count
    PRIMARY KEY (app_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE processes (
    container_id TEXT PRIMARY KEY,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    release INTEGER NOT NULL,
    process_type TEXT NOT NULL,
    number INTEGER NOT NULL,             -- 1, 2, … within its type
    address TEXT NOT NULL,               -- where the router reaches it
    port INTEGER NOT NULL
) STRICT;
CREATE INDEX processes_by_app ON processes (app_id);

CREATE TABLE retirements (
    container_id TEXT PRIMARY KEY,
    app_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    server TEXT NOT NULL,                -- its name in the router
    due_at INTEGER NOT NULL              -- stopped then at the latest, epoch seconds
) STRICT;

CREATE TABLE operations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER,
    app_name TEXT,
    kind TEXT NOT NULL,                  -- the command's name
    words TEXT NOT NULL,                 -- its arguments, secrets masked
    caller TEXT NOT NULL,
    door TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    pid INTEGER NOT NULL,
    pid_started TEXT NOT NULL,           -- with the pid: which process
    message TEXT NOT NULL DEFAULT '',
    release INTEGER
) STRICT;
CREATE INDEX operations_by_app ON operations (app_id, id);
CREATE INDEX operations_open ON operations (status) WHERE status IN ('queued', 'running');

CREATE TABLE ssh_keys (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL UNIQUE,
    public_key TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
