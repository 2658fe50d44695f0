"""The command line of the fuzz test."""

from __future__ import annotations

import sys
from time import monotonic

import click
from rich.console import Console
from rich.progress import Progress

from protocols.registry import PROTOCOLS
from tests.fuzz.rounds import FuzzError, Rounds


@click.command()
@click.argument("protocol", type=click.Choice(sorted(PROTOCOLS)))
@click.option("--count", default=20_000, show_default=True, help="Rounds.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same rounds.")
def main(protocol: str, count: int, seed: int) -> None:
    """Put damaged and made-up bytes through a protocol. Exit status 1 with the bytes in hex if anything goes wrong."""
    rounds, started = Rounds(PROTOCOLS[protocol], seed), monotonic()
    try:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(protocol, total=count)
            for done in rounds.run(count):
                if done % 200 == 0:
                    bar.update(task, completed=done)
            bar.update(task, completed=count)
    except FuzzError as error:
        click.echo(f"seed {seed}: {error}", err=True)
        sys.exit(1)
    seconds = monotonic() - started
    for name, times in sorted(rounds.counts.items()):
        print(f"{times:10,}  {name}")
    print(f"{count:10,}  rounds in {seconds:.1f} s, {count / seconds:,.0f} a second")


main()
