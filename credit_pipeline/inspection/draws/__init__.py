"""What is hashed, said and signed in a draw: bytes, statements, the rule of a round, entropy, parties, tickets."""
