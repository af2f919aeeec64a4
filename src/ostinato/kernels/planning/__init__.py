"""What a kernel computes, decided before code is emitted: programs of passes, schedules of a step, saved tensors."""
