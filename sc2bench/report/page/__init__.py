"""The page to explore all records."""
