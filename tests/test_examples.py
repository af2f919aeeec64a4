"""The examples run, on few updates where they train, and their results are what their text says."""

import asyncio
import importlib.util
import itertools
import sys

import pytest
import torch

import ostinato
from source_files import ROOT

EXAMPLES = ROOT / "examples" / "streaming"


@pytest.fixture
def example(monkeypatch):
    """A function that loads an example, with the words of its command."""

    def load(name, *words):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # other tests run in this process too
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_every_example_has_a_test():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {"audio_blocks", "beam_search", "server"}


def test_audio_in_blocks_has_the_bits_of_the_whole_in_one_push(example, capsys):
    audio = example("audio_blocks", "--seconds", "0.1", "--updates", "20")
    found = audio.main()
    assert len(found["played"]) == 75 * audio.BLOCK
    assert torch.equal(found["played"], found["whole"])
    assert torch.allclose(found["played"], found["expected"], atol=1e-5)
    out = capsys.readouterr().out
    assert "times real time" in out and "the same bits as the whole in one push: True" in out


def test_blocks_without_a_carried_state_would_sound_different(example):
    """What the comparison of the example could find: the same blocks, each from silence."""
    audio = example("audio_blocks")
    torch.manual_seed(0)
    stream = ostinato.stream(audio.Effect().eval())
    sound = audio.plucked(4 * audio.BLOCK, torch.Generator().manual_seed(1))
    whole = stream.push(sound)
    forgetful = []
    for block in sound.split(audio.BLOCK):
        stream.reset()
        forgetful.append(stream.push(block))
    assert torch.equal(forgetful[0], whole[: audio.BLOCK]) and not torch.equal(torch.cat(forgetful), whole)


def score(search, model, text, prompt, alphabet):
    """The log-probability of what comes after the prompt, by the model's own call."""
    tokens = torch.tensor(search.encode(text, alphabet))
    with torch.inference_mode():
        steps = model(tokens[:-1, None])[:, 0].gather(1, tokens[1:, None])
    return steps[len(prompt) - 1 :].sum().item()


@pytest.fixture
def characters(example):
    """(the example, its untrained model, whose scores depend on all of the text, the model's alphabet)."""
    search = example("beam_search")
    alphabet = ".abcd"
    torch.manual_seed(0)
    model = search.CharacterModel(len(alphabet), 8).eval()
    with torch.no_grad():
        model.head.weight.mul_(6)
        model.rnn.weight_hh_l0.mul_(4)
        model.head.bias[0] -= 2  # so that texts are long
    return search, model, alphabet


@pytest.mark.parametrize("prompt", ["a", "b", "ab", "cd"])
def test_a_beam_of_all_characters_finds_the_best_text_of_two(prompt, characters):
    search, model, alphabet = characters
    texts = [f"{prompt}.", *(prompt + a + b for a in alphabet[1:] for b in alphabet)]
    best = max(texts, key=lambda text: score(search, model, text, prompt, alphabet))
    found = search.search(model, prompt, alphabet, len(alphabet), most=1)
    assert found.text == best
    assert found.score == pytest.approx(score(search, model, best, prompt, alphabet), abs=1e-5)


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_rows_go_on_from_the_state_of_their_parent(beams, characters):
    search, model, alphabet = characters
    for prompt in map("".join, itertools.product("abcd", repeat=2)):
        found = search.search(model, prompt, alphabet, beams, most=6)
        assert found.score == pytest.approx(score(search, model, found.text, prompt, alphabet), abs=1e-5)


def test_the_beam_ends_with_a_sentence_whose_score_is_that_of_the_whole_model(example, capsys):
    search = example("beam_search", "--updates", "40")
    results = search.main()
    for line, found in zip(capsys.readouterr().out.splitlines(), results, strict=True):
        assert found.text.startswith("the old ") and repr(found.text) in line
        again = float(line.rpartition("by the whole model ")[2])
        assert found.score == pytest.approx(again, abs=1e-3)


def test_clients_that_come_and_go_get_the_bits_of_a_stream_of_their_own(example):
    assert example("server").main() == dict.fromkeys(["ann", "bob", "cyd", "dee"], True)


def test_a_client_that_asks_alone_leaves_the_states_of_the_others(example):
    server_of = example("server")
    torch.manual_seed(0)
    server = server_of.Server(ostinato.stream(server_of.Model().eval(), rows=0))
    for name in ("ann", "bob", "cyd"):
        server.join(name)

    async def ask(*names):
        return await asyncio.gather(*(server.answer(name, [1.0, 2.0, 3.0]) for name in names))

    asyncio.run(ask("ann", "bob", "cyd"))
    before = server.stream.state()["rnn.0.h"]
    asyncio.run(ask("bob"))
    after = server.stream.state()["rnn.0.h"]
    assert torch.equal(before[[0, 2]], after[[0, 2]]) and not torch.equal(before[1], after[1])
    server.leave("ann")
    assert server.present == ["bob", "cyd"] and torch.equal(server.stream.state()["rnn.0.h"], after[1:])
    server.join("ann")
    assert torch.equal(server.stream.state()["rnn.0.h"][2], before[0]) and not server.saved
    with pytest.raises(ValueError, match="cyd must send 3 numbers, got 2"):
        asyncio.run(server.answer("cyd", [1.0, 2.0]))


def test_a_second_connection_of_a_present_client_is_refused(example):
    server_of = example("server")

    async def twice():
        server = server_of.Server(ostinato.stream(server_of.Model().eval(), rows=0))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening:
            server.join("ann")
            with pytest.raises(ConnectionError):
                await server_of.visit(port, "ann", [[1.0, 2.0, 3.0]])
        return server.present

    assert asyncio.run(twice()) == ["ann"]
