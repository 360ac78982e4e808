"""The full screen of `dora top`: nodes, edges, the log of the selected node; by textual.

Nothing here waits: figures and lines come from the threads of `cli.top_feed`, as messages, and what
is asked of a daemon is asked in a thread. Colours are those of the terminal. Elsewhere: what stands
in the tables (`cli.top_rows`), the same without textual (`cli.top`).
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rich.text import Text
from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, RichLog, Static

from dora.cli.top_choice import LOOKING, Choice
from dora.cli.top_feed import MOST_LINES, Feed, Lines, Seen, Trouble
from dora.cli.top_rows import (
    EDGE_COLUMNS,
    NODE_COLUMNS,
    Order,
    arranged,
    edge_rows,
    has_text,
    node_rows,
    shortened,
)
from dora.errors import DoraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.events import Resize

    from dora.cli.top_rows import Column, EdgeRow, NodeRow
    from dora.monitor.looks import Looks

_NARROW = 100
"""Columns of a terminal below which names are shortened, so that the figures have room."""
_STYLES = {"Failed": "red", "Restarting": "yellow", "Stopping": "yellow", "Starting": "yellow"}


class _Fed(Message):
    """Something came from the feed."""

    def __init__(self, what: Seen | Trouble | Lines) -> None:
        super().__init__()
        self.what = what


class _Question(ModalScreen[bool]):
    """Asks whether something is really meant."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]
    CSS = """
    _Question { align: center middle; }
    _Question Static { width: auto; max-width: 90%; height: auto; border: solid; padding: 1 2; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        yield Static(f"{self._text}\n\ny: yes    n: no", markup=False)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class _Table(DataTable[Text]):
    """Rows that are shown anew and keep their cursor, in an order that the user picks.

    Args:
        columns: Its columns.
        most: To so many characters long names are shortened on a narrow screen.
    """

    def __init__(self, columns: Sequence[Column[Any]], most: int, id: str) -> None:
        super().__init__(cursor_type="row", id=id)
        self._shown_columns = columns
        self._most = most
        self._titles: list[Text] = []
        self._widths: list[int] = []
        self._narrow = False
        self.order = Order()

    def show(self, rows: Sequence[Any], narrow: bool) -> None:
        """Show these rows, in the order of now."""
        ordered = arranged(rows, self._shown_columns, self.order)
        lines = {row.name: self._cells(row, narrow) for row in ordered}
        titles = [self._title(column) for column in self._shown_columns]
        widths = [max(map(len, column)) for column in zip(titles, *lines.values(), strict=True)]
        same = titles == self._titles and narrow == self._narrow
        if same and all(map(int.__le__, widths, self._widths)) and list(lines) == self._names():
            self._renew(lines)
            return
        self._titles, self._widths, self._narrow = titles, widths, narrow
        self._rebuild(lines)

    def selected(self) -> str | None:
        """The name of the row under the cursor."""
        names = self._names()
        return names[self.cursor_row] if 0 <= self.cursor_row < len(names) else None

    def sort_by(self, title: str) -> None:
        """Sort by a column; by that one already: the other way round."""
        column = next(one for one in self._shown_columns if one.title == title)
        falling = not self.order.falling if self.order.title == title else column.number
        self.order = Order(title, falling)

    def sort_by_next(self) -> None:
        """Sort by the column behind the one of now; behind the last, as the file has them."""
        titles = [None, *(column.title for column in self._shown_columns)]
        title = titles[(titles.index(self.order.title) + 1) % len(titles)]
        self.order = Order()
        if title is not None:
            self.sort_by(title)

    def _names(self) -> list[str]:
        return [str(key.value) for key in self.rows]

    def _renew(self, lines: dict[str, list[Text]]) -> None:
        """Write the cells that are others now."""
        for name, cells in lines.items():
            for column, cell in zip(self.columns, cells, strict=True):
                if self.get_cell(name, column) != cell:
                    self.update_cell(name, column, cell)

    def _rebuild(self, lines: dict[str, list[Text]]) -> None:
        selected = self.selected()
        self.clear(columns=True)
        for title, width, column in zip(
            self._titles, self._widths, self._shown_columns, strict=True
        ):
            self.add_column(title, width=width, key=column.title)
        for name, cells in lines.items():
            self.add_row(*cells, key=name)
        if selected in lines:
            self.move_cursor(row=list(lines).index(selected))

    def _title(self, column: Column[Any]) -> Text:
        arrow = "▼" if self.order.falling else "▲"
        return _aligned(column, column.title + (arrow if column.title == self.order.title else ""))

    def _cells(self, row: NodeRow | EdgeRow, narrow: bool) -> list[Text]:
        texts = [column.text(row) for column in self._shown_columns]
        shown = [shortened(text, self._most) for text in texts] if narrow else texts
        return list(map(_aligned, self._shown_columns, shown))


def _aligned(column: Column[Any], text: str) -> Text:
    style = _STYLES.get(text, "") if column.title == "STATUS" else ""
    return Text(text, style=style, justify="right" if column.number else "left")


class Top(App[None]):
    """The application.

    Args:
        looks: What to look at; owned by the application.
        interval_s: How often.
    """

    TITLE = "dora top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("o", "sort", "Sort"),
        Binding("i", "reverse", "Invert"),
        Binding("l", "log", "Log"),
        Binding("f", "follow", "Follow"),
        Binding("s", "end('stop')", "Stop"),
        Binding("r", "end('restart')", "Restart"),
        Binding("right_square_bracket", "flow(1)", "Next", key_display="]"),
        Binding("left_square_bracket", "flow(-1)", show=False),
        Binding("escape", "clear_filter", show=False),
    ]
    CSS = """
    #told, #log-title { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    #nodes, #edges { height: auto; max-height: 33%; }
    #edges, #log-pane { margin-top: 1; }
    #log-pane { height: 1fr; }
    #log { height: 1fr; scrollbar-size-vertical: 1; }
    Input { height: 1; border: none; padding: 0; display: none; }
    DataTable { scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; }
    DataTable > .datatable--header { background: ansi_default; color: ansi_default; }
    DataTable > .datatable--cursor { background: ansi_default; color: ansi_default; }
    DataTable:focus > .datatable--cursor { text-style: reverse; }
    #nodes:blur > .datatable--cursor { text-style: bold underline; }
    #edges:blur > .datatable--cursor { text-style: none; }
    """

    def __init__(self, looks: Looks, interval_s: float) -> None:
        super().__init__(ansi_color=True)
        self._feed = Feed(looks, interval_s, self._hand_over)
        self._choice = Choice()
        self._logged: tuple[str, str] | None = None
        """Dataflow and node whose lines are shown."""
        self._pattern = ""
        self._told = Static(LOOKING, id="told", markup=False)
        self._node_table = _Table(NODE_COLUMNS, 14, id="nodes")
        self._edge_table = _Table(EDGE_COLUMNS, 15, id="edges")
        self._log_title = Static("", id="log-title", markup=False)
        self._lines = RichLog(id="log", max_lines=MOST_LINES, wrap=True, min_width=20)
        self._log_pane = Vertical(self._log_title, self._lines, id="log-pane")
        self._filter = Input(placeholder="part of a name; Enter keeps it, Esc shows all")

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield self._told
        yield self._node_table
        yield self._edge_table
        yield self._log_pane
        yield self._filter
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.theme = "ansi-dark"
        # Killed where it stands, it would leave the terminal unusable.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)
        self._node_table.focus()
        self._feed.start()

    def on_unmount(self) -> None:
        """Look no more."""
        self._feed.close()

    def on_resize(self, _event: Resize) -> None:
        """Names have other room."""
        self._draw()

    def _hand_over(self, what: Seen | Trouble | Lines) -> None:
        self.post_message(_Fed(what))  # from any thread

    @on(_Fed)
    def _on_fed(self, fed: _Fed) -> None:
        what = fed.what
        if isinstance(what, Seen):
            self._choice.take(what.flows)
        elif isinstance(what, Trouble):
            self._choice.trouble = what.text
        elif (what.dataflow, what.node) == self._logged:
            if what.anew:
                self._lines.clear()
            for line in what.lines:
                self._lines.write(Text.from_ansi(line), expand=True)
            return
        self._draw()

    def _draw(self) -> None:
        """Show what is known now."""
        self._told.update(self._choice.told(self._pattern), layout=False)
        flow = self._choice.flow
        if flow is None:
            return
        narrow = self.size.width < _NARROW
        pattern = self._pattern
        nodes = [row for row in node_rows(flow) if has_text(pattern, row.name)]
        edges = [row for row in edge_rows(flow) if has_text(pattern, row.source, row.target)]
        self._node_table.show(nodes, narrow)
        self._edge_table.show(edges, narrow)
        self._watch_log()

    @on(DataTable.RowHighlighted, "#nodes")
    def _watch_log(self) -> None:
        """Have the log of the selected node shown."""
        flow, node = self._choice.flow, self._node_table.selected()
        if flow is None or node is None or (flow.dataflow.id, node) == self._logged:
            return
        self._logged = (flow.dataflow.id, node)
        self._lines.clear()
        self._tell_log()
        self._feed.watch_log(flow.dataflow, node)

    def _tell_log(self) -> None:
        node = "" if self._logged is None else self._logged[1]
        held = "" if self._lines.auto_scroll else ", held"
        self._log_title.update(f"log of {node}{held}", layout=False)

    @on(DataTable.HeaderSelected)
    def _sort_clicked(self, event: DataTable.HeaderSelected) -> None:
        table = event.data_table
        assert isinstance(table, _Table)
        table.sort_by(str(event.column_key.value))
        self._draw()

    @on(Input.Changed)
    def _filter_changed(self, event: Input.Changed) -> None:
        self._pattern = event.value
        self._draw()

    @on(Input.Submitted)
    def _filter_kept(self) -> None:
        self._filter.display = False
        self._node_table.focus()

    def action_filter(self) -> None:
        """Ask for a part of names."""
        self._filter.display = True
        self._filter.focus()

    def action_clear_filter(self) -> None:
        """Show all again."""
        self._filter.value = ""
        self._filter_kept()

    def action_sort(self) -> None:
        """Sort the table that has the focus by its next column."""
        self._focused_table().sort_by_next()
        self._draw()

    def action_reverse(self) -> None:
        """Sort it the other way round."""
        table = self._focused_table()
        if table.order.title is not None:
            table.sort_by(table.order.title)
        self._draw()

    def _focused_table(self) -> _Table:
        return self._edge_table if self.focused is self._edge_table else self._node_table

    def action_log(self) -> None:
        """Show or hide the log."""
        self._log_pane.display = not self._log_pane.display

    def action_follow(self) -> None:
        """Go on with new lines of the log, or stand still."""
        self._lines.auto_scroll = not self._lines.auto_scroll
        if self._lines.auto_scroll:
            self._lines.scroll_end(animate=False)
        self._tell_log()

    def action_flow(self, step: int) -> None:
        """Show another dataflow."""
        self._choice.move(step)
        self._draw()

    @work
    async def action_end(self, action: Literal["stop", "restart"]) -> None:
        """Stop or restart the selected node, if that is meant."""
        flow, node = self._choice.flow, self._node_table.selected()
        if flow is None or node is None or not self._choice.runs(flow.dataflow.id):
            return
        dataflow = flow.dataflow.id
        what = f"{action.capitalize()} `{node}` of `{flow.dataflow.name}`?"
        if await self.push_screen_wait(_Question(f"{what} The other nodes go on.")):
            self._ask(action, node, dataflow)

    @work(thread=True)
    def _ask(self, action: Literal["stop", "restart"], node: str, dataflow: str) -> None:
        from dora.cli.node_changes import ask_node

        try:
            told = ask_node(action, node, dataflow)
        except DoraError as exc:
            self.call_from_thread(self.notify, str(exc), severity="error", markup=False)
        else:
            self.call_from_thread(self.notify, told, markup=False)
