"""A saved model, or what a function of the user's returns, under the lens: from a file to a page."""

from .command import inspect
from .saved import Saved, load_model, save_model
from .watched import text_page

__all__ = ["Saved", "inspect", "load_model", "save_model", "text_page"]
