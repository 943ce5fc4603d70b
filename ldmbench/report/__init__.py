"""Records -> pages."""
