"""Which way SQLite goes: the plan of every statement that runs often, and what it costs on a large store."""
