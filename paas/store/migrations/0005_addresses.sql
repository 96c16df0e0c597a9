-- 1 while its container does not run: the router must not ask at its address.
ALTER TABLE processes ADD COLUMN down INTEGER NOT NULL DEFAULT 0;

-- Which of a network's addresses was given to a container last: they are given in turn, so that one is used again as
-- late as possible.
CREATE TABLE addresses (
    network TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
