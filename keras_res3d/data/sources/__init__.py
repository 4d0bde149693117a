"""What a video can be: a file, a folder of frames, a record in a shard, a drawn one; each gives frames by number."""
