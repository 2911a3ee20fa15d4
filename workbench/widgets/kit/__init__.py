"""What every widget uses: its bundle, binary columns, request and reply, the newest-wins worker."""

from workbench.widgets.kit.base import Widget
from workbench.widgets.kit.binary import Columns
from workbench.widgets.kit.requests import Reply
from workbench.widgets.kit.worker import NewestWins

__all__ = ["Columns", "NewestWins", "Reply", "Widget"]
