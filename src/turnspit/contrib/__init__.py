"""Turnspit inside other people's frameworks: each module needs the one that it is named after."""
