"""The built-in algorithms; each file registers some."""
