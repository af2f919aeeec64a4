"""The two tasks that predict each unit of a text from those before it: language models, and generation of items."""
