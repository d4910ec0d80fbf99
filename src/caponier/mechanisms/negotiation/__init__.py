"""What two peers agree on: proposals, traffic selectors, and the policies behind them."""
