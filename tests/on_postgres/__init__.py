"""What only PostgreSQL has: callers' transactions, SQL producers, servers that go away."""
