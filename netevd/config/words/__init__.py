"""What is written in a file as values, by kind; `values` says which reader is for which type."""
