"""Text files without a target, read into passages of documents or into lines: the rows of a language model."""
