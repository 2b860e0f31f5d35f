"""What a grid will cost: rehearsed with stand-ins, priced by the machine's speed."""
