CREATE TABLE certificates (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id INTEGER NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    domain TEXT NOT NULL,                -- '': the app's own, for all its names; else made for this domain alone
    names TEXT NOT NULL,                 -- what it is for, separated by spaces
    fingerprint TEXT NOT NULL,           -- of the chain: another one, another certificate
    starts_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    chain BLOB NOT NULL,                 -- encrypted PEM
    key BLOB NOT NULL,                   -- encrypted PEM
    UNIQUE (app_id, domain)
) STRICT;
