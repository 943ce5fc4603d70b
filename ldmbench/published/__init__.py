"""Numbers that others published: rows with their sources, and which of ours they correspond to."""
