"""What the paper measures with the networks, one protocol per module."""
