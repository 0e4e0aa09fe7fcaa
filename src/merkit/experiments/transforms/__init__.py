"""Training-split transforms, one file each (``merkit.experiments.transform``)."""
