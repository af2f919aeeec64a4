"""The task of music: the keys of the next frame, from all frames before it."""
