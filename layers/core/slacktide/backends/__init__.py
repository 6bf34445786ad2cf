"""Where requests run. A backend is one module, one row in `wiring.py`, and one fake in the tests; it knows nothing of batches."""
