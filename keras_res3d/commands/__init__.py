"""The user's verbs, one short file each: parse flags, call one library function, show."""
