"""Duties that keep a store in order. Any number of workers may do them at once: none needs a leader."""
