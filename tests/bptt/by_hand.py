"""Truncated backpropagation as a person would write it, one step at a time. docs/truncated-bptt.md prints it."""


def by_hand(step, loss_of, x, y, k1, k2, update, detach):
    kept = {0: None}  # the state after each step, held constant
    for end in range(k1, len(x) + 1, k1):
        begin = max(0, min(end - k1, end - k2))
        state, loss = kept[begin], 0.0
        for t in range(begin, end):
            if (end - t) % k2 == 0:
                state = detach(state)
            output, state = step(x[t], state)
            kept[t + 1] = detach(state)
            if t >= end - k1:
                loss = loss + loss_of(output, y[t])
        update(loss)
