"""Looking at what there is, and keeping it tidy."""
