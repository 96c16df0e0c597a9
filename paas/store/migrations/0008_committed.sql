ALTER TABLE operations ADD COLUMN committed INTEGER NOT NULL DEFAULT 0;  -- 1 from the transaction on that stores its outcome
