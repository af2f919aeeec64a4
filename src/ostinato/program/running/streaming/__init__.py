"""`ostinato stream`: lines are answered one by one, with the state of the network carried from line to line."""
