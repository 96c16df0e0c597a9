"""paas: one Linux machine with Docker becomes a platform that people use with ssh and git."""

__version__ = "0.1.0"
