"""What both ends of a link share: packets, integer tables, the range coder, sizes. Nothing here needs PyTorch."""
