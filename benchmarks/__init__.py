"""What FlashQL measures about itself; README.md says what each number means."""
