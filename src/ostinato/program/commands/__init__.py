"""The commands of the program: each reads what was typed and gives back text, a document and an exit status."""
