"""What needs a whole system around it: `make lab`. Files are named lab_*.py, so that `make test` passes them over."""
