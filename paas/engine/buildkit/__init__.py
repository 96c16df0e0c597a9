"""BuildKit as the engine itself has it, spoken to directly: a session beside the build request, through which the builder
asks for files, logins and secrets. No Docker client takes part."""
