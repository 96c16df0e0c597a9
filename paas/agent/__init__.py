"""What goes on between commands: one long-lived process that keeps containers, router and database in step."""
