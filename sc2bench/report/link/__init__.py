"""What a link between device and server makes of times and bytes."""
