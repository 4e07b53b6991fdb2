"""Labels from people: which rows to ask for, how to hand them over, and what to believe of the answers."""
