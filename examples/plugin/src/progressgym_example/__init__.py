"""An algorithm and a challenge for ProgressGym, in a package of their own."""
