"""What a suite may name: a file of rows for each noun, which every other module reads."""
