"""What goes wrong outside: killed and stopped processes, locked, full, damaged and unreadable files."""
