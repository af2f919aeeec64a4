"""Signatures and names: what travels together is one record, parameters are listed, private words are gone."""

import ast
import re

import pytest

from source_files import PACKAGE, SOURCES, identify

EXEMPT = {
    "cells/cell.py Cell.__init__": "settings of the decorator",
    "apps/cli/app.py lag": "options of a command",
    "export/chips/write.py c": "options of a public function",
    "export/onnx_writer.py onnx": "options of a public function",
    "layers/torch_layers.py RNN.__init__": "torch.nn's constructor",
    "layers/torch_layers.py GRU.__init__": "torch.nn's constructor",
    "layers/torch_layers.py LSTM.__init__": "torch.nn's constructor",
    "layers/recurrent.py Recurrent.__init__": "torch.nn's constructor",
    "execution/custom_op.py forward": "the operator's schema",
    "execution/custom_op.py forward_fake": "the operator's schema",
    "execution/custom_op.py forward_autograd": "the operator's schema",
    "execution/custom_op.py backward": "the operator's schema",
    "execution/custom_op.py backward_fake": "the operator's schema",
    "lens/measures/jacobian.py jacobian": "options of a public function",
    "loss.py sequence_loss": "options of a public function",
    "program/estimators.py SequenceEstimator.__init__": "options of a public class",
    "program/forecaster.py Forecaster.__init__": "options of a public class",
    "program/language_models.py LanguageModel.__init__": "options of a public class",
    "program/language_models.py LanguageModel.generate": "options of a public function",
    "program/music_model.py MusicModel.__init__": "options of a public class",
    "program/text_filler.py TextFiller.__init__": "options of a public class",
    "program/transcriber.py Transcriber.__init__": "options of a public class",
    "program/translator.py Translator.__init__": "options of a public class",
}
"""Functions of more than eight parameters, and why they have them."""


OPEN_SIGNATURES = {
    "apps/cli/program.py check": "options that a decorator lists for the command line",
    "apps/cli/program.py compare": "options that a decorator lists for the command line",
    "apps/cli/program.py export": "options that a decorator lists for the command line",
    "apps/cli/program.py generate": "options that a decorator lists for the command line",
    "apps/cli/program.py train": "options that a decorator lists for the command line",
    "apps/cli/program.py _with_packages.called": "a decorator: the parameters are those of the function",
    "apps/cli/flags.py with_flags.decorate.called": "a decorator: the parameters are those of the function",
    "bptt/chunks.py tree_map": "structures of one form, as many as the function has parameters",
    "bptt/truncated.py TruncatedBPTT.__call__": "the arguments of the user's model",
    "caching.py bounded_cache.decorate.cached": "a decorator: the parameters are those of the function",
    "caching.py graph_bytes": "graphs and cells, any number",
    "cells/cell.py Cell.__call__": "the parameters are those of the equations",
    "cells/cell.py cell": "a decorator: the settings of Cell",
    "cells/text.py parse.equations": "the parameters are those of the equations",
    "cells/value.py Value.__array_ufunc__": "numpy's protocol",
    "export/chips/chip.py _cortex_m": "other fields of Chip",
    "export/chips/chip.py _riscv": "other fields of Chip",
    "export/chips/chip.py _source": "other fields of Chip",
    "export/chips/chip.py chip": "other fields of Chip",
    "export/onnx_graph.py GraphBuilder.make": "attributes of an ONNX node",
    "kernels/emit/gemm.py _RowTiles.__exit__": "a context manager's exit",
    "kernels/emit/time_loop.py _RowSpans.__exit__": "a context manager's exit",
    "kernels/runtime/precompile.py _new": "arguments of a cached function",
    "layers/base.py Layer.__new__": "the parameters are those of the subclass",
    "layers/hooks.py _here_alone.run": "torch calls a hook with or without keyword arguments",
    "layers/parameters.py GateOrder._load_from_state_dict": "overrides a method of torch.nn.Module",
    "layers/torch_layers.py TorchLayer.__init__": "torch.nn's constructor",
    "streaming/reading/functions.py _filled.read": "the arguments of the torch function that it reads",
    "streaming/reading/functions.py embedding": "the arguments of the torch function that it reads",
    "streaming/reading/functions.py to": "the arguments of the torch function that it reads",
    "streaming/reading/modules.py recurrent": "the arguments of the torch function that it reads",
    "streaming/reading/shapes.py expand": "the arguments of the torch function that it reads",
    "streaming/reading/shapes.py permute": "the arguments of the torch function that it reads",
    "streaming/reading/shapes.py reshape": "the arguments of the torch function that it reads",
    "streaming/reading/shapes.py same": "the arguments of the torch function that it reads",
    "streaming/streams.py Stream.__exit__": "a context manager's exit",
    "streaming/streams.py _alone.call": "a decorator: the parameters are those of the method",
    "lens/render/diagram/__init__.py fold": "the arguments of the user's model",
    "lens/render/diagram/__init__.py unfold": "the arguments of the user's model",
    "lens/render/diagram/svg.py Svg.add": "attributes of an SVG element",
    "lens/render/html/markup.py tag": "attributes and children of an HTML element",
    "lens/render/html/markup.py together": "parts of a page, any number",
    "lens/render/html/markup.py details": "children of an HTML element",
    "program/options.py TrainOptions.but": "fields of the options",
    "program/python.py train": "fields of the options",
    "program/spelling.py keyword_errors.called": "a decorator: the parameters are those of the function",
    "program/running/streaming/ending.py Signals.__exit__": "a context manager's exit",
    "program/running/folder_lock.py FolderLock.__exit__": "a context manager's exit",
    "program/training/interruption.py Interruption.__exit__": "a context manager's exit",
    "lens/render/plots/style.py figure": "options of matplotlib's Figure",
    "lens/render/plots/style.py styled.under_rules": "a decorator: the parameters are those of the function",
}
"""Functions whose signature has `*args` of any type or `**kwargs`, and why their parameters are not listed."""


def functions(path):
    """(name with its classes and functions around it, arguments) of every function of a file."""

    def walk(node, owner):
        for child in ast.iter_child_nodes(node):
            name = f"{owner}{child.name}" if hasattr(child, "name") else owner
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path.relative_to(PACKAGE).as_posix()} {name}", child.args
            yield from walk(child, f"{name}." if hasattr(child, "name") else owner)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


def parameters(arguments):
    """How many parameters a function has, self apart."""
    names = [p.arg for p in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def is_open(arguments):
    """Whether a function takes `**kwargs`, or `*args` without a type; `*d: Tensor` says what it takes."""
    positional, keyword = arguments.vararg, arguments.kwarg
    untyped = positional and ast.unparse(positional.annotation or ast.Name("Any")) in ("Any", "object", "P.args")
    return bool(untyped or (keyword and not ast.unparse(keyword.annotation or ast.Name("Any")).startswith("Unpack")))


def test_what_travels_together_is_one_record():
    """Beyond eight parameters a function gets a typed record instead; these are the ones that a user's options fill."""
    long = {name: count for path in SOURCES for name, a in functions(path) if (count := parameters(a)) > 8}
    assert long.keys() == EXEMPT.keys(), long


def test_signatures_list_their_parameters():
    """`*args` and `**kwargs` hide a function's parameters from editors, type checkers and readers."""
    assert {name for path in SOURCES for name, a in functions(path) if is_open(a)} == OPEN_SIGNATURES.keys()


BANNED = {
    "bptt": "carrier tap walls left_alone stepwise told anew",
    "cells": "wrapping rewriting spoken meeting anew told",
    "export": "spoken told anew",
    "lens": "meeting passage detective sight anew told",
    "kernels": "meeting onlooker piece places told anew",
    "execution": "onlooker watcher piece places told anew",
    "ragged": "piece places told anew",
    "layers": "onlooker watcher piece places told anew",
    "apps": "shelf deaf crew heed put_down take_up",
}
"""Folder → private words that have a standard term, which the code uses instead; docs/glossary.md has those left."""


@pytest.mark.parametrize("folder", BANNED)
def test_private_words_are_gone(folder):
    """From names, also as parts of names, and from docstrings, comments and messages."""
    texts = {identify(path): path.read_text(encoding="utf-8") for path in (PACKAGE / folder).rglob("*.py")}
    assert texts
    assert {path: words for path, text in texts.items() if (words := private_words(text, BANNED[folder]))} == {}


def private_words(text, banned):
    """The words of `banned` in a text, also in the plural and between the underscores of a name."""
    return re.findall(rf"(?<![A-Za-z])(?:{'|'.join(banned.split())})s?(?![A-Za-z])", text, re.IGNORECASE)


def test_private_words_are_found():
    """The test above would pass on anything if its pattern found nothing."""
    found = private_words("def of_meetings(Shelf, shelfmark): # meeting", "meeting shelf")
    assert found == ["meetings", "Shelf", "meeting"]
