"""Where texts come from: one small file for each kind of collection."""
