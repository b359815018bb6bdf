"""The promises of the README, each by its name, through the public API."""
