"""Nouns: frozen pydantic models that cross boundaries; torch-free, no behaviour beyond defaults."""
