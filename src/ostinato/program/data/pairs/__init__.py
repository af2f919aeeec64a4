"""Pairs of texts: two files line by line, how texts are made alike, and what is odd about the pairs."""
