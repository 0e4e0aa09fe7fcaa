"""Building blocks: tensors in, tensors out; masks are ``True`` where data is real."""
