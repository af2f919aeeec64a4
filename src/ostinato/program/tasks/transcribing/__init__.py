"""Transcripts of recordings, series and symbols, by connectionist temporal classification."""
