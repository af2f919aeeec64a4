"""Translation: a text into another text, of another length."""
