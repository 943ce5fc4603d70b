"""Store -> Records."""
