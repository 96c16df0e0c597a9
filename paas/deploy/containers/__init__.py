"""What containers are made of, and those that run beside a release."""
