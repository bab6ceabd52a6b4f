"""The callbacks of one training run: the order of calls, and the callbacks that only one run may use."""

from collections.abc import Callable, Sequence

from numlp.callbacks import Callback
from numlp.run import Run


def notifier(run: Run, listeners: Sequence[Callback]) -> Callable[[str], bool]:
    """Return a function that calls all callbacks which implement an event, and returns whether there are any."""
    implemented: dict[str, list[Callable[[Run], None]]] = {}
    for event in (name for name in vars(Callback) if name.startswith("on_")):
        tells = [getattr(listener, event) for listener in listeners]
        implemented[event] = [tell for tell in tells if getattr(tell, "__func__", tell) is not getattr(Callback, event)]

    def notify(event: str) -> bool:
        for tell in implemented[event]:
            tell(run)
        return bool(implemented[event])

    return notify


def with_state(listeners: Sequence[Callback]) -> dict[str, Callback]:
    """Return by name the callbacks that belong to one training at a time: those that have a state which changes it."""
    stateful = [one.state_names is not None and bool(one.state_names or one.state()) for one in listeners]
    return {f"callbacks[{i}]": one for i, one in enumerate(listeners) if stateful[i]}
