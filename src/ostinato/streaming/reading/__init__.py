"""How any module of torch is read: its graph by torch.fx, and what each line of that computes in one step."""
