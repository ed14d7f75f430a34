"""Commands whose own defaults go unchecked: Typer would import Pydantic for that, longer than a command takes."""

from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


class Option(TyperOption):
    """One that nobody gave has a value that is ours, or none."""

    def process_value(self, ctx: Any, value: Any) -> Any:
        """The value, checked if it was given."""
        if self.required or self.multiple or ctx.get_parameter_source(self.name).name != "DEFAULT":
            return super().process_value(ctx, value)
        return self.callback(ctx, self, value) if self.callback else value


def _frugal(params: list[Any]) -> list[Any]:
    """The same, ``--help`` among them, which Typer makes itself as it makes all of them."""
    for one in params:
        if type(one) is TyperOption:
            one.__class__ = Option
    return params


class Command(TyperCommand):
    """A command of such options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options."""
        return _frugal(super().get_params(ctx))


class Group(TyperGroup):
    """A group of such options."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options."""
        return _frugal(super().get_params(ctx))
