"""What the networks have to beat: constants, models without order, fixed windows, and counting."""
