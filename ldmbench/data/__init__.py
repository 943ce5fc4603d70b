"""Images and their conditions: the embedded shapes, folders, shards on disk."""
