"""Where source comes from: archives, image archives, registries, git remotes; and what is looked at before it counts."""
