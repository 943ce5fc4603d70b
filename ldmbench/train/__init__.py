"""Training loops, resumable bit for bit."""
