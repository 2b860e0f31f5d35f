"""The pages of the board, a file each; every one has ``build(board, …)``."""
