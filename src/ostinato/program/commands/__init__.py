"""What each command does: from what was typed to the text, or the document, that it prints, and its exit status."""
