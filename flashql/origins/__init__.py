"""FlashQL."""
