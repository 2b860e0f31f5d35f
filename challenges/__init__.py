"""The built-in challenges; each file registers one."""
