"""What tools/fuzz.py is made of: mutations, the parsers as rows of a table, and the loop that feeds one of them."""
