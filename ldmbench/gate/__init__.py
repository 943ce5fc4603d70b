"""Records x baseline -> verdict."""
