"""Music: piano rolls in .mat and .npz files, and MIDI files, as pieces of frames; and rolls as MIDI files."""
