"""Content-addressed artefacts: <kind>/<key>/."""
