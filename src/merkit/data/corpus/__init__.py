"""Corpora on disk: manifests, tables, preparation, health checks."""
