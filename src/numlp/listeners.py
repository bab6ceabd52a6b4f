"""The listeners of one training: who is told of an event, and which belong to it alone."""

from collections.abc import Callable, Sequence

from numlp.callbacks import Callback
from numlp.run import Run


def notifier(run: Run, listeners: Sequence[Callback]) -> Callable[[str], bool]:
    """Return what tells an event to those listeners that do something then, and returns whether there are any."""
    heard: dict[str, list[Callable[[Run], None]]] = {}
    for event in (name for name in vars(Callback) if name.startswith("on_")):
        tells = [getattr(listener, event) for listener in listeners]
        heard[event] = [tell for tell in tells if getattr(tell, "__func__", tell) is not getattr(Callback, event)]

    def notify(event: str) -> bool:
        for tell in heard[event]:
            tell(run)
        return bool(heard[event])

    return notify


def with_state(listeners: Sequence[Callback]) -> dict[str, Callback]:
    """Return by name the callbacks that belong to one training at a time: those that have a state which changes it."""
    stateful = [one.state_names is not None and bool(one.state_names or one.state()) for one in listeners]
    return {f"callbacks[{i}]": one for i, one in enumerate(listeners) if stateful[i]}
