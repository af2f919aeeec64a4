"""The report page of a training: one file of HTML that opens offline."""
