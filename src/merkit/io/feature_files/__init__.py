"""Files of features that others made or read: npz, CSV, Parquet, HDF5, pickles."""
