CREATE TABLE attempts (                  -- to have an automatic certificate for a domain
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    domain TEXT NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,    -- since the last success
    unfinished INTEGER NOT NULL DEFAULT 0,  -- begun and not ended, since then
    tried_at REAL NOT NULL DEFAULT 0,       -- epoch seconds, as are these:
    next_at REAL NOT NULL DEFAULT 0,
    wait_until REAL NOT NULL DEFAULT 0,     -- what the authority asked for
    reason TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (app_id, domain)
) STRICT, WITHOUT ROWID;
