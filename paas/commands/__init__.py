"""What a user can type. One file a group: parse, call, print; no logic."""
