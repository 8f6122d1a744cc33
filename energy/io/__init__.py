"""What a run leaves on the disk and reads back, none of it code: records, checkpoints, albums, provenance."""
