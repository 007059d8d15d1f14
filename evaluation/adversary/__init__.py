"""What each adversary hears, knows and computes; never the truth's score."""
