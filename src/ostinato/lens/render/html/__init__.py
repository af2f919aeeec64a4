"""A report as one page of HTML that opens offline, runs no script and asks for nothing outside of itself."""
