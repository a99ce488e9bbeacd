"""What a user would pick instead: other autoscalers and their dispatch, one module each."""
