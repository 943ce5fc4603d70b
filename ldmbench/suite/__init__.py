"""YAML -> Suite."""
