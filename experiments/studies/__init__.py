"""What we search: a file per study."""
