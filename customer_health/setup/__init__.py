"""A first score from the user's own warehouse: what is there, what to write, what is in the way."""
