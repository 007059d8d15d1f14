"""Data: sources, readers, batches, partitions."""
