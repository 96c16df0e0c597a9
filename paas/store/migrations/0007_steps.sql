ALTER TABLE operations ADD COLUMN steps TEXT NOT NULL DEFAULT '[]';  -- JSON: what took how long, paas/steps.py
