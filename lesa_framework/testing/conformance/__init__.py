"""What a plugin must keep to, as functions that raise `AssertionError` and say what is wrong."""
