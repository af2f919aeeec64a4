"""Networks as C for other machines: the table of machines, objects, headers, and the files around them."""
