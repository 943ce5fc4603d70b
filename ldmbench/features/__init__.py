"""Images -> features: the evaluators, embedded and released."""
