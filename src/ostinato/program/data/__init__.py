"""Files as people have them, read into examples: readers, inference of the task, splits, checks."""
