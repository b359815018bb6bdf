"""The command line: typer and rich, behind the extra `cli`."""
