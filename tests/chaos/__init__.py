"""The chaos run: everything goes wrong at random, by a seed, and every batch still ends whole, with no line paid for twice."""
