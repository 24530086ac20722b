"""Signs of access other than the first byte of output, and the checks that look for them."""
