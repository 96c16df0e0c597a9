"""The nouns and their rules. Imports nothing of ours but `paas.errors`."""
