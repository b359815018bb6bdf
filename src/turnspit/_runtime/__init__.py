"""What lives in a worker process. It knows the contract, never an engine."""
