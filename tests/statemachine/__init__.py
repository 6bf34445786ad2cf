"""Contract tests of the state machines: their text, and their walks with what the functions answer."""
