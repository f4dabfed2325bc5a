"""Raw text from many sources -> clean, described, decontaminated documents in Parquet."""
