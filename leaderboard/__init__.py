"""The leaderboard: submit, verify, rank, browse."""
