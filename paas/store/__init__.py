"""What is remembered: the database, secrets, repositories and locks."""
