"""Where containers run: the Docker Engine."""
