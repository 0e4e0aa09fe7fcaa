"""Aligners, one file each: when each word and phone of a recording was spoken."""
