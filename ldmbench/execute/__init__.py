"""Plan -> artefacts in the store."""
