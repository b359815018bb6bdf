"""The documentation, as tests."""
