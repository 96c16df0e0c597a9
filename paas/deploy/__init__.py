"""How source becomes a running release: source, build, manifest, release, rollout; pipeline.py calls them."""
