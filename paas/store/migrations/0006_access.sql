-- Keys that were there before are their administrators'.
ALTER TABLE ssh_keys ADD COLUMN admin INTEGER NOT NULL DEFAULT 1;

CREATE TABLE grants (
    key_id INTEGER NOT NULL REFERENCES ssh_keys (id) ON DELETE CASCADE,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    role TEXT NOT NULL CHECK (role IN ('view', 'deploy', 'manage')),
    PRIMARY KEY (key_id, app_id)
) STRICT, WITHOUT ROWID;

-- What was refused: a row a key and command, however often.
CREATE TABLE refusals (
    caller TEXT NOT NULL,                -- the key's name
    kind TEXT NOT NULL,                  -- the command's name
    app_name TEXT NOT NULL,              -- what the last one named, whether there is such an app or not
    door TEXT NOT NULL,
    message TEXT NOT NULL,               -- the last answer
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (caller, kind)
) STRICT, WITHOUT ROWID;
