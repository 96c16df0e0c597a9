"""How apps are reached: domains, ports, certificates, checks."""
