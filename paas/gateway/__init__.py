"""How a user gets in: stub, dispatcher, SSH server, git transport, and the supervisor that runs them."""
