from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from rich.text import Text
from rich.tree import Tree

from store import groups
from store.groups import SEPARATOR, Branch, GroupError
from store.management.arguments import add_action
from store.management.data_command import DataCommand, cell, command_line_actor, console


class Command(DataCommand):
    help = "List groups as a tree, with how many devices are in each, or change it. GROUP is the way to one, as North/Plant."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", title="actions", metavar="add | rename | move | remove")
        for action, text in (
            ("add", "Make a group."),
            ("rename", "Give a group another name."),
            ("move", "Put a group, with all that is below it, into another."),
            ("remove", "Remove an empty group."),
        ):
            subparser = add_action(actions, action, text)
            subparser.add_argument("group", metavar="GROUP")
            if action == "rename":
                subparser.add_argument("name", metavar="NAME")
            if action == "move":
                subparser.add_argument("into", metavar="INTO", help='the group to put it into; "" is the top')

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(options)
        except GroupError as error:
            raise CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        actor = command_line_actor()
        match options["action"]:
            case "add":
                groups.add(options["group"], actor)
                self.stdout.write(f"added {options['group']}")
            case "rename":
                groups.rename(options["group"], options["name"], actor)
                self.stdout.write(f"renamed {options['group']} to {options['name']}")
            case "move":
                groups.move(options["group"], options["into"], actor)
                self.stdout.write(f"moved {options['group']} " + (f"into {options['into']}" if options["into"] else "to the top"))
            case "remove":
                groups.remove(options["group"], actor)
                self.stdout.write(f"removed {options['group']}")
            case _:
                self._list(options["is_json"])

    def _list(self, is_json: bool) -> None:
        branches = groups.tree()
        if is_json or not branches:
            rows = ({"id": branch.group.pk, "group": branch.title, "own": branch.own, "all": branch.all} for branch in branches)
            self.print_rows(rows, (), is_json, "There are no groups yet.")
            return
        tree = Tree("groups: devices in each, with those below")
        there: dict[str, Tree] = {"": tree}
        for branch in branches:
            there[branch.title] = there[branch.title.rpartition(SEPARATOR)[0]].add(_label(branch))
        console().print(tree)


def _label(branch: Branch) -> Text:
    below = branch.all - branch.own
    return cell(branch.group.name).append(f"  {branch.own}" + (f" + {below}" if below else ""), style="dim")
