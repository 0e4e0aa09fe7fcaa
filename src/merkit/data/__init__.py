"""Data: manifests, media, stored features, and batches made of them."""
