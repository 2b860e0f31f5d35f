"""The leaderboard (not built yet)."""
