"""Signs of access other than the first byte of output, and the probes and readers that look for them."""
