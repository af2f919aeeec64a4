"""Recordings: files of sound → log-mel frames, by tables of paths, by folders with a text beside each recording."""
