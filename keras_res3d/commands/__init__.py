"""The user's verbs, one short file each: it parses flags, calls one function of the library, and shows the result."""
