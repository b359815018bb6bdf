"""Turnspit inside Django."""
