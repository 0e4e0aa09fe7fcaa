"""Strict readers of files that others wrote: time and memory are bounded by a file's size, and nothing in it is run."""
