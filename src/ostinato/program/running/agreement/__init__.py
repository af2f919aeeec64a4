"""Whether a language model has verbs agree with their subjects, by distance and by misleading nouns."""
